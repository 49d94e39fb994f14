//! What every route can reach.

use std::sync::Arc;

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::integration::{Home, Secrets};
use facteur_core::job::JobDefaults;
use facteur_core::price::Prices;
use facteur_core::reconcile::EvidenceRules;
use facteur_core::vault::Keyring;
use facteur_postgres::accept::Acceptances;
use facteur_postgres::{Account, Callbacks, Database, Directory, TemplateStore};
use facteur_twilio::TwilioClient;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::access::Access;
use crate::bodies::Bodies;
use crate::bulks::BulksSide;
use crate::pressure::Pressure;
use crate::quarantine::Quarantine;
use crate::v1::media::MediaSide;
use crate::waiting::Waiters;

/// Shared by all requests.
pub(crate) type App = Arc<AppState>;

pub(crate) struct AppState {
    pub(crate) access: Access,
    pub(crate) database: Database,
    /// Senders, pauses and tenants, at most a second old.
    pub(crate) directory: Directory,
    pub(crate) templates: TemplateStore,
    pub(crate) acceptances: Acceptances,
    pub(crate) pressure: Pressure,
    pub(crate) bodies: Bodies,
    pub(crate) bulks: BulksSide,
    pub(crate) media: MediaSide,
    pub(crate) waiters: Waiters,
    /// How evidence about uncertain messages is judged, for those who ask what comes next.
    pub(crate) evidence: EvidenceRules,
    /// What messages cost, for estimates.
    pub(crate) prices: Prices,
    pub(crate) jobs: JobSettings,
    /// The account of the environment, and who sends over it.
    pub(crate) home: Home,
    /// Seals and opens the credentials of tenants' accounts.
    pub(crate) keyring: Arc<Keyring>,
    /// Looks at accounts and reads media; it sends nothing.
    pub(crate) client: TwilioClient,
    pub(crate) now: Now,
    pub(crate) twilio: TwilioSide,
    pub(crate) callbacks: Callbacks,
    pub(crate) quarantine: Quarantine,
}

/// What time it is; the database's clock is followed.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What jobs take from the configuration: the same as in the workers.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// For numbers in national spelling.
    pub defaults: JobDefaults,
}

const NO_PUBLIC_URL: &str =
    "no public URL is configured (FACTEUR_PUBLIC_URL), so no webhook can be verified and none is asked for";
pub(crate) const NO_TOKEN: &str = "no auth token of the account is known, and an API key signs nothing, so no webhook of it can be verified";

/// How webhooks of Twilio are known to be Twilio's.
pub(crate) struct TwilioSide {
    /// The account of the environment.
    account_sid: String,
    /// The auth tokens that may have signed its webhooks; several while they are rotated.
    tokens: Vec<SecretString>,
    /// The public URL without a slash at its end; `None` where no callback is asked for.
    base: Option<String>,
}

impl TwilioSide {
    pub(crate) fn new(account_sid: String, tokens: Vec<SecretString>, public_url: Option<&Url>) -> Self {
        let base = public_url.map(|url| url.as_str().trim_end_matches('/').to_owned());
        Self { account_sid, tokens, base }
    }

    /// Why no webhook of the environment's account can be verified; `None` if it can.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        self.unasked().or(self.tokens.is_empty().then_some(NO_TOKEN))
    }

    /// Why no webhook of any account can be verified; `None` if it can.
    pub(crate) fn unasked(&self) -> Option<&'static str> {
        self.base.is_none().then_some(NO_PUBLIC_URL)
    }

    /// The tokens that may have signed a webhook of an account, of which this is `stored`; `None` if it is neither the
    /// environment's nor a tenant's. The environment's account belongs to the tenant `default`.
    pub(crate) fn tokens_of<'a>(
        &'a self,
        account_sid: &str,
        stored: Option<&'a Account>,
    ) -> Option<Vec<&'a SecretString>> {
        let is_home = account_sid == self.account_sid;
        let stored = stored.filter(|stored| !is_home || stored.tenant == Tenant::default_tenant().as_str());
        if stored.is_none() && !is_home {
            return None;
        }
        let secrets = stored.and_then(|stored| stored.secrets.as_ref().ok());
        let own = self.tokens.iter().filter(|_| is_home);
        Some(own.chain(secrets.into_iter().flat_map(Secrets::signing_tokens)).collect())
    }

    /// Whether this is the account of the environment.
    pub(crate) fn is_home(&self, account_sid: &str) -> bool {
        account_sid == self.account_sid
    }

    /// Whether strangers reach us over TLS alone.
    pub(crate) fn is_https(&self) -> bool {
        self.base.as_ref().is_some_and(|base| base.starts_with("https://"))
    }

    /// Whether Twilio was told to call us.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.base.is_some()
    }

    /// Whether one of these tokens signed this form for this path and query. The host is the configured one, whatever a proxy in
    /// between calls us.
    pub(crate) fn has_signed(
        &self,
        tokens: &[&SecretString],
        path_and_query: &str,
        form: &[(String, String)],
        signature: &str,
    ) -> bool {
        let Some(base) = &self.base else { return false };
        let tokens: Vec<&str> = tokens.iter().map(|token| token.expose_secret()).collect();
        facteur_twilio::signature::verify(&tokens, &format!("{base}{path_and_query}"), form, signature)
    }
}

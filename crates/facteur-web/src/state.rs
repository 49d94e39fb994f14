//! What every route can reach.

use std::sync::Arc;

use facteur_core::Timestamp;
use facteur_core::job::JobDefaults;
use facteur_core::sender::Sender;
use facteur_postgres::{Callbacks, Database, Directory, TemplateStore};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::quarantine::Quarantine;

/// Shared by all requests.
pub(crate) type App = Arc<AppState>;

pub(crate) struct AppState {
    pub(crate) database: Database,
    /// Senders, pauses and tenants, at most a second old.
    pub(crate) directory: Directory,
    pub(crate) templates: TemplateStore,
    pub(crate) jobs: JobSettings,
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
    /// Sender of SMS and MMS that name none.
    pub sms_sender: Option<Sender>,
    /// Sender of WhatsApp messages that name none.
    pub whatsapp_sender: Option<Sender>,
}

/// How webhooks of Twilio are known to be Twilio's.
pub(crate) struct TwilioSide {
    /// The account whose webhooks are taken.
    pub(crate) account_sid: String,
    /// The auth tokens that may have signed them; several while they are rotated.
    tokens: Vec<SecretString>,
    /// The public URL without a slash at its end; `None` where no callback is asked for.
    base: Option<String>,
}

impl TwilioSide {
    pub(crate) fn new(account_sid: String, tokens: Vec<SecretString>, public_url: Option<&Url>) -> Self {
        let base = public_url.map(|url| url.as_str().trim_end_matches('/').to_owned());
        Self { account_sid, tokens, base }
    }

    /// Why no webhook can be verified; `None` if it can.
    pub(crate) fn missing(&self) -> Option<&'static str> {
        match (&self.base, self.tokens.is_empty()) {
            (None, _) => Some(
                "no public URL is configured (FACTEUR_PUBLIC_URL), so no webhook can be verified and none is asked for",
            ),
            (Some(_), true) => Some(
                "no auth token is configured (TWILIO_AUTH_TOKEN), and an API key signs nothing, so no webhook can be \
                 verified",
            ),
            (Some(_), false) => None,
        }
    }

    /// Whether Twilio was told to call us.
    pub(crate) fn is_asked_for(&self) -> bool {
        self.base.is_some()
    }

    /// Whether Twilio signed this form for this path and query. The host is the configured one, whatever a proxy in
    /// between calls us.
    pub(crate) fn has_signed(
        &self,
        path_and_query: &str,
        form: &[(String, String)],
        signature: &str,
    ) -> bool {
        let Some(base) = &self.base else { return false };
        let tokens: Vec<&str> = self.tokens.iter().map(|token| token.expose_secret()).collect();
        facteur_twilio::signature::verify(&tokens, &format!("{base}{path_and_query}"), form, signature)
    }
}

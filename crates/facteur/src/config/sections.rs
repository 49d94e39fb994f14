//! The configuration as the rest of the program sees it: one struct for each section, every value checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::gcra::Rate;
use facteur_core::integration::Home;
use facteur_core::job::Channel;
use facteur_core::lane::Lane;
use facteur_core::phone::Country;
use facteur_core::price::Prices;
use facteur_core::reconcile::{EvidenceRules, Policies};
use facteur_core::sender::Sender;
use facteur_core::vault::Keyring;
use facteur_web::DefaultKey;
use ipnet::IpNet;
use secrecy::SecretString;
use url::Url;

use super::Problems;

/// Account SID of the simulator, which development uses when no secret is set.
pub const SIMULATOR_ACCOUNT_SID: &str = "AC00000000000000000000000000000000";
/// Auth token of the simulator. It is no secret: it opens nothing but a simulator.
pub const SIMULATOR_AUTH_TOKEN: &str = "00000000000000000000000000000000";
/// The number from which development sends when no sender is set: Twilio's own for tests.
pub const SIMULATOR_PHONE_NUMBER: &str = "+15005550006";

/// Every setting, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The broker.
    pub amqp: AmqpSection,
    /// The database.
    pub database: DatabaseSection,
    /// The account at Twilio.
    pub twilio: TwilioSection,
    /// The work.
    pub worker: WorkerSection,
    /// The web process.
    pub web: WebSection,
    /// What messages cost.
    pub prices: Prices,
    /// What the process tells about itself.
    pub telemetry: TelemetrySection,
}

/// `[amqp]`
#[derive(Debug, Clone, Default)]
pub struct AmqpSection {
    /// `amqp://` or `amqps://`; holds a password.
    pub url: SecretString,
    /// First part of every exchange's and queue's name.
    pub prefix: String,
}

/// `[database]`
#[derive(Debug, Clone, Default)]
pub struct DatabaseSection {
    /// `postgres://`; holds a password.
    pub url: SecretString,
    /// Most connections of this process.
    pub pool_size: u32,
}

/// `[twilio]`
#[derive(Debug, Clone)]
pub struct TwilioSection {
    /// Where the API is.
    pub base_url: Url,
    /// `AC…`.
    pub account_sid: Option<String>,
    /// The account's token: authorises calls and signs callbacks.
    pub auth_token: Option<SecretString>,
    /// The token before it: signs callbacks while it is rotated.
    pub auth_token_previous: Option<SecretString>,
    /// `SK…`: authorises calls in the token's place.
    pub api_key: Option<String>,
    /// The API key's secret.
    pub api_secret: Option<SecretString>,
    /// Default sender of texts.
    pub phone_number: Option<Sender>,
    /// Default sender on WhatsApp.
    pub whatsapp_number: Option<Sender>,
    /// Default sender of texts in the number's place.
    pub messaging_service_sid: Option<Sender>,
    /// Whether tenants without any integration of their own send over this account.
    pub is_shared: bool,
    /// What seals and opens the credentials of integrations.
    pub keyring: Arc<Keyring>,
}

/// `[worker]`
#[derive(Debug, Clone)]
pub struct WorkerSection {
    /// Permits of the normal lane; see [`WorkerSection::permits`].
    pub concurrency: u32,
    /// Rate of senders that have no row of their own; `None` is no limit.
    pub sender_rate: Option<Rate>,
    /// Country of numbers without a country code.
    pub default_country: Country,
    /// Where Twilio reaches us; `None` means that no callback arrives.
    pub public_url: Option<Url>,
    /// Whether `message.*` events are published.
    pub events: bool,
    /// Whether Twilio is asked for receipts that don't come.
    pub receipt_polling: bool,
    /// Age of a message at the first question, in seconds; the later ones keep their ratio to it.
    pub receipt_poll_first_s: u32,
    /// What becomes of messages of which nobody knows whether Twilio took them, once the search ended without an answer.
    pub uncertain_policies: Policies,
    /// How long evidence about them is searched for.
    pub uncertain_grace: Duration,
}

/// `[web]`
#[derive(Debug, Clone)]
pub struct WebSection {
    /// Where the routes are served.
    pub listen: SocketAddr,
    /// Pages of other origins that may call the API.
    pub cors_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// As whom those are taken who send no key.
    pub default_keys: Vec<DefaultKey>,
    /// Shared secret of tokens.
    pub jwt_secret: Option<SecretString>,
    /// The keys of whoever issues tokens.
    pub jwks: Option<Jwks>,
    /// What `iss` of a token must be.
    pub jwt_issuer: Option<String>,
    /// What `aud` of a token must be or hold.
    pub jwt_audience: Option<String>,
    /// Messages a second that each tenant may hand in; `None` is no limit.
    pub tenant_rate: Option<Rate>,
    /// Messages that may wait to be handed to the broker.
    pub outbox_max: u32,
}

/// Where a set of public keys is.
#[derive(Debug, Clone)]
pub enum Jwks {
    /// Published.
    Url(Url),
    /// On this machine.
    File(PathBuf),
}

/// `[telemetry]`
#[derive(Debug, Clone)]
pub struct TelemetrySection {
    /// Directives of tracing's `EnvFilter`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub metrics_listen: SocketAddr,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

/// The account and what authorises calls for it.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `AC…`.
    pub account_sid: String,
    /// What authorises calls.
    pub auth: facteur_twilio::Auth,
    /// What may have signed callbacks; without any, no callback can be verified.
    pub signing_tokens: Vec<SecretString>,
}

impl Config {
    /// Whether Twilio's callbacks can reach us and be verified: only the auth token signs them.
    #[must_use]
    pub fn can_receive_callbacks(&self) -> bool {
        let has_signature = || self.twilio.credentials().is_ok_and(|found| !found.signing_tokens.is_empty());
        self.worker.public_url.is_some() && has_signature()
    }
}

impl WorkerSection {
    /// How many jobs of a lane are worked on at once. `concurrency` is the normal lane's; `urgent` has a
    /// quarter of it on top, at least 8, so that it never waits behind the others, and `bulk` half of it.
    #[must_use]
    pub fn permits(&self, lane: Lane) -> u32 {
        match lane {
            Lane::Urgent => (self.concurrency / 4).max(8),
            Lane::Normal => self.concurrency,
            Lane::Bulk => (self.concurrency / 2).max(1),
        }
    }

    /// How evidence about uncertain messages is judged.
    #[must_use]
    pub fn evidence(&self) -> EvidenceRules {
        EvidenceRules { grace: self.uncertain_grace, policies: self.uncertain_policies }
    }
}

impl TwilioSection {
    /// Whether the API is on this machine, so that it can only be a simulator.
    #[must_use]
    pub fn is_on_loopback(&self) -> bool {
        facteur_twilio::is_loopback(&self.base_url)
    }

    /// Development works out of the box: nothing is set, and the API is on this machine.
    fn is_development(&self) -> bool {
        let nothing_is_set = self.account_sid.is_none()
            && self.auth_token.is_none()
            && self.auth_token_previous.is_none()
            && self.api_key.is_none()
            && self.api_secret.is_none();
        nothing_is_set && self.is_on_loopback()
    }

    /// The account and its credentials: the simulator's in development, the configured ones otherwise.
    ///
    /// # Errors
    /// One sentence for each missing variable.
    pub fn credentials(&self) -> Result<Credentials, Problems> {
        if self.is_development() {
            let token = SecretString::from(SIMULATOR_AUTH_TOKEN);
            return Ok(Credentials {
                account_sid: SIMULATOR_ACCOUNT_SID.to_owned(),
                auth: facteur_twilio::Auth::Token(token.clone()),
                signing_tokens: vec![token],
            });
        }
        let auth = match (&self.api_key, &self.api_secret, &self.auth_token) {
            (Some(sid), Some(secret), _) => {
                Ok(facteur_twilio::Auth::ApiKey { sid: sid.clone(), secret: secret.clone() })
            }
            (Some(_), None, _) => {
                Err("TWILIO_API_SECRET is not set, while TWILIO_API_KEY is: set both or none")
            }
            (None, Some(_), _) => {
                Err("TWILIO_API_KEY is not set, while TWILIO_API_SECRET is: set both or none")
            }
            (None, None, Some(token)) => Ok(facteur_twilio::Auth::Token(token.clone())),
            (None, None, None) => Err("TWILIO_AUTH_TOKEN is not set: set it, or TWILIO_API_KEY and \
                                       TWILIO_API_SECRET (the Twilio console shows them)"),
        };
        match (&self.account_sid, auth) {
            (Some(account_sid), Ok(auth)) => Ok(Credentials {
                account_sid: account_sid.clone(),
                auth,
                signing_tokens: self.auth_token.iter().chain(&self.auth_token_previous).cloned().collect(),
            }),
            (account_sid, auth) => {
                let missing = "TWILIO_ACCOUNT_SID is not set: set it to the account's SID (AC and 32 hexadecimal \
                               digits; the Twilio console shows it), or point TWILIO_BASE_URL at a simulator on \
                               this machine";
                let account = account_sid.is_none().then_some(missing);
                Err(Problems(account.into_iter().chain(auth.err()).map(str::to_owned).collect()))
            }
        }
    }

    /// The account as messages are sent over it.
    ///
    /// # Errors
    /// As [`TwilioSection::credentials`].
    pub fn home(&self) -> Result<Home, Problems> {
        Ok(Home {
            account: self.credentials()?.account_sid,
            sms: self.default_sender(Channel::Sms),
            whatsapp: self.default_sender(Channel::Whatsapp),
            is_shared: self.is_shared,
        })
    }

    /// The sender of a channel's jobs that name none. A Messaging Service goes before the number, for it
    /// chooses among numbers itself.
    #[must_use]
    pub fn default_sender(&self, channel: Channel) -> Option<Sender> {
        let development =
            || self.is_development().then(|| Sender::parse(SIMULATOR_PHONE_NUMBER).ok()).flatten();
        match channel {
            Channel::Whatsapp => self.whatsapp_number.clone(),
            Channel::Sms | Channel::Mms => {
                self.messaging_service_sid.clone().or_else(|| self.phone_number.clone()).or_else(development)
            }
        }
    }
}

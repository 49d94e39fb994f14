//! Configuration: one table of settings (`settings.rs`), laid over each other from file, environment and flags
//! (`layers.rs`), checked into types once (`sections.rs`), shown and documented from the table (`render.rs`).

mod environment;
mod layers;
mod parse;
mod price_settings;
mod render;
mod sections;
mod settings;
#[cfg(test)]
mod tests;
mod web_settings;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use facteur_amqp::AmqpConfig;
use facteur_core::phone::Country;
use facteur_core::price::Prices;
use facteur_core::receipts::FIRST_POLL_AGE;
use facteur_core::reconcile::{GRACE_MIN, Policies};
use facteur_postgres::PostgresConfig;
use secrecy::ExposeSecret;
use url::Url;

pub use environment::{FILE_DEFAULT, THREAD_STACK_VARIABLE, sources, thread_stack_bytes, user};
pub use layers::{Origin, Sources, Value};
pub use render::{masked, reference_page, sample_file};
pub use sections::{
    AmqpSection, Config, Credentials, DatabaseSection, Jwks, LogFormat, SIMULATOR_ACCOUNT_SID,
    SIMULATOR_AUTH_TOKEN, SIMULATOR_PHONE_NUMBER, TelemetrySection, TwilioSection, WebSection, WorkerSection,
};
pub use settings::{Form, SETTINGS, Secrecy, Setting};

/// What is wrong with a configuration: sentences, each naming the setting and the remedy, none with a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// A configuration with the origin of each value.
#[derive(Clone)]
pub struct Loaded {
    /// The values, checked.
    pub config: Config,
    /// The same as texts, in the table's order.
    pub values: Vec<Value>,
}

impl Loaded {
    /// Where a setting's value comes from.
    #[must_use]
    pub fn origin(&self, key: &str) -> Origin {
        self.values
            .iter()
            .find(|value| value.setting.key == key)
            .map_or(Origin::Default, |value| value.origin)
    }
}

/// Lays the sources over each other and checks every value.
///
/// # Errors
/// Every problem found, not only the first.
pub fn load(sources: &Sources) -> Result<Loaded, Problems> {
    let values = layers::lay(sources)?;
    let mut config = Config::blank();
    let store = |value: &Value| {
        let text = value.text.as_deref()?;
        let why = (value.setting.store)(&mut config, text).err()?;
        Some(format!("{} {why}", value.place()))
    };
    let mut problems: Vec<String> = values.iter().filter_map(store).collect();
    if problems.is_empty() {
        problems.extend(unusable_urls(&config));
        problems.extend(hasty_polls(&config));
        problems.extend(short_grace(&config, &values));
        problems.extend(web_settings::unbound_issuer(&config));
        problems.extend(price_settings::without_currency(&config));
    }
    if problems.is_empty() { Ok(Loaded { config, values }) } else { Err(Problems(problems)) }
}

/// Twilio's lists lag: a message that is missing in them for a short time may be there all the same.
fn short_grace(config: &Config, values: &[Value]) -> Option<String> {
    let is_short = config.worker.uncertain_grace < GRACE_MIN && !config.twilio.is_on_loopback();
    let value =
        values.iter().find(|value| value.setting.key == "worker.uncertain_grace_s").filter(|_| is_short)?;
    Some(format!(
        "{} is less than {} s: Twilio's lists were seen to lag by a quarter of an hour, so an absent message proves \
         nothing before that",
        value.place(),
        GRACE_MIN.as_secs()
    ))
}

/// What only those who connect can tell of a URL. Their sentences name no part of it, for it holds a password.
fn unusable_urls(config: &Config) -> Vec<String> {
    let amqp = AmqpConfig::new(config.amqp.url.clone()).verify().err();
    let postgres = PostgresConfig {
        url: config.database.url.expose_secret().to_owned(),
        pool_size: 1,
        application_name: String::new(),
        publishes_events: false,
    };
    let amqp = amqp.map(|why| format!("AMQP_URL (amqp.url): {why}"));
    let postgres = postgres.verify().err().map(|why| format!("DATABASE_URL (database.url): {why}"));
    amqp.into_iter().chain(postgres).collect()
}

/// Twilio itself is not asked sooner than the carriers' receipts usually come.
fn hasty_polls(config: &Config) -> Option<String> {
    let first_s = u64::from(config.worker.receipt_poll_first_s);
    let (least_s, is_simulator) = (FIRST_POLL_AGE.as_secs(), config.twilio.is_on_loopback());
    (first_s < least_s && !is_simulator).then(|| {
        format!(
            "FACTEUR_RECEIPT_POLL_FIRST_S (worker.receipt_poll_first_s) is {first_s}, but only a simulator on this \
             machine may be asked before {least_s} s: set at least that"
        )
    })
}

impl Config {
    /// What the table's defaults are written over.
    fn blank() -> Self {
        #[expect(clippy::expect_used, reason = "a constant; every test of this module parses it")]
        let nowhere = Url::parse("https://invalid.").expect("a constant URL");
        Self {
            amqp: AmqpSection::default(),
            database: DatabaseSection::default(),
            twilio: TwilioSection {
                base_url: nowhere,
                account_sid: None,
                auth_token: None,
                auth_token_previous: None,
                api_key: None,
                api_secret: None,
                phone_number: None,
                whatsapp_number: None,
                messaging_service_sid: None,
                is_shared: false,
                keyring: Arc::default(),
            },
            worker: WorkerSection {
                concurrency: 0,
                sender_rate: None,
                default_country: Country::FRANCE,
                public_url: None,
                events: false,
                receipt_polling: false,
                receipt_poll_first_s: 0,
                uncertain_policies: Policies::default(),
                uncertain_grace: Duration::ZERO,
            },
            web: WebSection {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                cors_origins: vec![],
                trusted_proxies: vec![],
                default_keys: vec![],
                jwt_secret: None,
                jwks: None,
                jwt_issuer: None,
                jwt_audience: None,
                tenant_rate: None,
                outbox_max: 0,
            },
            prices: Prices::default(),
            telemetry: TelemetrySection {
                log: String::new(),
                log_format: LogFormat::Human,
                metrics_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            },
        }
    }
}

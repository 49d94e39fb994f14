//! From the configuration to a worker and a web process: which adapters they are made of.

use std::sync::Arc;
use std::time::Duration;

use facteur_amqp::AmqpConfig;
use facteur_core::job::{Category, Channel, JobDefaults};
use facteur_core::lane::Lane;
use facteur_core::limits::{CALL_DURATION_MAX, SHUTDOWN_DRAIN_MAX};
use facteur_core::peers::SharedSettings;
use facteur_core::receipts::PollSchedule;
use facteur_postgres::{Database, PostgresConfig};
use facteur_twilio::{PublicDocument, TwilioClient, TwilioConfig};
use facteur_web::{AcceptLimits, AccessSettings, JobSettings, JwksSource, JwtSettings, WebParts};
use facteur_worker::clock::Clock;
use facteur_worker::worker::{Permits, Reconciliation, WorkerParts};
use secrecy::ExposeSecret;

use crate::config::{Config, Jwks, Problems};

/// A name lookup, a connection and a TLS handshake take no longer.
const TWILIO_CONNECT_MAX: Duration = Duration::from_secs(5);
/// A look at an account that somebody waits for takes no longer.
pub const TWILIO_LOOK_MAX: Duration = Duration::from_secs(10);
/// Share of the connections to the database that only the urgent lane uses.
const URGENT_POOL_SHARE: usize = 4;

/// The two pools of a worker.
pub struct Databases {
    /// For the urgent lane alone.
    pub urgent: Database,
    /// For everything else.
    pub shared: Database,
}

/// How the worker reaches the database: its pool without the urgent lane's share.
#[must_use]
pub fn shared_postgres(config: &Config) -> PostgresConfig {
    let pool_size = usize::try_from(config.database.pool_size).unwrap_or(usize::MAX);
    postgres(config, "facteur worker", (pool_size - pool_size / URGENT_POOL_SHARE).max(2))
}

/// How the urgent lane reaches the database.
#[must_use]
pub fn urgent_postgres(config: &Config) -> PostgresConfig {
    let pool_size = usize::try_from(config.database.pool_size).unwrap_or(usize::MAX);
    postgres(config, "facteur worker, urgent", (pool_size / URGENT_POOL_SHARE).max(2))
}

/// How the web process reaches the database: with as many connections as the urgent lane.
#[must_use]
pub fn web_postgres(config: &Config) -> PostgresConfig {
    PostgresConfig { application_name: "facteur web".to_owned(), ..urgent_postgres(config) }
}

/// What a web process is made of.
///
/// # Errors
/// If the account at Twilio is not configured, or the database's URL can't be used.
pub fn web_parts(config: &Config, clock: &Clock) -> anyhow::Result<WebParts> {
    let clock = clock.clone();
    let credentials = config.twilio.credentials()?;
    Ok(WebParts {
        database: Database::open(&web_postgres(config))?,
        home: config.twilio.home()?,
        keyring: Arc::clone(&config.twilio.keyring),
        client: TwilioClient::new(twilio(config, TWILIO_LOOK_MAX, 1)?)?,
        signing_tokens: credentials.signing_tokens,
        public_url: config.worker.public_url.clone(),
        access: access(config)?,
        jobs: JobSettings { defaults: JobDefaults { country: config.worker.default_country } },
        limits: AcceptLimits {
            tenant_rate: config.web.tenant_rate,
            outbox_rows_max: i64::from(config.web.outbox_max),
        },
        evidence: config.worker.evidence(),
        prices: config.prices.clone(),
        now: Arc::new(move || clock.now()),
    })
}

/// Who may use the API.
fn access(config: &Config) -> anyhow::Result<AccessSettings> {
    let web = &config.web;
    let jwks = match &web.jwks {
        Some(Jwks::Url(url)) => Some(JwksSource::Published(PublicDocument::new(url.clone())?)),
        Some(Jwks::File(path)) => Some(JwksSource::File(path.clone())),
        None => None,
    };
    let takes_tokens = web.jwt_secret.is_some() || jwks.is_some();
    let jwt = takes_tokens.then(|| JwtSettings {
        secret: web.jwt_secret.clone(),
        jwks,
        issuer: web.jwt_issuer.clone(),
        audience: web.jwt_audience.clone(),
    });
    Ok(AccessSettings {
        jwt,
        default_keys: web.default_keys.clone(),
        origins: web.cors_origins.clone(),
        trusted_proxies: web.trusted_proxies.clone(),
    })
}

/// How a process of this name reaches the broker.
#[must_use]
pub fn amqp(config: &Config, connection_name: &str) -> AmqpConfig {
    AmqpConfig {
        prefix: config.amqp.prefix.clone(),
        connection_name: connection_name.to_owned(),
        ..AmqpConfig::new(config.amqp.url.clone())
    }
}

/// How a process of this name reaches the database.
#[must_use]
pub fn postgres(config: &Config, application_name: &str, pool_size: usize) -> PostgresConfig {
    PostgresConfig {
        url: config.database.url.expose_secret().to_owned(),
        pool_size,
        application_name: application_name.to_owned(),
        publishes_events: config.worker.events,
    }
}

/// How Twilio is reached.
///
/// # Errors
/// If the account is not configured.
pub fn twilio(
    config: &Config,
    call_timeout: Duration,
    connections_max: usize,
) -> Result<TwilioConfig, Problems> {
    let credentials = config.twilio.credentials()?;
    Ok(TwilioConfig {
        base_url: config.twilio.base_url.clone(),
        account_sid: credentials.account_sid,
        auth: credentials.auth,
        public_url: config.worker.public_url.clone(),
        call_timeout,
        connect_timeout: TWILIO_CONNECT_MAX,
        connections_max,
    })
}

/// What all processes of one system must agree about; no secrets.
#[must_use]
pub fn shared_settings(config: &Config) -> SharedSettings {
    let sender = |channel| config.twilio.default_sender(channel).map(|sender| sender.to_string());
    let account = config.twilio.credentials().ok().map(|credentials| credentials.account_sid);
    let (worker, amqp) = (&config.worker, amqp(config, ""));
    let rate = worker.sender_rate.map(|rate| format!("{} a second", rate.as_per_second()));
    let policy = |category| worker.uncertain_policies.of(category).as_str();
    let policies = [Category::Otp, Category::Transactional, Category::Marketing]
        .map(|category| format!("{}={}", category.as_str(), policy(category)))
        .join(",");
    let settings = [
        ("worker.sender_rate", rate),
        ("worker.default_country", Some(worker.default_country.to_string())),
        ("worker.public_url", worker.public_url.as_ref().map(ToString::to_string)),
        ("worker.events", Some(worker.events.to_string())),
        ("worker.uncertain_policy", Some(policies)),
        ("worker.uncertain_grace_s", Some(worker.uncertain_grace.as_secs().to_string())),
        ("worker.receipt_polling", Some(worker.receipt_polling.to_string())),
        ("amqp.prefix", Some(config.amqp.prefix.clone())),
        ("the delay ladder's unit", Some(format!("{:?}", amqp.delay_unit))),
        ("twilio.account_sid", account),
        ("twilio.shared", Some(config.twilio.is_shared.to_string())),
        ("the ids of the keys in twilio.secret_key", Some(config.twilio.keyring.ids())),
        ("the default sender of SMS", sender(Channel::Sms)),
        ("the default sender of WhatsApp", sender(Channel::Whatsapp)),
    ];
    let text = |value: Option<String>| value.unwrap_or_else(|| "unset".to_owned());
    settings.into_iter().map(|(name, value)| (name.to_owned(), text(value))).collect()
}

/// What a worker is made of.
///
/// # Errors
/// If the account at Twilio is not configured, or not as Twilio's are.
pub fn parts(config: &Config, databases: Databases) -> anyhow::Result<WorkerParts> {
    let permits = Permits {
        urgent: permits(config, Lane::Urgent),
        normal: permits(config, Lane::Normal),
        bulk: permits(config, Lane::Bulk),
    };
    let calls_max = usize::from(permits.urgent) + usize::from(permits.normal) + usize::from(permits.bulk);
    let twilio = TwilioClient::new(twilio(config, CALL_DURATION_MAX, calls_max)?)?;
    Ok(WorkerParts {
        amqp: amqp(config, "facteur worker"),
        urgent_database: databases.urgent,
        database: databases.shared,
        twilio,
        home: config.twilio.home()?,
        keyring: Arc::clone(&config.twilio.keyring),
        defaults: JobDefaults { country: config.worker.default_country },
        default_rate: config.worker.sender_rate,
        reconciliation: Reconciliation {
            grace: config.worker.uncertain_grace,
            policies: config.worker.uncertain_policies,
            can_receive_callbacks: config.can_receive_callbacks(),
        },
        permits,
        drain_max: SHUTDOWN_DRAIN_MAX,
        clock: Clock::system(),
        receipts: PollSchedule::new(
            Duration::from_secs(config.worker.receipt_poll_first_s.into()),
            config.worker.receipt_polling,
        ),
    })
}

fn permits(config: &Config, lane: Lane) -> u16 {
    // AMQP's prefetch has 16 bits.
    u16::try_from(config.worker.permits(lane)).unwrap_or(u16::MAX)
}

//! From configuration to adapters.

use std::time::Duration;

use facteur_amqp::AmqpConfig;
use facteur_postgres::{ConnectError, Database, PostgresConfig};
use facteur_twilio::TwilioConfig;
use secrecy::ExposeSecret;

use crate::config::{Config, Problems};

/// A name lookup, a connection and a TLS handshake take no longer.
const TWILIO_CONNECT_MAX: Duration = Duration::from_secs(5);
/// A command's question to Twilio takes no longer.
const TWILIO_CALL_MAX: Duration = Duration::from_secs(10);

/// How a command reaches the broker.
pub(super) fn amqp(config: &Config, command: &str) -> AmqpConfig {
    AmqpConfig {
        prefix: config.amqp.prefix.clone(),
        connection_name: format!("facteur {command}"),
        ..AmqpConfig::new(config.amqp.url.clone())
    }
}

/// How a command reaches the database: its questions come one after the other.
pub(super) fn postgres(config: &Config, command: &str) -> PostgresConfig {
    PostgresConfig {
        url: config.database.url.expose_secret().to_owned(),
        pool_size: 1,
        application_name: format!("facteur {command}"),
        publishes_events: config.worker.events,
    }
}

/// A command's connection to the database.
pub(super) async fn database(config: &Config, command: &str) -> Result<Database, ConnectError> {
    facteur_postgres::connect(&postgres(config, command)).await
}

/// How a command reaches Twilio.
pub(super) fn twilio(config: &Config) -> Result<TwilioConfig, Problems> {
    let credentials = config.twilio.credentials()?;
    Ok(TwilioConfig {
        base_url: config.twilio.base_url.clone(),
        account_sid: credentials.account_sid,
        auth: credentials.auth,
        public_url: config.worker.public_url.clone(),
        call_timeout: TWILIO_CALL_MAX,
        connect_timeout: TWILIO_CONNECT_MAX,
        connections_max: 1,
    })
}

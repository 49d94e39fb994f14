//! How a command that ends by itself reaches broker, database and Twilio: one question at a time.

use facteur_amqp::AmqpConfig;
use facteur_postgres::{ConnectError, Database, PostgresConfig};
use facteur_twilio::TwilioConfig;

use crate::config::{Config, Problems};
use crate::wiring;

/// How a command reaches the broker.
pub(super) fn amqp(config: &Config, command: &str) -> AmqpConfig {
    wiring::amqp(config, &format!("facteur {command}"))
}

/// How a command reaches the database.
pub(super) fn postgres(config: &Config, command: &str) -> PostgresConfig {
    wiring::postgres(config, &format!("facteur {command}"), 1)
}

/// A command's connection to the database.
pub(super) async fn database(config: &Config, command: &str) -> Result<Database, ConnectError> {
    facteur_postgres::connect(&postgres(config, command)).await
}

/// How a command reaches Twilio.
pub(super) fn twilio(config: &Config) -> Result<TwilioConfig, Problems> {
    wiring::twilio(config, wiring::TWILIO_LOOK_MAX, 1)
}

//! Where the broker is and what our names on it begin with.

use std::time::Duration;

use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret, SecretString};

/// Heartbeats: lapin sends one every half interval and gives a silent peer up after twice the interval, so a
/// dead connection is noticed within 20 s. Left unset, the server's 60 s would make that two minutes.
const HEARTBEAT_S: u16 = 10;
/// RabbitMQ's own limit. lapin gives each connection two buffers of 32 frames: it fills them with zeros, 8 MiB in all,
/// if it hears of the limit from the broker, and takes untouched memory for them if it is told before.
const FRAME_BYTES_MAX: u32 = 128 * 1024;

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct AmqpConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`. A secret: it holds the password.
    pub url: SecretString,
    /// First part of every exchange's and queue's name.
    pub prefix: String,
    /// How our connections are called in RabbitMQ's own listings.
    pub connection_name: String,
    /// The shortest wait of the delay ladder: 1 s, but in tests.
    pub delay_unit: Duration,
}

/// A configuration that can't be used. The sentence never quotes the URL, which holds the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The URL can't be read.
    #[error(
        "the AMQP URL is not of the form amqp://user:password@host:port/vhost (write the vhost / as %2f)"
    )]
    Url,
}

impl AmqpConfig {
    /// The usual configuration: prefix `facteur`, delays in seconds.
    #[must_use]
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            prefix: "facteur".to_owned(),
            connection_name: "facteur".to_owned(),
            delay_unit: Duration::from_secs(1),
        }
    }

    /// Where the broker is, fit for a log line: `host:port, vhost /`, without user and password.
    #[must_use]
    pub fn place(&self) -> String {
        self.uri().map_or_else(|error| error.to_string(), |uri| place(&uri))
    }

    /// Whether the URL can be read; nothing is connected.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn verify(&self) -> Result<(), ConfigError> {
        self.uri().map(drop)
    }

    pub(crate) fn uri(&self) -> Result<AMQPUri, ConfigError> {
        let text = self.url.expose_secret();
        let mut uri: AMQPUri = text.parse().map_err(|_| ConfigError::Url)?;
        // The parser knows no IPv6 literals and would silently connect to localhost instead.
        if let Some((host, _)) = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')) {
            host.clone_into(&mut uri.authority.host);
        }
        uri.query.heartbeat = uri.query.heartbeat.or(Some(HEARTBEAT_S));
        uri.query.frame_max = uri.query.frame_max.or(Some(FRAME_BYTES_MAX));
        Ok(uri)
    }
}

pub(crate) fn place(uri: &AMQPUri) -> String {
    format!("{}:{}, vhost {}", uri.authority.host, uri.authority.port, uri.vhost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_an_error_shows_the_password() {
        let config = AmqpConfig::new("amqp://facteur:s3cret@broker.example:5673/%2f");
        assert!(!format!("{config:?}").contains("s3cret"));
        assert_eq!(config.place(), "broker.example:5673, vhost /");
        let wrong = AmqpConfig::new("mailto:facteur:s3cret@broker");
        assert_eq!(wrong.uri(), Err(ConfigError::Url));
        assert!(!wrong.place().contains("s3cret"));
    }

    #[test]
    fn the_heartbeat_is_ours_unless_the_url_names_one() {
        let heartbeat = |url: &str| AmqpConfig::new(url).uri().map(|uri| uri.query.heartbeat);
        assert_eq!(heartbeat("amqp://broker"), Ok(Some(10)));
        assert_eq!(heartbeat("amqp://broker?heartbeat=30"), Ok(Some(30)));
    }

    #[test]
    fn an_ipv6_address_is_not_mistaken_for_localhost() {
        assert_eq!(AmqpConfig::new("amqp://u:p@[2001:db8::1]:5672/x").place(), "2001:db8::1:5672, vhost x");
    }
}

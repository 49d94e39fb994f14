//! Questions for `doctor` and for metrics, each on a connection of its own.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::ShortString;
use tokio::time::timeout;

use crate::config::AmqpConfig;
use crate::connect::{self, ConnectError};
use crate::watchdog;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a healthy broker says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerCheck {
    /// RabbitMQ's version; `None` over TLS, where it can't be read.
    pub server_version: Option<String>,
    /// The vhost that was opened.
    pub vhost: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no such queue.
    #[error("queue `{queue}` does not exist")]
    QueueMissing {
        /// The queue.
        queue: String,
    },
    /// The broker did not answer.
    #[error("the broker did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    Timeout,
    /// Anything else.
    #[error("the broker refused the question: {0}")]
    Refused(String),
}

/// Envelopes that wait in a queue; those that somebody holds are not counted.
///
/// # Errors
/// [`ProbeError`].
pub async fn queue_depth(config: &AmqpConfig, queue: &str) -> Result<u32, ProbeError> {
    let name = ShortString::try_new(queue).map_err(|error| ProbeError::Refused(error.to_string()))?;
    let connection = connect::open(config, "probe").await?;
    let count = timeout(ANSWER_TIMEOUT, watchdog::ready_count(&connection, &name)).await;
    connect::close(connection).await;
    match count.map_err(|_| ProbeError::Timeout)? {
        Ok(count) => Ok(count),
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(protocol)
                if *protocol.kind() == AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) =>
            {
                Err(ProbeError::QueueMissing { queue: queue.to_owned() })
            }
            _ => Err(ProbeError::Refused(error.to_string())),
        },
    }
}

/// Whether the broker can be reached and lets us in.
///
/// # Errors
/// [`ConnectError`], with a sentence that says what to do.
pub async fn check(config: &AmqpConfig) -> Result<BrokerCheck, ConnectError> {
    let server_version = connect::greeting(config).await?;
    let connection = connect::open(config, "doctor").await?;
    let vhost = connection.status().vhost().to_string();
    connect::close(connection).await;
    Ok(BrokerCheck { server_version, vhost })
}

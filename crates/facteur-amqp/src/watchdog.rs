//! The proof that a consumer really consumes: a subscription can be dead without a word on either side.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, ErrorKind};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::health::ConsumerHealth;

/// How often a consumer is examined, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchdogTiming {
    /// Between two looks; also how long a consumer may get nothing while its queue is not empty.
    pub interval: Duration,
    /// Longest wait for the broker's answer.
    pub patience: Duration,
}

impl Default for WatchdogTiming {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), patience: Duration::from_secs(5) }
    }
}

/// Why the consumer must be built anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Alarm {
    #[error("the broker does not answer")]
    Silent,
    #[error("the queue can't be examined: {0}")]
    Queue(lapin::Error),
    #[error("{ready} envelopes wait in the queue, and none comes")]
    Starved { ready: u32 },
}

/// Looks again and again, and returns when something is wrong.
pub(crate) async fn watch(
    connection: &Connection,
    queue: &ShortString,
    timing: WatchdogTiming,
    health: &watch::Sender<ConsumerHealth>,
) -> Alarm {
    let began = Instant::now();
    loop {
        sleep(timing.interval).await;
        match timeout(timing.patience, ready_count(connection, queue)).await {
            Err(_) => return Alarm::Silent,
            // From RabbitMQ 4.3 on the question needs a permission that a consumer may well not have.
            Ok(Err(error)) if is_denied(&error) => {
                tracing::debug!(%queue, "the watchdog may not ask for the queue's depth");
            }
            Ok(Err(error)) => return Alarm::Queue(error),
            Ok(Ok(ready)) => {
                let health = *health.borrow();
                let idle = health.last_delivery.unwrap_or(began).max(began).elapsed();
                if is_starved(ready, health.in_flight, health.prefetch, idle, timing.interval) {
                    return Alarm::Starved { ready };
                }
            }
        }
    }
}

fn is_starved(ready: u32, in_flight: u32, prefetch: u16, idle: Duration, patience: Duration) -> bool {
    ready > 0 && in_flight < u32::from(prefetch) && idle >= patience
}

fn is_denied(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(protocol)
        if *protocol.kind() == AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED))
}

/// How many envelopes wait in a queue, asked on a channel of its own, for a missing queue closes the channel.
pub(crate) async fn ready_count(connection: &Connection, queue: &ShortString) -> lapin::Result<u32> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.clone(), options, FieldTable::default()).await?;
    channel.close(200, "looked".into()).await?;
    Ok(declared.message_count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_free_consumer_that_gets_nothing_from_a_full_queue_is_starved() {
        let (long, short) = (Duration::from_secs(30), Duration::from_secs(29));
        let rows = [
            (1, 0, long, true),
            (0, 0, long, false),
            (1, 10, long, false),
            (1, 9, long, true),
            (1, 0, short, false),
        ];
        for (ready, in_flight, idle, expected) in rows {
            assert_eq!(
                is_starved(ready, in_flight, 10, idle, long),
                expected,
                "{ready} {in_flight} {idle:?}"
            );
        }
    }
}

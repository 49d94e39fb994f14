//! The keeper of the dead-letter queue: files what never reached a record, bytes and headers kept. With
//! Postgres away, envelopes stay in the queue.

use std::time::Duration;

use facteur_amqp::{Consumer, Envelope};
use facteur_core::burial::dead_envelope;
use facteur_postgres::{BatchFailure, DeadLetters, Filed};
use tokio_util::sync::CancellationToken;

use crate::metrics;

const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(crate) async fn keep_for_ever(
    mut consumer: Consumer,
    dead_letters: DeadLetters,
    stopping: CancellationToken,
) {
    loop {
        let envelope = tokio::select! {
            envelope = consumer.next() => envelope,
            () = stopping.cancelled() => None,
        };
        let Some(envelope) = envelope else { break };
        if !keep(envelope, &dead_letters, &stopping).await {
            break;
        }
    }
    consumer.stop().await;
}

/// Whether the envelope was filed; otherwise the worker stops and the broker keeps it.
async fn keep(envelope: Envelope, dead_letters: &DeadLetters, stopping: &CancellationToken) -> bool {
    let letter = dead_envelope(&envelope.content);
    let code = letter.code;
    loop {
        match dead_letters.file(&letter).await {
            Ok(filed) => {
                tracing::info!(job = letter.job_id.map(tracing::field::display), %code, ?filed, "dead letter filed");
                if filed != Filed::Dropped {
                    metrics::filed(code);
                }
                envelope.acker.ack();
                return true;
            }
            Err(BatchFailure::Data(error)) => {
                // It stays unacknowledged, and so in the queue, where a person finds it.
                tracing::error!(%error, %code, "a dead letter can't be stored and stays in the queue");
                return true;
            }
            Err(BatchFailure::Unavailable(error)) => {
                tracing::warn!(%error, "dead letters can't be filed now; tried again");
                tokio::select! {
                    () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => {}
                    () = stopping.cancelled() => return false,
                }
            }
        }
    }
}

//! The keeper of the dead-letter queue: files what never reached a record, bytes and headers kept. With
//! Postgres away, envelopes stay in the queue.

use std::time::Duration;

use facteur_amqp::{Consumer, Envelope};
use facteur_core::burial::dead_envelope;
use facteur_core::ledger::DeadEnvelope;
use facteur_postgres::{BatchFailure, DeadLetters, Filed};
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::patience::in_time;

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
    let mut letter = dead_envelope(&envelope.content);
    let mut is_plain = false;
    let code = letter.code;
    loop {
        match in_time(dead_letters.file(&letter)).await {
            Ok(filed) => {
                tracing::info!(job = letter.job_id.map(tracing::field::display), %code, ?filed, "dead letter filed");
                if filed != Filed::Dropped {
                    metrics::filed(code);
                }
                envelope.acker.ack();
                return true;
            }
            Err(BatchFailure::Data(error)) if !is_plain => {
                tracing::error!(%error, %code, "a dead letter can't be stored with its headers");
                letter = DeadEnvelope { field: None, headers: serde_json::json!({}), ..letter };
                is_plain = true;
            }
            Err(BatchFailure::Data(error)) => {
                // It stays unacknowledged: the broker hands it out again when this worker is gone.
                tracing::error!(%error, %code, "a dead letter can't be stored at all");
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

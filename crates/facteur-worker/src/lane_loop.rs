//! The loop of one lane. It alone owns the lane's permits: it takes one before it takes an envelope, and a
//! job's life holds it to its end. Prefetch equals permits.

use std::sync::Arc;
use std::time::Duration;

use facteur_amqp::{Consumer, Envelope};
use facteur_core::lane::Lane;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::ports::Ports;
use crate::process::Life;

/// A life ended in a panic: a defect, which ends the process so that somebody looks.
#[derive(Debug, thiserror::Error)]
#[error("a job's life ended in a panic in lane {}", .0.as_str())]
pub struct LifePanicked(Lane);

/// Runs the lane until `stopping` is cancelled, then lets the lives in flight end, at most for `drain_max`.
///
/// # Errors
/// [`LifePanicked`], at once.
pub(crate) async fn run<P: Ports>(
    lane: Lane,
    mut consumer: Consumer,
    life: Arc<Life<P>>,
    permits: usize,
    drain_max: Duration,
    stopping: CancellationToken,
) -> Result<(), LifePanicked> {
    let semaphore = Arc::new(Semaphore::new(permits));
    let mut lives: JoinSet<()> = JoinSet::new();
    loop {
        let permit = tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            permit = Arc::clone(&semaphore).acquire_owned() => permit,
        };
        // The semaphore is never closed.
        let Ok(permit) = permit else { break };
        let envelope = loop {
            tokio::select! {
                biased;
                () = stopping.cancelled() => break None,
                Some(ended) = lives.join_next() => ended.map_err(|_| LifePanicked(lane))?,
                envelope = consumer.next() => break envelope,
            }
        };
        let Some(envelope) = envelope else { break };
        metrics::received(lane);
        lives.spawn(live(Arc::clone(&life), lane, envelope, permit));
    }
    let drained = timeout(drain_max, async {
        while let Some(ended) = lives.join_next().await {
            ended.map_err(|_| LifePanicked(lane))?;
        }
        Ok(())
    });
    match drained.await {
        Ok(result) => result?,
        Err(_) => {
            tracing::warn!(lane = lane.as_str(), left = lives.len(), "jobs were still in flight at the end")
        }
    }
    consumer.stop().await;
    Ok(())
}

async fn live<P: Ports>(life: Arc<Life<P>>, lane: Lane, envelope: Envelope, permit: OwnedSemaphorePermit) {
    match life.live(lane, &envelope.content).await {
        Ok(end) => {
            envelope.acker.ack();
            metrics::ended(lane, end);
        }
        // Not acknowledged: the broker hands it out again when this consumer is gone.
        Err(error) => tracing::debug!(%error, "left an envelope to the next worker"),
    }
    metrics::let_go(lane);
    drop(permit);
}

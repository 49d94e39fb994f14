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
pub(crate) struct LifePanicked(Lane);

/// Runs the lane until `stopping` is cancelled or a life panics. Then nothing more is taken, and the lives in flight
/// may end, at most for `drain_max`; those that are cut off leave their envelopes to the next worker.
///
/// # Errors
/// [`LifePanicked`], after the drain.
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
    let mut result = Ok(());
    while result.is_ok() {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(ended) = lives.join_next() => result = ended.map_err(|_| LifePanicked(lane)),
            taken = take(&semaphore, &mut consumer) => {
                let Some((permit, envelope)) = taken else { break };
                metrics::received(lane);
                lives.spawn(live(Arc::clone(&life), lane, envelope, permit));
            }
        }
    }
    // The subscription ends at once; the channel stays open for the acknowledgements of the lives that still end.
    let (drained, ()) = tokio::join!(drain(lane, lives, drain_max), consumer.stop());
    result.and(drained)
}

/// A permit, and then an envelope. Dropped in between, it has taken nothing.
async fn take(
    semaphore: &Arc<Semaphore>,
    consumer: &mut Consumer,
) -> Option<(OwnedSemaphorePermit, Envelope)> {
    // The semaphore is never closed.
    let permit = Arc::clone(semaphore).acquire_owned().await.ok()?;
    Some((permit, consumer.next().await?))
}

async fn drain(lane: Lane, mut lives: JoinSet<()>, drain_max: Duration) -> Result<(), LifePanicked> {
    let mut result = Ok(());
    let all = async {
        while let Some(ended) = lives.join_next().await {
            if ended.is_err() {
                result = Err(LifePanicked(lane));
            }
        }
    };
    if timeout(drain_max, all).await.is_err() {
        tracing::warn!(
            lane = lane.as_str(),
            left = lives.len(),
            "jobs were still in flight at the end: cut off"
        );
    }
    result
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

//! The loop of one lane. A life begins with a permit and holds it to its end. Envelopes that have none yet stand in
//! a small window, from which tenants take turns; jobs pulled out of a sender's line bring their permit with them.

use std::sync::Arc;
use std::time::Duration;

use facteur_amqp::{Consumer, Envelope};
use facteur_core::envelope::{EnvelopeContent, tenant_of};
use facteur_core::fairness::FairQueue;
use facteur_core::lane::Lane;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::ports::{Ports, Slot};
use crate::process::Life;

/// Most envelopes that wait for a permit: enough for tenants to take turns, however few permits there are.
const WINDOW: u16 = 64;

/// A life ended in a panic: a defect, which ends the process so that somebody looks.
#[derive(Debug, thiserror::Error)]
#[error("a job's life ended in a panic in lane {}", .0.as_str())]
pub(crate) struct LifePanicked(Lane);

/// A job that came out of its sender's line.
pub(crate) struct Pulled {
    /// Its wake-up, as if an envelope had brought it.
    pub(crate) content: EnvelopeContent,
    /// The slot that was reserved for it.
    pub(crate) slot: Slot,
    /// Of the lane.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// How many envelopes the broker leaves unacknowledged with a lane of so many permits.
pub(crate) fn prefetch(permits: u16) -> u16 {
    permits.saturating_add(WINDOW)
}

/// What a lane is fed from.
pub(crate) struct Sources<W> {
    pub(crate) consumer: Consumer,
    pub(crate) pulled: mpsc::Receiver<Pulled>,
    pub(crate) permits: Arc<Semaphore>,
    /// The weight of a tenant among the others.
    pub(crate) weight_of: W,
}

/// Runs the lane until `stopping` is cancelled or a life panics. Then nothing more is taken, and the lives in flight
/// may end, at most for `drain_max`; those that are cut off leave their envelopes to the next worker.
///
/// # Errors
/// [`LifePanicked`], after the drain.
pub(crate) async fn run<P: Ports>(
    lane: Lane,
    mut sources: Sources<impl Fn(&str) -> u32>,
    life: Arc<Life<P>>,
    drain_max: Duration,
    stopping: CancellationToken,
) -> Result<(), LifePanicked> {
    let mut lives: JoinSet<()> = JoinSet::new();
    let mut window = FairQueue::default();
    let mut result = Ok(());
    while result.is_ok() {
        tokio::select! {
            biased;
            () = stopping.cancelled() => break,
            Some(ended) = lives.join_next() => result = ended.map_err(|_| LifePanicked(lane)),
            Some(pulled) = sources.pulled.recv() => {
                metrics::received(lane);
                lives.spawn(live(Arc::clone(&life), lane, Work::Pulled(pulled.content, pulled.slot), pulled.permit));
            }
            permit = Arc::clone(&sources.permits).acquire_owned(), if !window.is_empty() => {
                // The semaphore is never closed, and the window was not empty.
                let (Ok(permit), Some(envelope)) = (permit, window.pop(&sources.weight_of)) else { continue };
                metrics::received(lane);
                lives.spawn(live(Arc::clone(&life), lane, Work::Envelope(envelope), permit));
            }
            envelope = sources.consumer.next(), if window.len() < usize::from(WINDOW) => {
                let Some(envelope) = envelope else { break };
                let tenant = tenant_of(&envelope.content);
                window.push(&tenant, envelope);
            }
        }
    }
    // What waits for a permit is the next worker's.
    window.clear();
    // The subscription ends at once; the channel stays open for the acknowledgements of the lives that still end.
    let (consumer, mut pulled) = (sources.consumer, sources.pulled);
    let all = async {
        // The pump still hands over what it had pulled, if it stops too: those jobs go back to their lines.
        while stopping.is_cancelled()
            && let Some(Pulled { content, slot, permit }) = pulled.recv().await
        {
            metrics::received(lane);
            lives.spawn(live(Arc::clone(&life), lane, Work::Pulled(content, slot), permit));
        }
        drain(lane, &mut lives).await
    };
    let (drained, ()) = tokio::join!(timeout(drain_max, all), consumer.stop());
    let drained = drained.unwrap_or_else(|_| {
        let left = lives.len();
        tracing::warn!(lane = lane.as_str(), left, "jobs were still in flight at the end: cut off");
        Ok(())
    });
    result.and(drained)
}

async fn drain(lane: Lane, lives: &mut JoinSet<()>) -> Result<(), LifePanicked> {
    let mut result = Ok(());
    while let Some(ended) = lives.join_next().await {
        if ended.is_err() {
            result = Err(LifePanicked(lane));
        }
    }
    result
}

/// Where a life begins.
enum Work {
    Envelope(Envelope),
    Pulled(EnvelopeContent, Slot),
}

async fn live<P: Ports>(life: Arc<Life<P>>, lane: Lane, work: Work, permit: OwnedSemaphorePermit) {
    let (ended, acker) = match work {
        Work::Envelope(Envelope { content, acker }) => (life.live(lane, &content, None).await, Some(acker)),
        Work::Pulled(content, slot) => (life.live(lane, &content, Some(slot)).await, None),
    };
    match ended {
        Ok(end) => {
            acker.into_iter().for_each(facteur_amqp::EnvelopeAcker::ack);
            metrics::ended(lane, end);
        }
        // Not acknowledged: the broker hands it out again when this consumer is gone.
        Err(error) => tracing::debug!(%error, "left an envelope to the next worker"),
    }
    metrics::let_go(lane);
    drop(permit);
}

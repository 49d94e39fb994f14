//! Slots of limited senders: reserved from the database in blocks, spent on the worker's own monotonic clock.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::gcra::Rate;
use facteur_core::ledger::Slots;
use facteur_core::limits::{SLOT_BLOCK, SLOT_WAIT_IN_PLACE_MAX};
use facteur_core::sender::Sender;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::ports::Slot;

/// Whoever hands out blocks of slots. It waits as long as the database is away.
pub(crate) trait SlotSource: Send + Sync {
    /// A block for at least `needed` segments that begins within `horizon`, or a place in the line of the displaced.
    fn reserve(
        &self,
        sender: &str,
        rate: Rate,
        needed: u32,
        horizon: Duration,
    ) -> impl Future<Output = Option<Slots>> + Send;

    /// A place in the line of the displaced.
    fn displace(
        &self,
        sender: &str,
        rate: Rate,
        needed: u32,
    ) -> impl Future<Output = Option<Duration>> + Send;
}

/// Most senders whose blocks are remembered; beyond it all are forgotten, which only wastes their rest.
const SENDERS_MAX: usize = 10_000;

/// Paces one lane.
pub(crate) struct Pacer<S> {
    source: S,
    blocks: std::sync::Mutex<HashMap<String, Arc<Mutex<Block>>>>,
}

/// What is left of a reserved block.
struct Block {
    next: Instant,
    period: Duration,
    left: u32,
}

impl Block {
    /// How late a slot may be used: as late as a block is long, which is what the burst allows.
    fn late_max(&self, segments: u32) -> Duration {
        SLOT_BLOCK.max(self.period.saturating_mul(segments))
    }

    /// A message of so many `segments` leaves at `at` and uses up so many of this block's `slots`.
    fn take(&mut self, at: Instant, segments: u32, slots: u32) -> Slot {
        self.next = at + self.period.saturating_mul(slots);
        self.left = self.left.saturating_sub(slots);
        Slot::At { at, late_max: self.late_max(segments) }
    }
}

impl<S: SlotSource> Pacer<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, blocks: std::sync::Mutex::default() }
    }

    /// The next slot of this sender; callers are served in the order in which they ask. `None` when the
    /// worker stops.
    pub(crate) async fn slot(
        &self,
        sender: &Sender,
        rate: Rate,
        segments: u32,
        may_wait: bool,
    ) -> Option<Slot> {
        let segments = segments.max(1);
        let block = self.block(sender);
        let mut block = block.lock().await;
        if Instant::now() > block.next + block.late_max(segments) {
            block.left = 0;
        }
        let horizon = if may_wait { SLOT_WAIT_IN_PLACE_MAX } else { Duration::ZERO };
        if block.left >= segments && block.next > Instant::now() + horizon {
            return self.source.displace(sender.as_str(), rate, segments).await.map(Slot::Displaced);
        }
        if block.left >= segments {
            let at = block.next;
            return Some(block.take(at, segments, segments));
        }
        // What is left is earlier than what comes: used with it, it leaves a little late, never early.
        let missing = segments - block.left;
        match self.source.reserve(sender.as_str(), rate, missing, horizon).await? {
            Slots::Displaced { wait } => Some(Slot::Displaced(wait)),
            Slots::Granted { first_in, period, count } => {
                let at = Instant::now() + first_in;
                *block = Block { next: at, period, left: count };
                Some(block.take(at, segments, missing))
            }
        }
    }

    fn block(&self, sender: &Sender) -> Arc<Mutex<Block>> {
        let mut blocks = self.blocks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if blocks.len() >= SENDERS_MAX && !blocks.contains_key(sender.as_str()) {
            blocks.clear();
        }
        let empty = || Arc::new(Mutex::new(Block { next: Instant::now(), period: Duration::ZERO, left: 0 }));
        Arc::clone(blocks.entry(sender.as_str().to_owned()).or_insert_with(empty))
    }
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;

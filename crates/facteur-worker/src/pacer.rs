//! Slots of limited senders: reserved from the database in blocks, spent on the worker's own monotonic clock. Whoever
//! finds none within the horizon stands in the sender's line, out of which the pump pulls.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::gcra::{Ask, Rate, block_size, late_max};
use facteur_core::lane::Lane;
use facteur_core::limits::{
    SLOT_BLOCK, SLOT_BLOCK_URGENT, SLOT_HORIZON, SLOT_HORIZON_CLAIMED, SLOT_HORIZON_URGENT,
};
use facteur_core::sender::Sender;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::ports::Slot;

/// After a refusal the next messages of a sender go to its line without a question for so long, or a campaign would ask
/// for each.
const REFUSED_FOR: Duration = Duration::from_millis(100);
/// The same for urgent ones.
const REFUSED_FOR_URGENT: Duration = Duration::from_millis(20);
/// Two blocks follow each other without a gap if the second begins so soon after the first.
const SEAM: Duration = Duration::from_millis(1);

/// What a source gave, on the worker's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    /// These places.
    Slots {
        /// When the first segment may leave.
        from: Instant,
        /// Its place; later than `from` if it is debt.
        place: Instant,
        /// How many segments.
        count: u32,
    },
    /// None within the horizon.
    Full,
}

/// Whoever hands out blocks of slots. It waits as long as the database is away; `None` when the worker stops.
pub(crate) trait SlotSource: Send + Sync {
    /// Asks the sender's clock. The source itself sees whether somebody waits in the line.
    fn reserve(&self, sender: &Sender, rate: Rate, ask: Ask) -> impl Future<Output = Option<Given>> + Send;
}

/// Most senders whose blocks are remembered; beyond it all are forgotten, which only wastes their rest.
const SENDERS_MAX: usize = 10_000;

/// Paces one lane.
pub(crate) struct Pacer<S> {
    source: S,
    is_urgent: bool,
    blocks: std::sync::Mutex<HashMap<String, Arc<Mutex<Block>>>>,
}

/// What is left of a reserved block.
struct Block {
    next: Instant,
    period: Duration,
    left: u32,
    refused_until: Instant,
}

impl Block {
    fn take(&mut self, segments: u32, rate: Rate) -> Slot {
        let at = self.next;
        self.next = at + self.period.saturating_mul(segments);
        self.left = self.left.saturating_sub(segments);
        Slot::At { at, late_max: late_max(rate) }
    }
}

impl<S: SlotSource> Pacer<S> {
    pub(crate) fn new(source: S, lane: Lane) -> Self {
        Self { source, is_urgent: lane == Lane::Urgent, blocks: std::sync::Mutex::default() }
    }

    /// The next slot of this sender; callers are served in the order in which they ask. One that is claimed had a slot
    /// before those in the line, and does not go behind them. `None` when the worker stops.
    pub(crate) async fn slot(
        &self,
        sender: &Sender,
        rate: Rate,
        segments: u32,
        is_claimed: bool,
    ) -> Option<Slot> {
        let segments = segments.max(1);
        let block = self.block(sender);
        let mut block = block.lock().await;
        if Instant::now() > block.next + late_max(rate) {
            block.left = 0;
        }
        if block.left >= segments {
            return Some(block.take(segments, rate));
        }
        if Instant::now() < block.refused_until && !is_claimed {
            return Some(Slot::Line);
        }
        match self.source.reserve(sender, rate, self.ask(rate, segments, is_claimed)).await? {
            Given::Full => {
                let refused_for = if self.is_urgent { REFUSED_FOR_URGENT } else { REFUSED_FOR };
                block.refused_until = Instant::now() + refused_for;
                Some(Slot::Line)
            }
            Given::Slots { from, place, .. } if from < place => {
                let late_max = place - from + late_max(rate);
                Some(Slot::At { at: from, late_max })
            }
            Given::Slots { place, count, .. } => {
                let end = block.next + block.period.saturating_mul(block.left);
                let is_seamless = block.left > 0 && place <= end + SEAM;
                let (next, kept) = if is_seamless { (block.next, block.left) } else { (place, 0) };
                (block.next, block.period, block.left) = (next, rate.period(), kept + count);
                Some(block.take(segments, rate))
            }
        }
    }

    fn ask(&self, rate: Rate, needed: u32, is_claimed: bool) -> Ask {
        if is_claimed {
            let horizon = SLOT_HORIZON_CLAIMED;
            return Ask {
                needed,
                block: needed,
                may_owe: self.is_urgent,
                horizon,
                has_line: false,
                skips_line: true,
            };
        }
        let (block, horizon) = match self.is_urgent {
            true => (SLOT_BLOCK_URGENT, SLOT_HORIZON_URGENT),
            false => (SLOT_BLOCK, SLOT_HORIZON),
        };
        let block = block_size(rate, block, needed);
        Ask { needed, block, may_owe: self.is_urgent, horizon, has_line: false, skips_line: false }
    }

    fn block(&self, sender: &Sender) -> Arc<Mutex<Block>> {
        let mut blocks = self.blocks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if blocks.len() >= SENDERS_MAX && !blocks.contains_key(sender.as_str()) {
            blocks.clear();
        }
        let empty = || {
            let now = Instant::now();
            let block = Block { next: now, period: Duration::ZERO, left: 0, refused_until: now };
            Arc::new(Mutex::new(block))
        };
        Arc::clone(blocks.entry(sender.as_str().to_owned()).or_insert_with(empty))
    }
}

#[cfg(test)]
#[path = "pacer_tests.rs"]
mod tests;

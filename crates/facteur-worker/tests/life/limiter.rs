//! The limited sender's clock: slots one after the other, and a second clock for those who step aside.

use std::time::Duration;

use facteur_core::limits::{SLOT_BLOCK, SLOT_WAIT_IN_PLACE_MAX};
use facteur_worker::ports::Slot;
use tokio::time::Instant;

/// The sender that has a rate; every other one has none.
pub(crate) const LIMITED_SENDER: &str = "+15005550001";
/// How long a segment of the limited sender lasts.
pub(crate) const PERIOD: Duration = Duration::from_millis(800);

pub(crate) struct Limiter {
    tat: Instant,
    displaced_until: Instant,
}

impl Limiter {
    pub(crate) fn new() -> Self {
        Self { tat: Instant::now(), displaced_until: Instant::now() }
    }

    pub(crate) fn slot(&mut self, segments: u32, may_wait: bool) -> Slot {
        let (now, cost) = (Instant::now(), PERIOD * segments);
        let first = self.tat.max(now);
        let horizon = if may_wait { SLOT_WAIT_IN_PLACE_MAX } else { Duration::ZERO };
        if first > now + horizon {
            let at = self.displaced_until.max(first);
            self.displaced_until = at + cost;
            return Slot::Displaced(at - now);
        }
        self.tat = first + cost;
        Slot::At { at: first, late_max: SLOT_BLOCK.max(cost) }
    }
}

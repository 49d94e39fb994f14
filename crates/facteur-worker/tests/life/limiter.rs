//! The limited sender's clock, and what is pulled out of its line: the arithmetic of the core on the world's time.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::gcra::{self, Ask, Rate, Reservation, SenderClock, late_max};
use facteur_core::limits::{SLOT_HORIZON, SLOT_LOOKAHEAD};
use facteur_worker::ports::Slot;
use tokio::time::Instant;

/// The sender that has a rate; every other one has none.
pub(crate) const LIMITED_SENDER: &str = "+15005550001";

/// Segments a second of the limited sender.
pub(crate) fn rate() -> Rate {
    Rate::per_second(1.25).unwrap()
}

pub(crate) struct Limiter {
    clock: SenderClock,
}

impl Limiter {
    pub(crate) fn new() -> Self {
        Self { clock: SenderClock::IDLE }
    }

    pub(crate) fn slot(&mut self, segments: u32, has_line: bool, now: Timestamp) -> Slot {
        let ask = Ask {
            needed: segments,
            block: segments,
            may_owe: false,
            horizon: SLOT_HORIZON,
            has_line,
            skips_line: false,
        };
        let (clock, answer) = gcra::reserve(self.clock.clone(), now, rate(), ask);
        self.clock = clock;
        match answer {
            Reservation::Granted { place, .. } => slot(place, now),
            Reservation::Full => Slot::Line,
        }
    }

    /// When the next of the line may be pulled.
    pub(crate) fn next_pull(&self) -> Timestamp {
        self.clock.tat.checked_sub(SLOT_LOOKAHEAD).unwrap_or(Timestamp::MIN)
    }

    pub(crate) fn pull(&mut self, segments: u32, now: Timestamp) -> Option<Slot> {
        let (clock, places) = gcra::pull(self.clock.clone(), now, rate(), &[segments]);
        self.clock = clock;
        places.first().map(|place| slot(*place, now))
    }
}

fn slot(place: Timestamp, now: Timestamp) -> Slot {
    let wait = Duration::try_from(place.duration_since(now)).unwrap_or_default();
    Slot::At { at: Instant::now() + wait, late_max: late_max(rate()) }
}

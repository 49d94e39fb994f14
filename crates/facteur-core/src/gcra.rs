//! Pacing: the generic cell rate algorithm on one clock per sender. `tat` (theoretical arrival time) is the
//! instant at which everything reserved so far has been paid for. The database does this arithmetic in one
//! UPDATE; this is the same as a value, and a test holds the two together.

use std::time::Duration;

use crate::Timestamp;

/// A sender's rate. A cost is in SMS segments; a WhatsApp message or an MMS costs 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    per_second: f64,
}

/// Slowest rate that is taken: one segment in about 28 hours. Slower means "pause it".
const PER_SECOND_MIN: f64 = 1e-5;
/// Fastest rate that is taken: Twilio's account ceiling is 2,000 a second (error 63017).
const PER_SECOND_MAX: f64 = 100_000.0;

impl Rate {
    /// A rate in segments a second.
    ///
    /// # Errors
    /// A sentence, if it is not between 0.00001 and 100,000.
    pub fn per_second(per_second: f64) -> Result<Self, String> {
        if (PER_SECOND_MIN..=PER_SECOND_MAX).contains(&per_second) {
            Ok(Self { per_second })
        } else {
            Err(format!(
                "a rate is between {PER_SECOND_MIN} and {PER_SECOND_MAX} segments a second; to stop, pause"
            ))
        }
    }

    /// Segments a second.
    #[must_use]
    pub fn as_per_second(self) -> f64 {
        self.per_second
    }

    /// How long one segment lasts.
    #[must_use]
    pub fn period(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }
}

/// What a reservation answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// The slots are ours: the first one's instant, and the clock's new `tat`.
    Granted {
        /// When the first segment may leave.
        first_slot: Timestamp,
        /// The clock after it.
        tat: Timestamp,
    },
    /// Nothing was reserved: the next free slot is beyond the horizon.
    Full {
        /// When the next free slot would be.
        next_free: Timestamp,
    },
}

/// Reserves `cost` segments, if the first free slot is within `horizon`. An idle clock stands at `now`: what
/// was not used is not saved up, so in any window of a second at most rate + one block leaves.
#[must_use]
pub fn reserve(tat: Timestamp, now: Timestamp, rate: Rate, cost: u32, horizon: Duration) -> Reservation {
    let first_slot = tat.max(now);
    if first_slot > now.checked_add(horizon).unwrap_or(Timestamp::MAX) {
        return Reservation::Full { next_free: first_slot };
    }
    let tat = first_slot.checked_add(rate.period().saturating_mul(cost)).unwrap_or(Timestamp::MAX);
    Reservation::Granted { first_slot, tat }
}

/// How many segments a worker reserves at once: what the sender carries in one block, at least the message.
#[must_use]
pub fn block_size(rate: Rate, block: Duration, needed: u32) -> u32 {
    let per_block = (rate.as_per_second() * block.as_secs_f64()).floor();
    // The rate's maximum times the block is far below u32::MAX.
    needed.max(1).max(per_block as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn an_idle_clock_grants_at_once_and_a_busy_one_in_turn() {
        let rate = Rate::per_second(10.0).unwrap();
        let horizon = Duration::from_secs(2);
        let first = reserve(at(0), at(1_000), rate, 3, horizon);
        assert_eq!(first, Reservation::Granted { first_slot: at(1_000), tat: at(1_300) });
        assert_eq!(
            reserve(at(1_300), at(1_000), rate, 1, horizon),
            Reservation::Granted { first_slot: at(1_300), tat: at(1_400) }
        );
        assert_eq!(
            reserve(at(3_001), at(1_000), rate, 1, horizon),
            Reservation::Full { next_free: at(3_001) }
        );
    }

    #[test]
    fn rates_that_can_not_be_kept_are_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(Rate::per_second(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// In any second, no more leaves than the rate plus the largest reservation.
        #[test]
        fn no_second_holds_more_than_rate_plus_the_largest_block(
            per_second in 1.0..500.0f64,
            steps in proptest::collection::vec((0i64..300, 1u32..12), 1..200),
        ) {
            let rate = Rate::per_second(per_second).unwrap();
            let (mut now, mut tat) = (0, at(0));
            let mut sent: Vec<(Timestamp, u32)> = Vec::new();
            for (pause, cost) in steps {
                now += pause;
                if let Reservation::Granted { first_slot, tat: next } =
                    reserve(tat, at(now), rate, cost, Duration::from_secs(2))
                {
                    tat = next;
                    sent.push((first_slot, cost));
                }
            }
            for (start, _) in &sent {
                let end = start.checked_add(Duration::from_secs(1)).unwrap();
                let in_window: u32 = sent.iter().filter(|(at, _)| at >= start && *at < end).map(|(_, n)| n).sum();
                prop_assert!(f64::from(in_window) <= per_second + 12.0 + 1e-6);
            }
        }
    }
}

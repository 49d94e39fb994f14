//! The delay ladder: ten queues with the TTLs 2^0 … 2^9 units, chained by topic exchanges. A routing key
//! spells the delay in bits, the highest first; an envelope rests on each level whose bit is 1.
//! (The scheme of NServiceBus and of Celery 5.5.)

use std::time::Duration;

use crate::lane::Lane;
use crate::limits::{LADDER_DELAY_UNITS_MAX, LADDER_LEVELS};

/// How a delay is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// In the ladder, for so many units.
    Ladder {
        /// Units, at most 1,023.
        units: u32,
    },
    /// In the waiting room: too long for the ladder.
    WaitingRoom,
}

/// Chooses the route of a delay. The ladder never returns early: parts of a unit are rounded up.
#[must_use]
pub fn route(delay: Duration, unit: Duration) -> Route {
    let units = delay.as_nanos().div_ceil(unit.as_nanos().max(1));
    match u32::try_from(units) {
        Ok(units) if units <= LADDER_DELAY_UNITS_MAX => Route::Ladder { units },
        _ => Route::WaitingRoom,
    }
}

/// The routing key of a delay: ten bits, then the key with which the envelope comes back to work, such as
/// `0.0.0.0.0.0.0.1.0.1.send.normal` for 5 units. More than 1,023 units are cut to 1,023.
#[must_use]
pub fn routing_key(units: u32, lane: Lane) -> String {
    let units = units.min(LADDER_DELAY_UNITS_MAX);
    let mut key = String::with_capacity(2 * LADDER_LEVELS as usize + 12);
    for level in (0..LADDER_LEVELS).rev() {
        key.push_str(if units & (1 << level) == 0 { "0." } else { "1." });
    }
    key.push_str(lane.routing_key());
    key
}

/// The binding key by which a level's exchange finds envelopes that rest there (`bit` 1) or pass by (0).
#[must_use]
pub fn binding_key(level: u32, bit: u8) -> String {
    let mut key = "*.".repeat((LADDER_LEVELS - 1 - level) as usize);
    key.push(if bit == 0 { '0' } else { '1' });
    key.push_str(".#");
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spell_delays_in_bits() {
        assert_eq!(routing_key(0, Lane::Urgent), "0.0.0.0.0.0.0.0.0.0.send.urgent");
        assert_eq!(routing_key(5, Lane::Normal), "0.0.0.0.0.0.0.1.0.1.send.normal");
        assert_eq!(routing_key(1_023, Lane::Bulk), "1.1.1.1.1.1.1.1.1.1.send.bulk");
        assert_eq!(binding_key(9, 1), "1.#");
        assert_eq!(binding_key(0, 0), "*.*.*.*.*.*.*.*.*.0.#");
    }

    #[test]
    fn each_delay_rests_exactly_as_long_as_it_says() {
        for units in 0..=LADDER_DELAY_UNITS_MAX {
            let key = routing_key(units, Lane::Normal);
            let rested: u32 = (0..LADDER_LEVELS)
                .filter(|&level| matches(&key, &binding_key(level, 1)))
                .map(|n| 1 << n)
                .sum();
            assert_eq!(rested, units);
            for level in 0..LADDER_LEVELS {
                assert_ne!(matches(&key, &binding_key(level, 1)), matches(&key, &binding_key(level, 0)));
            }
        }
    }

    /// AMQP's topic match for the two patterns used: `*` is one word, a final `#` any number.
    fn matches(key: &str, pattern: &str) -> bool {
        let words: Vec<_> = key.split('.').collect();
        let pattern: Vec<_> = pattern.trim_end_matches(".#").split('.').collect();
        words.len() >= pattern.len() && pattern.iter().zip(&words).all(|(p, w)| *p == "*" || p == w)
    }

    #[test]
    fn long_delays_go_to_the_waiting_room_and_short_ones_are_never_early() {
        let unit = Duration::from_secs(1);
        assert_eq!(route(Duration::ZERO, unit), Route::Ladder { units: 0 });
        assert_eq!(route(Duration::from_millis(1), unit), Route::Ladder { units: 1 });
        assert_eq!(route(Duration::from_secs(1_023), unit), Route::Ladder { units: 1_023 });
        assert_eq!(route(Duration::from_millis(1_023_001), unit), Route::WaitingRoom);
    }
}

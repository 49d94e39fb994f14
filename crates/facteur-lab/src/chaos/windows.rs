//! A sender's rate as Twilio sees it: what arrived in any one-second window, against what may.

use serde::Serialize;

use crate::clock::{Micros, SECOND};

/// A new rate holds everywhere after so long: a second to learn of it, and what was reserved at the old one.
const CHANGE_MAX: Micros = 3 * SECOND / 2;
/// Calls that were held up on their way arrive together; so much later all is even again.
const AFTERMATH: Micros = SECOND;
/// Slots are reserved in blocks of so many milliseconds of the rate, and a slot may be used late by as much.
const BLOCK_S: f64 = 0.05;
/// What the ways of two calls may differ by, from slot to arrival, on a machine that does everything at once.
pub(super) const JITTER_S: f64 = 0.15;

/// The worst window of a sender.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Worst {
    /// Segments that arrived in it.
    pub(super) segments: u32,
    /// Segments that may.
    pub(super) allowed: u32,
    /// The rate that was in force, the highest if it changed.
    pub(super) rate: f64,
    /// The end of the window.
    pub(super) at_us: Micros,
}

/// The window that exceeds what is allowed by most, or comes closest to it. `arrivals` and `rates` are in the order
/// of time; windows that overlap with what was `held_up` are not judged.
#[must_use]
pub(super) fn worst(
    arrivals: &[(Micros, u32)],
    rates: &[(Micros, f64)],
    held_up: &[(Micros, Micros)],
    segments_max: u32,
) -> Option<Worst> {
    let (mut first, mut segments) = (0, 0);
    let mut worst: Option<Worst> = None;
    for (at, cost) in arrivals {
        segments += cost;
        while let Some((_, old)) = arrivals.get(first).filter(|(old_at, _)| at - old_at >= SECOND) {
            segments -= old;
            first += 1;
        }
        let is_held_up = held_up.iter().any(|(from, to)| *from <= *at && at - SECOND <= to + AFTERMATH);
        let Some(rate) = highest(rates, at - SECOND - CHANGE_MAX, *at).filter(|_| !is_held_up) else {
            continue;
        };
        let window = Worst { segments, allowed: allowed(rate, segments_max), rate, at_us: *at };
        let excess = |window: &Worst| i64::from(window.segments) - i64::from(window.allowed);
        if worst.as_ref().is_none_or(|worst| excess(&window) > excess(worst)) {
            worst = Some(window);
        }
    }
    worst
}

/// Rate and burst, the burst being at least the largest message, and what the ways differ by.
fn allowed(rate: f64, segments_max: u32) -> u32 {
    let burst = (rate * BLOCK_S).max(f64::from(segments_max));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is between 0 and 100,000"
    )]
    let whole = (rate + burst + rate * JITTER_S).ceil() as u32;
    whole
}

/// The highest rate that was in force between two instants.
fn highest(rates: &[(Micros, f64)], from: Micros, to: Micros) -> Option<f64> {
    let before = rates.iter().rev().find(|(at, _)| *at <= from).or(rates.first());
    let within = rates.iter().filter(|(at, _)| *at > from && *at <= to);
    before.into_iter().chain(within).map(|(_, rate)| *rate).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many messages of one segment a second, evenly.
    fn even(from: Micros, seconds: i64, per_second: i64) -> Vec<(Micros, u32)> {
        (0..seconds * per_second).map(|n| (from + n * SECOND / per_second, 1)).collect()
    }

    fn excess(arrivals: &[(Micros, u32)], rates: &[(Micros, f64)], held_up: &[(Micros, Micros)]) -> i64 {
        let worst = worst(arrivals, rates, held_up, 2).unwrap();
        i64::from(worst.segments) - i64::from(worst.allowed)
    }

    #[test]
    fn an_even_stream_at_the_rate_is_allowed_and_one_at_twice_the_rate_is_not() {
        assert!(excess(&even(0, 10, 30), &[(0, 30.0)], &[]) <= 0);
        assert!(excess(&even(0, 10, 60), &[(0, 30.0)], &[]) > 0);
    }

    #[test]
    fn two_workers_with_a_block_too_many_each_are_told() {
        let mut arrivals = even(0, 10, 40);
        // In the fifth second, a quarter of the rate more.
        arrivals.extend((0..10).map(|n| (5 * SECOND + n, 1)));
        arrivals.sort_unstable();
        assert!(excess(&arrivals, &[(0, 40.0)], &[]) > 0);
    }

    #[test]
    fn a_lower_rate_holds_after_a_second_and_a_half() {
        let rates = [(0, 60.0), (10 * SECOND, 20.0)];
        assert!(excess(&even(0, 11, 60), &rates, &[]) <= 0);
        assert!(excess(&even(0, 13, 60), &rates, &[]) > 0);
    }

    #[test]
    fn a_higher_rate_may_be_used_at_once() {
        let mut arrivals = even(0, 10, 20);
        arrivals.extend(even(10 * SECOND, 5, 60));
        assert!(excess(&arrivals, &[(0, 20.0), (10 * SECOND, 60.0)], &[]) <= 0);
    }

    #[test]
    fn what_was_held_up_arrives_together_and_is_not_judged() {
        let mut arrivals = even(0, 10, 20);
        arrivals.extend((0..40).map(|_| (5 * SECOND, 1)));
        arrivals.sort_unstable();
        assert!(excess(&arrivals, &[(0, 20.0)], &[]) > 0);
        assert!(excess(&arrivals, &[(0, 20.0)], &[(3 * SECOND, 5 * SECOND)]) <= 0);
        assert_eq!(worst(&arrivals, &[(0, 20.0)], &[(0, 20 * SECOND)], 2), None);
    }
}

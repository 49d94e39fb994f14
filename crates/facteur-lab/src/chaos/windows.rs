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
const JITTER_S: f64 = 0.15;

/// What is known of the ways of calls to Twilio, apart from the sender's own doing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways<'a> {
    /// When an operation held calls up: windows that overlap with it are not judged.
    pub(super) held_up: &'a [(Micros, Micros)],
    /// When the machine stood still: what was on its way then may arrive in the second after it.
    pub(super) stalls: &'a [(Micros, Micros)],
}

/// The windows of a sender. There is one that ends with each arrival.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Windows {
    /// How many there are.
    pub(super) count: usize,
    /// How many of them were judged.
    pub(super) judged: usize,
    /// The worst of these: it exceeds what is allowed by most, or comes closest to it.
    pub(super) worst: Option<Worst>,
}

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

/// Judges each window. `arrivals` and `rates` are in the order of time.
#[must_use]
pub(super) fn judge(
    arrivals: &[(Micros, u32)],
    rates: &[(Micros, f64)],
    ways: Ways<'_>,
    segments_max: u32,
) -> Windows {
    let (mut first, mut segments, mut judged) = (0, 0, 0);
    let mut worst: Option<Worst> = None;
    for (at, cost) in arrivals {
        segments += cost;
        while let Some((_, old)) = arrivals.get(first).filter(|(old_at, _)| at - old_at >= SECOND) {
            segments -= old;
            first += 1;
        }
        let begin = at - SECOND;
        let is_held_up = ways.held_up.iter().any(|(from, to)| from <= at && begin <= to + AFTERMATH);
        let Some(rate) = highest(rates, begin - CHANGE_MAX, *at).filter(|_| !is_held_up) else {
            continue;
        };
        judged += 1;
        // What left before the window and arrives in it was held up by what lay at its beginning.
        let stalled_s = seconds(overlap(ways.stalls, begin - AFTERMATH, begin));
        let window = Worst { segments, allowed: allowed(rate, stalled_s, segments_max), rate, at_us: *at };
        let excess = |window: &Worst| i64::from(window.segments) - i64::from(window.allowed);
        if worst.as_ref().is_none_or(|worst| excess(&window) > excess(worst)) {
            worst = Some(window);
        }
    }
    Windows { count: arrivals.len(), judged, worst }
}

/// How much of the time between two instants these spans cover; they don't overlap each other.
#[must_use]
pub(super) fn overlap(spans: &[(Micros, Micros)], from: Micros, to: Micros) -> Micros {
    spans.iter().map(|(begin, end)| (to.min(*end) - from.max(*begin)).max(0)).sum()
}

/// A span in seconds.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "spans of seconds in microseconds are far below 2^52")]
pub(super) fn seconds(span: Micros) -> f64 {
    span as f64 / SECOND as f64
}

/// Rate and burst, the burst being at least the largest message, and what the ways differ by.
fn allowed(rate: f64, stalled_s: f64, segments_max: u32) -> u32 {
    let burst = (rate * BLOCK_S).max(f64::from(segments_max));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is between 0 and 100,000"
    )]
    let whole = (rate + burst + rate * (JITTER_S + stalled_s)).ceil() as u32;
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

    const EVEN_WAYS: Ways<'_> = Ways { held_up: &[], stalls: &[] };

    fn excess(arrivals: &[(Micros, u32)], rates: &[(Micros, f64)], ways: Ways<'_>) -> i64 {
        let worst = judge(arrivals, rates, ways, 2).worst.unwrap();
        i64::from(worst.segments) - i64::from(worst.allowed)
    }

    /// What left in a span arrives at its end.
    fn stalled(arrivals: &[(Micros, u32)], (from, to): (Micros, Micros)) -> Vec<(Micros, u32)> {
        let late = |at: Micros| if (from..to).contains(&at) { to } else { at };
        arrivals.iter().map(|(at, cost)| (late(*at), *cost)).collect()
    }

    #[test]
    fn an_even_stream_at_the_rate_is_allowed_and_one_at_twice_the_rate_is_not() {
        assert!(excess(&even(0, 10, 30), &[(0, 30.0)], EVEN_WAYS) <= 0);
        assert!(excess(&even(0, 10, 60), &[(0, 30.0)], EVEN_WAYS) > 0);
    }

    #[test]
    fn two_workers_with_a_block_too_many_each_are_told() {
        let mut arrivals = even(0, 10, 40);
        // In the fifth second, a quarter of the rate more.
        arrivals.extend((0..10).map(|n| (5 * SECOND + n, 1)));
        arrivals.sort_unstable();
        assert!(excess(&arrivals, &[(0, 40.0)], EVEN_WAYS) > 0);
    }

    #[test]
    fn a_lower_rate_holds_after_a_second_and_a_half() {
        let rates = [(0, 60.0), (10 * SECOND, 20.0)];
        assert!(excess(&even(0, 11, 60), &rates, EVEN_WAYS) <= 0);
        assert!(excess(&even(0, 13, 60), &rates, EVEN_WAYS) > 0);
    }

    #[test]
    fn a_higher_rate_may_be_used_at_once() {
        let mut arrivals = even(0, 10, 20);
        arrivals.extend(even(10 * SECOND, 5, 60));
        assert!(excess(&arrivals, &[(0, 20.0), (10 * SECOND, 60.0)], EVEN_WAYS) <= 0);
    }

    #[test]
    fn what_was_held_up_arrives_together_and_is_not_judged() {
        let mut arrivals = even(0, 10, 20);
        arrivals.extend((0..40).map(|_| (5 * SECOND, 1)));
        arrivals.sort_unstable();
        assert!(excess(&arrivals, &[(0, 20.0)], EVEN_WAYS) > 0);
        let ways = Ways { held_up: &[(3 * SECOND, 5 * SECOND)], ..EVEN_WAYS };
        assert!(excess(&arrivals, &[(0, 20.0)], ways) <= 0);
        let ways = Ways { held_up: &[(0, 20 * SECOND)], ..EVEN_WAYS };
        let nothing = Windows { count: arrivals.len(), judged: 0, worst: None };
        assert_eq!(judge(&arrivals, &[(0, 20.0)], ways, 2), nothing);
    }

    #[test]
    fn windows_that_are_judged_are_counted() {
        let arrivals = even(0, 10, 20);
        // From the third second to the end of a window that begins one second after the fourth.
        let ways = Ways { held_up: &[(3 * SECOND, 4 * SECOND)], ..EVEN_WAYS };
        let Windows { count, judged, .. } = judge(&arrivals, &[(0, 20.0)], ways, 2);
        assert_eq!((count, judged), (200, 200 - 61));
    }

    #[test]
    fn what_was_on_its_way_while_the_machine_stood_still_may_arrive_together() {
        let stall = (5 * SECOND, 5 * SECOND + 400_000);
        let arrivals = stalled(&even(0, 10, 40), stall);
        assert!(excess(&arrivals, &[(0, 40.0)], EVEN_WAYS) > 0);
        assert!(excess(&arrivals, &[(0, 40.0)], Ways { stalls: &[stall], ..EVEN_WAYS }) <= 0);
    }

    #[test]
    fn a_stall_excuses_no_more_than_was_on_its_way_and_only_in_the_second_after_it() {
        let stall = (5 * SECOND, 5 * SECOND + 400_000);
        let ways = Ways { stalls: &[stall], ..EVEN_WAYS };
        let twice = stalled(&even(0, 10, 80), stall);
        assert!(excess(&twice, &[(0, 40.0)], ways) > 0);
        let mut later = even(0, 10, 40);
        later.extend((0..20).map(|_| (8 * SECOND, 1)));
        later.sort_unstable();
        assert!(excess(&later, &[(0, 40.0)], ways) > 0);
    }
}

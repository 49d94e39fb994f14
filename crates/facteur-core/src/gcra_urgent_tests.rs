//! A sender with a campaign in its line, three workers that pull it, and urgent messages that come in between, on
//! virtual time: how long the urgent ones wait, what a second holds, and how much of the rate is used.

use proptest::prelude::*;

use super::*;
use crate::limits::{SLOT_HORIZON_URGENT, SLOT_PULL_INTERVAL_MIN, SLOT_REFILL_AT};

const WORKERS: usize = 3;
/// Most that a pull is behind its time, and its answer behind it.
const PULL_LATENCY_MAX_US: i64 = 10_000;
const DURATION_US: i64 = 20_000_000;

/// What one run told.
struct Flow {
    /// How long each urgent message waited, in microseconds.
    urgent_waits: Vec<i64>,
    /// When each message left, in microseconds.
    left: Vec<i64>,
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap()
}

/// Runs it; `draw` gives numbers from 0 up to 1. `urgent` is when the urgent ones come, in order.
fn run(rate: Rate, urgent: &[i64], mut draw: impl FnMut() -> f64) -> Flow {
    let mut clock = SenderClock::IDLE;
    let mut flow = Flow { urgent_waits: Vec::new(), left: Vec::new() };
    let mut pulls_at = [0; WORKERS];
    let mut urgent = urgent.iter().copied().peekable();
    loop {
        let worker = (0..WORKERS).min_by_key(|worker| pulls_at[*worker]).unwrap();
        let now = pulls_at[worker];
        if now >= DURATION_US && urgent.peek().is_none() {
            return flow;
        }
        if let Some(comes_at) = urgent.next_if(|comes_at| *comes_at <= now) {
            let ask = Ask {
                needed: 1,
                block: 1,
                may_owe: true,
                horizon: SLOT_HORIZON_URGENT,
                has_line: false,
                skips_line: false,
            };
            let (next, answer) = reserve(clock, at(comes_at), rate, ask);
            clock = next;
            let Reservation::Granted { from, .. } = answer else { panic!("{comes_at}: {answer:?}") };
            flow.urgent_waits.push(from.as_microsecond() - comes_at);
            flow.left.push(from.as_microsecond());
            continue;
        }
        let (next, places) = pull(clock, at(now), rate, &[1; 64]);
        clock = next;
        let lateness_max = micros(late_max(rate)) as f64;
        flow.left.extend(places.iter().map(|place| place.as_microsecond() + (draw() * lateness_max) as i64));
        let refill = clock.tat.as_microsecond() - micros(SLOT_REFILL_AT) - now;
        let latency = (draw() * PULL_LATENCY_MAX_US as f64) as i64;
        pulls_at[worker] = now + refill.max(micros(SLOT_PULL_INTERVAL_MIN)) + latency;
    }
}

/// Urgent messages that come `together` at a time and use a fifth of the rate, each up to half a segment early or late.
fn a_fifth(rate: Rate, together: usize, mut draw: impl FnMut() -> f64) -> Vec<i64> {
    let period = rate.period().as_secs_f64() * 1e6;
    let every = 5.0 * period * together as f64;
    let first = 300_000.0;
    let count = ((DURATION_US as f64 - first) / every) as usize;
    let mut times: Vec<i64> = (0..count * together)
        .map(|number| (first + (number / together) as f64 * every + (draw() - 0.5) * period) as i64)
        .collect();
    times.sort_unstable();
    times
}

/// Numbers from 0 up to 1 that a seed determines.
fn dice(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    }
}

fn most_in_a_second(left: &mut [i64]) -> usize {
    left.sort_unstable();
    let mut start = 0;
    let mut most = 0;
    for (end, time) in left.iter().enumerate() {
        while left[start] <= time - 1_000_000 {
            start += 1;
        }
        most = most.max(end + 1 - start);
    }
    most
}

fn check(rate: Rate, urgent: &[i64], draw: impl FnMut() -> f64) {
    let mut flow = run(rate, urgent, draw);
    let longest = flow.urgent_waits.iter().copied().max().unwrap_or_default();
    assert!(
        longest as f64 <= 2.0 * rate.period().as_secs_f64() * 1e6,
        "an urgent message waited {longest} µs"
    );
    assert_eq!(flow.urgent_waits.len(), urgent.len());
    let most = most_in_a_second(&mut flow.left);
    let allowed = rate.as_per_second().ceil() + burst(rate, 1) + 1.0;
    assert!(most as f64 <= allowed, "{most} in one second, of {allowed}");
    let whole = rate.as_per_second() * DURATION_US as f64 / 1e6;
    let used = flow.left.iter().filter(|time| **time < DURATION_US).count() as f64;
    assert!(used >= 0.98 * whole - 1.0, "{used} of {whole} left");
}

#[test]
fn twenty_urgent_messages_a_second_of_a_hundred_leave_within_two_slots_one_by_one_and_in_pairs() {
    let rate = Rate::per_second(100.0).unwrap();
    for together in [1, 2] {
        check(rate, &a_fifth(rate, together, dice(1)), dice(2));
    }
}

#[test]
fn a_third_urgent_message_at_once_leaves_when_the_first_is_repaid_and_not_after_its_own_place() {
    let rate = Rate::per_second(100.0).unwrap();
    let flow = run(rate, &[1_000_000; 4], dice(3));
    let furthest = micros(SLOT_LOOKAHEAD + rate.period());
    assert_eq!(flow.urgent_waits[..2], [0, 0]);
    assert!(flow.urgent_waits[2..].iter().all(|wait| *wait <= furthest + 10_000), "{:?}", flow.urgent_waits);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn urgent_messages_that_use_a_fifth_of_a_rate_leave_within_two_slots(
        per_second in 1u32..=1_000,
        together in 1usize..=2,
        seed in any::<u64>(),
    ) {
        // Several pairs stand within a faster sender's lookahead, and may owe more than its debt holds.
        let together = if per_second <= 100 { together } else { 1 };
        let rate = Rate::per_second(f64::from(per_second)).unwrap();
        check(rate, &a_fifth(rate, together, dice(seed)), dice(!seed));
    }
}

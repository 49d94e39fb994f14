use super::*;
use crate::limits::{SLOT_BLOCK, SLOT_HORIZON, SLOT_HORIZON_URGENT};
use proptest::prelude::*;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

fn clock(tat_ms: i64) -> SenderClock {
    SenderClock { tat: at(tat_ms * 1_000), ..SenderClock::IDLE }
}

fn ask(needed: u32) -> Ask {
    Ask { needed, block: needed, may_owe: false, horizon: SLOT_HORIZON, has_line: false, skips_line: false }
}

fn granted(from_ms: i64, place_ms: i64, count: u32) -> Reservation {
    Reservation::Granted { from: at(from_ms * 1_000), place: at(place_ms * 1_000), count }
}

#[test]
fn an_idle_clock_grants_at_once_a_busy_one_in_turn_and_a_full_one_nothing() {
    let rate = Rate::per_second(10.0).unwrap();
    let now = at(1_000_000);
    assert_eq!(reserve(clock(0), now, rate, ask(3)), (clock(1_300), granted(1_000, 1_000, 3)));
    assert_eq!(reserve(clock(1_100), now, rate, ask(1)), (clock(1_200), granted(1_100, 1_100, 1)));
    assert_eq!(reserve(clock(1_101), now, rate, ask(1)), (clock(1_101), Reservation::Full));
}

#[test]
fn whoever_comes_while_others_wait_goes_behind_them_unless_the_clock_stands_idle() {
    let rate = Rate::per_second(100.0).unwrap();
    let behind = Ask { has_line: true, block: 5, ..ask(1) };
    assert_eq!(reserve(clock(1_001), at(1_000_000), rate, behind).1, Reservation::Full);
    assert_eq!(reserve(clock(1_000), at(1_000_000), rate, behind).1, granted(1_000, 1_000, 1));
    let skipping = Ask { skips_line: true, ..behind };
    assert_eq!(reserve(clock(1_001), at(1_000_000), rate, skipping).1, granted(1_001, 1_001, 5));
    let alone = Ask { has_line: false, ..behind };
    assert_eq!(reserve(clock(1_001), at(1_000_000), rate, alone).1, granted(1_001, 1_001, 5));
}

#[test]
fn an_urgent_message_leaves_at_once_until_the_debt_is_full_and_each_place_that_comes_repays_its_own() {
    let rate = Rate::per_second(100.0).unwrap();
    let urgent = Ask { may_owe: true, horizon: SLOT_HORIZON_URGENT, ..ask(1) };
    let (one, slot) = reserve(clock(200), at(0), rate, urgent);
    assert_eq!(slot, granted(0, 200, 1));
    let (two, slot) = reserve(one, at(0), rate, urgent);
    assert_eq!(slot, granted(0, 210, 1));
    assert_eq!(two.tat, at(220_000), "the others begin two segments later");
    let (_, slot) = reserve(two.clone(), at(199_000), rate, urgent);
    assert_eq!(slot, granted(200, 220, 1), "two are owed: it leaves when the first of them is repaid");
    let (_, slot) = reserve(SenderClock { tat: at(300_000), ..two.clone() }, at(200_000), rate, urgent);
    assert_eq!(slot, granted(200, 300, 1), "one is repaid, though the other one is not");
    let impatient = Ask { horizon: Duration::ZERO, ..urgent };
    assert_eq!(reserve(two.clone(), at(199_000), rate, impatient).1, Reservation::Full);
    let behind = Ask { has_line: true, ..urgent };
    assert_eq!(
        reserve(two.clone(), at(199_000), rate, behind).1,
        Reservation::Full,
        "those in line were before it"
    );
    assert_eq!(reserve(two, at(200_000), rate, behind).1, granted(200, 220, 1), "nobody can leave sooner");
}

#[test]
fn behind_a_full_debt_stand_as_many_again_and_whoever_comes_after_them_waits_for_its_own_place() {
    let rate = Rate::per_second(100.0).unwrap();
    let urgent = Ask { may_owe: true, horizon: SLOT_HORIZON_URGENT, ..ask(1) };
    let mut clock = clock(100);
    for expected in [(0, 100), (0, 110), (100, 120), (110, 130), (140, 140)] {
        let (next, slot) = reserve(clock, at(0), rate, urgent);
        assert_eq!(slot, granted(expected.0, expected.1, 1));
        clock = next;
    }
    assert_eq!(clock.debts.len(), 4);
}

#[test]
fn a_debt_that_a_clock_left_behind_when_it_jumped_counts_no_more() {
    let rate = Rate::per_second(100.0).unwrap();
    let urgent = Ask { may_owe: true, horizon: SLOT_HORIZON_URGENT, ..ask(1) };
    let jumped = SenderClock { tat: at(50_000), debts: vec![at(3_600_000_000); 2] };
    let (next, slot) = reserve(jumped, at(0), rate, urgent);
    assert_eq!((slot, next.debts), (granted(0, 50, 1), vec![at(50_000)]));
}

#[test]
fn the_burst_is_defined_once() {
    let rate = |per_second| Rate::per_second(per_second).unwrap();
    for (per_second, largest, expected) in [
        (100.0, 1, 5.0),
        (1.0, 1, 2.25),
        (100.0, 3, 8.0),
        (1_000.0, 1, 50.0),
        (0.01, 5, 9.25),
        (10_000.0, 1, 364.0),
    ] {
        let found = burst(rate(per_second), largest);
        assert!((found - expected).abs() < 1e-9, "{per_second}/s, {largest}: {found}");
        assert!(found >= f64::from(largest));
    }
}

#[test]
fn a_line_gives_places_as_far_as_the_lookahead() {
    let rate = Rate::per_second(20.0).unwrap();
    let (next, places) = pull(clock(0), at(1_000_000), rate, &[1, 3, 1]);
    assert_eq!(places, [at(1_000_000), at(1_050_000)], "the third would begin 200 ms from now");
    assert_eq!(next.tat, at(1_200_000));
    assert_eq!(pull(next, at(1_000_000), rate, &[1]).1, []);
}

#[test]
fn blocks_hold_whole_messages() {
    let rate = Rate::per_second(100.0).unwrap();
    for (needed, expected) in [(0, 5), (1, 5), (2, 4), (3, 3), (9, 9)] {
        assert_eq!(block_size(rate, SLOT_BLOCK, needed), expected, "{needed}");
    }
}

#[test]
fn rates_that_can_not_be_kept_are_refused() {
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
        assert!(Rate::per_second(bad).is_err(), "{bad}");
    }
}

/// What one of several workers does next.
#[derive(Debug, Clone, Copy)]
enum Step {
    Urgent,
    Fresh { block: u32, has_line: bool },
    Pull { rows: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Urgent),
        2 => (1u32..4, any::<bool>()).prop_map(|(block, has_line)| Step::Fresh { block, has_line }),
        3 => (1usize..40).prop_map(|rows| Step::Pull { rows }),
    ]
}

/// When each message leaves: at any time from its instant on that is not too late.
fn departure(from: Timestamp, place: Timestamp, rate: Rate, lateness: f64) -> i64 {
    let window_us =
        (place.as_microsecond() - from.as_microsecond()) as f64 + late_max(rate).as_secs_f64() * 1e6;
    from.as_microsecond() + (window_us * lateness) as i64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Any interleaving of urgent messages, fresh ones and pulls, of any number of workers: all share the clock.
    #[test]
    fn no_second_holds_more_than_rate_and_burst(
        per_second in 1u32..400,
        largest in 1u32..8,
        steps in prop::collection::vec((0i64..60_000, step(), 0u32..8, 0.0..1.0f64), 1..250),
    ) {
        let rate = Rate::per_second(f64::from(per_second)).unwrap();
        let (mut now_us, mut clock) = (0i64, SenderClock::IDLE);
        let mut left: Vec<(i64, u32)> = Vec::new();
        for (pause_us, step, size, lateness) in steps {
            now_us += pause_us;
            let needed = size.min(largest - 1) + 1;
            let lateness = if lateness < 0.3 { 0.0 } else { lateness };
            match step {
                Step::Pull { rows } => {
                    let sizes = vec![needed; rows];
                    let (next, places) = pull(clock, at(now_us), rate, &sizes);
                    clock = next;
                    left.extend(places.iter().map(|place| (departure(*place, *place, rate, lateness), needed)));
                }
                Step::Urgent | Step::Fresh { .. } => {
                    let ask = match step {
                        Step::Fresh { block, has_line } => Ask { block: needed * block, has_line, ..ask(needed) },
                        _ => Ask { may_owe: true, horizon: SLOT_HORIZON_URGENT, ..ask(needed) },
                    };
                    let (next, answer) = reserve(clock, at(now_us), rate, ask);
                    clock = next;
                    if let Reservation::Granted { from, place, count } = answer {
                        for message in 0..count / needed {
                            let after = rate.period() * (message * needed);
                            left.push((departure(later(from, after), later(place, after), rate, lateness), needed));
                        }
                    }
                }
            }
            prop_assert!(clock.tat <= later(at(now_us), ahead_max(rate) + SLOT_HORIZON_URGENT));
        }
        left.sort_unstable();
        let largest = left.iter().map(|(_, count)| *count).max().unwrap_or(1);
        let allowed = f64::from(per_second) + burst(rate, largest);
        for (index, (start, _)) in left.iter().enumerate() {
            let window = left[index..].iter().take_while(|(at, _)| *at < start + 1_000_000);
            let segments: u32 = window.map(|(_, count)| *count).sum();
            // Instants are whole microseconds: a place may round across the window's edge.
            prop_assert!(f64::from(segments) <= allowed + 1.0, "{segments} of {allowed}");
        }
    }
}

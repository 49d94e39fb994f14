use proptest::prelude::*;

use super::*;

#[test]
fn every_round_of_every_line_has_a_job_of_its_own_that_is_always_the_same() {
    let (bulk, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let ids = [job_id(bulk, 1, 0), job_id(bulk, 1, 1), job_id(bulk, 11, 0), job_id(other, 1, 0)];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert_eq!(job_id(bulk, 1, 0).to_string(), "78ac3c14-696d-5c29-93bc-740f403ef302");
}

#[test]
fn only_what_cannot_have_arrived_and_can_succeed_is_tried_anew() {
    use ReasonCode::{NotDelivered, Refused, RetriesExhausted, Uncertain};
    let may = |status, reason, trace: &Trace| {
        may_be_tried_anew(&Ended { status, reason, trace: trace.clone(), round: 0 })
    };
    let tried = |reason, trace: Trace| -> Vec<Status> {
        Status::ALL.into_iter().filter(|status| may(*status, Some(reason), &trace)).collect()
    };
    assert_eq!(tried(Refused, Trace::NothingTaken), [Status::Expired, Status::Dead]);
    assert_eq!(
        tried(NotDelivered, Trace::NotDelivered(vec![30_001])),
        [Status::Undelivered, Status::Failed],
        "an expiry or a dead letter whose message Twilio took is not what was tried last"
    );
    assert_eq!(
        tried(NotDelivered, Trace::NotDelivered(vec![30_001, 30_005])),
        [],
        "one of two can't succeed"
    );
    assert_eq!(tried(NotDelivered, Trace::NotDelivered(vec![])), [], "without a code nobody knows why");
    for reason in ReasonCode::ALL {
        assert_eq!(tried(*reason, Trace::Perhaps), [], "{reason}");
    }
    assert_eq!(tried(Refused, Trace::NotDelivered(vec![30_001])), []);
    assert_eq!(tried(Uncertain, Trace::NothingTaken), [Status::Expired]);
    assert!(may(Status::Dead, Some(RetriesExhausted), &Trace::NothingTaken));
    assert!(!may(Status::Dead, None, &Trace::NothingTaken), "a reason that is not known says nothing");
    let looked_at = TRIED_ANEW.iter().all(|status| status.is_final() && status.public_word() == "failed");
    assert!(looked_at);
}

#[test]
fn a_code_that_nobody_explains_is_tried_once_more_and_not_twice() {
    let may = |code, round| {
        let trace = Trace::NotDelivered(vec![code]);
        let reason = Some(ReasonCode::NotDelivered);
        may_be_tried_anew(&Ended { status: Status::Undelivered, reason, trace, round })
    };
    assert_eq!([may(30_008, 0), may(30_008, 1)], [true, false]);
    assert_eq!([may(30_003, 0), may(30_003, 5)], [true, true]);
}

/// By the codes that Twilio gives a message after it took it, and what each of them says about another try.
#[test]
fn each_code_of_an_undelivered_message_says_whether_it_can_succeed() {
    let rows = [
        // What was too much at once, or too late in a queue.
        (30_001, Anew::Always),
        (30_022, Anew::Always),
        (30_023, Anew::Always),
        (30_027, Anew::Always),
        (30_036, Anew::Always),
        (63_018, Anew::Always),
        // What passes.
        (30_003, Anew::Always),
        (30_017, Anew::Always),
        (30_020, Anew::Always),
        (30_021, Anew::Always),
        (30_047, Anew::Always),
        (30_450, Anew::Always),
        (30_500, Anew::Always),
        (30_610, Anew::Always),
        // What an admin mends at Twilio.
        (30_002, Anew::Always),
        (30_010, Anew::Always),
        (30_018, Anew::Always),
        (30_032, Anew::Always),
        (30_034, Anew::Always),
        (30_035, Anew::Always),
        // The carrier gave no reason.
        (30_008, Anew::Once),
        // The recipient may have it.
        (30_410, Anew::Never),
        (63_011, Anew::Never),
        (63_023, Anew::Never),
        // It will never arrive.
        (21_610, Anew::Never),
        (21_614, Anew::Never),
        (30_004, Anew::Never),
        (30_005, Anew::Never),
        (30_006, Anew::Never),
        (30_007, Anew::Never),
        (30_011, Anew::Never),
        (30_019, Anew::Never),
        (30_640, Anew::Never),
        (63_024, Anew::Never),
        // Warnings, and what is in no table.
        (30_025, Anew::Never),
        (30_026, Anew::Never),
        (39_999, Anew::Never),
    ];
    for (code, expected) in rows {
        assert_eq!(anew_after(code), expected, "{code}");
    }
    let once: Vec<u32> = twilio_errors::entries()
        .map(|entry| entry.code)
        .filter(|code| anew_after(*code) == Anew::Once)
        .collect();
    assert_eq!(once, [30_008]);
}

#[test]
fn a_bulk_is_judged_once_enough_has_ended() {
    assert!(!fails_too_often(19, 19, 0.1));
    assert!(fails_too_often(20, 20, 0.1));
    assert!(fails_too_often(20, 3, 0.1));
    assert!(!fails_too_often(20, 2, 0.1), "exactly the most is not too much");
}

#[test]
fn a_slow_rate_releases_one_at_a_time_and_a_fast_one_catches_up_two_seconds_at_most() {
    let s = Duration::from_secs_f64;
    assert_eq!(due(0.1, s(9.0)), (0, s(9.0)));
    assert_eq!(due(0.1, s(10.0)), (1, s(0.0)));
    assert_eq!(due(0.1, s(1_000.0)), (1, s(0.0)));
    assert_eq!(due(100.0, s(0.5)), (50, s(0.0)));
    assert_eq!(due(100.0, s(3_600.0)), (200, s(0.0)));
}

proptest! {
    #[test]
    fn no_more_is_due_than_the_rate_gives(rate in 0.001_f64..10_000.0, steps in prop::collection::vec(0_u64..3_000, 1..50)) {
        let (mut behind, mut released, mut passed) = (Duration::ZERO, 0_i64, Duration::ZERO);
        for step in steps {
            let step = Duration::from_millis(step);
            passed += step;
            let (count, left) = due(rate, behind + step);
            released += count;
            behind = left;
        }
        prop_assert!(released as f64 <= passed.as_secs_f64() * rate + 0.001 * rate.max(1.0));
    }
}

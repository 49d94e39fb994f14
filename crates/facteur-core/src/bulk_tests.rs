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
fn only_what_cannot_have_left_and_can_succeed_is_tried_anew() {
    let may = |status, reason, may_have_left| may_be_tried_anew(Ended { status, reason, may_have_left });
    let tried: Vec<Status> =
        Status::ALL.into_iter().filter(|status| may(*status, Some(ReasonCode::Refused), false)).collect();
    assert_eq!(tried, [Status::Expired, Status::Dead]);
    assert!(Status::ALL.into_iter().all(|status| !may(status, Some(ReasonCode::RetriesExhausted), true)));
    assert!(!may(Status::Dead, Some(ReasonCode::Uncertain), false));
    assert!(!may(Status::Dead, None, false), "a reason that is not known says nothing");
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

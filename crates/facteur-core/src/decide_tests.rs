use super::*;
use crate::ids::MessageSid;
use crate::lane::Lane;
use crate::status::TwilioStatus;
use proptest::prelude::*;

const NOW_S: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW_S).unwrap()
}

fn history(failures: u32, parks: u32, deadline_in_s: i64) -> History {
    History { failures, parks, deadline: Timestamp::from_second(NOW_S + deadline_in_s).unwrap() }
}

fn refused(code: u32, http_status: u16) -> Outcome {
    Outcome::Refused { code: Some(code), http_status, message: "no".to_owned() }
}

fn decided(outcome: &Outcome, history: History) -> Decision {
    decide(&RetrySchedule::of(Lane::Normal), history, outcome, now(), Draw(0.5))
}

#[test]
fn each_outcome_has_the_decision_of_the_table() {
    let sid = MessageSid::parse(&format!("SM{}", "0".repeat(32))).unwrap();
    let uncertain = Outcome::Uncertain { cause: "the reply was lost".to_owned(), http_status: None };
    let rows = [
        (Outcome::Accepted { sid, twilio_status: TwilioStatus::Queued }, "finish", Code::Accepted),
        (refused(21_211, 400), "finish", Code::Refused),
        (refused(21_610, 400), "finish", Code::Refused),
        (refused(21_614, 400), "finish", Code::Refused),
        (refused(21_617, 400), "finish", Code::Refused),
        (refused(21_408, 400), "bury", Code::DestinationDisabled),
        (refused(21_608, 400), "bury", Code::DestinationDisabled),
        (refused(20_003, 401), "park", Code::AccountAtFault),
        (refused(21_606, 400), "park", Code::SenderAtFault),
        (refused(20_404, 404), "retry", Code::Temporary),
        (refused(99_999, 400), "finish", Code::Refused),
        (refused(99_999, 403), "park", Code::AccountAtFault),
        (Outcome::Throttled { code: Some(20_429), retry_after: None }, "park", Code::Throttled),
        (Outcome::Throttled { code: Some(21_611), retry_after: None }, "park", Code::Throttled),
        (Outcome::Unreachable { cause: "connection refused".to_owned() }, "park", Code::Unreachable),
        (uncertain, "reconcile", Code::Uncertain),
    ];
    for (outcome, name, code) in rows {
        let decision = decided(&outcome, history(0, 0, 3_600));
        assert_eq!((decision.name(), decision.reason().code), (name, code), "{outcome:?}");
    }
}

#[test]
fn only_an_opt_out_suppresses() {
    for (code, expected) in [(21_610, true), (21_211, false)] {
        let Decision::Finish { suppress, .. } = decided(&refused(code, 400), history(0, 0, 3_600)) else {
            panic!("{code} is final");
        };
        assert_eq!(suppress, expected, "{code}");
    }
}

#[test]
fn counted_failures_end_in_a_dead_letter_and_waits_never_do() {
    let failures_max = RetrySchedule::of(Lane::Normal).failures_max;
    let last = decided(&refused(30_500, 400), history(failures_max - 1, 0, 1_000_000));
    assert_eq!(last.reason().code, Code::RetriesExhausted);
    let parked = decided(
        &Outcome::Throttled { code: None, retry_after: None },
        history(failures_max - 1, 500, 1_000_000),
    );
    assert_eq!(parked.name(), "park");
}

#[test]
fn a_false_not_found_is_tried_once_more_and_then_believed() {
    let first = decided(&refused(20_404, 404), history(0, 0, 1_000_000));
    let second = decided(&refused(20_404, 404), history(1, 0, 1_000_000));
    assert_eq!((first.name(), second.name()), ("retry", "park"));
    assert_eq!(second.reason().code, Code::AccountAtFault);
}

#[test]
fn a_retry_after_is_kept() {
    let asked = Duration::from_secs(120);
    let outcome = Outcome::Throttled { code: None, retry_after: Some(asked) };
    assert!(
        matches!(decided(&outcome, history(0, 0, 3_600)), Decision::Park { delay, .. } if delay == asked)
    );
}

#[test]
fn what_would_come_after_the_deadline_expires_now() {
    let decision = decided(&Outcome::Unreachable { cause: "refused".to_owned() }, history(0, 0, 2));
    assert!(matches!(decision, Decision::Finish { status: Status::Expired, .. }), "{decision:?}");
}

#[test]
fn long_waits_stand_in_the_waiting_room_and_short_ones_in_the_ladder() {
    let unit = Duration::from_secs(1);
    for (delay_s, in_ladder) in [(5, true), (1_023, true), (1_024, false)] {
        let park = Decision::Park {
            delay: Duration::from_secs(delay_s),
            reason: Reason::new(Code::Throttled, "slow down"),
        };
        let wait = park.into_next(unit).wait.unwrap();
        assert_eq!((wait.in_ladder, wait.is_counted), (in_ladder, false));
    }
}

proptest! {
    /// Whatever Twilio answers, no attempt is decided for an instant after the deadline, no uncertain outcome is
    /// tried again, and only counted failures are counted.
    #[test]
    fn no_decision_breaks_a_promise(
        code in proptest::option::of(10_000u32..100_000),
        http_status in 300u16..600,
        failures in 0u32..20,
        parks in 0u32..1_000,
        deadline_in_s in -10i64..100_000,
        draw in 0.0..1.0f64,
    ) {
        let outcome = Outcome::Refused { code, http_status, message: String::new() };
        let history = history(failures, parks, deadline_in_s);
        let decision = decide(&RetrySchedule::of(Lane::Normal), history, &outcome, now(), Draw(draw));
        let ambiguous = twilio_errors::classify(code, http_status) == ErrorClass::Ambiguous;
        prop_assert!(!ambiguous || matches!(decision, Decision::Reconcile(_)));
        match &decision {
            Decision::Retry { delay, .. } | Decision::Park { delay, .. } => {
                prop_assert!(now().checked_add(*delay).unwrap() < history.deadline);
            }
            Decision::Finish { .. } | Decision::Reconcile(_) | Decision::Bury(_) => {}
        }
        let next = decision.clone().into_next(Duration::from_secs(1));
        prop_assert_eq!(next.wait.is_some_and(|wait| wait.is_counted), matches!(decision, Decision::Retry { .. }));
    }
}

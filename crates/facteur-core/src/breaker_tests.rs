use super::*;
use crate::ids::MessageSid;
use crate::outcome::Outcome;
use crate::sender::Sender;
use crate::status::TwilioStatus;

fn account() -> Fuse {
    Fuse::Integration("AC1".to_owned())
}

fn sender() -> Fuse {
    Fuse::Sender(Sender::parse("+15005550006").unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn failing() -> Fault {
    Fault::new(Cause::Failing, "Twilio answered HTTP 503")
}

/// The row after these changes, each `Some` only if it moved something.
fn walk(fuse: &Fuse, changes: &[(i64, Change)]) -> Option<Breaker> {
    let mut row = None;
    for (second, change) in changes {
        row = after(fuse, row.as_ref(), change, at(*second)).or(row);
    }
    row
}

fn failed() -> Sign {
    Sign::Failing("no".to_owned())
}

#[test]
fn an_outage_is_probed_less_and_less_often_up_to_once_a_minute() {
    let mut row = after(&account(), None, &Change::Open(failing()), at(0)).unwrap();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let now = row.retry_at;
        waits.push(now.duration_since(row.updated_at).as_secs());
        let claimed = after(&account(), Some(&row), &Change::Try, now).unwrap();
        assert_eq!(after(&account(), Some(&claimed), &Change::Try, now), None, "one worker probes");
        row = after(&account(), Some(&claimed), &Change::Down(failing()), now).unwrap();
        assert_eq!((row.state, row.opened_at), (State::Open, at(0)));
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
}

#[test]
fn each_cause_has_its_own_waits() {
    let waits = |cause| (1..=6).map(|n| Fault::new(cause, "").delay(n).as_secs()).collect::<Vec<_>>();
    assert_eq!(waits(Cause::AccountAtFault), [30, 60, 120, 240, 600, 600]);
    assert_eq!(waits(Cause::SenderAtFault), [60, 120, 300, 600, 600, 600]);
    let asked = |seconds| Fault { retry_after: Some(s(seconds)), ..Fault::new(Cause::Throttled, "") };
    assert_eq!(asked(5).delay(1), s(30));
    assert_eq!(asked(90).delay(1), s(90));
    assert_eq!(asked(u64::MAX).delay(1), s(3_600));
}

#[test]
fn an_account_is_probed_by_a_get_and_a_sender_by_a_message() {
    let opened = (0, Change::Open(failing()));
    let tried = |fuse: &Fuse, second| walk(fuse, &[opened.clone(), (second, Change::Try)]).unwrap();
    assert_eq!(tried(&account(), 0).retry_at, at(1), "not before its time");
    let probing = tried(&account(), 2);
    assert_eq!((probing.state, probing.retry_at), (State::Open, at(32)));
    assert_eq!(tried(&sender(), 2).state, State::HalfOpen);
    let answered = walk(&account(), &[opened.clone(), (2, Change::Try), (3, Change::Answered)]).unwrap();
    assert_eq!((answered.state, answered.retry_at), (State::HalfOpen, at(3)));
}

#[test]
fn a_failed_trial_opens_it_for_longer_and_good_ones_close_it() {
    let half_open = [(0, Change::Open(failing())), (2, Change::Try), (3, Change::Answered)];
    let then = |change| walk(&account(), &[&half_open[..], &[(4, change)]].concat()).unwrap();
    let reopened = then(Change::Open(failing()));
    assert_eq!((reopened.state, reopened.openings, reopened.retry_at), (State::Open, 2, at(6)));
    let closed = then(Change::Close);
    assert_eq!((closed.state, closed.opened_at, closed.updated_at), (State::Closed, at(0), at(4)));
}

#[test]
fn a_breaker_that_opens_again_within_a_minute_waits_longer_than_the_first_time() {
    let closed = [(0, Change::Open(failing())), (2, Change::Try), (3, Change::Answered), (4, Change::Close)];
    let reopened_at = |second| {
        walk(&account(), &[&closed[..], &[(second, Change::Open(failing()))]].concat()).unwrap().openings
    };
    assert_eq!(reopened_at(30), 2);
    assert_eq!(reopened_at(65), 1);
}

#[test]
fn what_comes_too_late_moves_nothing() {
    let open = walk(&account(), &[(0, Change::Open(failing()))]);
    let closed = walk(
        &account(),
        &[(0, Change::Open(failing())), (2, Change::Try), (3, Change::Answered), (4, Change::Close)],
    );
    let rows = [
        (None, vec![Change::Try, Change::Answered, Change::Down(failing()), Change::Close]),
        (open, vec![Change::Open(failing()), Change::Close]),
        (closed, vec![Change::Try, Change::Answered, Change::Down(failing()), Change::Close]),
    ];
    for (row, changes) in rows {
        for change in changes {
            assert_eq!(after(&account(), row.as_ref(), &change, at(5)), None, "{change:?} on {row:?}");
        }
    }
}

#[test]
fn five_failures_in_a_row_open_it_and_one_success_between_them_does_not() {
    let mut guard = Guard::closed(&account(), s(0));
    for _ in 0..4 {
        assert_eq!(guard.told(failed(), s(1), s(1)), None);
    }
    assert_eq!(guard.told(Sign::Alive, s(1), s(1)), None);
    for _ in 0..4 {
        assert_eq!(guard.told(failed(), s(1), s(1)), None);
    }
    assert!(guard.lets_through());
    assert_eq!(guard.told(failed(), s(1), s(1)), Some(Change::Open(Fault::new(Cause::Failing, "no"))));
    assert!(!guard.lets_through());
    assert_eq!(guard.pass(), None);
    assert_eq!(guard.told(failed(), s(1), s(1)), None, "it is told once");
}

#[test]
fn half_of_twenty_calls_within_ten_seconds_open_it_and_spread_wider_they_do_not() {
    let opens = |pause_ms: u64| {
        let mut guard = Guard::closed(&account(), s(0));
        (0..40u64).any(|number| {
            let now = Duration::from_millis(number * pause_ms);
            let sign = if number % 2 == 0 { Sign::Alive } else { failed() };
            guard.told(sign, now, now).is_some()
        })
    };
    assert!(opens(400));
    assert!(!opens(1_000));
}

#[test]
fn an_answer_from_before_the_last_move_says_nothing() {
    let mut guard = Guard::closed(&account(), s(0));
    guard.follow(State::Open, s(10));
    guard.follow(State::HalfOpen, s(20));
    assert_eq!(guard.told(failed(), s(9), s(21)), None);
    assert_eq!(guard.told(Sign::Alive, s(9), s(21)), None);
    guard.follow(State::Closed, s(30));
    for _ in 0..50 {
        assert_eq!(guard.told(failed(), s(29), s(31)), None);
    }
    assert!(guard.lets_through());
}

#[test]
fn one_trial_then_two_then_four_and_the_third_success_closes_it() {
    let mut guard = Guard::closed(&account(), s(0));
    guard.follow(State::Open, s(1));
    guard.follow(State::HalfOpen, s(2));
    let takes = |guard: &mut Guard| {
        let passes: Vec<Pass> = std::iter::from_fn(|| guard.pass()).collect();
        let count = passes.len();
        passes.into_iter().for_each(|pass| guard.is_over(pass));
        count
    };
    assert_eq!(takes(&mut guard), 1);
    assert_eq!(guard.told(Sign::Nothing, s(3), s(3)), None, "a refused recipient proves nothing");
    assert_eq!(guard.told(Sign::Alive, s(3), s(3)), None);
    assert_eq!(takes(&mut guard), 2);
    assert_eq!(guard.told(Sign::Alive, s(3), s(3)), None);
    assert_eq!(takes(&mut guard), 4);
    assert_eq!(guard.told(Sign::Alive, s(3), s(3)), Some(Change::Close));
    assert_eq!(guard.pass(), Some(Pass::Free));
}

#[test]
fn a_trial_of_an_earlier_half_open_time_frees_no_place() {
    let mut guard = Guard::closed(&sender(), s(0));
    guard.follow(State::HalfOpen, s(1));
    let early = guard.pass().unwrap();
    guard.follow(State::Open, s(2));
    guard.follow(State::HalfOpen, s(3));
    assert!(guard.pass().is_some());
    guard.is_over(early);
    assert!(!guard.lets_through());
    assert!(
        matches!(guard.told(failed(), s(4), s(4)), Some(Change::Open(_))),
        "a failed trial opens it again"
    );
}

#[test]
fn the_signs_of_every_outcome_are_these() {
    let refused = |code: u32, http_status| Outcome::Refused {
        code: (code > 0).then_some(code),
        http_status,
        message: "no".to_owned(),
    };
    let throttled = |code| Outcome::Throttled { code, retry_after: Some(s(40)) };
    let accepted = Outcome::Accepted {
        sid: MessageSid::parse(&format!("SM{:032x}", 1)).unwrap(),
        twilio_status: TwilioStatus::Queued,
    };
    let unreachable = Outcome::Unreachable { cause: "refused".to_owned() };
    let uncertain = Outcome::Uncertain { cause: "HTTP 503".to_owned(), http_status: Some(503) };
    let name = |sign: &Sign| match sign {
        Sign::Alive => "alive",
        Sign::Failing(_) => "failing",
        Sign::Fault(fault) => fault.cause.as_str(),
        Sign::Nothing => "-",
    };
    let rows = [
        (accepted, "alive", "alive", false),
        (unreachable, "failing", "-", false),
        (uncertain, "failing", "-", false),
        (throttled(Some(20_429)), "alive", "-", true),
        (throttled(None), "alive", "-", true),
        (throttled(Some(21_611)), "alive", "throttled", false),
        (refused(21_211, 400), "alive", "-", false),
        (refused(21_610, 400), "alive", "-", false),
        (refused(21_408, 400), "alive", "-", false),
        (refused(0, 400), "alive", "-", false),
        (refused(21_606, 400), "alive", "sender_at_fault", false),
        (refused(20_003, 401), "account_at_fault", "-", false),
        (refused(0, 403), "failing", "-", false),
        (refused(20_404, 404), "failing", "-", false),
        (refused(21_730, 503), "failing", "-", false),
    ];
    for (outcome, integration, sender, is_crowded) in rows {
        let signs = signs(&outcome);
        assert_eq!(
            (name(&signs.integration), name(&signs.sender), signs.is_crowded),
            (integration, sender, is_crowded),
            "{outcome:?}"
        );
    }
    let Sign::Fault(fault) = signs(&throttled(Some(21_611))).sender else {
        panic!("a full queue is a fault")
    };
    assert_eq!(fault.delay(1), s(40));
}

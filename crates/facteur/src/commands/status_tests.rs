use std::time::Duration;

use facteur_core::breaker::{Breaker, State};
use facteur_core::hold::{Fuse, Hold};
use facteur_core::lane::Lane;
use facteur_core::phone::PhoneNumber;
use facteur_core::reason::ReasonCode;
use facteur_core::reconcile::Window;
use facteur_core::sender::Sender;
use facteur_core::status::Status;
use facteur_postgres::reconciliations::SearchFacts;
use facteur_postgres::{AHEAD_MAX, Standing};

use super::*;
use crate::config::{Sources, load};

fn worker() -> WorkerSection {
    let sources =
        Sources { flags: vec!["worker.uncertain_policy=otp=resend".to_owned()], ..Sources::default() };
    load(&sources).unwrap().config.worker
}

fn told(story: Story) -> Told {
    Told::of(story, &worker())
}

fn attempt(number: i32, outcome: &str, code: Option<i32>, sid: Option<&str>) -> AttemptFacts {
    AttemptFacts {
        number,
        started_at: "2026-11-20T10:00:00.123456Z".parse().unwrap(),
        duration: Duration::from_millis(87),
        outcome: outcome.to_owned(),
        code,
        http_status: Some(400),
        sid: sid.map(str::to_owned),
        twilio_status: None,
        cause: Some("something happened".to_owned()),
        next_status: "retrying".to_owned(),
        reason: "temporary".to_owned(),
    }
}

fn story(status: Status, reason: ReasonCode, attempts: Vec<AttemptFacts>) -> Story {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let message = MessageFacts {
        category: "otp".to_owned(),
        channel: "sms".to_owned(),
        recipient: Some(PhoneNumber::from_e164("+33612345678").unwrap()),
        sender: Some("+15005550006".to_owned()),
        segments: 1,
        bulk_id: None,
        enqueued_at: None,
        expires_at: None,
    };
    Story {
        id: JobId(Uuid::from_u128(7)),
        tenant: "default".to_owned(),
        lane: Lane::Normal,
        status,
        reason: reason.as_str().to_owned(),
        sentence: None,
        turn: 1,
        attempt: 1,
        failures: 1,
        parks: 0,
        not_before: Some(at("2026-11-20T10:00:05Z")),
        due_at: Some(at("2026-11-20T10:01:05Z")),
        deadline: at("2026-11-21T10:00:00Z"),
        created_at: at("2026-11-20T10:00:00Z"),
        standing: None,
        updated_at: at("2026-11-20T10:00:01Z"),
        hold: None,
        pause: None,
        breaker: None,
        is_unseen: false,
        message: Some(message),
        attempts,
        search: None,
        dead_letters: Vec::new(),
    }
}

#[test]
fn every_status_says_what_comes_next() {
    for (status, expected) in [
        (Status::Scheduled, "released at 2026-11-20T10:00:05Z"),
        (Status::Waiting, "comes at 2026-11-20T10:00:05Z, and none after 2026-11-21T10:00:00Z"),
        (Status::Retrying, "comes at 2026-11-20T10:00:05Z"),
        (Status::Sending, "at 2026-11-20T10:01:05Z"),
        (Status::Uncertain, "evidence"),
        (Status::Sent, "receipt"),
        (Status::Failed, "the end"),
        (Status::Dead, "facteur dead requeue 00000000-0000-0000-0000-000000000007"),
    ] {
        let told = told(story(status, ReasonCode::Temporary, vec![]));
        assert!(told.next.contains(expected), "{}", told.next);
    }
}

#[test]
fn a_held_message_says_which_breaker_since_when_and_when_it_is_tried_again() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let breaker = Breaker {
        state: State::Open,
        cause: facteur_core::breaker::Cause::Failing,
        sentence: "Twilio answered HTTP 503".to_owned(),
        openings: 3,
        opened_at: at("2026-11-20T09:58:00Z"),
        retry_at: at("2026-11-20T10:00:04Z"),
        updated_at: at("2026-11-20T10:00:00Z"),
    };
    let fuse = Fuse::Integration("AC1".to_owned());
    let waiting = story(Status::Waiting, ReasonCode::BreakerOpen, vec![]);
    let hold = Some(Hold::Breaker(fuse.clone()));
    let told = told(Story { hold, breaker: Some((fuse, breaker)), ..waiting });
    for expected in ["integration AC1", "since 2026-11-20T09:58:00Z", "HTTP 503", "at 2026-11-20T10:00:04Z"] {
        assert!(told.next.contains(expected), "{}", told.next);
    }
}

#[test]
fn the_story_tells_each_attempt_with_its_meaning_and_masks_the_number() {
    let sid = format!("SM{}", "a".repeat(32));
    let attempts = vec![
        attempt(1, "unreachable", None, None),
        attempt(2, "refused", Some(21211), None),
        attempt(3, "accepted", None, Some(&sid)),
    ];
    let told = told(story(Status::Sent, ReasonCode::Accepted, attempts));
    assert_eq!(told.sid.as_deref(), Some(sid.as_str()));
    assert_eq!(told.attempts[0].meaning.as_deref(), Some("something happened"));
    let meaning = twilio_errors::lookup(21211).unwrap().meaning;
    assert_eq!(told.attempts[1].meaning.as_deref(), Some(meaning));
    for text in [told.as_text(), serde_json::to_string(&told).unwrap()] {
        assert!(text.contains(&sid) && !text.contains("612345678"), "{text}");
    }
}

#[test]
fn a_dead_message_says_what_a_person_can_do() {
    let told = told(story(Status::Dead, ReasonCode::DestinationDisabled, vec![]));
    assert!(told.next.contains(ReasonCode::DestinationDisabled.advice()), "{}", told.next);
}

#[test]
fn what_was_not_seen_tells_how_long_others_wait() {
    let not_seen =
        NotSeen { id: Uuid::from_u128(7), status: "not_seen_yet", oldest_waiting_s: vec![("bulk", 40)] };
    assert!(not_seen.as_text().contains("oldest waiting: bulk 40 s"), "{}", not_seen.as_text());
}

#[test]
fn who_stands_in_a_line_hears_how_many_stand_before() {
    let mut job = story(Status::Waiting, ReasonCode::RateLimit, Vec::new());
    let mut place = Standing { line: "rate:+15005550006".to_owned(), ahead: 1_234, per_second: Some(100.0) };
    job.hold = Some(Hold::Rate(Sender::parse("+15005550006").unwrap()));
    job.standing = Some(place.clone());
    let told = job.next(worker().evidence());
    assert!(told.contains("behind 1234 others of its lane, about 12 s at 100/s"), "{told}");
    (place.ahead, place.per_second) = (AHEAD_MAX, None);
    job.standing = Some(place);
    let told = job.next(worker().evidence());
    assert!(told.contains("behind at least 10000 others of its lane; not after"), "{told}");
}

#[test]
fn a_missed_receipt_says_what_was_heard_and_when_twilio_is_asked() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let heard = facteur_postgres::receipts::Heard {
        twilio_status: "sent".to_owned(),
        source: "poll".to_owned(),
        at: at("2026-11-20T10:10:00Z"),
    };
    let missed = Some((1, at("2026-11-20T10:30:00Z")));
    let receipt = told(story(Status::Sent, ReasonCode::Accepted, Vec::new()));
    let receipt = receipt.with_receipt(ReceiptFacts { heard: Some(heard.clone()), missed });
    let text = receipt.as_text();
    assert!(
        text.contains("receipt: Twilio says sent (by poll, 2026-11-20T10:10:00Z), asked for 1 time(s)"),
        "{text}"
    );
    assert!(
        text.ends_with("next: its receipt is missed: Twilio is asked for it at 2026-11-20T10:30:00Z"),
        "{text}"
    );
    let delivered = told(story(Status::Delivered, ReasonCode::Accepted, Vec::new()));
    let text = delivered.with_receipt(ReceiptFacts { heard: Some(heard), missed: None }).as_text();
    assert!(text.contains("(by poll, ") && text.ends_with("this is the end"), "{text}");
    let silent = told(story(Status::Sent, ReasonCode::Accepted, Vec::new()));
    assert!(!silent.with_receipt(ReceiptFacts::default()).as_text().contains("receipt:"));
}

#[test]
fn an_uncertain_message_tells_what_was_looked_for_and_what_happens_then() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let search = SearchFacts {
        attempt: 2,
        window: Window { started_at: at("2026-11-20T10:00:00Z"), ended_at: at("2026-11-20T10:00:30Z") },
        since: at("2026-11-20T10:00:30Z"),
        searched: Duration::from_secs(90),
        looks: 4,
        looked_at: Some(at("2026-11-20T10:02:00Z")),
        next_look_at: Some(at("2026-11-20T10:03:00Z")),
        is_later_listed: true,
        is_later_called_back: false,
        finding: "not in Twilio's list".to_owned(),
        verdict: None,
        ended_at: None,
    };
    let searched =
        |search| Story { search: Some(search), ..story(Status::Uncertain, ReasonCode::Uncertain, vec![]) };
    let text = told(searched(search.clone())).as_text();
    for expected in [
        "attempt 2 was uncertain from 2026-11-20T10:00:30Z",
        "looks: 4, through 90 s",
        "found: not in Twilio's list",
        "in the list: yes; a callback of a later one: no",
        "the next look is at 2026-11-20T10:03:00Z",
        "after 1800 s of search",
        "it is sent again, but not after 2026-11-21T10:00:00Z",
    ] {
        assert!(text.contains(expected), "{expected} is not in {text}");
    }
    let held = SearchFacts {
        verdict: Some("held".to_owned()),
        ended_at: Some(at("2026-11-20T10:30:00Z")),
        next_look_at: None,
        ..search
    };
    assert!(told(searched(held)).as_text().contains("ended 2026-11-20T10:30:00Z: nobody knows"), "{text}");
}

use std::time::Duration;

use facteur_core::ids::MessageSid;
use facteur_core::outcome::Outcome;
use facteur_core::status::TwilioStatus;

use super::classify;
use crate::exchange::{Answer, Body, NoAnswer};

const SID: &str = "SM0123456789abcdef0123456789abcdef";

fn answer(http_status: u16, body: Body) -> Outcome {
    classify(Ok(Answer { http_status, retry_after: None, request_id: None, body }))
}

fn whole(http_status: u16, body: impl Into<Vec<u8>>) -> Outcome {
    answer(http_status, Body::Whole(body.into()))
}

fn accepted(twilio_status: TwilioStatus) -> Outcome {
    Outcome::Accepted { sid: MessageSid::parse(SID).unwrap(), twilio_status }
}

#[test]
fn any_2xx_with_a_sid_is_accepted_whatever_else_it_holds() {
    let message = |rest: &str| format!(r#"{{"sid":"{SID}"{rest}}}"#);
    for http_status in [200, 201, 202] {
        assert_eq!(whole(http_status, message(r#","status":"accepted""#)), accepted(TwilioStatus::Accepted));
    }
    for rest in ["", r#","status":"teleported""#, r#","status":7"#, r#","status":null"#] {
        assert_eq!(whole(201, message(rest)), accepted(TwilioStatus::Queued), "{rest}");
    }
    let not_utf8 =
        [message(r#","status":"sent","body":"#).trim_end_matches('}').as_bytes(), b"\"\xff\xfe\"}"].concat();
    assert_eq!(whole(201, not_utf8), accepted(TwilioStatus::Sent));
}

#[test]
fn a_2xx_without_a_readable_sid_is_uncertain() {
    let bodies = ["", "<html>", "{}", "[]", "null", r#"{"sid":7}"#, r#"{"sid":"CA00"}"#, r#"{"sid":"SM0123"#];
    for body in bodies {
        assert!(matches!(whole(201, body), Outcome::Uncertain { http_status: Some(201), .. }), "{body}");
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(whole(201, deep), Outcome::Uncertain { .. }));
    for body in [Body::TooLong, Body::Broken("reset".to_owned())] {
        assert!(matches!(answer(201, body), Outcome::Uncertain { http_status: Some(201), .. }));
    }
}

#[test]
fn a_4xx_is_refused_with_whatever_twilio_said() {
    let cases = [
        (400, r#"{"code":21211,"message":"Invalid 'To': +33612345678"}"#, Some(21211), "Invalid 'To': +***"),
        (
            401,
            r#"{"code":20003,"detail":"d","message":"Authenticate","status":401}"#,
            Some(20003),
            "Authenticate",
        ),
        (400, r#"{"title":"Bad","detail":"Worse","code":20001}"#, Some(20001), "Worse"),
        (422, r#"{"title":"Bad"}"#, None, "Bad"),
        (400, r#"{"code":-1,"message":"m"}"#, None, "m"),
        (400, r#"{"code":99999999999,"message":7}"#, None, "HTTP 400 without an explanation"),
        (404, "<html>", None, "HTTP 404 without an explanation"),
        (499, "", None, "HTTP 499 without an explanation"),
    ];
    for (http_status, body, code, message) in cases {
        let message = message.to_owned();
        assert_eq!(whole(http_status, body), Outcome::Refused { code, http_status, message }, "{body}");
    }
    assert!(matches!(answer(403, Body::TooLong), Outcome::Refused { code: None, http_status: 403, .. }));
}

#[test]
fn a_4xx_that_broke_off_is_uncertain_for_its_code_is_unknown() {
    let outcome = answer(400, Body::Broken("reset".to_owned()));
    assert!(matches!(outcome, Outcome::Uncertain { http_status: Some(400), .. }));
}

#[test]
fn a_429_is_throttled_whatever_became_of_its_body() {
    let bodies = [
        (Body::Whole(br#"{"code":20429}"#.to_vec()), Some(20429)),
        (Body::Whole(br#"{"code":21611,"message":"SMS queue is full."}"#.to_vec()), Some(21611)),
        (Body::Whole(b"<html>".to_vec()), None),
        (Body::TooLong, None),
        (Body::Broken("reset".to_owned()), None),
    ];
    for (body, code) in bodies {
        let retry_after = Some(Duration::from_secs(7));
        let outcome = classify(Ok(Answer { http_status: 429, retry_after, request_id: None, body }));
        assert_eq!(outcome, Outcome::Throttled { code, retry_after });
    }
}

#[test]
fn every_other_status_is_uncertain() {
    for http_status in (100..=999).filter(|status| !matches!(status, 200..=299 | 400..=499)).chain([408]) {
        let outcome = whole(http_status, format!(r#"{{"sid":"{SID}","code":20500,"message":"m"}}"#));
        assert!(
            matches!(outcome, Outcome::Uncertain { http_status: Some(status), .. } if status == http_status),
            "{http_status}: {outcome:?}"
        );
    }
}

#[test]
fn an_uncertain_answer_can_be_asked_about_by_its_request_id() {
    let body = Body::Whole(br#"{"code":20500,"message":"Internal Server Error"}"#.to_vec());
    let request_id = Some("RQ1".to_owned());
    let outcome = classify(Ok(Answer { http_status: 500, retry_after: None, request_id, body }));
    let cause = "Twilio answered HTTP 500 with error 20500 (Twilio-Request-Id RQ1)".to_owned();
    assert_eq!(outcome, Outcome::Uncertain { cause, http_status: Some(500) });
}

#[test]
fn only_a_request_that_never_left_is_unreachable() {
    let cause = "refused".to_owned();
    assert_eq!(
        classify(Err(NoAnswer::NotSent(cause.clone()))),
        Outcome::Unreachable { cause: cause.clone() }
    );
    assert_eq!(classify(Err(NoAnswer::Lost(cause.clone()))), Outcome::Uncertain { cause, http_status: None });
}

//! Status callbacks: what they say, that they are signed, and how they go wrong.

use serde_json::json;
use twilio_sim::{AUTH_TOKEN, Latency, Progress, SimConfig};

use crate::lab::{FROM, Lab, Received, Receiver, SERVICE, TO, answer, immediate};

async fn send(lab: &Lab, to: &str, from: &str, callback: &str) -> String {
    lab.create(&[("To", to), ("From", from), ("Body", "x"), ("StatusCallback", callback)]).await.sid()
}

/// The signature is right for our token and wrong for another.
fn assert_signed(received: &Received, base: &str) {
    let url = format!("{base}{}", received.path_and_query);
    let signature = received.headers["x-twilio-signature"].to_str().unwrap();
    assert!(facteur_twilio::signature::verify(&[AUTH_TOKEN], &url, &received.form, signature), "{url}");
    assert!(!facteur_twilio::signature::verify(&["other"], &url, &received.form, signature));
}

#[tokio::test]
async fn each_change_is_told_in_order_and_signed() {
    let lab = Lab::start(immediate()).await;
    let mut receiver = Receiver::start(vec![]).await;
    let path = "/twilio/status?message=0197c1de&attempt=1";
    let sid = send(&lab, TO, FROM, &format!("{}{path}#rc=3&rp=all", receiver.url)).await;
    for status in ["sending", "sent", "delivered"] {
        let received = receiver.next().await;
        assert_eq!((received.status(), received.field("SmsStatus").unwrap()), (status, status));
        assert_eq!(received.path_and_query, path);
        for (name, value) in [("MessageSid", sid.as_str()), ("SmsSid", &sid), ("To", TO), ("From", FROM)] {
            assert_eq!(received.field(name), Some(value));
        }
        assert_eq!(received.field("ApiVersion"), Some("2010-04-01"));
        assert_eq!(received.field("RawDlrDoneDate").map(str::len), (status == "delivered").then_some(10));
        assert_eq!(received.field("ErrorCode"), None);
        assert!(received.headers["content-type"].to_str().unwrap().starts_with("application/x-www-form-"));
        assert!(received.headers.contains_key("i-twilio-idempotency-token"));
        assert_signed(&received, &receiver.url);
    }
    lab.until(|stats| stats.callbacks.sent == 3 && stats.callbacks.pending == 0).await;
    assert!(receiver.is_quiet());
}

#[tokio::test]
async fn a_service_tells_queued_too_and_names_itself() {
    let lab = Lab::start(immediate()).await;
    let mut receiver = Receiver::start(vec![]).await;
    let form =
        [("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x"), ("StatusCallback", &receiver.url)];
    lab.create(&form).await;
    let received = receiver.next().await;
    assert_eq!((received.status(), received.field("MessagingServiceSid")), ("queued", Some(SERVICE)));
    assert_eq!(received.field("From"), Some(FROM));
}

#[tokio::test]
async fn an_undelivered_message_tells_its_code() {
    let progress =
        Progress { undelivered_per_mille: 1_000, undelivered_codes: vec![30005], ..Progress::immediate() };
    let lab = Lab::start(SimConfig { progress, ..SimConfig::default() }).await;
    let mut receiver = Receiver::start(vec![]).await;
    send(&lab, TO, FROM, &receiver.url).await;
    receiver.next().await;
    receiver.next().await;
    let last = receiver.next().await;
    assert_eq!((last.status(), last.field("ErrorCode")), ("undelivered", Some("30005")));
}

#[tokio::test]
async fn a_whatsapp_message_is_read_and_tells_its_channel() {
    let progress = Progress { whatsapp_read_per_mille: 1_000, ..Progress::immediate() };
    let lab = Lab::start(SimConfig { progress, ..SimConfig::default() }).await;
    let mut receiver = Receiver::start(vec![]).await;
    send(&lab, "whatsapp:+33612345678", "whatsapp:+14155238886", &receiver.url).await;
    for status in ["sending", "sent", "delivered", "read"] {
        let received = receiver.next().await;
        assert_eq!(received.status(), status);
        assert_eq!(received.field("ChannelPrefix"), Some("whatsapp"));
        assert_eq!(received.field("ChannelToAddress"), Some(TO));
        assert_eq!(received.field("EventType"), (status == "read").then_some("READ"));
    }
}

#[tokio::test]
async fn a_cancelled_message_tells_only_that() {
    let lab = Lab::start(immediate()).await;
    let mut receiver = Receiver::start(vec![]).await;
    let probe = lab.send("what time is it").await.json()["date_created"].as_str().unwrap().to_owned();
    let now = jiff::fmt::rfc2822::parse(&probe).unwrap().timestamp();
    let send_at = (now + jiff::SignedDuration::from_mins(10)).to_string();
    let schedule = [("ScheduleType", "fixed"), ("SendAt", send_at.as_str())];
    let form =
        [("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x"), ("StatusCallback", &receiver.url)];
    let sid = lab.create(&[&form[..], &schedule[..]].concat()).await.sid();
    lab.post(&Lab::message_path(&sid), &[("Status", "canceled")]).await;
    assert_eq!(receiver.next().await.status(), "canceled");
}

#[tokio::test]
async fn failures_are_repeated_only_if_the_url_asks_for_it() {
    let lab = Lab::start(immediate()).await;
    let mut receiver = Receiver::start(vec![503, 503, 200]).await;
    send(&lab, TO, FROM, &format!("{}#rc=2&rp=5xx", receiver.url)).await;
    let first = receiver.next().await;
    let token = |received: &Received| received.headers["i-twilio-idempotency-token"].clone();
    for _ in 0..2 {
        let again = receiver.next().await;
        assert_eq!((again.status(), token(&again)), ("sending", token(&first)));
    }
    assert_eq!(receiver.next().await.status(), "sent");
    lab.until(|stats| stats.callbacks.sent == 3 && stats.callbacks.failed == 0).await;

    let mut receiver = Receiver::start(vec![503]).await;
    send(&lab, TO, FROM, &receiver.url).await;
    assert_eq!(receiver.next().await.status(), "sending");
    assert_eq!(receiver.next().await.status(), "sent");
    lab.until(|stats| stats.callbacks.failed == 1 && stats.callbacks.pending == 0).await;
}

#[tokio::test]
async fn nobody_listening_is_counted_as_failed() {
    let lab = Lab::start(immediate()).await;
    send(&lab, TO, FROM, "http://127.0.0.1:9/").await;
    lab.until(|stats| stats.callbacks.failed == 3 && stats.callbacks.pending == 0).await;
}

#[tokio::test]
async fn callbacks_can_be_missing_duplicated_or_out_of_order() {
    let lab = Lab::start(immediate()).await;
    let mut receiver = Receiver::start(vec![]).await;
    answer(lab.send_with_fault("callbacks_missing", Some(&receiver.url))).await.sid();
    assert_eq!(lab.sim.stats().faults_injected["callbacks_missing"], 3);
    answer(lab.send_with_fault("callbacks_out_of_order", Some(&receiver.url))).await.sid();
    for status in ["sending", "delivered", "sent"] {
        assert_eq!(receiver.next().await.status(), status);
    }
    let delay = json!({ "fixed_ms": 0 });
    lab.faults(json!({ "callbacks": { "duplicated": { "every": 3, "delay": delay } } })).await;
    send(&lab, TO, FROM, &receiver.url).await;
    for status in ["sending", "sent", "delivered", "delivered"] {
        assert_eq!(receiver.next().await.status(), status);
    }
    lab.until(|stats| stats.callbacks.pending == 0).await;
    assert!(receiver.is_quiet());
}

#[tokio::test]
async fn callbacks_can_be_late_and_a_reset_forgets_them() {
    let lab = Lab::start(immediate()).await;
    let mut receiver = Receiver::start(vec![]).await;
    let late = json!({ "every": 2, "delay": { "fixed_ms": 1_000 } });
    lab.faults(json!({ "callbacks": { "late": late } })).await;
    send(&lab, TO, FROM, &receiver.url).await;
    for status in ["sending", "delivered", "sent"] {
        assert_eq!(receiver.next().await.status(), status);
    }
    lab.faults(json!({ "callbacks": { "late": { "delay": { "fixed_ms": 2_000 } } } })).await;
    send(&lab, TO, FROM, &receiver.url).await;
    lab.control("reset", json!({})).await;
    lab.until(|stats| stats.callbacks.pending == 0).await;
    assert!(receiver.is_quiet());
}

#[tokio::test]
async fn a_stop_does_not_wait_for_callbacks_that_are_far_away() {
    let progress = Progress { sending: Latency::FixedMs(300_000), ..Progress::immediate() };
    let lab = Lab::start(SimConfig { progress, ..SimConfig::default() }).await;
    send(&lab, TO, FROM, "http://127.0.0.1:9/").await;
    lab.until(|stats| stats.callbacks.pending == 1).await;
    lab.sim.stop().await;
}

//! Rates, queues, concurrency, and what the referee counts.

use serde_json::json;
use twilio_sim::{SenderLimits, SimConfig};

use crate::lab::{FROM, Lab, SERVICE, TO, answer, immediate, is_lost};

#[tokio::test]
async fn a_sender_queues_above_its_rate_and_refuses_when_its_queue_is_full() {
    let slow = SenderLimits { rate: 0.001, queue_segments: Some(2) };
    let config =
        SimConfig { senders: [(FROM.to_owned(), slow)].into(), retry_after_s: Some(7), ..immediate() };
    let lab = Lab::start(config).await;
    let first = lab.send("1").await.sid();
    let second = lab.send("2").await.sid();
    let third = lab.send("3").await;
    assert_eq!((third.error(), third.header("retry-after")), ((429, 21611), "7"));
    assert_eq!(lab.get(&Lab::message_path(&first)).await.json()["status"], "delivered");
    assert_eq!(lab.get(&Lab::message_path(&second)).await.json()["status"], "queued");
    let other = lab.create(&[("To", TO), ("From", "+33700000001"), ("Body", "x")]).await;
    assert_eq!(other.status, 201);
    // A service has answered before it learns of the queue: the message fails later.
    let service = lab.create(&[("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x")]).await;
    let message = lab.get(&Lab::message_path(&service.sid())).await.json();
    assert_eq!((&message["status"], &message["error_code"]), (&json!("failed"), &json!(30001)));
}

#[tokio::test]
async fn an_account_may_only_have_so_many_requests_open() {
    let lab = Lab::start(SimConfig { concurrency_max: Some(1), ..immediate() }).await;
    lab.faults(json!({ "rules": [{ "fault": "hang", "hang_ms": 300_000 }], "for_requests": 1 })).await;
    let held = lab.request("POST", &lab.messages_path()).form(&[("To", TO), ("From", FROM), ("Body", "x")]);
    let held = tokio::spawn(held.send());
    lab.until(|stats| stats.faults_injected.contains_key("hang")).await;
    let refused = lab.send("y").await;
    assert_eq!((refused.error(), refused.header("twilio-concurrent-requests")), ((429, 20429), "2"));
    assert!(refused.headers.get("retry-after").is_none());
    held.abort();
    assert!(held.await.unwrap_err().is_cancelled());
    assert_eq!(lab.sim.stats().concurrent_max, 2);
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_place() {
    let lab = Lab::start(SimConfig { concurrency_max: Some(1), ..immediate() }).await;
    assert!(is_lost(lab.send_with_fault("reply_lost", None)).await);
    let fine = answer(lab.send_with_fault("none", None)).await;
    assert_eq!((fine.status, fine.header("twilio-concurrent-requests")), (201, "1"));
}

#[tokio::test]
async fn copies_are_counted_by_text_and_by_message_id() {
    let lab = Lab::start(immediate()).await;
    let send = async |to: &str, body: &str, id: &str| {
        let callback = format!("http://127.0.0.1:9/cb?message={id}&attempt=1");
        lab.create(&[("To", to), ("From", FROM), ("Body", body), ("StatusCallback", &callback)]).await.sid()
    };
    send(TO, "one", "a").await;
    send(TO, "two", "b").await;
    send("+33612345679", "one", "c").await;
    let stats = lab.sim.stats();
    assert_eq!((stats.duplicates_by_recipient_and_text, stats.duplicates_by_message_id), (0, 0));
    send(TO, "one", "d").await;
    send(TO, "one", "d").await;
    send(TO, "three", "a").await;
    let stats = lab.sim.stats();
    assert_eq!((stats.duplicates_by_recipient_and_text, stats.duplicates_by_message_id), (2, 2));
    assert_eq!(stats.accepted, 6);
}

#[tokio::test]
async fn templates_with_other_variables_are_other_texts() {
    let lab = Lab::start(immediate()).await;
    for variables in [r#"{"1":"a"}"#, r#"{"1":"b"}"#, r#"{"1":"b"}"#] {
        let content = ("ContentSid", "HX00000000000000000000000000000001");
        let form = [("To", TO), ("From", FROM), content, ("ContentVariables", variables)];
        assert_eq!(lab.create(&form).await.status, 201);
    }
    assert_eq!(lab.sim.stats().duplicates_by_recipient_and_text, 1);
}

#[tokio::test]
async fn the_window_counts_segments_by_sender() {
    let lab = Lab::start(immediate()).await;
    lab.send(&"a".repeat(161)).await;
    lab.create(&[("To", TO), ("From", "+33700000001"), ("Body", "x")]).await;
    let windows = lab.sim.stats().window_max_per_sender;
    assert_eq!(windows, [(FROM.to_owned(), 2), ("+33700000001".to_owned(), 1)].into());
}

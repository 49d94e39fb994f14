//! The control routes.

use serde_json::json;
use twilio_sim::{AUTH_TOKEN, SimConfig, Stats};

use crate::lab::{FROM, Lab, Receiver, SERVICE, TO, immediate};

#[tokio::test]
async fn an_opted_out_number_is_refused_until_it_opts_in() {
    let lab = Lab::start(immediate()).await;
    assert_eq!(lab.control("opt-outs", json!({ "to": "+33 6 12 34 56 78" })).await.status, 204);
    assert_eq!(lab.send("x").await.error(), (400, 21610));
    // A service learns of it after it has answered.
    let service = lab.create(&[("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x")]).await;
    let message = lab.get(&Lab::message_path(&service.sid())).await.json();
    assert_eq!((&message["status"], &message["error_code"]), (&json!("failed"), &json!(21610)));
    assert_eq!(lab.control("opt-outs", json!({ "to": "nobody" })).await.status, 400);
    assert_eq!(lab.control("opt-outs", json!({ "number": TO })).await.status, 400);
}

#[tokio::test]
async fn stop_and_start_by_text_opt_out_and_in() {
    let lab = Lab::start(immediate()).await;
    let receiver = Receiver::start(vec![]).await;
    for (text, status) in [("stop ", 400), ("Start", 201), ("Please stop", 201)] {
        let inbound = json!({ "from": TO, "to": FROM, "body": text, "url": receiver.url });
        assert_eq!(lab.control("inbound", inbound).await.status, 200);
        assert_eq!(lab.send(text).await.status, status, "{text}");
    }
}

#[tokio::test]
async fn an_inbound_message_is_signed_and_its_answer_is_shown() {
    let lab = Lab::start(immediate()).await;
    let mut receiver = Receiver::start(vec![]).await;
    let url = format!("{}/inbox?tenant=7", receiver.url);
    let media = ["https://example.com/a.png"];
    let inbound = json!({ "from": TO, "to": FROM, "body": "Grüße 👋", "media": media, "url": url });
    let answer = lab.control("inbound", inbound).await.json();
    assert_eq!((&answer["status"], &answer["body"]), (&json!(200), &json!("<Response/>")));
    let received = receiver.next().await;
    for (name, value) in [
        ("From", TO),
        ("To", FROM),
        ("Body", "Grüße 👋"),
        ("NumMedia", "1"),
        ("MediaUrl0", answer["media_urls"][0].as_str().unwrap()),
        ("MediaContentType0", "image/png"),
        ("SmsStatus", "received"),
        ("MessageSid", answer["message_sid"].as_str().unwrap()),
    ] {
        assert_eq!(received.field(name), Some(value));
    }
    let signature = received.headers["x-twilio-signature"].to_str().unwrap();
    assert!(facteur_twilio::signature::verify(&[AUTH_TOKEN], &url, &received.form, signature));
    let path = Lab::message_path(answer["message_sid"].as_str().unwrap());
    let message = lab.get(&path).await.json();
    assert_eq!((&message["direction"], &message["status"]), (&json!("inbound"), &json!("received")));
}

#[tokio::test]
async fn an_inbound_message_that_cannot_be_handed_over_says_why() {
    let lab = Lab::start(immediate()).await;
    let inbound = |from: &str, url: &str| json!({ "from": from, "to": FROM, "body": "x", "url": url });
    let refused = lab.control("inbound", inbound(TO, "http://127.0.0.1:9/")).await;
    assert_eq!((refused.status, &refused.json()["error"]), (502, &json!("url: no connection")));
    let refused = lab.control("inbound", inbound("x", "http://127.0.0.1:9/")).await;
    assert_eq!((refused.status, &refused.json()["error"]), (400, &json!("from: not a phone number")));
    let refused = lab.control("inbound", inbound(TO, "no url")).await;
    assert_eq!((refused.status, &refused.json()["error"]), (502, &json!("url: the URL can't be called")));
}

#[tokio::test]
async fn statistics_over_http_are_those_of_the_handle_and_a_reset_clears_them() {
    let lab = Lab::start(immediate()).await;
    let before = lab.send("x").await.sid();
    lab.send("x").await;
    lab.create(&[]).await;
    lab.control("opt-outs", json!({ "to": TO })).await;
    let stats: Stats = serde_json::from_value(lab.get("/_sim/stats").await.json()).unwrap();
    assert_eq!(stats, lab.sim.stats());
    assert_eq!((stats.requests, stats.accepted, stats.duplicates_by_recipient_and_text), (3, 2, 1));
    assert_eq!(lab.control("reset", json!({})).await.status, 204);
    assert_eq!(lab.sim.stats(), Stats::default());
    assert_eq!(lab.listed("").await, [""; 0]);
    assert_ne!(lab.send("x").await.sid(), before);
}

#[tokio::test]
async fn recent_messages_show_their_callbacks() {
    let lab = Lab::start(SimConfig::default()).await;
    lab.send("one").await;
    let callback = "http://127.0.0.1:9/cb?message=7";
    lab.create(&[("To", TO), ("From", FROM), ("Body", "two"), ("StatusCallback", callback)]).await;
    let recent = lab.get("/_sim/messages?limit=1").await.json();
    let messages = recent["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!((&messages[0]["body"], &messages[0]["status_callback"]), (&json!("two"), &json!(callback)));
    assert_eq!(lab.get("/healthz").await.text, "ok");
}

#[tokio::test]
async fn arrivals_are_told_in_pages_if_the_configuration_says_how_many() {
    let lab = Lab::start(SimConfig { arrivals_kept_max: 2, ..immediate() }).await;
    for text in ["one", "two", "x".repeat(161).as_str()] {
        assert_eq!(lab.send(text).await.status, 201);
    }
    let page = lab.get("/_sim/arrivals?after=1").await.json();
    assert_eq!((&page["next"], page["arrivals"].as_array().unwrap().len()), (&json!(2), 1));
    let arrival = &page["arrivals"][0];
    assert_eq!(
        (&arrival["from"], &arrival["to"], &arrival["segments"]),
        (&json!(FROM), &json!(TO), &json!(1))
    );
    assert!(arrival["at_us"].as_u64().unwrap() > 1_700_000_000_000_000);
    assert_eq!(lab.get("/_sim/arrivals?after=9").await.json()["arrivals"], json!([]));
    let silent = Lab::start(immediate()).await;
    assert_eq!(silent.send("one").await.status, 201);
    assert_eq!(silent.get("/_sim/arrivals").await.json()["arrivals"], json!([]));
}

//! Replies that are lost: nobody knows at first, and silence never sends a second text.

use std::time::Duration;

use facteur_testkit::process::Spawned;
use serde_json::{Value, json};

use crate::system::{System, assert_discreet};

/// What the web process would write when a verified callback of an attempt that began just now arrives.
const CALLED_BACK: &str = "INSERT INTO facteur.webhook_proofs (account, attempt_started_at) \
     VALUES ('AC00000000000000000000000000000000', clock_timestamp()) \
     ON CONFLICT (account) DO UPDATE SET attempt_started_at = excluded.attempt_started_at";

async fn system(faults: Value) -> System {
    System::with(serde_json::from_value(json!({ "faults": faults })).unwrap()).await
}

/// Twilio has them all, as far as we know.
const SENT: &str = "SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'delivered')";

/// A worker whose searches are short; the last of two values of a setting holds.
async fn hasty_worker(system: &System, settings: &[(&'static str, &str)]) -> Spawned {
    system.worker_with(&[&[("FACTEUR_UNCERTAIN_GRACE_S", "1")], settings].concat()).await
}

#[tokio::test]
async fn lost_replies_are_found_in_the_list_and_nothing_is_doubled() {
    let system =
        system(json!({ "rules": [{ "fault": "reply_lost", "every": 2 }], "for_requests": 12 })).await;
    let worker = system.worker().await;
    system.publish_many("send.urgent", 10).await;
    system.wait_until(SENT, 10).await;
    assert!(system.count("SELECT count(*) FROM facteur.reconciliations WHERE verdict = 'found'").await >= 1);
    assert_eq!(system.count("SELECT count(*) FROM facteur.dead_letters").await, 0);
    assert_eq!(system.count("SELECT count(*) FROM facteur.attempts WHERE sid IS NOT NULL").await, 10);
    assert_eq!(system.simulator.stats().accepted, 10);
    system.assert_nothing_doubled();
    assert_discreet(&worker);
}

#[tokio::test]
async fn a_list_that_lags_for_longer_than_the_grace_ends_in_hold() {
    let system = system(json!({
        "rules": [{ "fault": "reply_lost" }], "list_lag_ms": 3_600_000,
        "callbacks": { "missing": {} }
    }))
    .await;
    // Callbacks are asked for, and none comes.
    let worker = hasty_worker(&system, &[("FACTEUR_PUBLIC_URL", "http://127.0.0.1:9")]).await;
    system.publish_many("send.urgent", 3).await;
    let held = "SELECT count(*) FROM facteur.dead_letters WHERE code = 'uncertain' AND state = 'open'";
    system.wait_until(held, 3).await;
    assert_eq!(system.jobs("status = 'dead' AND reason = 'uncertain' AND attempt = 1").await, 3);
    assert_eq!(system.simulator.stats().accepted, 3, "Twilio has them, and nobody could know");
    system.assert_nothing_doubled();
    assert_discreet(&worker);
    let id = system.text("SELECT job_id::text FROM facteur.dead_letters LIMIT 1").await.unwrap();
    let (_, story) = system.command(&["status", &id]).await;
    assert!(story.contains("nobody knows, and it was held for a person"), "{story}");
}

#[tokio::test]
async fn what_twilio_never_took_is_sent_again_once_everything_speaks_against_it() {
    let system = system(json!({ "rules": [{ "fault": "error_500_before" }], "for_requests": 1 })).await;
    // Callbacks need a URL; here the test says when one has come. The search is long enough for all of that.
    let settings = [("FACTEUR_PUBLIC_URL", "http://127.0.0.1:9"), ("FACTEUR_UNCERTAIN_GRACE_S", "10")];
    let _worker = hasty_worker(&system, &settings).await;
    system.sql(CALLED_BACK).await;
    let id = system.publish("send.urgent", r#"{"to": "+33612000001", "body": "once"}"#).await;
    system.wait_until("SELECT count(*) FROM facteur.reconciliations", 1).await;
    system.publish("send.urgent", r#"{"to": "+33612000002", "body": "later"}"#).await;
    system.wait_until(SENT, 1).await;
    system.sql(CALLED_BACK).await;
    system.wait_until(SENT, 2).await;
    assert_eq!(system.jobs(&format!("id = '{id}' AND attempt = 2 AND failures = 0")).await, 1);
    let verdict = system.text("SELECT verdict FROM facteur.reconciliations").await;
    assert_eq!(verdict.as_deref(), Some("not_taken"));
    assert_eq!(system.simulator.stats().accepted, 2);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn texts_that_can_not_be_told_apart_are_held_also_where_the_policy_is_to_send_again() {
    let system = system(json!({ "rules": [{ "fault": "reply_lost" }], "for_requests": 2 })).await;
    let _worker = hasty_worker(&system, &[("FACTEUR_UNCERTAIN_POLICY", "resend")]).await;
    for _ in 0..2 {
        system.publish("send.urgent", r#"{"to": "+33612000001", "body": "the same"}"#).await;
    }
    system.wait_until_final(2).await;
    assert_eq!(system.jobs("status = 'dead' AND reason = 'uncertain' AND attempt = 1").await, 2);
    assert_eq!(system.simulator.stats().accepted, 2);
}

#[tokio::test]
async fn the_policy_to_send_again_sends_again_when_nothing_was_found() {
    let system = system(json!({ "rules": [{ "fault": "error_500_before" }], "for_requests": 1 })).await;
    let _worker = hasty_worker(&system, &[("FACTEUR_UNCERTAIN_POLICY", "otp=resend")]).await;
    system.publish("send.urgent", r#"{"to": "+33612000001", "body": "x", "category": "otp"}"#).await;
    system
        .wait_until(
            "SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'delivered') AND attempt = 2",
            1,
        )
        .await;
    assert_eq!(system.simulator.stats().accepted, 1);
}

/// The list fails while it is looked for: an absent page is not an absent message, whatever the policy is.
#[tokio::test]
async fn a_list_that_can_not_be_read_finds_nothing_and_proves_nothing() {
    let system = system(json!({
        "rules": [{ "fault": "reply_lost", "on": "create" }, { "fault": "unauthorized", "on": "all" }]
    }))
    .await;
    let worker = hasty_worker(&system, &[("FACTEUR_UNCERTAIN_POLICY", "resend")]).await;
    system.publish("send.urgent", r#"{"to": "+33612000001", "body": "once"}"#).await;
    worker.wait_for_line("list of messages can't be read", Duration::from_secs(60)).await;
    system.wait_until_final(1).await;
    assert_eq!(system.jobs("status = 'dead' AND reason = 'uncertain' AND attempt = 1").await, 1);
    assert_eq!(system.simulator.stats().accepted, 1);
}

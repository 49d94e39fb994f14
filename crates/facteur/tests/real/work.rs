use std::time::Duration;

use crate::system::{System, assert_discreet};
use twilio_sim::SimConfig;

const STOP_MAX: Duration = Duration::from_secs(45);

/// Calls that take a while, so that a kill finds some in the middle.
fn slow(milliseconds: u64) -> SimConfig {
    serde_json::from_value(serde_json::json!({ "faults": { "latency": { "fixed_ms": milliseconds } } }))
        .unwrap()
}

/// One permit, so that the order of the calls is the order in which the lane hands out.
#[tokio::test]
async fn a_tenant_of_weight_three_has_three_of_four_turns_also_with_a_single_permit() {
    // Slow enough for the broker to bring the next before the turn is over.
    let system = System::with(slow(100)).await;
    system.sql("INSERT INTO facteur.tenants (slug, weight) VALUES ('heavy', 3)").await;
    // The queue exists before the worker whose turns are counted.
    system.worker().await.terminate(STOP_MAX).await;
    for tenant in ["heavy", "light"] {
        for number in 0..30 {
            let body =
                format!(r#"{{"to": "+336120000{number:02}", "body": "{tenant}", "tenant": "{tenant}"}}"#);
            system.publish("send.normal", body).await;
        }
    }
    let _worker = system.worker_with(&[("FACTEUR_CONCURRENCY", "1")]).await;
    system.wait_until_final(60).await;
    let turns = system
        .text(
            "SELECT string_agg(left(j.tenant, 1), '' ORDER BY a.started_at) FROM facteur.attempts a \
             JOIN facteur.jobs j ON j.id = a.job_id",
        )
        .await
        .unwrap();
    let mixed = &turns[turns.find('l').unwrap()..];
    assert!(mixed.starts_with(&"lhhh".repeat(6)), "{turns}");
}

#[tokio::test]
async fn kill_9_in_the_middle_loses_nothing_and_doubles_nothing() {
    let system = System::with(slow(30)).await;
    let mut worker = system.worker().await;
    system.publish_many("send.normal", 400).await;
    system.wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", |sent| sent >= 100).await;
    worker.kill_9().await;
    system.wait_until_left_alone().await;
    // The leases run out: an hour later, as far as the database can tell.
    system.sql("UPDATE facteur.jobs SET due_at = clock_timestamp() WHERE status = 'sending'").await;
    let cut_off = system.jobs("status = 'sending'").await;
    let mut environment = system.environment();
    environment.push(("FACTEUR_UNCERTAIN_GRACE_S", "1".to_owned()));
    let next =
        facteur_testkit::process::Spawned::start(env!("CARGO_BIN_EXE_facteur"), &["worker"], &environment);
    system.wait_until_final(400).await;
    // What Twilio had taken was found there; of the rest nobody can know.
    let held = system.jobs("status = 'dead' AND reason = 'uncertain'").await;
    assert_eq!(system.jobs("status IN ('sent', 'delivered')").await + held, 400);
    assert!(held <= cut_off, "{held} of {cut_off}");
    assert_eq!(i64::try_from(system.simulator.stats().accepted).unwrap(), 400 - held);
    system.assert_nothing_doubled();
    assert_discreet(&next);
}

#[tokio::test]
async fn a_worker_that_is_frozen_past_its_leases_and_comes_back_doubles_nothing() {
    let system = System::with(slow(30)).await;
    let mut frozen = system.worker().await;
    system.publish_many("send.normal", 400).await;
    system.wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", |sent| sent >= 50).await;
    frozen.freeze();
    // The leases run out: an hour later, as far as the database can tell.
    system.sql("UPDATE facteur.jobs SET due_at = clock_timestamp() WHERE status = 'sending'").await;
    let _next = system.worker().await;
    system.wait_for("SELECT count(*) FROM facteur.reconciliations", |searched| searched > 0).await;
    frozen.thaw();
    // What it had claimed and not called, and does not call after so long, stays uncertain for the grace.
    let known =
        "SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'delivered', 'undelivered', 'uncertain')";
    system.wait_until(known, 400).await;
    assert_eq!(frozen.terminate(STOP_MAX).await.code(), Some(0));
    // What it knew when it came back is recorded; the rest is found in Twilio's list.
    let taken = i64::try_from(system.simulator.stats().accepted).unwrap();
    system
        .wait_until(
            "SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'delivered', 'undelivered')",
            taken,
        )
        .await;
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn sigterm_finishes_the_calls_leaves_nothing_uncertain_and_exits_with_0() {
    let system = System::with(slow(200)).await;
    let mut worker = system.worker().await;
    system.publish_many("send.normal", 300).await;
    system
        .wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sending'", |sending| sending >= 10)
        .await;
    let status = worker.terminate(STOP_MAX).await;
    assert_eq!(status.code(), Some(0), "{}", worker.lines().join("\n"));
    assert_eq!(system.jobs("status IN ('sending', 'uncertain', 'dead')").await, 0);
    let _next = system.worker().await;
    system.wait_until_final(300).await;
    assert_eq!(system.jobs("status = 'sent'").await, 300);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn two_workers_share_the_queues_and_copies_of_envelopes_change_nothing() {
    let system = System::new().await;
    let _workers = (system.worker().await, system.worker().await);
    let body = r#"{"to": "+33612000001", "body": "once"}"#;
    let id = uuid::Uuid::new_v4();
    let content = facteur_core::envelope::EnvelopeContent {
        body: body.into(),
        message_id: Some(id.to_string()),
        ..Default::default()
    };
    for _ in 0..20 {
        system.publish_content("send.urgent", content.clone()).await;
    }
    system.publish_many("send.urgent", 50).await;
    system.wait_until_final(51).await;
    assert_eq!(system.simulator.stats().accepted, 51);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn a_job_of_an_sql_transaction_leaves_when_it_commits_and_only_then() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let enqueue = |text: &str| {
        format!("SELECT facteur.enqueue('{{\"to\": \"+33612000001\", \"body\": \"{text}\"}}', 'urgent')")
    };
    system.sql(&format!("BEGIN; {}; ROLLBACK", enqueue("never"))).await;
    system.sql(&format!("BEGIN; {}; COMMIT", enqueue("now"))).await;
    system.wait_until_final(1).await;
    assert_eq!(system.text("SELECT text FROM facteur.messages").await.as_deref(), Some("now"));
    assert_eq!(system.text("SELECT lane FROM facteur.jobs").await.as_deref(), Some("urgent"));
    system.wait_until("SELECT count(*) FROM facteur.outbox", 0).await;
}

#[tokio::test]
async fn a_scheduled_message_waits_in_the_database_and_leaves_when_it_is_due() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let send_at = system.tomorrow().await;
    let body = format!(r#"{{"to": "+33612000001", "body": "x", "send_at": "{send_at}"}}"#);
    let id = system.publish("send.normal", body).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'scheduled'", 1).await;
    assert_eq!(system.simulator.stats().accepted, 0);
    // The instant comes, for the database and for the document that its wake-up is made from.
    system
        .sql(&format!(
            "UPDATE facteur.messages SET document = convert_to(replace(convert_from(document, 'UTF8'), '{send_at}', '2020-06-01T08:00:00Z'), 'UTF8') \
             WHERE id = '{id}'; UPDATE facteur.jobs SET not_before = clock_timestamp(), due_at = clock_timestamp()"
        ))
        .await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 1).await;
}

#[tokio::test]
async fn a_slow_sender_gives_way_and_everything_of_it_leaves_within_its_rate() {
    let system = System::new().await;
    system.sql("INSERT INTO facteur.senders (address, rate) VALUES ('+15005550006', 20)").await;
    let _worker = system.worker().await;
    system.publish_many("send.bulk", 120).await;
    system.wait_until_final(120).await;
    assert_eq!(system.jobs("status = 'sent' AND failures = 0").await, 120);
    let worst = system.worst_second().await;
    // The burst is one block of 50 ms, which is one message here; the jitter of timers is allowed the same.
    assert!(worst <= 22, "{worst} in one second");
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn marketing_that_asks_to_be_urgent_travels_in_bulk() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let body = r#"{"to": "+33612000001", "body": "x", "category": "marketing"}"#;
    system.publish("send.urgent", body).await;
    system.wait_until_final(1).await;
    assert_eq!(system.jobs("status = 'sent' AND lane = 'bulk' AND attempt = 1").await, 1);
}

#[tokio::test]
async fn an_urgent_message_leaves_while_a_bulk_is_still_waiting() {
    let system = System::with(slow(50)).await;
    // The queues exist before the worker that finds both lanes full.
    system.worker().await.terminate(STOP_MAX).await;
    system.publish_many("send.bulk", 2_000).await;
    let code = system.publish("send.urgent", r#"{"to": "+33613000001", "body": "4711"}"#).await;
    let _worker = system.worker().await;
    let sent = format!("SELECT count(*) FROM facteur.jobs WHERE id = '{code}' AND status = 'sent'");
    system.wait_until(&sent, 1).await;
    let before = format!(
        "SELECT count(*) FROM facteur.attempts WHERE started_at < (SELECT started_at FROM facteur.attempts WHERE job_id = '{code}')"
    );
    assert!(system.count(&before).await < 1_000);
}

#[tokio::test]
async fn two_workers_keep_one_senders_rate_together() {
    let system = System::new().await;
    system.sql("INSERT INTO facteur.senders (address, rate) VALUES ('+15005550006', 50)").await;
    let _workers = (system.worker().await, system.worker().await);
    system.publish_many("send.normal", 200).await;
    system.wait_until_final(200).await;
    assert_eq!(system.jobs("status = 'sent'").await, 200);
    let worst = system.worst_second().await;
    // For each worker: a message that began before the window, one that ends after it, and a block of 50 ms.
    assert!(worst <= 50 + 2 * (2 + 3), "{worst} in one second");
}

#[tokio::test]
async fn a_later_turn_leaves_from_the_sender_of_the_first_whatever_the_default_is_by_then() {
    let storm =
        serde_json::json!({ "faults": { "rules": [{ "fault": "throttle_storm" }], "for_requests": 1 } });
    let system = System::with(serde_json::from_value(storm).unwrap()).await;
    let mut first = system.worker().await;
    system.publish("send.normal", r#"{"to": "+33612000001", "body": "x"}"#).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE reason = 'throttled'", 1).await;
    first.terminate(STOP_MAX).await;
    system.sql("INSERT INTO facteur.senders (address, tenant) VALUES ('+15005559999', 'other')").await;
    let mut environment = system.environment();
    environment.push(("TWILIO_PHONE_NUMBER", "+15005559999".to_owned()));
    let binary = env!("CARGO_BIN_EXE_facteur");
    let _second = facteur_testkit::process::Spawned::start(binary, &["worker"], &environment);
    system.wait_until_final(1).await;
    assert_eq!(system.jobs("status = 'sent' AND attempt = 2").await, 1);
    let senders: Vec<String> = system.simulator.stats().window_max_per_sender.into_keys().collect();
    assert_eq!(senders, ["+15005550006"]);
}

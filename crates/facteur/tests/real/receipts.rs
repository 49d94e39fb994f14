//! Receipts that no callback brings.

use crate::system::{System, assert_discreet};
use twilio_sim::SimConfig;

#[tokio::test]
async fn messages_whose_callbacks_never_come_are_closed_by_asking() {
    let some_fail =
        serde_json::json!({ "progress": { "undelivered_per_mille": 300, "delivered": { "fixed_ms": 0 } } });
    let system = System::with(serde_json::from_value::<SimConfig>(some_fail).unwrap()).await;
    // The simulator's webhooks would go nowhere: this system has no public URL at all.
    let worker = system.worker_with(&[("FACTEUR_RECEIPT_POLL_FIRST_S", "1")]).await;
    system.publish_many("send.normal", 20).await;
    system
        .wait_until("SELECT count(*) FROM facteur.jobs WHERE status IN ('delivered', 'undelivered')", 20)
        .await;
    system.wait_until("SELECT count(*) FROM facteur.missing_receipts", 0).await;
    assert_eq!(
        system.jobs("status = 'undelivered' AND reason = 'not_delivered' AND sentence LIKE '%(3____)'").await,
        system.jobs("status = 'undelivered'").await
    );
    let heard = "SELECT count(DISTINCT job_id) FROM facteur.status_events WHERE source = 'poll'";
    assert_eq!(system.count(heard).await, 20);
    let id =
        system.text("SELECT id::text FROM facteur.jobs WHERE status = 'delivered' LIMIT 1").await.unwrap();
    let (code, printed) = system.command(&["status", &id]).await;
    assert_eq!(code, 0, "{printed}");
    assert!(printed.contains("receipt: Twilio says delivered (by poll, "), "{printed}");
    system.assert_nothing_doubled();
    assert_discreet(&worker);
}

#[tokio::test]
async fn messages_of_which_nobody_tells_the_end_time_out_and_stay_sent() {
    // An hour from `sent` to `delivered`; nobody waits longer than 432 s here, which passed, as far as the database
    // can tell.
    let slow = serde_json::json!({ "progress": { "delivered": { "fixed_ms": 3_600_000 } } });
    let system = System::with(serde_json::from_value::<SimConfig>(slow).unwrap()).await;
    let worker = system.worker_with(&[("FACTEUR_RECEIPT_POLL_FIRST_S", "1")]).await;
    system.publish_many("send.normal", 3).await;
    system.wait_until("SELECT count(*) FROM facteur.missing_receipts WHERE polls > 0", 3).await;
    system
        .sql(
            "UPDATE facteur.missing_receipts SET accepted_at = accepted_at - interval '500 seconds', \
             next_poll_at = clock_timestamp()",
        )
        .await;
    system
        .wait_until(
            "SELECT count(*) FROM facteur.jobs WHERE status = 'sent' AND reason = 'receipt_missing'",
            3,
        )
        .await;
    assert_eq!(system.count("SELECT count(*) FROM facteur.missing_receipts").await, 0);
    worker.wait_for_line("no receipt is awaited any more", std::time::Duration::from_secs(30)).await;
    let says = system.text("SELECT DISTINCT sentence FROM facteur.jobs").await;
    assert_eq!(says.as_deref(), Some("no receipt came within 432 s; Twilio says `sent`"));
    assert_discreet(&worker);
}

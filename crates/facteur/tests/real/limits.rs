use std::time::Duration;

use facteur_core::gcra::{Rate, burst};

use crate::system::System;

const SENDER: &str = "+15005550006";
const STOP_MAX: Duration = Duration::from_secs(45);
/// What the way from slot to call may differ by from one call to the next.
const JITTER: Duration = Duration::from_millis(20);

async fn with_rate(rate: &str) -> System {
    let system = System::new().await;
    system.sql(&format!("INSERT INTO facteur.senders (address, rate) VALUES ('{SENDER}', {rate})")).await;
    system
}

const IN_LINE: &str = "SELECT count(*) FROM facteur.jobs WHERE waits_for IS NOT NULL";

#[tokio::test]
async fn three_workers_keep_a_rate_together_and_a_displaced_campaign_leaves_in_line() {
    let system = with_rate("50").await;
    let _workers = (system.worker().await, system.worker().await, system.worker().await);
    system.publish_many("send.bulk", 600).await;
    system.wait_for(IN_LINE, |waiting| waiting > 100).await;
    system.wait_until_final(600).await;
    assert_eq!(system.jobs("status = 'sent' AND failures = 0 AND attempt = 1").await, 600);
    let worst = system.worst_second().await as f64;
    let allowed = 50.0 + burst(Rate::per_second(50.0).unwrap(), 1) + 50.0 * JITTER.as_secs_f64();
    assert!(worst <= allowed, "{worst} in one second, {allowed} allowed");
    assert_eq!(system.count(IN_LINE).await, 0);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn an_urgent_message_leaves_at_once_before_a_campaign_that_waits_for_the_same_sender() {
    let system = with_rate("2").await;
    let _worker = system.worker().await;
    system.publish_many("send.bulk", 500).await;
    system.wait_for(IN_LINE, |waiting| waiting > 400).await;
    let code = system.publish("send.urgent", r#"{"to": "+33613000001", "body": "4711"}"#).await;
    system
        .wait_until(&format!("SELECT count(*) FROM facteur.jobs WHERE id = '{code}' AND status = 'sent'"), 1)
        .await;
    assert!(system.count(IN_LINE).await > 350);
    // It took a slot at its first turn, and never stood in the line.
    assert_eq!(system.jobs(&format!("id = '{code}' AND turn = 0 AND attempt = 1")).await, 1);
}

#[tokio::test]
async fn one_tenants_slow_campaign_lets_another_tenants_messages_pass_in_the_same_lane() {
    let system = with_rate("1").await;
    let _worker = system.worker().await;
    system.publish_many("send.bulk", 500).await;
    for number in 0..20 {
        let body = format!(
            r#"{{"to": "+336130000{number:02}", "body": "x", "tenant": "other", "from": "+15005550009"}}"#
        );
        system.publish("send.bulk", body).await;
    }
    system
        .wait_until("SELECT count(*) FROM facteur.jobs WHERE tenant = 'other' AND status = 'sent'", 20)
        .await;
    assert!(system.jobs("tenant <> 'other' AND status = 'sent'").await < 100);
}

#[tokio::test]
async fn a_rate_that_is_raised_or_removed_acts_on_the_line_at_once() {
    let system = with_rate("0.001").await;
    let _worker = system.worker().await;
    system.publish_many("send.normal", 60).await;
    system.wait_until(IN_LINE, 59).await;
    system.sql("UPDATE facteur.senders SET rate = 10").await;
    system.wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", |sent| sent >= 5).await;
    system.sql("UPDATE facteur.senders SET rate = NULL").await;
    system.wait_until_final(60).await;
    assert_eq!(system.jobs("status = 'sent'").await, 60);
}

#[tokio::test]
async fn a_worker_that_stops_puts_back_what_it_had_pulled() {
    let system = with_rate("20").await;
    let mut worker = system.worker().await;
    system.publish_many("send.bulk", 200).await;
    system.wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", |sent| sent >= 10).await;
    let status = worker.terminate(STOP_MAX).await;
    assert_eq!(status.code(), Some(0), "{}", worker.lines().join("\n"));
    // What had a slot at its first turn is left to the next worker as the envelope that it is.
    let astray = "status = 'sending' OR (status = 'waiting' AND waits_for IS NULL AND turn > 0)";
    assert_eq!(system.jobs(astray).await, 0);
    system.sql("UPDATE facteur.senders SET rate = 200").await;
    let _next = system.worker().await;
    system.wait_until_final(200).await;
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn postgres_away_for_a_while_delays_the_line_and_loses_nothing_of_it() {
    let system = with_rate("40").await;
    let _worker = system.worker().await;
    system.publish_many("send.normal", 200).await;
    system.wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", |sent| sent >= 20).await;
    system.database_proxy.cut().await;
    system.database_proxy.heal().await;
    // What was pulled when the connections broke, perhaps a moment after, is woken by the sweep a minute later. Here each
    // look makes due what was pulled five seconds ago and is still not claimed.
    let woken = "WITH woken AS (UPDATE facteur.jobs SET due_at = clock_timestamp() \
                     WHERE status = 'waiting' AND waits_for IS NULL AND due_at > clock_timestamp() \
                     AND due_at < clock_timestamp() + interval '55 seconds') \
                 SELECT count(*) FROM facteur.jobs WHERE status = 'sent'";
    system.wait_until(woken, 200).await;
    assert_eq!(system.jobs("status = 'sent'").await, 200);
    system.assert_nothing_doubled();
}

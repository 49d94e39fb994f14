use crate::system::{System, assert_discreet};

#[tokio::test]
async fn a_cut_broker_connection_costs_nothing() {
    let system = System::new().await;
    let worker = system.worker().await;
    system.publish_many("send.normal", 100).await;
    system.wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", |sent| sent >= 20).await;
    system.broker_proxy.cut().await;
    system.publish_many("send.bulk", 100).await;
    system.broker_proxy.heal().await;
    system.wait_until_final(200).await;
    assert_eq!(system.jobs("status = 'sent'").await, 200);
    assert_eq!(system.simulator.stats().accepted, 200);
    assert_discreet(&worker);
}

#[tokio::test]
async fn a_database_that_is_away_stops_claims_and_loses_no_outcome() {
    let system = System::new().await;
    let worker = system.worker().await;
    system.publish_many("send.normal", 300).await;
    system.wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", |sent| sent >= 30).await;
    system.database_proxy.cut().await;
    worker.wait_for_line("can't be renewed", std::time::Duration::from_secs(30)).await;
    system.database_proxy.heal().await;
    system.wait_until_final(300).await;
    assert_eq!(system.jobs("status = 'sent'").await, 300);
    system.assert_nothing_doubled();
    assert_discreet(&worker);
}

#[tokio::test]
async fn a_throttle_storm_is_waited_out_and_counts_as_nobodys_failure() {
    let storm =
        serde_json::json!({ "faults": { "rules": [{ "fault": "throttle_storm" }], "for_requests": 40 } });
    let system = System::with(serde_json::from_value(storm).unwrap()).await;
    let _worker = system.worker().await;
    system.publish_many("send.urgent", 20).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 20).await;
    assert_eq!(system.jobs("failures > 0").await, 0);
    assert!(system.count("SELECT count(*) FROM facteur.attempts WHERE outcome = 'throttled'").await >= 20);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn sigterm_while_the_database_is_away_gives_up_in_time_and_loses_nothing() {
    let system = System::new().await;
    let mut worker = system.worker().await;
    system.database_proxy.cut().await;
    system.publish_many("send.normal", 20).await;
    worker.wait_for_line("can't be renewed", std::time::Duration::from_secs(30)).await;
    let status = worker.terminate(std::time::Duration::from_secs(100)).await;
    assert_eq!(status.code(), Some(0), "{}", worker.lines().join("\n"));
    system.database_proxy.heal().await;
    let _next = system.worker().await;
    system.wait_until_final(20).await;
    assert_eq!(system.jobs("status = 'sent'").await, 20);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn an_outage_that_outlives_the_leases_costs_no_dead_letter() {
    let slow = serde_json::json!({ "faults": { "latency": { "fixed_ms": 700 } } });
    let system = System::with(serde_json::from_value(slow).unwrap()).await;
    let worker = system.worker().await;
    system.publish_many("send.normal", 40).await;
    system
        .wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sending'", |sending| sending >= 10)
        .await;
    system.database_proxy.cut().await;
    // So long that records wait seconds between two tries, while sweeps are tried twice a second.
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(100));
    while worker.lines().iter().filter(|line| line.contains("the sweep failed")).count() < 16 {
        looks.tick().await;
    }
    // A minute later, as far as the database can tell.
    system.sql("UPDATE facteur.jobs SET due_at = clock_timestamp() WHERE status = 'sending'").await;
    system.database_proxy.heal().await;
    system.wait_until_final(40).await;
    assert_eq!(system.jobs("status = 'sent'").await, 40);
    assert_eq!(system.count("SELECT count(*) FROM facteur.dead_letters").await, 0);
    system.assert_nothing_doubled();
}

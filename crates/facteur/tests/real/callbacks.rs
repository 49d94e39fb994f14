use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use facteur_testkit::process::Spawned;
use serde_json::{Value, json};

use crate::system::{System, assert_discreet};

const PATIENCE: Duration = Duration::from_secs(60);
const DELIVERED: &str = "SELECT count(*) FROM facteur.jobs WHERE status = 'delivered'";

/// A simulator that delivers at once, with these faults.
pub(crate) async fn system(faults: Value) -> System {
    let at_once = json!({ "fixed_ms": 0 });
    let progress = json!({ "queued": at_once, "sending": at_once, "sent": at_once, "delivered": at_once, "read": at_once });
    let simulator = json!({ "faults": faults, "progress": progress });
    System::with(serde_json::from_value(simulator).unwrap()).await
}

/// The environment in which Twilio calls us on a port of its own.
pub(crate) fn called_back(system: &System) -> Vec<(&'static str, String)> {
    let [port] = facteur_testkit::free_ports().unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut environment = system.environment();
    environment.retain(|(name, _)| *name != "FACTEUR_LISTEN");
    environment.push(("FACTEUR_LISTEN", address.to_string()));
    environment.push(("FACTEUR_PUBLIC_URL", format!("http://{address}")));
    environment
}

pub(crate) async fn start(command: &str, environment: &[(&'static str, String)], until: &str) -> Spawned {
    let process = Spawned::start(env!("CARGO_BIN_EXE_facteur"), &[command], environment);
    process.wait_for_line(until, PATIENCE).await;
    process
}

#[tokio::test]
async fn messages_end_delivered_through_signed_callbacks_that_are_late_doubled_and_out_of_order() {
    let system = system(json!({ "callbacks": {
        "late": { "probability": 0.3, "delay": { "uniform_ms": [0, 500] } },
        "duplicated": { "probability": 0.3, "delay": { "fixed_ms": 100 } },
        "out_of_order": { "probability": 0.5 },
    } }))
    .await;
    let mut up = start("up", &called_back(&system), "taking webhooks").await;
    system.publish_many("send.normal", 200).await;
    system.wait_until(DELIVERED, 200).await;
    system.assert_nothing_doubled();
    let faults = system.simulator.stats().faults_injected;
    for fault in ["callbacks_late", "callbacks_duplicated", "callbacks_out_of_order"] {
        assert!(faults.get(fault).is_some_and(|count| *count > 0), "{faults:?}");
    }
    assert_eq!(system.count("SELECT count(*) FROM facteur.webhook_quarantine").await, 0);
    assert_eq!(system.count("SELECT count(*) FROM facteur.webhook_proofs").await, 1);
    assert_eq!(up.terminate(PATIENCE).await.code(), Some(0), "{}", up.lines().join("\n"));
    assert_discreet(&up);
}

#[tokio::test]
async fn a_callback_proves_what_a_lost_reply_left_open() {
    let system = system(json!({ "rules": [{ "fault": "reply_lost" }], "for_requests": 5 })).await;
    let _up = start("up", &called_back(&system), "taking webhooks").await;
    system.publish_many("send.urgent", 20).await;
    system.wait_until(DELIVERED, 20).await;
    assert_eq!(system.count("SELECT count(*) FROM facteur.dead_letters WHERE state = 'open'").await, 0);
    assert_eq!(system.simulator.stats().accepted, 20);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn a_worker_and_a_web_process_know_each_other_by_the_database_alone() {
    let system = system(json!({})).await;
    let environment = called_back(&system);
    let mut web = start("web", &environment, "taking webhooks").await;
    let _worker = start("worker", &environment, "working").await;
    system.publish_many("send.normal", 50).await;
    system.wait_until(DELIVERED, 50).await;
    assert_eq!(web.terminate(PATIENCE).await.code(), Some(0), "{}", web.lines().join("\n"));
    assert_discreet(&web);
}

#[tokio::test]
async fn callbacks_of_an_outage_of_the_database_are_applied_after_it() {
    let system = system(json!({ "callbacks": { "late": { "delay": { "fixed_ms": 5000 } } } })).await;
    let environment = called_back(&system);
    let up = start("up", &environment, "taking webhooks").await;
    system.publish_many("send.normal", 50).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'delivered')", 50).await;
    system.database_proxy.cut().await;
    up.wait_for_line("the database can't answer", PATIENCE).await;
    system.database_proxy.heal().await;
    system.wait_until(DELIVERED, 50).await;
    assert_discreet(&up);
}

use std::time::Duration;

use facteur_testkit::process::Spawned;

use crate::system::System;

#[tokio::test]
async fn send_prints_the_sid_status_tells_the_story_and_doctor_is_content() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let (code, sent) =
        system.command(&["send", "--to", "06 12 34 56 78", "--body", "Bonjour", "--wait", "--json"]).await;
    assert_eq!(code, 0, "{sent}");
    let sent: serde_json::Value = serde_json::from_str(sent.trim()).unwrap();
    assert!(sent["sid"].as_str().is_some_and(|sid| sid.starts_with("SM")), "{sent}");
    let (code, story) = system.command(&["status", sent["id"].as_str().unwrap()]).await;
    assert_eq!(code, 0, "{story}");
    assert!(story.contains("accepted") && story.contains(sent["sid"].as_str().unwrap()), "{story}");
    assert!(!story.contains("612345678"), "the number is masked: {story}");
    let (code, report) = system.command(&["doctor"]).await;
    assert_eq!(code, 0, "{report}");
    let (code, unknown) = system.command(&["status", "00000000-0000-0000-0000-000000000001"]).await;
    assert_eq!(code, 4, "{unknown}");
}

#[tokio::test]
async fn a_dead_letter_is_requeued_only_when_it_is_meant() {
    let system = System::new().await;
    let _worker = system.worker().await;
    // Twilio's magic number for a destination that the account has not enabled.
    let id = system.publish("send.urgent", r#"{"to": "+15005550003", "body": "x"}"#).await.to_string();
    system.wait_until("SELECT count(*) FROM facteur.dead_letters WHERE state = 'open'", 1).await;
    let (code, listed) = system.command(&["dead", "list"]).await;
    assert!(code == 0 && listed.contains("destination_disabled"), "{listed}");
    let requeue = ["dead", "requeue", &id, "--reason", "enabled now"];
    let (code, dry) = system.command(&requeue).await;
    assert_eq!(code, 0, "{dry}");
    assert_eq!(system.count("SELECT count(*) FROM facteur.requeues").await, 0, "only shown: {dry}");
    let (code, done) = system.command(&[&requeue[..], &["--yes"]].concat()).await;
    assert_eq!(code, 0, "{done}");
    system.wait_until("SELECT count(*) FROM facteur.attempts", 2).await;
    system.wait_until("SELECT count(*) FROM facteur.dead_letters WHERE state = 'open'", 1).await;
    assert_eq!(system.count("SELECT count(*) FROM facteur.dead_letters WHERE state = 'requeued'").await, 1);
}

#[tokio::test]
async fn an_envelope_that_went_astray_can_be_sent_back_to_work() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let id = system.publish("send.slowly", r#"{"to": "+33612000001", "body": "x"}"#).await.to_string();
    system.wait_until("SELECT count(*) FROM facteur.dead_letters WHERE code = 'unroutable'", 1).await;
    let (_, story) = system.command(&["status", &id]).await;
    assert!(story.contains("unroutable"), "{story}");
    let (code, done) =
        system.command(&["dead", "requeue", &id, "--reason", "the key was wrong", "--yes"]).await;
    assert_eq!(code, 0, "{done}");
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 1).await;
}

#[tokio::test]
async fn a_worker_without_broker_or_database_says_so_and_starts_to_work_when_they_come() {
    let system = System::new().await;
    system.broker_proxy.cut().await;
    system.database_proxy.cut().await;
    let worker = Spawned::start(env!("CARGO_BIN_EXE_facteur"), &["worker"], &system.environment());
    let patience = Duration::from_secs(30);
    worker.wait_for_line("the database is not there yet", patience).await;
    let (code, report) = system.command(&["doctor"]).await;
    assert_eq!(code, 3, "{report}");
    system.database_proxy.heal().await;
    worker.wait_for_line("can't connect", patience).await;
    system.broker_proxy.heal().await;
    system.publish_many("send.urgent", 3).await;
    system.wait_until_final(3).await;
}

#[tokio::test]
async fn what_a_fresh_process_serves_under_metrics_is_what_the_documentation_lists() {
    let system = System::new().await;
    let up = system.process("up", &[("FACTEUR_LISTEN", "127.0.0.1:0")]);
    up.wait_for_line("working", Duration::from_secs(30)).await;
    let line = up.wait_for_line("serving /metrics", Duration::from_secs(10)).await;
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let served = scrape(address).await;
    let names: std::collections::BTreeSet<_> =
        served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let documented: std::collections::BTreeSet<_> = include_str!("../../../../docs/metrics.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    // A histogram has no series before its first value.
    let is_histogram =
        |name: &&&str| name.ends_with("_seconds") && !name.contains("since") && !name.contains("oldest");
    let missing: Vec<_> = documented.difference(&names).filter(|name| !is_histogram(name)).collect();
    let unknown: Vec<_> = names.difference(&documented).collect();
    assert!(missing.is_empty() && unknown.is_empty(), "missing {missing:?}, undocumented {unknown:?}");
}

async fn scrape(address: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

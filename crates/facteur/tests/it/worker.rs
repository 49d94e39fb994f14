//! The worker as a process: ready, at work, stopped softly, stopped at once.

use std::time::Duration;

use facteur_testkit::process::Spawned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use twilio_sim::{Sim, SimConfig, SimHandle};

use crate::services::Services;

/// Far more than any step takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn start(services: &Services, command: &str) -> Spawned {
    Spawned::start(env!("CARGO_BIN_EXE_facteur"), &[command], &services.environment())
}

async fn simulator(services: &mut Services) -> SimHandle {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = Sim::start(SimConfig::default(), listener);
    simulator.url().clone_into(&mut services.twilio);
    simulator
}

/// The address that the worker said it serves.
async fn address(worker: &Spawned) -> String {
    let line = worker.wait_for_line("serving /metrics", PATIENCE).await;
    let (_, address) = line.split_once("address=").unwrap();
    address.split_whitespace().next().unwrap().to_owned()
}

async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn up_sends_what_is_published_and_stops_softly() {
    let mut services = Services::start().await;
    let simulator = simulator(&mut services).await;
    let mut worker = start(&services, "up");
    let address = address(&worker).await;
    let sent = services.json(&["send", "--to", "+33612345678", "--body", "Bonjour", "--wait=60"], 0).await;
    assert_eq!(sent["status"], "sent", "{sent}");
    assert!(sent["sid"].as_str().unwrap().starts_with("SM"), "{sent}");
    let told = services.json(&["status", sent["id"].as_str().unwrap()], 0).await;
    assert_eq!((&told["sid"], &told["attempts"][0]["outcome"]), (&sent["sid"], &"accepted".into()));
    assert!(!told.to_string().contains("612345678"), "{told}");
    assert!(get(&address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/metrics").await.contains("facteur_attempts_total{"));
    assert_eq!(worker.terminate(PATIENCE).await.code(), Some(0));
    assert_eq!(simulator.stats().accepted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_twilio_refuses_makes_send_fail_with_the_reason() {
    let mut services = Services::start().await;
    let _simulator = simulator(&mut services).await;
    let _worker = start(&services, "worker");
    let line = ["send", "--to", "+15005550001", "--body", "Bonjour", "--wait=60"];
    let sent = services.json(&line, 1).await;
    assert_eq!(sent["status"], "failed", "{sent}");
    assert!(sent["reason"].as_str().unwrap().starts_with("refused"), "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() {
    let mut services = Services::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    services.twilio = format!("http://{}", silent.local_addr().unwrap());
    let mut worker = start(&services, "worker");
    services.json(&["send", "--to", "+33612345678", "--body", "Bonjour"], 0).await;
    // A call is in flight now, and will not be answered.
    let _call = silent.accept().await.unwrap();
    let pid = worker.pid().unwrap();
    terminate(pid);
    worker.wait_for_line("a second signal ends at once", PATIENCE).await;
    assert_eq!(worker.terminate(PATIENCE).await.code(), Some(143));
}

/// Sends the first SIGTERM without waiting for the end.
fn terminate(pid: u32) {
    let sent = std::process::Command::new("kill").args(["-TERM", &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_ends_the_worker_with_a_clear_line() {
    let services = Services::start().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let set = format!("telemetry.metrics_listen={}", taken.local_addr().unwrap());
    let arguments = ["worker", "--set", &set];
    let mut worker = Spawned::start(env!("CARGO_BIN_EXE_facteur"), &arguments, &services.environment());
    assert_eq!(worker.wait(PATIENCE).await.code(), Some(1));
    worker.wait_for_line("is in use by another process: set FACTEUR_METRICS_LISTEN", PATIENCE).await;
}

//! The HTTP API through the real binary: what is handed in leaves, whatever is away meanwhile.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use facteur_testkit::process::Spawned;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::system::{System, assert_discreet};

const PATIENCE: Duration = Duration::from_secs(60);

struct Api {
    address: SocketAddr,
    environment: Vec<(&'static str, String)>,
    key: String,
}

impl Api {
    /// An address of its own, and a key that sends for the default tenant.
    async fn new(system: &System) -> Self {
        let key = system.sender_key().await;
        let [port] = facteur_testkit::free_ports().unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut environment = system.environment();
        environment.retain(|(name, _)| *name != "FACTEUR_LISTEN");
        environment.push(("FACTEUR_LISTEN", address.to_string()));
        Self { address, environment, key }
    }

    async fn start(&self, command: &str, until: &str) -> Spawned {
        let process = Spawned::start(env!("CARGO_BIN_EXE_facteur"), &[command], &self.environment);
        process.wait_for_line(until, PATIENCE).await;
        process
    }

    async fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n{headers}\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

#[tokio::test]
async fn what_is_handed_in_is_sent_once_and_tells_its_sid() {
    let system = System::new().await;
    let api = Api::new(&system).await;
    let up = api.start("up", "taking webhooks").await;
    let message = json!({"to": "0612345678", "body": "Bonjour"}).to_string();
    let (status, told) = api.ask("POST", "/v1/messages", "Prefer: wait=30\r\n", &message).await;
    assert_eq!(status, 200, "{told}");
    let sid = told["sid"].as_str().unwrap();
    let (status, read) = api.ask("GET", &format!("/v1/messages/{sid}"), "", "").await;
    assert_eq!(
        (status, &read["id"], &read["tried"][0]["outcome"]),
        (200, &told["id"], &json!("accepted")),
        "{read}"
    );
    let many: Vec<Value> =
        (0..200).map(|n| json!({"to": format!("+336123{n:05}"), "body": "Bonjour"})).collect();
    let (status, told) = api.ask("POST", "/v1/messages", "", &json!({"messages": many}).to_string()).await;
    assert_eq!((status, &told["accepted"]), (202, &json!(200)), "{told}");
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'delivered')", 201).await;
    system.assert_nothing_doubled();
    assert_eq!(system.simulator.stats().accepted, 201);
    assert_discreet(&up);
}

#[tokio::test]
async fn accepted_means_committed_also_while_the_broker_is_away() {
    let system = System::new().await;
    let api = Api::new(&system).await;
    let _worker = system.worker().await;
    let web = api.start("web", "taking webhooks").await;
    system.broker_proxy.cut().await;
    let message = |n| json!({"to": format!("+336123456{n:02}"), "body": "Bonjour"}).to_string();
    for number in 0..20 {
        let (status, told) = api.ask("POST", "/v1/messages", "", &message(number)).await;
        assert_eq!((status, &told["status"]), (202, &json!("waiting")), "{told}");
    }
    assert_eq!(system.count("SELECT count(*) FROM facteur.outbox WHERE relay = 'normal'").await, 20);
    system.broker_proxy.heal().await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'delivered')", 20).await;
    system.assert_nothing_doubled();
    assert_discreet(&web);
}

#[tokio::test]
async fn a_message_that_is_cancelled_before_a_worker_comes_never_leaves_and_a_scheduled_one_leaves_when_it_is_due()
 {
    let system = System::new().await;
    let api = Api::new(&system).await;
    let _web = api.start("web", "taking webhooks").await;
    let message = |body: &str| json!({"to": "+33612345678", "body": body}).to_string();
    let (_, first) = api.ask("POST", "/v1/messages", "", &message("one")).await;
    let path = format!("/v1/messages/{}", first["id"].as_str().unwrap());
    assert_eq!(api.ask("DELETE", &path, "", "").await.0, 200);
    let send_at = system.tomorrow().await;
    let later = json!({"to": "+33612345679", "body": "later", "send_at": send_at}).to_string();
    assert_eq!(api.ask("POST", "/v1/messages", "", &later).await.1["status"], json!("scheduled"));
    let _worker = system.worker().await;
    api.ask("POST", "/v1/messages", "", &message("two")).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'delivered')", 1).await;
    assert_eq!((system.simulator.stats().accepted, system.jobs("status = 'canceled'").await), (1, 1));
    // A day later, as far as the sweep can tell; its document still says tomorrow, so it is put off once more.
    system.sql("UPDATE facteur.jobs SET due_at = now(), not_before = now() WHERE status = 'scheduled'").await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'scheduled' AND turn > 1", 1).await;
}

#[tokio::test]
async fn two_web_processes_are_as_one_for_keys_waits_and_what_was_accepted() {
    let system = System::new().await;
    let both = [Api::new(&system).await, Api::new(&system).await];
    let _webs =
        (both[0].start("web", "taking webhooks").await, both[1].start("web", "taking webhooks").await);
    let message = json!({"to": "0612345678", "body": "Bonjour"}).to_string();
    let asks =
        (0..20).map(|nth| both[nth % 2].ask("POST", "/v1/messages", "Idempotency-Key: one\r\n", &message));
    let told = futures_util::future::join_all(asks).await;
    let id = &told[0].1["id"];
    assert!(told.iter().all(|(status, one)| *status == 202 && one["id"] == *id), "{told:?}");
    assert_eq!(system.count("SELECT count(*) FROM facteur.jobs").await, 1);
    // Who waits at one process hears of what any other did.
    let _worker = system.worker().await;
    let later = json!({"to": "0612345679", "body": "Bonjour"}).to_string();
    for api in &both {
        let (status, told) = api.ask("POST", "/v1/messages", "Prefer: wait=30\r\n", &later).await;
        assert!(status == 200 && told["sid"].is_string(), "{status} {told}");
    }
    system.wait_until_final(3).await;
    let path = format!("/v1/messages/{}", id.as_str().unwrap());
    assert_eq!(both[1].ask("GET", &path, "", "").await.1["status"], json!("sent"));
    assert_eq!(system.simulator.stats().accepted, 3);
}

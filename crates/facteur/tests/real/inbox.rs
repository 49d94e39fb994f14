use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::callbacks::{called_back, start, system};
use crate::system::{System, assert_discreet};

const CONTACT: &str = "+33612000001";
const OURS: &str = "+15005550006";

/// A web process, asked with a key.
struct Api {
    address: String,
    key: String,
}

impl Api {
    async fn new(system: &System, environment: &[(&'static str, String)]) -> Self {
        let address = environment.iter().find(|(name, _)| *name == "FACTEUR_LISTEN").unwrap().1.clone();
        let key = system.sender_key().await;
        Self { address, key }
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        exchange(&self.address, method, path, &self.key, body).await
    }
}

/// One exchange of JSON; anything but 200 fails.
async fn exchange(address: &str, method: &str, path: &str, key: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{method} {path}: {answer}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{method} {path}: {error}: {answer}"))
}

/// The contact writes to us, through Twilio.
async fn writes(system: &System, api: &Api, text: &str) {
    let simulator = system.simulator.url().trim_start_matches("http://").to_owned();
    let url = format!("http://{}/inbox/webhooks/sms#rc=5&rp=all", api.address);
    let inbound = json!({"from": CONTACT, "to": OURS, "body": text, "url": url});
    let answer = exchange(&simulator, "POST", "/_sim/inbound", "", &inbound).await;
    assert_eq!(
        (&answer["status"], &answer["content_type"]),
        (&json!(200), &json!("text/xml; charset=utf-8"))
    );
}

#[tokio::test]
async fn who_writes_to_us_is_answered_and_who_writes_stop_is_left_in_peace_on_every_path() {
    let system = system(json!({})).await;
    let environment = called_back(&system);
    let up = start("up", &environment, "taking webhooks").await;
    let api = Api::new(&system, &environment).await;
    writes(&system, &api, "SECRET question").await;
    let listed = api.ask("GET", "/inbox/conversations", &Value::Null).await;
    let one = format!("/inbox/conversations/{}", listed[0]["id"].as_str().unwrap());
    let replies = format!("{one}/messages");
    let reply = api.ask("POST", &replies, &json!({"content": "SECRET answer"})).await;
    assert_eq!(reply["status"], "pending");
    let delivered = "SELECT count(*) FROM facteur.jobs WHERE status = 'delivered'";
    system.wait_until(delivered, 1).await;
    let read = api.ask("GET", &one, &Value::Null).await;
    let last = &read["messages"][1];
    assert_eq!(
        (&last["status"], &read["status"]),
        (&json!("delivered"), &json!("waiting_for_them")),
        "{read}"
    );
    assert!(last["external_id"].as_str().is_some_and(|sid| sid.starts_with("SM")), "{read}");

    writes(&system, &api, "Arrêt").await;
    api.ask("POST", &replies, &json!({"content": "SECRET still there?"})).await;
    for lane in ["urgent", "normal", "bulk"] {
        let body = format!("{{\"to\": \"{CONTACT}\", \"body\": \"SECRET {lane}\"}}");
        system.publish(&format!("send.{lane}"), body).await;
    }
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'suppressed'", 4).await;
    assert_eq!(system.simulator.stats().accepted, 1);
    assert_eq!(system.count("SELECT count(*) FROM facteur.attempts").await, 1);
    let read = api.ask("GET", &one, &Value::Null).await;
    assert_eq!(
        (&read["is_opted_out"], &read["messages"][3]["status"]),
        (&json!(true), &json!("failed")),
        "{read}"
    );

    writes(&system, &api, "START").await;
    api.ask("POST", &replies, &json!({"content": "SECRET welcome back"})).await;
    system.wait_until(delivered, 2).await;
    assert_discreet(&up);
}

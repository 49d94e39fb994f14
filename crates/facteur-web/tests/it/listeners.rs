//! Who listens to a bulk listens as long as it may, and as long as the process runs.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::lab::Lab;

const PATIENCE: Duration = Duration::from_secs(30);

async fn bulk(lab: &Lab, key: &str) -> String {
    let body = json!({"body": "x", "recipients": [{"to": "+33612345678"}]});
    let answer = lab.api("POST", "/v1/bulks", key, &body).await;
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

/// A listener that has heard its first event.
async fn listen(lab: &Lab, key: &str, id: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(lab.address).await.unwrap();
    let request = format!(
        "GET /v1/bulks/{id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while !line.starts_with("data:") {
        line.clear();
        assert_ne!(stream.read_line(&mut line).await.unwrap(), 0, "no event came");
    }
    stream
}

/// Waits until the stream ends by itself.
async fn ends(mut stream: BufReader<TcpStream>) {
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "still open after {PATIENCE:?}");
}

#[tokio::test]
async fn a_listener_hears_nothing_more_once_its_key_is_revoked() {
    let lab = Lab::start().await;
    let (key, admin) = (lab.key("sender", Some("acme")).await, lab.key("admin", Some("acme")).await);
    let id = bulk(&lab, &key).await;
    let stream = listen(&lab, &key, &id).await;
    let other = listen(&lab, &admin, &id).await;
    let keys = lab.api("GET", "/v1/keys", &admin, &Value::Null).await.json();
    let of = keys["data"].as_array().unwrap().iter().find(|of| of["role"] == "sender").unwrap();
    let path = format!("/v1/keys/{}", of["id"].as_str().unwrap());
    assert_eq!(lab.api("DELETE", &path, &admin, &Value::Null).await.status, 204);
    ends(stream).await;
    // The others go on.
    lab.sql(&format!("UPDATE facteur.bulks SET name = 'June' WHERE id = '{id}'")).await;
    let mut other = other;
    let mut line = String::new();
    while !line.contains("June") {
        line.clear();
        assert_ne!(other.read_line(&mut line).await.unwrap(), 0, "the other stream has ended too");
    }
}

#[tokio::test]
async fn a_stop_waits_for_no_listener() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let id = bulk(&lab, &key).await;
    let stream = listen(&lab, &key, &id).await;
    lab.stop.cancel();
    // To its end, which a stream that is cut does not have.
    let mut text = String::new();
    let mut stream = stream;
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    assert!(text.ends_with("0\r\n\r\n"), "{text:?}");
    tokio::time::timeout(PATIENCE, lab.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn one_tenants_listeners_leave_room_for_anothers() {
    let lab = Lab::start().await;
    let (key, other) = (lab.key("sender", Some("acme")).await, lab.key("sender", Some("other")).await);
    let (id, of_other) = (bulk(&lab, &key).await, bulk(&lab, &other).await);
    let mut all = Vec::new();
    for _ in 0..64 {
        all.push(listen(&lab, &key, &id).await);
    }
    let refused = lab.api("GET", &format!("/v1/bulks/{id}/events"), &key, &Value::Null).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "too_many_listeners"), "{refused:?}");
    listen(&lab, &other, &of_other).await;
}

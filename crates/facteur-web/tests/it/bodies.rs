use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::lab::{Answer, Lab};

const PATH: &str = "/v1/messages";

/// A message in so many bytes.
fn padded(bytes: usize) -> String {
    let message = json!({"to": "+33612345678", "message": "Bonjour Jean"}).to_string();
    format!("{message}{}", " ".repeat(bytes - message.len()))
}

async fn send(lab: &Lab, key: &str, bytes: usize) -> Answer {
    lab.json(PATH, key, "", &padded(bytes).replace("message", "body")).await
}

#[tokio::test]
async fn a_tenant_with_many_large_bodies_holds_up_its_own_large_ones_and_nobody_else() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let admin = lab.key("admin", Some("acme")).await;
    let stranger = lab.key("sender", Some("other")).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(lab.address).await.unwrap();
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{{",
            4 * 1024 * 1024
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    let refused = loop {
        let answer = send(&lab, &key, 100_000).await;
        if answer.status != 202 {
            break answer;
        }
        looks.tick().await;
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"), "{}", refused.body);
    assert!(refused.head.to_lowercase().contains("retry-after: 1"), "{}", refused.head);
    let of_family = lab.json("/api/sms/send", &admin, "", &padded(100_000)).await;
    assert_eq!((of_family.status, of_family.code().as_str()), (503, "overloaded"), "{}", of_family.body);
    assert_eq!(of_family.json()["success"], json!(false), "in the family's own shape");
    assert_eq!(send(&lab, &key, 1_000).await.status, 202, "a small one asks for no room");
    assert_eq!(lab.json("/api/sms/send", &admin, "", &padded(1_000)).await.status, 200);
    assert_eq!(send(&lab, &stranger, 100_000).await.status, 202, "another tenant has its own share");
    drop(slow);
    while send(&lab, &key, 100_000).await.status != 202 {
        looks.tick().await;
    }
}

#[tokio::test]
async fn a_large_body_in_chunks_is_read_as_one_that_says_its_length() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let ask = async |bytes: usize| {
        let body = padded(bytes).replace("message", "body");
        let half = body.len() / 2;
        let (first, second) = body.split_at(half);
        lab.raw(&format!(
            "POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             {:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        ))
        .await
    };
    for bytes in [1_000, 100_000, 4_000_000] {
        assert_eq!(ask(bytes).await.status, 202, "{bytes}");
    }
    assert_eq!(ask(4 * 1024 * 1024 + 100).await.status, 413);
}

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::lab::{Callback, Lab, PATH, sid};

const PATIENCE: Duration = Duration::from_secs(40);

#[tokio::test]
async fn other_routes_and_methods_are_told_in_json() {
    let lab = Lab::start().await;
    let rows = [
        ("GET", "/v2/messages", 404, "not_found"),
        ("POST", "/twilio/webhook", 404, "not_found"),
        ("POST", "/twilio/webhook/status//", 404, "not_found"),
        ("GET", PATH, 405, "method_not_allowed"),
        ("DELETE", PATH, 405, "method_not_allowed"),
    ];
    for (method, path, status, code) in rows {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let answer = lab.raw(&request).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{method} {path}: {answer:?}");
        assert!(answer.body.starts_with(r#"{"error":""#), "{answer:?}");
    }
}

#[tokio::test]
async fn clients_that_are_slow_or_silent_are_let_go() {
    let lab = Lab::start().await;
    let silent = TcpStream::connect(lab.address).await.unwrap();
    let mut half = TcpStream::connect(lab.address).await.unwrap();
    half.write_all(b"POST /twilio/webhook/status HTTP/1.1\r\nHost:").await.unwrap();
    let mut bodiless = TcpStream::connect(lab.address).await.unwrap();
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    bodiless.write_all(head.as_bytes()).await.unwrap();
    for mut stream in [silent, half, bodiless] {
        let mut text = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut text)).await;
        assert!(ended.is_ok(), "still open after {PATIENCE:?}: {}", String::from_utf8_lossy(&text));
    }
}

#[tokio::test]
async fn a_stop_answers_what_was_begun_and_ends() {
    let lab = Lab::start().await;
    let job = lab.sending().await;
    // The row is held, so that the answer has to wait.
    let mut client = lab.database.client().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.execute("SELECT FROM facteur.jobs FOR UPDATE", &[]).await.unwrap();
    let callback = Callback::new(job, &sid(1), "delivered");
    let (answer, ()) = tokio::join!(lab.twilio(&callback), async {
        lab.until(
            "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
             AND datname = current_database()",
            "1",
        )
        .await;
        lab.stop.cancel();
        transaction.commit().await.unwrap();
    });
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(lab.status(job).await, "delivered");
    assert!(TcpStream::connect(lab.address).await.is_err(), "nothing new is taken");
    tokio::time::timeout(PATIENCE, lab.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_process_is_ready_once_the_database_would_commit() {
    let lab = Lab::start().await;
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let mut becomes = async |is_ready: bool| {
        let waited = tokio::time::timeout(PATIENCE, async {
            while lab.readiness.missing().is_empty() != is_ready {
                looks.tick().await;
            }
        });
        assert!(waited.await.is_ok(), "{:?}", lab.readiness.missing());
    };
    becomes(true).await;
    lab.proxy.cut().await;
    becomes(false).await;
    lab.proxy.heal().await;
    becomes(true).await;
}

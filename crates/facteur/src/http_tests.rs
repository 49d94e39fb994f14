use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;

struct Server {
    address: SocketAddr,
    ready: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

async fn start() -> Server {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let (address, stop, ready) =
        (listener.local_addr().unwrap(), CancellationToken::new(), Arc::new(AtomicBool::new(false)));
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || metrics::counter!("facteur_example_total").increment(3));
    let asked = Arc::clone(&ready);
    let ask: AskReadiness = Arc::new(move || {
        let missing = Missing { part: "worker".to_owned(), why: "no connection".to_owned() };
        Readiness::from_missing(if asked.load(Ordering::SeqCst) { vec![] } else { vec![missing] })
    });
    let task = tokio::spawn(serve(listener, recorder.handle(), ask, stop.clone()));
    Server { address, ready, stop, task }
}

async fn get_text(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_process_is_alive_before_it_is_ready() {
    let server = start().await;
    assert!(get_text(server.address, "/healthz").await.starts_with("HTTP/1.1 200"));
    let answer = get_text(server.address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(
        answer.ends_with(r#"{"ready":false,"missing":[{"part":"worker","why":"no connection"}]}"#),
        "{answer}"
    );
    server.ready.store(true, Ordering::SeqCst);
    let answer = get_text(server.address, "/readyz").await;
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"ready":true,"missing":[]}"#),
        "{answer}"
    );
}

#[tokio::test]
async fn metrics_are_served_as_text_for_prometheus() {
    let server = start().await;
    let answer = get_text(server.address, "/metrics").await;
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("facteur_example_total 3"), "{answer}");
}

#[tokio::test]
async fn a_port_in_use_is_told_with_the_setting() {
    let server = start().await;
    let error = bind(server.address).await.unwrap_err().to_string();
    assert!(error.contains(&server.address.to_string()), "{error}");
    assert!(error.contains("is in use") && error.contains("FACTEUR_METRICS_LISTEN"), "{error}");
}

#[tokio::test]
async fn a_connection_that_says_nothing_does_not_hold_up_the_end() {
    let server = start().await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    silent.write_all(b"GET /metrics HTTP/1.1\r\n").await.unwrap();
    get_text(server.address, "/healthz").await;
    server.stop.cancel();
    assert!(server.task.await.unwrap().is_ok());
}

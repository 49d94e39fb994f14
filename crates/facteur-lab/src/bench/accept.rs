//! Messages that are handed in over HTTP, one in each request: how many a second, and how long one takes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::Options;
use super::figures::{number, percentile, round};
use super::stage::Stage;
use crate::say;

/// Connections that are kept open, each with one request at a time.
const CONNECTIONS: usize = 128;
/// Longest answer.
const ANSWER_BYTES_MAX: usize = 4_096;

pub(super) async fn measure(options: &Options) -> Result<Value> {
    let count = options.scaled(60_000);
    let mut stage = Stage::set(options.concurrency).await?;
    stage.start_web().await?;
    let (address, key) = (stage.web_address()?, stage.create_key().await?);
    let load = |count, pace| Load { address: address.clone(), key: key.clone(), count, pace };

    say::progress("warming up");
    load(count / 10, None).run().await?;
    say::progress(&format!("{count} messages, workers absent"));
    let before = stage.usage().await?;
    let alone = load(count, None).run().await?;
    let cost = stage.usage().await?.since(&before, count);
    let half = alone.per_s / 2.0;
    say::progress(&format!("{} messages at {half:.0} a second", count / 2));
    let paced = load(count / 2, Some(half)).run().await?;

    say::progress(&format!("{count} messages, a worker drains"));
    stage.start_workers(1).await?;
    let draining = load(count, None).run().await?;
    let all = count / 10 + count + count / 2 + count;
    stage.accepted(all).await?;
    stage.settle(all).await?;
    stage.end().await?;
    Ok(json!({
        "workers_absent": alone.told(),
        "workers_absent_at_half_load": paced.told(),
        "a_worker_drains": draining.told(),
        "cost": cost,
        "connections": CONNECTIONS,
        "messages": count,
    }))
}

/// What is handed in, and how fast.
#[derive(Clone)]
struct Load {
    address: String,
    key: String,
    count: usize,
    /// Messages a second; `None` is as fast as possible.
    pace: Option<f64>,
}

struct Took {
    per_s: f64,
    latencies_ms: Vec<f64>,
}

impl Took {
    fn told(&self) -> Value {
        let at = |percent| round(percentile(&self.latencies_ms, percent));
        json!({"messages_per_s": round(self.per_s), "p50_ms": at(50), "p99_ms": at(99), "worst_ms": at(100)})
    }
}

impl Load {
    async fn run(self) -> Result<Took> {
        let (began, mut speakers) = (Instant::now(), JoinSet::new());
        for connection in 0..CONNECTIONS {
            speakers.spawn(self.clone().speak(connection, began));
        }
        let mut latencies_ms = Vec::with_capacity(self.count);
        while let Some(spoken) = speakers.join_next().await {
            latencies_ms.extend(spoken??);
        }
        let per_s = number(latencies_ms.len()) / began.elapsed().as_secs_f64();
        Ok(Took { per_s, latencies_ms })
    }

    /// One connection's share. With a pace, a latency is counted from the instant at which the request was due.
    async fn speak(self, connection: usize, began: Instant) -> Result<Vec<f64>> {
        let mut stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let mut latencies_ms = Vec::new();
        for message in (connection..self.count).step_by(CONNECTIONS) {
            let due = self.pace.map(|pace| began + Duration::from_secs_f64(number(message) / pace));
            if let Some(due) = due {
                sleep_until(due).await;
            }
            let from = due.unwrap_or_else(Instant::now);
            self.ask(&mut stream, message).await?;
            latencies_ms.push(from.elapsed().as_secs_f64() * 1_000.0);
        }
        Ok(latencies_ms)
    }

    async fn ask(&self, stream: &mut TcpStream, message: usize) -> Result<()> {
        let number = 10_000_000 + message % 9_000_000;
        let body = format!(
            r#"{{"to":"+336{number}","body":"Bonjour, votre colis {} arrive demain"}}"#,
            Uuid::new_v4()
        );
        let request = format!(
            "POST /v1/messages HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.key,
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(ANSWER_BYTES_MAX);
        while !is_whole(&answer) {
            ensure!(stream.read_buf(&mut answer).await? > 0, "the connection ended");
        }
        let head = String::from_utf8_lossy(&answer);
        ensure!(head.starts_with("HTTP/1.1 202"), "not accepted: {head}");
        Ok(())
    }
}

/// Whether head and body have arrived.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

impl Stage {
    /// Where the web process listens.
    pub(super) fn web_address(&self) -> Result<String> {
        self.variable("FACTEUR_LISTEN").context("the web process has no address")
    }

    /// A new key of a sender.
    pub(super) async fn create_key(&self) -> Result<String> {
        let made = self.system.facteur(&["keys", "create", "--role", "sender", "--json"]).await?;
        let made: Value = serde_json::from_str(&made)?;
        Ok(made["key"].as_str().context("`keys create` printed no key")?.to_owned())
    }
}

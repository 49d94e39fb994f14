//! Bulks that are handed in over HTTP, all recipients in one request: how long it takes, what memory, and what is left
//! to do when the web process is killed in the middle of it.

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use uuid::Uuid;

use super::Options;
use super::figures::{number, round};
use super::stage::Stage;
use super::usage;
use crate::program::STOP_MAX;

/// Most recipients of one request.
const RECIPIENTS_MAX: usize = 100_000;
const STAGED: &str = "SELECT count(*) FROM facteur.bulk_recipients WHERE bulk_id = $1";
const LATEST: &str = "SELECT id FROM facteur.bulks ORDER BY created_at DESC LIMIT 1";

pub(super) async fn measure(options: &Options) -> Result<Value> {
    let most = options.scaled(RECIPIENTS_MAX);
    let mut stage = Stage::set(options.concurrency).await?;
    stage.start_web().await?;
    let key = stage.create_key().await?;
    let mut whole = Vec::new();
    for count in [most / 100, most / 10, most] {
        let body = body(count);
        let began = Instant::now();
        upload(&stage, &key, Uuid::new_v4(), &body).await?;
        whole.push(json!({
            "recipients": count,
            "request_mib": round(number(body.len()) / 1_048_576.0),
            "took_s": round(began.elapsed().as_secs_f64()),
            "web_memory_max_mib": stage.web_memory_max_mib()?,
        }));
    }
    let killed = killed_in_the_middle(&mut stage, &key, RECIPIENTS_MAX).await?;
    stage.end().await?;
    Ok(json!({"whole": whole, "killed_in_the_middle": killed}))
}

/// The same request twice: the first dies with the web process, the second finishes what it began. A small request
/// would be staged only at its end.
async fn killed_in_the_middle(stage: &mut Stage, key: &str, count: usize) -> Result<Value> {
    let (body, idempotency_key) = (body(count), Uuid::new_v4());
    let known: Uuid = stage.sql.query_one(LATEST, &[]).await?.try_get(0)?;
    let mut stream = connect(stage).await?;
    stream.write_all(head(key, idempotency_key, body.len()).as_bytes()).await?;
    stream.write_all(&body.as_bytes()[..body.len() / 2]).await?;
    let staged = async |stage: &Stage| {
        let latest: Uuid = stage.sql.query_one(LATEST, &[]).await?.try_get(0)?;
        let lines: i64 = stage.sql.query_one(STAGED, &[&latest]).await?.try_get(0)?;
        Ok(if latest == known { 0 } else { usize::try_from(lines)? })
    };
    stage.until(count * 2 / 5, staged).await?;
    let mut web = stage.web.take().context("the web process is gone")?;
    web.signal(Signal::KILL)?;
    web.wait(STOP_MAX).await?;
    let lines_before = staged(stage).await?;
    stage.start_web().await?;
    let began = Instant::now();
    upload(stage, key, idempotency_key, &body).await?;
    let took_s = round(began.elapsed().as_secs_f64());
    let lines = staged(stage).await?;
    ensure!(lines == count, "{lines} lines are there; {count} were handed in");
    Ok(json!({"recipients": count, "lines_before": lines_before, "resumed_took_s": took_s}))
}

fn body(count: usize) -> String {
    let recipient =
        |number| format!(r#"{{"to":"+336{:08}","name":"Anna Dupont {number}"}}"#, 10_000_000 + number);
    let recipients: Vec<String> = (0..count).map(recipient).collect();
    format!(
        r#"{{"body":"Bonjour {{{{name}}}}, votre colis arrive","category":"marketing","recipients":[{}]}}"#,
        recipients.join(",")
    )
}

fn head(key: &str, idempotency_key: Uuid, length: usize) -> String {
    format!(
        "POST /v1/bulks HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: {idempotency_key}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

async fn connect(stage: &Stage) -> Result<TcpStream> {
    Ok(TcpStream::connect(stage.web_address()?).await?)
}

async fn upload(stage: &Stage, key: &str, idempotency_key: Uuid, body: &str) -> Result<()> {
    let mut stream = connect(stage).await?;
    stream.write_all(head(key, idempotency_key, body.len()).as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 202"), "not accepted: {answer}");
    Ok(())
}

impl Stage {
    fn web_memory_max_mib(&self) -> Result<f64> {
        Ok(usage::memory_max_mib(self.web.as_ref().context("the web process is gone")?.pid()))
    }
}

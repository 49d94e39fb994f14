//! The bare legs: each library alone, doing what Facteur does with it and nothing else. None of them keeps a promise.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::Options;
use super::arrivals::Stats;
use super::figures::{number, round};
use super::jobs::{FREE_SENDER, Job, USUAL};
use super::producer::Producer;
use super::usage;
use crate::system::start_simulator;
use crate::{http, program, say};

const QUEUE: &str = "bare";
const PREFETCH: u16 = 1_024;
/// As many as the worker's own consumer settles with one acknowledgement.
const ACKNOWLEDGED_AT_ONCE: u64 = 64;
/// Posts at a time.
const POSTS_OPEN: usize = 64;
/// Rows of one statement, and statements at a time, as in the product.
const BATCH: usize = 256;
const BATCHES_OPEN: usize = 2;
/// The simulator's own account.
const ACCOUNT: (&str, &str) = ("AC00000000000000000000000000000000", "00000000000000000000000000000000");

pub(super) async fn measure(options: &Options) -> Result<Value> {
    let count = options.scaled(100_000);
    say::progress("publishing and consuming");
    let (publish, consume) = broker(count).await?;
    say::progress("posting");
    let post = posts(count).await?;
    say::progress("inserting");
    let insert = inserts(count).await?;
    Ok(json!({"publish": publish, "consume": consume, "post": post, "insert": insert, "messages": count}))
}

/// A stretch of work of this process alone.
struct Leg {
    began: Instant,
    cpu_s: f64,
}

impl Leg {
    fn begin() -> Self {
        Self { began: Instant::now(), cpu_s: usage::cpu_s(std::process::id()) }
    }

    fn end(self, count: usize) -> Value {
        let cpu_s = usage::cpu_s(std::process::id()) - self.cpu_s;
        json!({
            "messages_per_s": round(number(count) / self.began.elapsed().as_secs_f64()),
            "client_cpu_s_per_1000": round(cpu_s * 1_000.0 / number(count)),
        })
    }
}

/// Confirmed publishing to a quorum queue, then consuming with acknowledgements of many at once.
async fn broker(count: usize) -> Result<(Value, Value)> {
    let broker = facteur_testkit::broker().await;
    let connection = Connection::connect(&broker.url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions::durable();
    channel.queue_declare(QUEUE.into(), durable, arguments).await?;
    let jobs: Vec<Job> =
        USUAL.jobs(0, count).map(|job| Job { routing_key: QUEUE.to_owned(), ..job }).collect();
    let producer = Producer::connect(&broker.url, &broker.prefix).await?;
    let leg = Leg::begin();
    producer.publish_to("", jobs.into_iter()).await?;
    let published = leg.end(count);

    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let leg = Leg::begin();
    let options = BasicConsumeOptions::default();
    let mut deliveries =
        channel.basic_consume(QUEUE.into(), "bare".into(), options, FieldTable::default()).await?;
    for index in 1..=count {
        let Some(delivery) = deliveries.next().await else { break };
        let tag = delivery?.delivery_tag;
        if tag % ACKNOWLEDGED_AT_ONCE == 0 || index == count {
            channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?;
        }
    }
    let consumed = leg.end(count);
    connection.close(200, "measured".into()).await?;
    Ok((published, consumed))
}

/// Posts of the same form to the simulator.
async fn posts(count: usize) -> Result<Value> {
    let directory = super::stage::directory();
    fs::create_dir_all(&directory)?;
    let (simulator, control) = start_simulator(&directory, None).await?;
    let address = format!("{}/2010-04-01/Accounts/{}/Messages.json", control.url(), ACCOUNT.0);
    let (client, next) = (http::client(POSTS_OPEN)?, Arc::new(AtomicUsize::new(0)));
    let mut posting: JoinSet<Result<()>> = JoinSet::new();
    let leg = Leg::begin();
    for _ in 0..POSTS_OPEN {
        let (client, address, next) = (client.clone(), address.clone(), Arc::clone(&next));
        posting.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                let job = USUAL.job(number);
                let text = format!("Bonjour, votre dossier {number} est complet.");
                let form = [("To", job.to.as_str()), ("From", FREE_SENDER), ("Body", &text)];
                let request = client.post(&address).basic_auth(ACCOUNT.0, Some(ACCOUNT.1)).form(&form);
                request.send().await?.error_for_status()?.bytes().await?;
            }
        });
    }
    while let Some(posted) = posting.join_next().await {
        posted??;
    }
    let posted = leg.end(count);
    let Stats { accepted, .. } = control.stats().await?;
    ensure!(accepted == count, "{accepted} of {count} posts were accepted");
    simulator.stop().await?;
    fs::remove_dir_all(directory)?;
    Ok(posted)
}

/// The rows of one message that is sent at the first attempt, written once and by one statement.
const INSERT: &str = "WITH input AS (SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[], $4::text[], $5::bytea[], \
         $6::text[]) AS i(id, fingerprint, recipient, text, document, sid)), \
     jobs AS (INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, attempt, claim_token, deadline) \
         SELECT id, fingerprint, 'default', 'normal', 'sent', 'sent', 1, id, clock_timestamp() FROM input), \
     messages AS (INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, text, segments, \
             document) \
         SELECT id, 'default', 'normal', 'transactional', 'sms', recipient, '+15005550006', text, 1, document FROM input) \
     INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, sid, twilio_status, \
         next_status, reason) \
     SELECT id, 1, id, clock_timestamp(), 1, 'accepted', sid, 'queued', 'sent', 'sent' FROM input";

async fn inserts(count: usize) -> Result<Value> {
    let database = facteur_testkit::database().await;
    let environment = [("DATABASE_URL", database.url.clone())];
    let mut migrate = program::command(&program::built("facteur")?, &std::env::temp_dir(), &environment);
    let migrated = migrate.arg("migrate").output().await?;
    ensure!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let jobs: Arc<Vec<Job>> = Arc::new(USUAL.jobs(0, count).collect());
    let next = Arc::new(AtomicUsize::new(0));
    let mut inserting: JoinSet<Result<()>> = JoinSet::new();
    let leg = Leg::begin();
    for _ in 0..BATCHES_OPEN {
        let (client, connection) = tokio_postgres::connect(&database.url, NoTls).await?;
        // Ends with the client; its errors are the client's as well.
        tokio::spawn(connection);
        let (jobs, next) = (Arc::clone(&jobs), Arc::clone(&next));
        inserting.spawn(async move {
            let statement = client.prepare(INSERT).await?;
            loop {
                let first = next.fetch_add(BATCH, Ordering::Relaxed);
                let Some(batch) = jobs.get(first..jobs.len().min(first + BATCH)).filter(|b| !b.is_empty())
                else {
                    return Ok(());
                };
                insert(&client, &statement, batch).await?;
            }
        });
    }
    while let Some(inserted) = inserting.join_next().await {
        inserted??;
    }
    Ok(leg.end(count))
}

async fn insert(
    client: &tokio_postgres::Client,
    statement: &tokio_postgres::Statement,
    batch: &[Job],
) -> Result<()> {
    let ids: Vec<Uuid> = batch.iter().map(|job| job.id).collect();
    let fingerprints: Vec<&[u8]> = batch.iter().map(|job| &job.id.as_bytes()[..]).collect();
    let recipients: Vec<&str> = batch.iter().map(|job| job.to.as_str()).collect();
    let texts: Vec<String> =
        batch.iter().map(|job| format!("Bonjour, votre dossier {} est complet.", job.to)).collect();
    let documents: Vec<&[u8]> = batch.iter().map(|job| job.body.as_slice()).collect();
    let sids: Vec<String> = batch.iter().map(|job| format!("SM{}", job.id.simple())).collect();
    let inserted =
        client.execute(statement, &[&ids, &fingerprints, &recipients, &texts, &documents, &sids]).await?;
    ensure!(inserted == u64::try_from(batch.len())?, "{inserted} of {} rows", batch.len());
    Ok(())
}

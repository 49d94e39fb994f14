//! What the laboratory asks of the database and the broker, past every proxy.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::system::System;

const CONSUMED_MAX: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The queue of what never reached a record.
pub(super) const DEAD_QUEUE: &str = "dead";
/// The queues whose envelopes are work. Those of the delay ladder hold wake-ups whose jobs may have ended.
const QUEUES: [&str; 4] = ["jobs.urgent", "jobs.normal", "jobs.bulk", DEAD_QUEUE];
/// The states that a job does not leave by itself.
pub(super) const FINAL: &str =
    "('sent', 'delivered', 'read', 'undelivered', 'failed', 'expired', 'canceled', 'suppressed', 'dead')";

/// A new connection: one that was kept would be ended with those of the workers.
///
/// # Errors
/// If the database doesn't answer.
pub(super) async fn connect(system: &System) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(system.database_url(), NoTls).await?;
    // Ends with the client; its errors are the client's as well.
    tokio::spawn(connection);
    Ok(client)
}

/// Runs one order.
///
/// # Errors
/// The database's.
pub(super) async fn execute(system: &System, order: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64> {
    Ok(connect(system).await?.execute(order, parameters).await?)
}

/// Ends every session of the system under test.
///
/// # Errors
/// The database's.
pub(super) async fn end_sessions(system: &System) -> Result<()> {
    let order = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()";
    execute(system, order, &[]).await.map(drop)
}

/// What is not at rest: jobs on their way and publications to be made.
///
/// # Errors
/// The database's.
pub(super) async fn unrest(client: &Client) -> Result<(i64, i64)> {
    let question = format!(
        "SELECT (SELECT count(*) FROM facteur.jobs WHERE status NOT IN {FINAL}), (SELECT count(*) FROM facteur.outbox)"
    );
    let row = client.query_one(&question, &[]).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Publications of jobs that are still to be made. Events don't count: a callback that comes late, when everybody has
/// been told to stop, leaves one to the next worker.
///
/// # Errors
/// The database's.
pub(super) async fn unpublished(client: &Client) -> Result<i64> {
    let question = "SELECT count(*) FROM facteur.outbox WHERE exchange = 'jobs'";
    Ok(client.query_one(question, &[]).await?.try_get(0)?)
}

/// Lets time pass, as far as the database can tell: waits after throttles and outages, the leases of workers that
/// were killed before the calm, breakers and searches for evidence are due now.
///
/// # Errors
/// The database's.
pub(super) async fn let_time_pass(client: &Client, calm_for: Duration) -> Result<()> {
    let orders = [
        "UPDATE facteur.jobs SET not_before = clock_timestamp(), due_at = clock_timestamp() \
         WHERE status IN ('waiting', 'retrying') AND reason <> 'rate_limit' AND waits_for IS NULL \
           AND not_before > clock_timestamp() + interval '1 second'",
        "UPDATE facteur.breakers SET retry_at = clock_timestamp() \
         WHERE state = 'open' AND retry_at > clock_timestamp() + interval '1 second'",
        "UPDATE facteur.reconciliations SET next_check_at = clock_timestamp() \
         WHERE next_check_at > clock_timestamp() + interval '1 second'",
    ];
    for order in orders {
        client.execute(order, &[]).await?;
    }
    let leases = "UPDATE facteur.jobs SET due_at = clock_timestamp() WHERE status = 'sending' \
                  AND updated_at < clock_timestamp() - $1::float8 * interval '1 second' AND due_at > clock_timestamp()";
    client.execute(leases, &[&calm_for.as_secs_f64()]).await?;
    Ok(())
}

/// How many envelopes stand in each queue, and how many consumers it has.
///
/// # Errors
/// The broker's.
pub(super) async fn queues(system: &System) -> Result<BTreeMap<String, (u32, u32)>> {
    let connection = Connection::connect(system.amqp_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut queues = BTreeMap::new();
    for name in QUEUES {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = format!("{}.{name}", system.prefix());
        let queue = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await?;
        queues.insert(name.to_owned(), (queue.message_count(), queue.consumer_count()));
    }
    Ok(queues)
}

/// Empties the queues, and tells the message ids of what stood in each.
///
/// # Errors
/// The broker's.
pub(super) async fn emptied(system: &System) -> Result<BTreeMap<String, Vec<Option<Uuid>>>> {
    let connection = Connection::connect(system.amqp_url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut queues = BTreeMap::new();
    for name in QUEUES {
        let queue = format!("{}.{name}", system.prefix());
        let mut ids = Vec::new();
        while let Some(got) =
            channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await?
        {
            let id = got.delivery.properties.message_id().as_ref();
            ids.push(id.and_then(|id| Uuid::parse_str(id.as_str()).ok()));
        }
        queues.insert(name.to_owned(), ids);
    }
    Ok(queues)
}

/// Waits until so many workers consume each queue.
///
/// # Errors
/// If they don't in time.
pub(super) async fn wait_until_consumed(system: &System, workers: usize) -> Result<()> {
    let deadline = Instant::now() + CONSUMED_MAX;
    loop {
        // A queue that is not there yet is an error, too.
        let consumed = queues(system).await.is_ok_and(|queues| {
            queues
                .values()
                .all(|(_, consumers)| usize::try_from(*consumers).is_ok_and(|count| count >= workers))
        });
        if consumed {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the workers don't consume after 60 s; logs: {}", system.directory().display());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

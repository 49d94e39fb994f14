//! The outbox: publications that were decided in a transaction and are still to be made. A relay claims a batch
//! for a lease, publishes it with no transaction open, deletes what was confirmed and gives the rest back.

use std::time::Duration;

use bytes::Bytes;
use facteur_core::envelope::Headers;
use facteur_core::lane::Lane;
use facteur_core::limits::{BATCH_BYTES_MAX, DUTY_ROWS_MAX};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// How long claimed rows belong to their relay; after that another one publishes them again, which is harmless.
const LEASE: Duration = Duration::from_secs(30);
/// Longest wait of a row that could not be published: 2^tries seconds, but no more than this.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(300);

/// The first row is claimed whatever its size.
const CLAIM: &str = "WITH locked AS (SELECT id, octet_length(body) AS bytes FROM facteur.outbox \
         WHERE relay = $1 AND (claimed_until IS NULL OR claimed_until <= clock_timestamp()) \
         ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED), \
     picked AS (SELECT id FROM (SELECT id, sum(bytes) OVER (ORDER BY id) - bytes AS before FROM locked) l \
         WHERE before < $5::int8) \
     UPDATE facteur.outbox o SET claimed_until = clock_timestamp() + $3::float8 * interval '1 second', claim_token = $4 \
     FROM picked WHERE o.id = picked.id \
     RETURNING o.id, o.exchange, o.routing_key, o.message_id, o.kind, o.headers, o.body, o.tries";

const DELETE: &str = "DELETE FROM facteur.outbox WHERE id = ANY ($1::int8[]) AND claim_token = $2";

const RETRY_LATER: &str = "UPDATE facteur.outbox SET claim_token = NULL, tries = tries + 1, \
         claimed_until = clock_timestamp() \
             + least(2 ^ least(tries + 1, 30), $3::float8) * (0.5 + random()) * interval '1 second' \
     WHERE id = ANY ($1::int8[]) AND claim_token = $2";

/// Ids are given out one after the other, so that no more rows can stand there than lie between the first and the last.
const SPAN: &str = "SELECT coalesce((SELECT id FROM facteur.outbox ORDER BY id DESC LIMIT 1) \
         - (SELECT id FROM facteur.outbox ORDER BY id LIMIT 1) + 1, 0) AS span";

const COUNT: &str = "SELECT (SELECT count(*) FROM (SELECT FROM facteur.outbox WHERE relay = r.name LIMIT $2) o) AS rows \
     FROM unnest($1::text[]) WITH ORDINALITY AS r(name, n) ORDER BY n";

/// One publication.
#[derive(Clone, PartialEq)]
pub struct OutboxRow {
    /// Identity.
    pub id: i64,
    /// Where to: `jobs` or `events`.
    pub exchange: String,
    /// With which routing key.
    pub routing_key: String,
    /// AMQP `message_id`.
    pub message_id: Uuid,
    /// AMQP `type`.
    pub kind: String,
    /// Headers.
    pub headers: Headers,
    /// Body.
    pub body: Bytes,
    /// How often it was given back.
    pub tries: u32,
}

impl std::fmt::Debug for OutboxRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutboxRow")
            .field("id", &self.id)
            .field("routing_key", &self.routing_key)
            .field("message_id", &self.message_id)
            .field("tries", &self.tries)
            .finish_non_exhaustive()
    }
}

/// Rows that belong to one relay for 30 s, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxBatch {
    /// Proves that they are still ours when some are given back.
    pub token: Uuid,
    /// What is to be published.
    pub rows: Vec<OutboxRow>,
}

/// The table of publications to be made.
#[derive(Debug, Clone)]
pub struct Outbox {
    database: Database,
}

impl Outbox {
    /// The table in that database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }

    /// Claims up to `limit` (at most 1,000) rows of a relay: a lane's name, or `events`; fewer if their bodies are
    /// large, so that no more than about 512 KiB are under way.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn claim(&self, relay: &str, limit: i64) -> Result<OutboxBatch, BatchFailure> {
        let token = Uuid::new_v4();
        let client = self.database.client().await?;
        let statement = client.prepare_cached(CLAIM).await.map_err(classify)?;
        let limit = limit.clamp(1, DUTY_ROWS_MAX);
        let bytes_max = i64::try_from(BATCH_BYTES_MAX).unwrap_or(i64::MAX);
        let rows = client
            .query(&statement, &[&relay, &limit, &LEASE.as_secs_f64(), &token, &bytes_max])
            .await
            .map_err(classify)?;
        let mut rows: Vec<OutboxRow> = rows.iter().map(outbox_row).collect();
        rows.sort_unstable_by_key(|row| row.id);
        Ok(OutboxBatch { token, rows })
    }

    /// Deletes rows whose publication the broker has confirmed, if they are still ours. A row whose lease ran
    /// out meanwhile is published once more by its new owner, and deleted by it. Returns how many were ours.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn delete(&self, token: Uuid, ids: &[i64]) -> Result<u64, BatchFailure> {
        if ids.is_empty() {
            return Ok(0);
        }
        let client = self.database.client().await?;
        let statement = client.prepare_cached(DELETE).await.map_err(classify)?;
        client.execute(&statement, &[&ids, &token]).await.map_err(classify)
    }

    /// Gives rows back that could not be published; each is handed out again after about 2^tries seconds, at most
    /// about five minutes, and not together with the others, for one of them may be at fault. Rows that are not ours any more are left alone. Returns how many were ours.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn retry_later(&self, token: Uuid, ids: &[i64]) -> Result<u64, BatchFailure> {
        if ids.is_empty() {
            return Ok(0);
        }
        let client = self.database.client().await?;
        let statement = client.prepare_cached(RETRY_LATER).await.map_err(classify)?;
        client.execute(&statement, &[&ids, &token, &RETRY_DELAY_MAX.as_secs_f64()]).await.map_err(classify)
    }
}

impl Outbox {
    /// Whether at least `most` rows wait to be published; they are counted only if there may be so many.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn has_at_least(&self, most: i64) -> Result<bool, BatchFailure> {
        let client = self.database.client().await?;
        let statement = client.prepare_cached(SPAN).await.map_err(classify)?;
        let span: i64 = client.query_one(&statement, &[]).await.map_err(classify)?.get("span");
        drop(client);
        Ok(span >= most && self.waiting(most).await?.iter().sum::<i64>() >= most)
    }

    /// How many rows wait for each lane's relay, in the order of [`Lane::ALL`]; at most `most` are counted of each.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn waiting(&self, most: i64) -> Result<Vec<i64>, BatchFailure> {
        let client = self.database.client().await?;
        let statement = client.prepare_cached(COUNT).await.map_err(classify)?;
        let relays: Vec<&str> = Lane::ALL.iter().map(|lane| lane.as_str()).collect();
        let rows = client.query(&statement, &[&relays, &most]).await.map_err(classify)?;
        Ok(rows.iter().map(|row| row.get("rows")).collect())
    }
}

fn outbox_row(row: &Row) -> OutboxRow {
    let Json(headers) = row.get("headers");
    OutboxRow {
        id: row.get("id"),
        exchange: row.get("exchange"),
        routing_key: row.get("routing_key"),
        message_id: row.get("message_id"),
        kind: row.get("kind"),
        headers,
        body: Bytes::from(row.get::<_, Vec<u8>>("body")),
        tries: u32::try_from(row.get::<_, i32>("tries")).unwrap_or_default(),
    }
}

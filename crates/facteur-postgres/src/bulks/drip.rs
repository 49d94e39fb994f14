//! The dripper's statements: recipients become jobs, chunk by chunk, at the bulk's pace and never far ahead of what has
//! been claimed; what has ended is noted, and a bulk of which everything has ended is completed. Any worker may do it:
//! the bulk's row is locked, and skipped where another one holds it.

use std::time::Duration;

use deadpool_postgres::Transaction;
use facteur_core::bulk::{due, fails_too_often, is_failure};
use facteur_core::lane::Lane;
use facteur_core::limits::{DUTY_ROWS_MAX, OUTBOX_GRACE};
use facteur_core::schedule::RetrySchedule;
use facteur_core::status::Status;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::claim::final_statuses;
use crate::pool::Database;

/// Most bulks that are looked at in one turn.
const BULKS_MAX: i64 = 1_000;
/// Released messages that nobody has claimed yet, at most: seconds of work, while a pause or a new rate acts on the
/// rest at once.
const AHEAD_MAX: i64 = 2_000;
/// Released messages that have not ended, at most: those that wait for a retry do not hold up the others before that.
const RELEASED_MAX: i64 = 10_000;
/// How often a bulk with an error ratio is judged.
const JUDGE_EVERY: Duration = Duration::from_secs(3);
/// An upload that was cut and not resumed for so long is given up.
const ABANDONED_AFTER: Duration = Duration::from_hours(24);

const OPEN: &str = "SELECT id FROM facteur.bulks WHERE state = 'processing' ORDER BY id LIMIT $1";

const WITHDRAWING: &str = "SELECT id FROM facteur.bulks WHERE state IN ('canceled', 'failed') AND NOT is_withdrawn \
     ORDER BY id LIMIT $1";

/// `now()` is the transaction's beginning, for every statement of it.
const LOCK: &str = "SELECT b.lane, b.rate, b.error_ratio_max, \
         extract(epoch FROM now() - b.paced_to)::float8 AS idle_s, \
         coalesce(b.starts_at > now(), false) AS is_early, \
         b.ratio_judged_at <= now() - $2::float8 * interval '1 second' AS is_to_be_judged, \
         EXISTS (SELECT FROM facteur.bulk_cancels c WHERE c.bulk_id = b.id) AS is_canceled, \
         EXISTS (SELECT FROM facteur.pauses p WHERE p.scope = 'bulk' AND p.key = b.id::text AND p.ended_at IS NULL \
                 AND (p.until IS NULL OR p.until > now())) AS is_paused \
     FROM facteur.bulks b WHERE b.id = $1 AND b.state = 'processing' FOR UPDATE OF b SKIP LOCKED";

const SETTLE: &str = "WITH standing AS MATERIALIZED (SELECT r.line, j.status = ANY ($2::text[]) AS has_ended, j.attempt \
         FROM (SELECT line, job_id FROM facteur.bulk_recipients WHERE bulk_id = $1 AND state = 'released') r \
         CROSS JOIN LATERAL (SELECT status, attempt FROM facteur.jobs WHERE id = r.job_id LIMIT 1) j), \
     ended AS MATERIALIZED (SELECT line FROM standing WHERE has_ended ORDER BY line LIMIT $3), \
     settled AS (UPDATE facteur.bulk_recipients SET state = 'settled' \
         WHERE bulk_id = $1 AND line = ANY (ARRAY(SELECT line FROM ended))) \
     SELECT (SELECT count(*) FROM ended) AS settled, count(*) FILTER (WHERE NOT has_ended) AS released, \
            count(*) FILTER (WHERE NOT has_ended AND attempt = 0) AS ahead FROM standing";

const JUDGE: &str = "WITH judged AS (UPDATE facteur.bulks SET ratio_judged_at = now() WHERE id = $1) \
     SELECT count(*) FILTER (WHERE j.status = ANY ($2::text[])) AS ended, \
            count(*) FILTER (WHERE j.status = ANY ($3::text[])) AS failed \
     FROM (SELECT job_id FROM facteur.bulk_recipients WHERE bulk_id = $1 AND state IN ('released', 'settled') \
           AND released_at > (SELECT ratio_since FROM facteur.bulks WHERE id = $1)) r \
     CROSS JOIN LATERAL (SELECT status FROM facteur.jobs WHERE id = r.job_id LIMIT 1) j";

/// What has left before is not held against it again once somebody resumes it.
const PAUSE: &str = "WITH judged AS (UPDATE facteur.bulks SET ratio_since = clock_timestamp() WHERE id = $1) \
     INSERT INTO facteur.pauses (scope, key, reason, actor) VALUES ('bulk', $1::uuid::text, $2, 'facteur') \
     ON CONFLICT (scope, key) WHERE ended_at IS NULL DO NOTHING";

/// A job begins at turn 1, as one that was accepted alone does: its sender and its text are settled, and the deadline in
/// its row counts.
const RELEASE: &str = "WITH picked AS MATERIALIZED (SELECT * FROM facteur.bulk_recipients \
         WHERE bulk_id = $1 AND state = 'pending' ORDER BY line LIMIT $2), \
     made AS MATERIALIZED (SELECT p.line, p.job_id, p.recipient, p.text, p.segments, p.fingerprint, b.tenant, b.lane, \
             b.category, b.channel, b.sender, b.expires_at, \
             least(b.expires_at, clock_timestamp() + $4::float8 * interval '1 second') AS deadline, \
             jsonb_build_object('facteur-enqueued-at-ms', \
                 floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) AS headers, \
             convert_to((b.document || jsonb_strip_nulls(jsonb_build_object('id', p.job_id, \
                 'to', CASE b.channel WHEN 'whatsapp' THEN 'whatsapp:' ELSE '' END || p.recipient, \
                 'body', p.text, 'content_variables', p.variables)))::text, 'UTF8') AS document \
         FROM picked p CROSS JOIN (SELECT * FROM facteur.bulks WHERE id = $1) b), \
     inserted AS (INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, turn, due_at, deadline) \
         SELECT job_id, fingerprint, tenant, lane, 'waiting', 'enqueued', 1, \
                clock_timestamp() + $3::float8 * interval '1 second', deadline \
         FROM made ORDER BY job_id ON CONFLICT (id) DO NOTHING), \
     stored AS (INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, text, segments, \
             document, headers, bulk_id, enqueued_at, expires_at) \
         SELECT job_id, tenant, lane, category, channel, recipient, sender, text, segments, document, headers, $1, \
                clock_timestamp(), expires_at FROM made ON CONFLICT (id) DO NOTHING), \
     woken AS (INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, headers, body) \
         SELECT lane, 'jobs', 'send.' || lane, job_id, 'facteur.job.v1', \
                headers || jsonb_build_object('facteur-turn', 1), document FROM made ORDER BY line), \
     released AS (UPDATE facteur.bulk_recipients SET state = 'released', released_at = clock_timestamp() \
         WHERE bulk_id = $1 AND line = ANY (ARRAY(SELECT line FROM picked))) \
     SELECT count(*) FROM picked";

const PACE: &str =
    "UPDATE facteur.bulks SET paced_to = now() - $2::float8 * interval '1 second' WHERE id = $1";

const COMPLETE: &str = "UPDATE facteur.bulks SET state = 'completed', ended_at = clock_timestamp(), \
         updated_at = clock_timestamp() \
     WHERE id = $1 AND NOT EXISTS (SELECT FROM facteur.bulk_recipients WHERE bulk_id = $1 AND state = 'pending') \
       AND NOT EXISTS (SELECT FROM facteur.bulk_recipients WHERE bulk_id = $1 AND state = 'released') RETURNING id";

/// What somebody cancelled by its id alone.
const CANCEL: &str = "UPDATE facteur.bulks SET state = 'canceled', \
         reason = (SELECT c.actor || ': ' || c.reason FROM facteur.bulk_cancels c WHERE c.bulk_id = $1), \
         ended_at = clock_timestamp(), updated_at = clock_timestamp() WHERE id = $1 AND state = 'processing'";

const ABANDON: &str = "UPDATE facteur.bulks SET state = 'failed', reason = 'abandoned: its upload was cut and not resumed', \
         idempotency_key = NULL, upload_token = NULL, ended_at = clock_timestamp(), updated_at = clock_timestamp() \
     WHERE state = 'accepting' AND updated_at < clock_timestamp() - $1::float8 * interval '1 second'";

/// What one turn over a bulk came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dripped {
    /// Recipients that became jobs.
    pub released: i64,
    /// Recipients whose jobs had ended since the last turn.
    pub settled: i64,
    /// Whether all of it has ended.
    pub is_completed: bool,
    /// Why it paused itself.
    pub paused_because: Option<String>,
}

impl Dripped {
    /// Whether there may be more to do at once.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.released == DUTY_ROWS_MAX || self.settled == DUTY_ROWS_MAX
    }
}

/// The bulks whose messages leave; at most 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn open(database: &Database) -> Result<Vec<Uuid>, BatchFailure> {
    ids(database, OPEN).await
}

/// The cancelled and failed bulks of which something is left to be withdrawn; at most 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn withdrawing(database: &Database) -> Result<Vec<Uuid>, BatchFailure> {
    ids(database, WITHDRAWING).await
}

async fn ids(database: &Database, sql: &str) -> Result<Vec<Uuid>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    Ok(client
        .query(&statement, &[&BULKS_MAX])
        .await
        .map_err(classify)?
        .iter()
        .map(|row| row.get(0))
        .collect())
}

/// One turn over a bulk; does nothing where another worker holds it.
///
/// # Errors
/// The database's, classified; nothing was changed then.
pub async fn drip(database: &Database, id: Uuid) -> Result<Dripped, BatchFailure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await.map_err(classify)?;
    let statement = transaction.prepare_cached(LOCK).await.map_err(classify)?;
    let judge_every_s = JUDGE_EVERY.as_secs_f64();
    let found = transaction.query_opt(&statement, &[&id, &judge_every_s]).await.map_err(classify)?;
    let Some(bulk) = found else { return Ok(Dripped::default()) };
    if bulk.get("is_canceled") {
        execute(&transaction, CANCEL, &[&id]).await?;
        transaction.commit().await.map_err(classify)?;
        return Ok(Dripped::default());
    }
    let (settled, room) = settle(&transaction, id).await?;
    let mut dripped = Dripped { settled, ..Dripped::default() };
    let is_to_be_judged: bool = bulk.get("is_to_be_judged");
    if let Some(ratio_max) = bulk.get::<_, Option<f64>>("error_ratio_max").filter(|_| is_to_be_judged) {
        dripped.paused_because = judge(&transaction, id, ratio_max).await?;
    }
    let is_held = bulk.get("is_paused") || bulk.get("is_early") || dripped.paused_because.is_some();
    if !is_held {
        let idle = Duration::try_from_secs_f64(bulk.get("idle_s")).unwrap_or_default();
        let paced = bulk.get::<_, Option<f64>>("rate").map(|rate| (rate, due(rate, idle)));
        let limit = paced.map_or(room, |(_, (due, _))| due.min(room)).min(DUTY_ROWS_MAX);
        dripped.released = release(&transaction, id, limit, bulk.get("lane")).await?;
        if let Some((rate, (due, behind))) = paced {
            // What was due and had no room is caught up on, within what may be caught up on at all.
            let behind_s = behind.as_secs_f64() + (due - dripped.released) as f64 / rate;
            execute(&transaction, PACE, &[&id, &behind_s]).await?;
        }
    }
    dripped.is_completed = execute(&transaction, COMPLETE, &[&id]).await? > 0;
    transaction.commit().await.map_err(classify)?;
    Ok(dripped)
}

/// Notes what has ended. Returns how many that are, and how many more may be released.
async fn settle(transaction: &Transaction<'_>, id: Uuid) -> Result<(i64, i64), BatchFailure> {
    let statement = transaction.prepare_cached(SETTLE).await.map_err(classify)?;
    let row = transaction
        .query_one(&statement, &[&id, &final_statuses(), &DUTY_ROWS_MAX])
        .await
        .map_err(classify)?;
    let room = (AHEAD_MAX - row.get::<_, i64>("ahead")).min(RELEASED_MAX - row.get::<_, i64>("released"));
    Ok((row.get("settled"), room.max(0)))
}

/// Pauses a bulk that fails too often, and says why.
async fn judge(
    transaction: &Transaction<'_>,
    id: Uuid,
    error_ratio_max: f64,
) -> Result<Option<String>, BatchFailure> {
    let failures: Vec<&str> =
        Status::ALL.into_iter().filter(|status| is_failure(*status)).map(Status::as_str).collect();
    let statement = transaction.prepare_cached(JUDGE).await.map_err(classify)?;
    let row =
        transaction.query_one(&statement, &[&id, &final_statuses(), &failures]).await.map_err(classify)?;
    let (ended, failed): (i64, i64) = (row.get("ended"), row.get("failed"));
    if !fails_too_often(ended, failed, error_ratio_max) {
        return Ok(None);
    }
    let reason = format!(
        "{failed} of {ended} messages that have ended have failed, more than the {} % that the bulk allows",
        error_ratio_max * 100.0
    );
    execute(transaction, PAUSE, &[&id, &reason]).await?;
    Ok(Some(reason))
}

async fn release(
    transaction: &Transaction<'_>,
    id: Uuid,
    limit: i64,
    lane: Option<&str>,
) -> Result<i64, BatchFailure> {
    if limit <= 0 {
        return Ok(0);
    }
    let age_max_s =
        RetrySchedule::of(lane.and_then(Lane::from_name).unwrap_or(Lane::Bulk)).age_max.as_secs_f64();
    let statement = transaction.prepare_cached(RELEASE).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 4] = [&id, &limit, &OUTBOX_GRACE.as_secs_f64(), &age_max_s];
    Ok(transaction.query_one(&statement, &parameters).await.map_err(classify)?.get(0))
}

async fn execute(
    transaction: &Transaction<'_>,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<u64, BatchFailure> {
    let statement = transaction.prepare_cached(sql).await.map_err(classify)?;
    transaction.execute(&statement, parameters).await.map_err(classify)
}

/// Gives up uploads that were cut a day ago and not resumed. Returns how many.
///
/// # Errors
/// The database's, classified.
pub async fn abandon(database: &Database) -> Result<u64, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(ABANDON).await.map_err(classify)?;
    client.execute(&statement, &[&ABANDONED_AFTER.as_secs_f64()]).await.map_err(classify)
}

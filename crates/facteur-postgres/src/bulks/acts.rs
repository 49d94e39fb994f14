//! What people do to a bulk while it runs: cancel it, change its rate, try anew what failed.

use std::collections::HashMap;

use deadpool_postgres::Transaction;
use facteur_core::bulk::{self, BulkState, Ended, Trace};
use facteur_core::limits::DUTY_ROWS_MAX;
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use serde_json::json;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::acts::{By, note};
use crate::batch_error::{BatchFailure, classify};
use crate::cancels;
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};

const STATE: &str = "SELECT state FROM facteur.bulks WHERE id = $1";

/// From this commit on nothing of it is released or claimed any more.
const CANCEL: &str = "WITH ours AS (UPDATE facteur.bulks SET state = 'canceled', reason = $3 || ': ' || $2, \
         upload_token = NULL, ended_at = clock_timestamp(), updated_at = clock_timestamp() \
         WHERE id = $1 AND state IN ('accepting', 'processing') RETURNING id, tenant), \
     audited AS (INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
         SELECT tenant, $3, 'bulk_canceled', id::text, $4, jsonb_build_object('reason', $2::text) FROM ours) \
     INSERT INTO facteur.bulk_cancels (bulk_id, reason, actor) SELECT id, $2, $3 FROM ours \
     ON CONFLICT (bulk_id) DO UPDATE SET bulk_id = excluded.bulk_id RETURNING bulk_id";

/// A line that was released since the statement began is left alone: its state is read again under its lock.
const WITHDRAW: &str = "WITH ours AS MATERIALIZED (SELECT id FROM facteur.bulks \
         WHERE id = $1 AND state IN ('canceled', 'failed') AND NOT is_withdrawn FOR UPDATE SKIP LOCKED), \
     picked AS MATERIALIZED (SELECT line FROM facteur.bulk_recipients \
         WHERE bulk_id = (SELECT id FROM ours) AND state = 'pending' ORDER BY line LIMIT $2), \
     moved AS (UPDATE facteur.bulk_recipients SET state = 'canceled' \
         WHERE bulk_id = $1 AND line = ANY (ARRAY(SELECT line FROM picked)) AND state = 'pending'), \
     done AS (UPDATE facteur.bulks SET is_withdrawn = true \
         WHERE id = (SELECT id FROM ours) AND (SELECT count(*) FROM picked) < $2) \
     SELECT count(*) FROM picked";

const SET_RATE: &str = "WITH changed AS (UPDATE facteur.bulks SET rate = $2, paced_to = greatest(paced_to, clock_timestamp()), \
         updated_at = clock_timestamp() WHERE id = $1 AND state IN ('accepting', 'processing') \
         RETURNING id, tenant, rate) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT tenant, $3, 'bulk_rate_changed', id::text, $4, jsonb_build_object('rate', rate) FROM changed";

const LOCK: &str = "SELECT state, tenant, coalesce(expires_at <= clock_timestamp(), false) AS is_over FROM facteur.bulks \
     WHERE id = $1 FOR UPDATE";

/// The jobs are locked in the order of their ids, as claims and records lock them. Nobody is left to write to where a
/// contact was erased.
const CANDIDATES: &str = "WITH looked AS MATERIALIZED (SELECT line, round, job_id FROM facteur.bulk_recipients \
         WHERE bulk_id = $1 AND line > $2 AND state IN ('released', 'settled') AND recipient NOT LIKE 'erased:%' \
         ORDER BY line LIMIT $3), \
     ended AS MATERIALIZED (SELECT l.* FROM looked l CROSS JOIN LATERAL \
         (SELECT status FROM facteur.jobs WHERE id = l.job_id LIMIT 1) j WHERE j.status = ANY ($4::text[])), \
     locked AS (SELECT e.line, e.round, j.* FROM (SELECT * FROM ended ORDER BY job_id) e CROSS JOIN LATERAL \
         (SELECT id, status, reason, attempt FROM facteur.jobs WHERE id = e.job_id FOR UPDATE) j) \
     SELECT (SELECT max(line) FROM looked) AS last, locked.* FROM (SELECT) AS one LEFT JOIN locked ON true";

/// Asked after the jobs are locked. A call that has left no record may have left, and so may one of which Twilio has not
/// said that it was not delivered, or has said anything else at any time.
const EVIDENCE: &str = "SELECT i.id, a.perhaps > 0 OR a.known < i.attempt OR e.other > 0 OR r.is_there IS NOT NULL AS perhaps, \
         a.codes \
     FROM unnest($1::uuid[], $2::int4[]) AS i(id, attempt) \
     CROSS JOIN LATERAL (SELECT count(*) AS known, count(*) FILTER (WHERE was_taken AND NOT has_failed) AS perhaps, \
             array_agg(code) FILTER (WHERE was_taken AND has_failed) AS codes, \
             array_agg(sid) FILTER (WHERE sid IS NOT NULL) AS sids \
         FROM (SELECT code, sid, sid IS NOT NULL OR outcome IN ('accepted', 'uncertain') AS was_taken, \
                   sid IS NOT NULL AND code IS NOT NULL \
                       AND coalesce(twilio_status IN ('undelivered', 'failed'), false) AS has_failed \
               FROM facteur.attempts WHERE job_id = i.id) AS calls) a \
     CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE sid <> ALL (coalesce(a.sids, '{}')) OR twilio_status NOT IN \
             ('scheduled', 'accepted', 'queued', 'sending', 'sent', 'undelivered', 'failed')) AS other \
         FROM facteur.status_events WHERE job_id = i.id) e \
     LEFT JOIN LATERAL (SELECT true AS is_there FROM facteur.reconciliations WHERE job_id = i.id LIMIT 1) r ON true";

const REOPEN: &str = "UPDATE facteur.bulk_recipients r \
     SET state = 'pending', round = r.round + 1, job_id = u.job_id, released_at = NULL \
     FROM unnest($2::int4[], $3::uuid[]) AS u(line, job_id) WHERE r.bulk_id = $1 AND r.line = u.line";

/// The old job must not be requeued beside the new one.
const CLOSE_LETTERS: &str = "UPDATE facteur.dead_letters SET state = 'resolved', closed_at = clock_timestamp() \
     WHERE job_id = ANY ($1::uuid[]) AND state = 'open'";

const NEXT_ROUND: &str = "UPDATE facteur.bulks SET state = 'processing', round = round + $2, ended_at = NULL, \
         paced_to = greatest(paced_to, clock_timestamp()), ratio_since = clock_timestamp(), \
         updated_at = clock_timestamp() WHERE id = $1";

/// What an act came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acted {
    /// Done, to so many recipients.
    Done(i64),
    /// There is no such bulk.
    Unknown,
    /// Not to a bulk in this state.
    NotNow(BulkState),
    /// Its `expires_at` has passed: nothing of it would be sent.
    Over,
}

/// Cancels a bulk: from the first commit on nothing of it is released or claimed; what waits is then cancelled in
/// chunks. What is being sent can't be called back. A call that was cut short is carried on by the dripper.
///
/// # Errors
/// [`BatchFailure::Data`] if reason or actor are not as they must be; otherwise the database's, classified.
pub async fn cancel(
    database: &Database,
    id: Uuid,
    reason: &str,
    by: impl Into<By<'_>>,
) -> Result<Acted, BatchFailure> {
    let By { actor, request_id } = by.into();
    cancels::check(reason, actor)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(CANCEL).await.map_err(classify)?;
    let canceled =
        client.query_opt(&statement, &[&id, &reason, &actor, &request_id]).await.map_err(classify)?;
    drop(client);
    if canceled.is_none() {
        return not_now(database, id).await;
    }
    let jobs = cancels::cancel_bulk(database, id, reason, actor).await?.canceled;
    let mut pending = 0;
    loop {
        let chunk = withdraw(database, id).await?;
        pending += chunk;
        if chunk < DUTY_ROWS_MAX {
            return Ok(Acted::Done(jobs + pending));
        }
    }
}

/// Withdraws a chunk of at most 1,000 pending recipients of a cancelled or failed bulk. Returns how many.
///
/// # Errors
/// The database's, classified.
pub async fn withdraw(database: &Database, id: Uuid) -> Result<i64, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(WITHDRAW).await.map_err(classify)?;
    Ok(client.query_one(&statement, &[&id, &DUTY_ROWS_MAX]).await.map_err(classify)?.get(0))
}

/// Changes the rate (messages a second) of a bulk that is not over; `None` for as fast as possible.
///
/// # Errors
/// The database's, classified.
pub async fn set_rate(
    database: &Database,
    id: Uuid,
    rate: Option<f64>,
    by: impl Into<By<'_>>,
) -> Result<Acted, BatchFailure> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(SET_RATE).await.map_err(classify)?;
    let changed =
        client.execute(&statement, &[&id, &rate, &by.actor, &by.request_id]).await.map_err(classify)?;
    drop(client);
    if changed == 0 { not_now(database, id).await } else { Ok(Acted::Done(0)) }
}

/// Gives a new round, with a new job, to each recipient whose message failed and may be tried anew: nobody who has the
/// message, may have it, or can't get it. What Twilio took and did not deliver is judged by the code that it gave. Returns how many that are.
///
/// # Errors
/// The database's, classified; what was given a round before stays so.
pub async fn retry(database: &Database, id: Uuid, by: impl Into<By<'_>>) -> Result<Acted, BatchFailure> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let mut client = database.client().await?;
    let (mut last, mut sum) = (Some(0), 0);
    while let Some(after) = last {
        let transaction = client.transaction().await.map_err(classify)?;
        let statement = transaction.prepare_cached(LOCK).await.map_err(classify)?;
        let Some(row) = transaction.query_opt(&statement, &[&id]).await.map_err(classify)? else {
            return Ok(Acted::Unknown);
        };
        match super::lists::state(row.get("state")) {
            BulkState::Processing | BulkState::Completed => {}
            state => return Ok(Acted::NotNow(state)),
        }
        if row.get("is_over") {
            return Ok(Acted::Over);
        }
        // Once, with the first chunk: what it is about is decided, and the rest is only work.
        if after == 0 {
            let subject = (row.get("tenant"), id.to_string());
            note(&transaction, by, "bulk_retried", (subject.0, &subject.1), json!({})).await?;
        }
        let (to, again) = retry_chunk(&transaction, id, after, sum == 0).await?;
        transaction.commit().await.map_err(classify)?;
        sum += again;
        last = to;
    }
    Ok(Acted::Done(sum))
}

/// Returns the last line that was looked at, and how many get a new round.
async fn retry_chunk(
    transaction: &Transaction<'_>,
    id: Uuid,
    after: i32,
    is_first: bool,
) -> Result<(Option<i32>, i64), BatchFailure> {
    let maybe = bulk::TRIED_ANEW.map(Status::as_str);
    let statement = transaction.prepare_cached(CANDIDATES).await.map_err(classify)?;
    let rows =
        transaction.query(&statement, &[&id, &after, &DUTY_ROWS_MAX, &&maybe[..]]).await.map_err(classify)?;
    let last = rows.first().and_then(|row| row.get("last"));
    let rows: Vec<_> = rows.iter().filter(|row| row.get::<_, Option<Uuid>>("id").is_some()).collect();
    let traces = traces(transaction, &rows).await?;
    let anew = rows.iter().filter_map(|row| {
        let (status, old): (Option<Status>, Uuid) = (Status::from_name(row.get("status")), row.get("id"));
        let (line, round): (i32, i32) = (row.get("line"), row.get("round"));
        let (line_number, round) = (u32::try_from(line).ok()?, u32::try_from(round).ok()?);
        let reason = ReasonCode::from_name(row.get("reason"));
        let trace = traces.get(&old).cloned().unwrap_or(Trace::Perhaps);
        let ended = Ended { status: status?, reason, trace, round };
        bulk::may_be_tried_anew(&ended).then(|| (line, bulk::job_id(id, line_number, round + 1).0, old))
    });
    let (mut lines, mut jobs, mut olds) = (Vec::new(), Vec::new(), Vec::new());
    for (line, job, old) in anew {
        lines.push(line);
        jobs.push(job);
        olds.push(old);
    }
    if !lines.is_empty() {
        let statement = transaction.prepare_cached(REOPEN).await.map_err(classify)?;
        transaction.execute(&statement, &[&id, &lines, &jobs]).await.map_err(classify)?;
        let statement = transaction.prepare_cached(CLOSE_LETTERS).await.map_err(classify)?;
        transaction.execute(&statement, &[&olds]).await.map_err(classify)?;
        let statement = transaction.prepare_cached(NEXT_ROUND).await.map_err(classify)?;
        transaction.execute(&statement, &[&id, &i32::from(is_first)]).await.map_err(classify)?;
    }
    Ok((last, i64::try_from(lines.len()).unwrap_or(i64::MAX)))
}

/// What became of the calls of these jobs.
async fn traces(transaction: &Transaction<'_>, jobs: &[&Row]) -> Result<HashMap<Uuid, Trace>, BatchFailure> {
    let ids: Vec<Uuid> = jobs.iter().map(|row| row.get("id")).collect();
    let attempts: Vec<i32> = jobs.iter().map(|row| row.get("attempt")).collect();
    let statement = transaction.prepare_cached(EVIDENCE).await.map_err(classify)?;
    let rows = transaction.query(&statement, &[&ids, &attempts]).await.map_err(classify)?;
    let trace = |row: &Row| match row.get::<_, Option<Vec<i32>>>("codes") {
        _ if row.get("perhaps") => Trace::Perhaps,
        None => Trace::NothingTaken,
        // A code that is none is in no table.
        Some(codes) => Trace::NotDelivered(
            codes.into_iter().map(|code| u32::try_from(code).unwrap_or_default()).collect(),
        ),
    };
    Ok(rows.iter().map(|row| (row.get("id"), trace(row))).collect())
}

async fn not_now(database: &Database, id: Uuid) -> Result<Acted, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(STATE).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&id]).await.map_err(classify)?;
    Ok(row.map_or(Acted::Unknown, |row| Acted::NotNow(super::lists::state(row.get("state")))))
}

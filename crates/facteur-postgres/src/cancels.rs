//! Cancellation: of a message, or of a bulk, that has not left. The row's lock decides between a cancellation and a
//! claim: exactly one of them wins.

use facteur_core::ids::{JobId, Tenant};
use facteur_core::limits::DUTY_ROWS_MAX;
use facteur_core::status::Status;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::acts::By;
use crate::audit::ALL_TENANTS;
use crate::batch_error::{BatchFailure, classify};
use crate::claim::final_statuses;
use crate::pool::{Client, Database};
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;
/// Jobs of a bulk are counted up to this before it is cancelled.
pub const COUNT_MAX: i64 = 100_000;

const STANDING: &str = "SELECT status FROM facteur.jobs WHERE id = $1";

/// Judged on the row as it is when its lock is ours.
const CANCEL: &str = "WITH canceled AS (UPDATE facteur.jobs SET status = 'canceled', reason = 'canceled', sentence = $2, not_before = NULL, \
         due_at = NULL, waits_for = NULL, in_line_since = NULL, updated_at = clock_timestamp() \
     WHERE id = $1 AND status = ANY ($3::text[]) RETURNING id, tenant) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT tenant, $4, 'message_canceled', id::text, $5, jsonb_build_object('reason', $6::text) FROM canceled \
     RETURNING id";

/// A job that nobody has seen: its row is made before its envelope comes. Its fingerprint is empty, so that whatever
/// its tenant brings under its id finds the end.
const TOMBSTONE: &str = "WITH canceled AS (INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, sentence, deadline) \
     VALUES ($1, '', $2, 'normal', 'canceled', 'canceled', $3, clock_timestamp()) \
     ON CONFLICT (id) DO NOTHING RETURNING id, tenant) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT tenant, $4, 'message_canceled', id::text, $5, jsonb_build_object('reason', $6::text) FROM canceled \
     RETURNING id";

/// The first actor and reason stand.
const CANCEL_BULK: &str = "WITH canceled AS (INSERT INTO facteur.bulk_cancels (bulk_id, reason, actor) VALUES ($1, $2, $3) \
     ON CONFLICT (bulk_id) DO NOTHING RETURNING bulk_id) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT coalesce((SELECT tenant FROM facteur.bulks WHERE id = $1), \
                     (SELECT tenant FROM facteur.messages WHERE bulk_id IS NOT NULL AND bulk_id = $1 LIMIT 1), $5), \
         $3, 'bulk_canceled', bulk_id::text, $4, jsonb_build_object('reason', $2::text) FROM canceled";

/// One chunk of a bulk, along its index.
const CHUNK: &str = "WITH picked AS (SELECT id FROM facteur.messages \
         WHERE bulk_id IS NOT NULL AND bulk_id = $1 AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3), \
     locked AS (SELECT j.* FROM (SELECT id FROM picked ORDER BY id) p CROSS JOIN LATERAL \
         (SELECT id, status FROM facteur.jobs WHERE id = p.id FOR UPDATE) j), \
     moved AS (UPDATE facteur.jobs j SET status = 'canceled', reason = 'canceled', sentence = $4, not_before = NULL, \
             due_at = NULL, waits_for = NULL, in_line_since = NULL, updated_at = clock_timestamp() \
         WHERE j.id = ANY (ARRAY(SELECT id FROM locked WHERE status = ANY ($5::text[]))) RETURNING j.id) \
     SELECT (SELECT id FROM picked ORDER BY id DESC LIMIT 1) AS last, (SELECT count(*) FROM moved) AS canceled, \
         (SELECT count(*) FROM locked WHERE status IN ('sending', 'uncertain')) AS too_late, \
         (SELECT count(*) FROM locked WHERE status = ANY ($6::text[])) AS ended";

const BULK: &str = "SELECT count(*) FILTER (WHERE j.status = ANY ($2::text[])) AS open, \
         count(*) FILTER (WHERE j.status IN ('sending', 'uncertain')) AS too_late, \
         count(*) FILTER (WHERE j.status = ANY ($3::text[])) AS ended \
     FROM (SELECT id FROM facteur.messages WHERE bulk_id IS NOT NULL AND bulk_id = $1 ORDER BY id LIMIT $4) AS m \
     CROSS JOIN LATERAL (SELECT status FROM facteur.jobs WHERE id = m.id LIMIT 1) j";

const OF_BULK: &str = "SELECT reason, actor FROM facteur.bulk_cancels WHERE bulk_id = (SELECT bulk_id FROM facteur.messages WHERE id = $1)";

/// What a cancellation of one job came to, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It will not leave.
    Canceled,
    /// Nobody had seen it; when its envelope comes, it will not leave.
    Unseen,
    /// Too late, or unknown whether it is: it is being sent, or may have been.
    TooLate(Status),
    /// It has ended before.
    Ended(Status),
}

/// What became of the jobs of a bulk, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BulkCancel {
    /// They will not leave.
    pub canceled: i64,
    /// They are being sent, or may have been.
    pub too_late: i64,
    /// They had ended before.
    pub ended: i64,
}

/// What [`cancel`] would do.
///
/// # Errors
/// The database's, classified.
pub async fn preview(database: &Database, id: JobId) -> Result<Cancel, BatchFailure> {
    let client = database.client().await?;
    Ok(match standing(&client, id).await? {
        None => Cancel::Unseen,
        Some(status) if status.may_become(Status::Canceled) => Cancel::Canceled,
        Some(status) => refused(status),
    })
}

/// Cancels a job that has not left. `tenant` is that of a job which nobody has seen.
///
/// # Errors
/// [`BatchFailure::Data`] if the reason is empty or over 500 characters; otherwise the database's, classified.
pub async fn cancel(
    database: &Database,
    id: JobId,
    tenant: &Tenant,
    reason: &str,
    by: impl Into<By<'_>>,
) -> Result<Cancel, BatchFailure> {
    let By { actor, request_id } = by.into();
    check(reason, actor)?;
    let client = database.client().await?;
    let update = client.prepare_cached(CANCEL).await.map_err(classify)?;
    let insert = client.prepare_cached(TOMBSTONE).await.map_err(classify)?;
    // A row that appears after the first look is met by the second.
    loop {
        let sentence = format!("by {actor}: {reason}");
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&id.0, &sentence, &cancelable(), &actor, &request_id, &reason];
        if client.query_opt(&update, &parameters).await.map_err(classify)?.is_some() {
            return Ok(Cancel::Canceled);
        }
        match standing(&client, id).await? {
            // Released or given back between the two statements: asked again.
            Some(status) if status.may_become(Status::Canceled) => {}
            Some(status) => return Ok(refused(status)),
            None => {
                let sentence = format!("before it was seen, by {actor}: {reason}");
                let parameters: [&(dyn ToSql + Sync); 6] =
                    [&id.0, &tenant.as_str(), &sentence, &actor, &request_id, &reason];
                let made = client.query_opt(&insert, &parameters).await.map_err(classify)?;
                if made.is_some() {
                    return Ok(Cancel::Unseen);
                }
            }
        }
    }
}

/// What [`cancel_bulk`] would do to the jobs that were seen; at most [`COUNT_MAX`] are counted.
///
/// # Errors
/// The database's, classified.
pub async fn preview_bulk(database: &Database, bulk_id: Uuid) -> Result<BulkCancel, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(BULK).await.map_err(classify)?;
    let row = client
        .query_one(&statement, &[&bulk_id, &cancelable(), &final_statuses(), &COUNT_MAX])
        .await
        .map_err(classify)?;
    Ok(BulkCancel { canceled: row.get("open"), too_late: row.get("too_late"), ended: row.get("ended") })
}

/// Cancels a bulk: from the first commit on, none of its jobs is claimed any more; those that wait are then cancelled in
/// chunks of 1,000, and those that are still in a queue when they come out of it. A call that was cut short is resumed
/// by the same again.
///
/// # Errors
/// As [`cancel`].
pub async fn cancel_bulk(
    database: &Database,
    bulk_id: Uuid,
    reason: &str,
    by: impl Into<By<'_>>,
) -> Result<BulkCancel, BatchFailure> {
    let By { actor, request_id } = by.into();
    check(reason, actor)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(CANCEL_BULK).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 5] = [&bulk_id, &reason, &actor, &request_id, &ALL_TENANTS];
    client.execute(&statement, &parameters).await.map_err(classify)?;
    let statement = client.prepare_cached(CHUNK).await.map_err(classify)?;
    let sentence = format!("with its bulk, by {actor}: {reason}");
    let (cancelable, finals) = (cancelable(), final_statuses());
    let (mut sum, mut last) = (BulkCancel::default(), None::<Uuid>);
    loop {
        let parameters: [&(dyn ToSql + Sync); 6] =
            [&bulk_id, &last, &DUTY_ROWS_MAX, &sentence, &cancelable, &finals];
        let row = client.query_one(&statement, &parameters).await.map_err(classify)?;
        sum.canceled += row.get::<_, i64>("canceled");
        sum.too_late += row.get::<_, i64>("too_late");
        sum.ended += row.get::<_, i64>("ended");
        last = row.get("last");
        if last.is_none() {
            return Ok(sum);
        }
    }
}

/// Who cancelled the bulk of this job, and why, if somebody did.
pub(crate) async fn of_bulk(client: &Client, id: JobId) -> Result<Option<(String, String)>, BatchFailure> {
    let statement = client.prepare_cached(OF_BULK).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&id.0]).await.map_err(classify)?;
    Ok(row.map(|row| (row.get("actor"), row.get("reason"))))
}

async fn standing(client: &Client, id: JobId) -> Result<Option<Status>, BatchFailure> {
    let statement = client.prepare_cached(STANDING).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&id.0]).await.map_err(classify)?;
    // The table's CHECK allows no other names; an unknown one would be a newer release's, which we leave alone.
    Ok(row.map(|row| Status::from_name(row.get("status")).unwrap_or(Status::Uncertain)))
}

fn refused(status: Status) -> Cancel {
    if status.is_final() { Cancel::Ended(status) } else { Cancel::TooLate(status) }
}

/// The states out of which a job may be cancelled.
fn cancelable() -> Vec<&'static str> {
    Status::allowed_from(Status::Canceled).into_iter().map(Status::as_str).collect()
}

pub(crate) fn check(reason: &str, actor: &str) -> Result<(), BatchFailure> {
    check_words("reason", reason, REASON_CHARS_MAX)?;
    check_words("actor", actor, ACTOR_CHARS_MAX)
}

//! The keeper of the dead queue: files envelopes that never reached a record, or that the broker gave up, and
//! obeys the table of transitions where a record exists.

use deadpool_postgres::Transaction;
use facteur_core::envelope::HEADER_TURN;
use facteur_core::ids::{JobId, Turn};
use facteur_core::ledger::DeadEnvelope;
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use serde_json::Value;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

const LOCK_JOB: &str = "SELECT status, turn FROM facteur.jobs WHERE id = $1 FOR UPDATE";

const BURY_JOB: &str = "UPDATE facteur.jobs SET status = 'dead', reason = $2, sentence = $3, not_before = NULL, \
         due_at = NULL, waits_for = NULL, in_line_since = NULL, claim_token = NULL, updated_at = clock_timestamp() \
     WHERE id = $1 AND status = ANY ($4::text[])";

const COUNT_COPY: &str = "UPDATE facteur.dead_letters SET copies = copies + 1 \
     WHERE state = 'open' AND digest = $1 RETURNING copies";

const COUNT_COPY_OF_JOB: &str = "UPDATE facteur.dead_letters SET copies = copies + 1 \
     WHERE state = 'open' AND job_id = $1 RETURNING copies";

const INSERT_LETTER: &str = "INSERT INTO facteur.dead_letters \
         (job_id, tenant, code, field, sentence, body, headers, routing_key, digest) \
     VALUES ($1, coalesce((SELECT tenant FROM facteur.jobs WHERE id = $1), 'default'), $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT DO NOTHING RETURNING id";

/// What the keeper did. After each of these the envelope may be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filed {
    /// A letter was written.
    New(Uuid),
    /// The same envelope, or its job, has an open letter already: so many copies were counted.
    Again(u32),
    /// The work of its job is over, or another turn of it is current: there is nothing to keep.
    Dropped,
    /// A worker is calling Twilio for its job, or evidence is looked for: whoever does that answers for it.
    InFlight,
}

pub(super) async fn file(database: &Database, envelope: &DeadEnvelope) -> Result<Filed, BatchFailure> {
    let envelope = &storable(envelope);
    let mut client = database.client().await?;
    let transaction = client.transaction().await.map_err(classify)?;
    let filed = match envelope.job_id {
        None => file_letter(&transaction, envelope, None).await?,
        Some(id) => file_for_job(&transaction, envelope, id).await?,
    };
    transaction.commit().await.map_err(classify)?;
    Ok(filed)
}

async fn file_for_job(
    transaction: &Transaction<'_>,
    envelope: &DeadEnvelope,
    id: JobId,
) -> Result<Filed, BatchFailure> {
    let Some((status, turn)) = lock(transaction, id).await? else {
        // No row is made up for it: the same id, published again and readable, is a new job.
        return file_letter(transaction, envelope, Some(id)).await;
    };
    let of_envelope = turn_of(&envelope.headers);
    match status {
        // The job of that id is another one; the letter stands for itself.
        _ if !speaks_for_its_job(envelope.code, of_envelope) => {
            file_letter(transaction, envelope, None).await
        }
        Status::Dead => match count_copy_of_job(transaction, id).await? {
            Some(copies) => Ok(Filed::Again(copies)),
            None => Ok(Filed::Dropped),
        },
        Status::Sending | Status::Uncertain => Ok(Filed::InFlight),
        status if status.is_final() || of_envelope.unwrap_or_default() != turn => Ok(Filed::Dropped),
        _ => {
            bury_job(transaction, envelope, id).await?;
            file_letter(transaction, envelope, Some(id)).await
        }
    }
}

/// Whether an envelope was a wake-up of the job that it names. What can't be read never was one, nor was what a
/// producer sent astray under an id that arrived by another way; our own wake-ups carry their turn.
fn speaks_for_its_job(code: ReasonCode, turn: Option<Turn>) -> bool {
    match code {
        ReasonCode::DeliveryLimit => true,
        ReasonCode::Unroutable | ReasonCode::ForeignDeadLetter => turn.is_some(),
        _ => false,
    }
}

/// The turn that the envelope was published for; a producer's own envelope has none.
fn turn_of(headers: &Value) -> Option<Turn> {
    Some(Turn(i32::try_from(headers.get(HEADER_TURN)?.as_i64()?).ok()?))
}

async fn lock(transaction: &Transaction<'_>, id: JobId) -> Result<Option<(Status, Turn)>, BatchFailure> {
    let statement = transaction.prepare_cached(LOCK_JOB).await.map_err(classify)?;
    let row = transaction.query_opt(&statement, &[&id.0]).await.map_err(classify)?;
    // The table's CHECK allows no other names; a newer release's status is left to that release.
    Ok(row.map(|row| {
        (Status::from_name(row.get("status")).unwrap_or(Status::Uncertain), Turn(row.get("turn")))
    }))
}

async fn bury_job(
    transaction: &Transaction<'_>,
    envelope: &DeadEnvelope,
    id: JobId,
) -> Result<(), BatchFailure> {
    let from: Vec<&str> = Status::allowed_from(Status::Dead).iter().map(|status| status.as_str()).collect();
    let statement = transaction.prepare_cached(BURY_JOB).await.map_err(classify)?;
    transaction
        .execute(&statement, &[&id.0, &envelope.code.as_str(), &envelope.sentence, &from])
        .await
        .map_err(classify)?;
    Ok(())
}

async fn count_copy_of_job(transaction: &Transaction<'_>, id: JobId) -> Result<Option<u32>, BatchFailure> {
    let statement = transaction.prepare_cached(COUNT_COPY_OF_JOB).await.map_err(classify)?;
    let row = transaction.query_opt(&statement, &[&id.0]).await.map_err(classify)?;
    Ok(row.map(|row| u32::try_from(row.get::<_, i32>(0)).unwrap_or_default()))
}

async fn file_letter(
    transaction: &Transaction<'_>,
    envelope: &DeadEnvelope,
    job_id: Option<JobId>,
) -> Result<Filed, BatchFailure> {
    let digest = &envelope.digest[..];
    let mut job_id = job_id.map(|id| id.0);
    let count = transaction.prepare_cached(COUNT_COPY).await.map_err(classify)?;
    let insert = transaction.prepare_cached(INSERT_LETTER).await.map_err(classify)?;
    // Two keepers may file one envelope at the same moment: the second insert waits, finds the first one's row
    // and counts. If it is another envelope under the same id that stands there, this one stands for itself.
    for _ in 0..2 {
        if let Some(row) = transaction.query(&count, &[&digest]).await.map_err(classify)?.first() {
            return Ok(Filed::Again(u32::try_from(row.get::<_, i32>(0)).unwrap_or_default()));
        }
        let code = envelope.code.as_str();
        let body = &envelope.body[..];
        let row = transaction
            .query_opt(
                &insert,
                &[
                    &job_id,
                    &code,
                    &envelope.field,
                    &envelope.sentence,
                    &body,
                    &envelope.headers,
                    &envelope.routing_key,
                    &digest,
                ],
            )
            .await
            .map_err(classify)?;
        if let Some(row) = row {
            return Ok(Filed::New(row.get(0)));
        }
        job_id = None;
    }
    Err(BatchFailure::Unavailable("a letter changed hands while it was filed".to_owned()))
}

/// Postgres takes no NUL in text, and a letter must be filed whatever it holds; the body is kept byte for byte.
fn storable(envelope: &DeadEnvelope) -> DeadEnvelope {
    DeadEnvelope {
        field: envelope.field.as_deref().map(without_nul),
        sentence: without_nul(&envelope.sentence),
        routing_key: without_nul(&envelope.routing_key),
        headers: json_without_nul(&envelope.headers),
        ..envelope.clone()
    }
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn json_without_nul(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_nul(text)),
        Value::Array(values) => values.iter().map(json_without_nul).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (without_nul(name), json_without_nul(value))).collect()
        }
        other => other.clone(),
    }
}

//! Staging: lines are written while the request that brings them is read, and one row makes them a bulk.

use facteur_core::Timestamp;
use facteur_core::bulk::BulkState;
use facteur_core::lane::Lane;
use facteur_core::price::Amount;
use facteur_core::reason::Reason;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// A later upload of the same key takes over from an earlier one, whose next lines are refused then.
const OPEN: &str = "INSERT INTO facteur.bulks AS b (id, tenant, name, document, channel, category, sender, template, \
         rate, error_ratio_max, starts_at, expires_at, idempotency_key, head_digest, created_by, upload_token, currency) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
     ON CONFLICT (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL DO UPDATE SET \
         upload_token = CASE WHEN b.state = 'accepting' AND b.head_digest = excluded.head_digest \
                             THEN excluded.upload_token ELSE b.upload_token END, \
         updated_at = CASE WHEN b.state = 'accepting' THEN clock_timestamp() ELSE b.updated_at END \
     RETURNING id, state, total, head_digest = $14 AS is_same, digest, currency";

/// `ours` locks the bulk and tells whether these lines are the next ones. Of lines with the same recipient the first one
/// stays: the index decides, within the chunk and beyond it.
const STAGE: &str = "WITH ours AS (UPDATE facteur.bulks SET total = $4, updated_at = clock_timestamp() \
         WHERE id = $1 AND upload_token = $2 AND state = 'accepting' AND total = $3 RETURNING id), \
     input AS (SELECT i.*, ours.id AS bulk_id FROM unnest($5::int4[], $6::text[], $7::text[], $8::text[], $9::jsonb[], \
             $10::int4[], $11::bytea[], $12::bytea[], $13::text[], $14::text[], $15::text[], $16::uuid[], \
             $17::int8[]) AS i(line, recipient, name, text, variables, segments, fingerprint, digest, code, field, \
                               sentence, job_id, cost_micros) \
         CROSS JOIN ours), \
     taken AS (INSERT INTO facteur.bulk_recipients \
             (bulk_id, line, recipient, name, text, variables, segments, cost_micros, fingerprint, digest, state, job_id) \
         SELECT bulk_id, line, recipient, name, text, variables, segments, cost_micros, fingerprint, digest, 'pending', \
                job_id \
         FROM input WHERE code IS NULL ORDER BY line \
         ON CONFLICT (bulk_id, recipient) WHERE state <> 'refused' DO NOTHING RETURNING line), \
     refused AS (INSERT INTO facteur.bulk_recipients \
             (bulk_id, line, recipient, name, digest, state, code, field, sentence) \
         SELECT bulk_id, line, recipient, name, digest, 'refused', coalesce(code, 'duplicate_recipient'), \
                CASE WHEN code IS NULL THEN 'to' ELSE field END, \
                coalesce(sentence, 'stands on an earlier line already') \
         FROM input i WHERE NOT EXISTS (SELECT FROM taken t WHERE t.line = i.line) RETURNING line) \
     SELECT EXISTS (SELECT FROM ours) AS is_ours, (SELECT count(*) FROM refused) AS refused";

const DIGESTS: &str = "SELECT digest FROM facteur.bulk_recipients \
     WHERE bulk_id = $1 AND line BETWEEN $2 AND $3 ORDER BY line";

/// The call's one record in the audit log comes with it.
const ACCEPT: &str = "WITH accepted AS (UPDATE facteur.bulks SET state = 'processing', digest = $4, lane = $5, upload_token = NULL, \
         paced_to = clock_timestamp(), accepted_at = clock_timestamp(), updated_at = clock_timestamp() \
     WHERE id = $1 AND upload_token = $2 AND state = 'accepting' AND total = $3 RETURNING *), \
     audited AS (INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
         SELECT tenant, created_by, 'send_bulk_' || channel, id::text, $6, \
                jsonb_build_object('recipients', total, 'template', template, 'sender', sender) FROM accepted) \
     SELECT id FROM accepted";

const FAIL: &str = "UPDATE facteur.bulks SET state = 'failed', reason = $3, idempotency_key = NULL, upload_token = NULL, \
         ended_at = clock_timestamp(), updated_at = clock_timestamp() \
     WHERE id = $1 AND upload_token = $2 AND state = 'accepting'";

/// What the messages of a new bulk share.
#[derive(Clone)]
pub struct NewBulk<'a> {
    /// Identity, if it is new.
    pub id: Uuid,
    /// Whose.
    pub tenant: &'a str,
    /// Its name, for people.
    pub name: Option<&'a str>,
    /// A job's document without id, recipient and text.
    pub document: &'a serde_json::Value,
    /// `sms`, `mms` or `whatsapp`.
    pub channel: &'a str,
    /// What its messages are for.
    pub category: &'a str,
    /// From which sender they leave.
    pub sender: &'a str,
    /// The template that their texts came from.
    pub template: Option<&'a str>,
    /// Messages a second; no limit of its own if absent.
    pub rate: Option<f64>,
    /// The share of failures at which it pauses itself.
    pub error_ratio_max: Option<f64>,
    /// Not before.
    pub starts_at: Option<Timestamp>,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// The caller's key, under which a cut upload is resumed.
    pub idempotency_key: Option<&'a str>,
    /// SHA-256 of all that the caller gave but the recipients.
    pub head_digest: &'a [u8],
    /// Who.
    pub created_by: &'a str,
    /// The right to stage its lines.
    pub upload_token: Uuid,
    /// In which currency its costs are, if prices are configured.
    pub currency: Option<&'a str>,
}

/// The bulk that an upload stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Identity.
    pub id: Uuid,
    /// Where it stands; lines are staged while it is `accepting`.
    pub state: BulkState,
    /// Lines that an earlier upload has staged.
    pub staged: u32,
    /// Whether all but the recipients is what the key stood for before.
    pub is_same: bool,
    /// SHA-256 of all that was accepted under the key.
    pub digest: Option<Vec<u8>>,
    /// In which currency the costs of its lines are: that of its first upload.
    pub currency: Option<String>,
}

/// A line of a bulk, judged.
#[derive(Clone, PartialEq)]
pub struct NewLine {
    /// Its number, from 1.
    pub line: u32,
    /// E.164; of a refused one what was given, shortened.
    pub recipient: String,
    /// Its name.
    pub name: Option<String>,
    /// What the line was given as.
    pub digest: [u8; 16],
    /// What is sent, or why nothing is.
    pub judged: Result<Ready, Reason>,
}

/// What is sent to a recipient.
#[derive(Clone, PartialEq)]
pub struct Ready {
    /// The job of its first round.
    pub job_id: Uuid,
    /// The rendered text; `None` where Twilio renders it.
    pub text: Option<String>,
    /// What Twilio renders with.
    pub variables: Option<serde_json::Value>,
    /// What it costs, in segments.
    pub segments: u32,
    /// What it is estimated to cost, in the bulk's currency; `None` where no price is known.
    pub cost: Option<Amount>,
    /// The job's fingerprint.
    pub fingerprint: [u8; 32],
}

/// Why lines can't be staged.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// Another upload of the same key goes on with it, or it was given up.
    #[error("another upload of the same key has taken over")]
    Superseded,
    /// The database's, classified.
    #[error(transparent)]
    Database(#[from] BatchFailure),
}

/// Makes a bulk, or finds the one that the key stands for, and takes over its upload.
///
/// # Errors
/// The database's, classified.
pub async fn open_upload(database: &Database, new: &NewBulk<'_>) -> Result<Opened, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OPEN).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 17] = [
        &new.id,
        &new.tenant,
        &new.name,
        new.document,
        &new.channel,
        &new.category,
        &new.sender,
        &new.template,
        &new.rate,
        &new.error_ratio_max,
        &new.starts_at,
        &new.expires_at,
        &new.idempotency_key,
        &new.head_digest,
        &new.created_by,
        &new.upload_token,
        &new.currency,
    ];
    let row = client.query_one(&statement, &parameters).await.map_err(classify)?;
    Ok(Opened {
        id: row.get("id"),
        state: super::lists::state(row.get("state")),
        staged: u32::try_from(row.get::<_, i32>("total")).unwrap_or_default(),
        is_same: row.get("is_same"),
        digest: row.get("digest"),
        currency: row.get("currency"),
    })
}

/// Stages the next lines of a bulk (at most 1,000, without gaps) and returns how many of them are refused.
///
/// # Errors
/// [`StageError::Superseded`] if the upload is not the present one, or other lines are the next.
pub async fn stage(database: &Database, id: Uuid, token: Uuid, lines: &[NewLine]) -> Result<i64, StageError> {
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(0) };
    let (before, last) = (number(first.line) - 1, number(last.line));
    let ready = || lines.iter().map(|line| line.judged.as_ref().ok());
    let refused = || lines.iter().map(|line| line.judged.as_ref().err());
    let numbers: Vec<i32> = lines.iter().map(|line| number(line.line)).collect();
    let recipients: Vec<&str> = lines.iter().map(|line| line.recipient.as_str()).collect();
    let names: Vec<Option<&str>> = lines.iter().map(|line| line.name.as_deref()).collect();
    let texts: Vec<Option<&str>> = ready().map(|ready| ready?.text.as_deref()).collect();
    let variables: Vec<Option<Json<&serde_json::Value>>> =
        ready().map(|ready| ready?.variables.as_ref().map(Json)).collect();
    let segments: Vec<i32> = ready().map(|ready| ready.map_or(0, |ready| number(ready.segments))).collect();
    let fingerprints: Vec<Option<&[u8]>> = ready().map(|ready| ready.map(|r| &r.fingerprint[..])).collect();
    let digests: Vec<&[u8]> = lines.iter().map(|line| &line.digest[..]).collect();
    let codes: Vec<Option<&str>> = refused().map(|reason| Some(reason?.code.as_str())).collect();
    let fields: Vec<Option<&str>> = refused().map(|reason| reason?.field.as_deref()).collect();
    let sentences: Vec<Option<&str>> = refused().map(|reason| Some(reason?.sentence.as_str())).collect();
    let job_ids: Vec<Option<Uuid>> = ready().map(|ready| Some(ready?.job_id)).collect();
    let costs: Vec<Option<i64>> = ready().map(|ready| i64::try_from(ready?.cost?.as_micros()).ok()).collect();
    let client = database.client().await?;
    let statement = client.prepare_cached(STAGE).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 17] = [
        &id,
        &token,
        &before,
        &last,
        &numbers,
        &recipients,
        &names,
        &texts,
        &variables,
        &segments,
        &fingerprints,
        &digests,
        &codes,
        &fields,
        &sentences,
        &job_ids,
        &costs,
    ];
    let row = client.query_one(&statement, &parameters).await.map_err(classify)?;
    if row.get("is_ours") { Ok(row.get("refused")) } else { Err(StageError::Superseded) }
}

/// The digests of staged lines, from `first` to `last`, in their order.
///
/// # Errors
/// The database's, classified.
pub async fn digests(
    database: &Database,
    id: Uuid,
    first: u32,
    last: u32,
) -> Result<Vec<Vec<u8>>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(DIGESTS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&id, &number(first), &number(last)]).await.map_err(classify)?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Makes a bulk of what is staged: from the commit on its messages leave.
///
/// # Errors
/// [`StageError::Superseded`] if the upload is not the present one, or another number of lines is staged.
pub async fn accept(
    database: &Database,
    id: Uuid,
    token: Uuid,
    (total, digest, lane): (u32, &[u8], Lane),
    request_id: Option<&str>,
) -> Result<(), StageError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(ACCEPT).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&id, &token, &number(total), &digest, &lane.as_str(), &request_id];
    let accepted = client.query_opt(&statement, &parameters).await.map_err(classify)?;
    accepted.map(drop).ok_or(StageError::Superseded)
}

/// Gives an upload up whose request can't be accepted: nobody is written to, and its key may be used for another one.
///
/// # Errors
/// The database's, classified.
pub async fn fail(database: &Database, id: Uuid, token: Uuid, reason: &str) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FAIL).await.map_err(classify)?;
    client.execute(&statement, &[&id, &token, &reason]).await.map_err(classify)?;
    Ok(())
}

/// Line numbers and segments are far below what the column holds.
fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

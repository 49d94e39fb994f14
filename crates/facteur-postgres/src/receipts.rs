//! Receipts that did not come: which they are, which are to be asked for, and the end of waiting.
//!
//! The walk moves a watermark over `attempts`, a little behind the present, and files what is still `sent`. So a
//! receipt that comes in time costs nothing here, and one that doesn't costs one row until it is closed.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::ids::{AttemptNumber, JobId, MessageSid};
use facteur_core::limits::DUTY_ROWS_MAX;
use facteur_core::reason::Reason;
use facteur_core::status::TwilioStatus;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// How far back the first walk of a system begins; what is older is closed by nobody.
const FIRST_WALK: Duration = Duration::from_hours(72);
/// A message that is being asked for is left alone by others for so long.
const POLL_LEASE: Duration = Duration::from_secs(120);
/// Missing receipts are counted up to here.
const COUNT_MAX: i64 = 100_000;

const FIRST_MARK: &str = "INSERT INTO facteur.receipts_watermark (walked_to) \
     VALUES (clock_timestamp() - $1::float8 * interval '1 second') ON CONFLICT DO NOTHING";

/// If there is more than fits into a step, the watermark stops at the last that was filed, and the next step begins
/// there, inclusively: what was filed is passed over. If the database's clock was put back, so is the watermark. `seen`
/// must not ask for a SID: the index over SIDs would serve that, by reading all of the table.
///
/// `$1`: seconds that a receipt may take; `$2`: seconds of the step; `$3`: Twilio's last words.
const WALK: &str = "WITH mark AS (SELECT walked_to, clock_timestamp() - $1::float8 * interval '1 second' AS until \
         FROM facteur.receipts_watermark WHERE id FOR UPDATE SKIP LOCKED), \
     span AS MATERIALIZED (SELECT least(walked_to, until) AS low, \
         least(walked_to + $2::float8 * interval '1 second', until) AS high, until FROM mark), \
     seen AS MATERIALIZED (SELECT a.job_id, a.number, a.sid, a.created_at, a.twilio_status FROM facteur.attempts a \
         WHERE a.created_at >= (SELECT low FROM span) AND a.created_at < (SELECT high FROM span)), \
     stuck AS MATERIALIZED (SELECT s.* FROM seen s CROSS JOIN LATERAL \
             (SELECT status, reason FROM facteur.jobs WHERE id = s.job_id LIMIT 1) j \
         WHERE s.sid IS NOT NULL AND j.status = 'sent' AND j.reason NOT IN ('receipt_missing', 'deleted_at_twilio') \
           AND (s.twilio_status IS NULL OR s.twilio_status <> ALL ($3::text[])) \
           AND (SELECT count(*) FROM facteur.missing_receipts m WHERE m.job_id = s.job_id) = 0 \
         ORDER BY s.created_at LIMIT $4), \
     filed AS (INSERT INTO facteur.missing_receipts (job_id, attempt, sid, accepted_at, next_poll_at) \
         SELECT job_id, number, sid, created_at, created_at + $5::float8 * interval '1 second' FROM stuck \
         ORDER BY job_id ON CONFLICT (job_id) DO NOTHING RETURNING job_id), \
     moved AS (UPDATE facteur.receipts_watermark w SET walked_to = \
             CASE WHEN (SELECT count(*) FROM stuck) < $4 THEN span.high ELSE (SELECT max(created_at) FROM stuck) END \
         FROM span WHERE w.id RETURNING walked_to) \
     SELECT (SELECT count(*) FROM seen) AS seen, (SELECT count(*) FROM filed) AS filed, \
            moved.walked_to >= span.until AS is_done FROM span, moved";

/// What one step of the walk did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walked {
    /// Attempts that it looked at.
    pub seen: u64,
    /// Receipts that it found missing.
    pub filed: u64,
    /// Whether it came as far as there is to go.
    pub is_done: bool,
}

/// Walks one step of `span` over attempts that are older than `patience`, and files at most 1,000 receipts that did not
/// come; each is to be looked at when its message has the age `first_look`. `None` if another process walks.
///
/// # Errors
/// The database's, classified; nothing was changed then.
pub async fn walk(
    database: &Database,
    patience: Duration,
    first_look: Duration,
    span: Duration,
) -> Result<Option<Walked>, BatchFailure> {
    let client = database.client().await?;
    let first = client.prepare_cached(FIRST_MARK).await.map_err(classify)?;
    client.execute(&first, &[&FIRST_WALK.as_secs_f64()]).await.map_err(classify)?;
    let walk = client.prepare_cached(WALK).await.map_err(classify)?;
    let ends: Vec<&str> =
        TwilioStatus::ALL.into_iter().filter(|status| status.is_end()).map(TwilioStatus::as_str).collect();
    let (patience_s, span_s, first_s) =
        (patience.as_secs_f64(), span.as_secs_f64(), first_look.as_secs_f64());
    let row = client
        .query_opt(&walk, &[&patience_s, &span_s, &ends, &DUTY_ROWS_MAX, &first_s])
        .await
        .map_err(classify)?;
    Ok(row.map(|row| Walked {
        seen: row.get::<_, i64>("seen").unsigned_abs(),
        filed: row.get::<_, i64>("filed").unsigned_abs(),
        is_done: row.get("is_done"),
    }))
}

/// What meanwhile was told by a callback, or is no job any more, is let go; the rest is pushed forward, so that nobody
/// else asks for it while we do.
const DUE: &str = "WITH due AS (SELECT m.job_id FROM facteur.missing_receipts m \
         WHERE m.next_poll_at <= (SELECT clock_timestamp()) ORDER BY m.next_poll_at LIMIT $1 FOR UPDATE SKIP LOCKED), \
     judged AS MATERIALIZED (SELECT d.job_id, coalesce(j.status = 'sent', false) AS is_open \
         FROM due d LEFT JOIN LATERAL (SELECT status FROM facteur.jobs WHERE id = d.job_id LIMIT 1) j ON true), \
     told AS (DELETE FROM facteur.missing_receipts \
         WHERE job_id = ANY (ARRAY(SELECT job_id FROM judged WHERE NOT is_open))), \
     claimed AS (UPDATE facteur.missing_receipts m \
         SET next_poll_at = clock_timestamp() + $2::float8 * interval '1 second' \
         WHERE m.job_id = ANY (ARRAY(SELECT job_id FROM judged WHERE is_open)) \
         RETURNING m.job_id, m.attempt, m.sid, m.accepted_at) \
     SELECT c.*, (SELECT account FROM facteur.attempts WHERE job_id = c.job_id AND number = c.attempt) AS account, \
            extract(epoch FROM clock_timestamp() - c.accepted_at)::float8 AS age_s, \
            (SELECT count(*) FROM judged) AS judged FROM claimed c \
     UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, (SELECT count(*) FROM judged) \
     ORDER BY accepted_at NULLS LAST";

/// A message whose receipt is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingReceipt {
    /// Whose.
    pub job_id: JobId,
    /// The attempt that Twilio accepted.
    pub attempt: AttemptNumber,
    /// The account at Twilio that it went over; `None` if a release sent it that knew of one account.
    pub account: Option<String>,
    /// Twilio's id of it; `None` if what is stored is none.
    pub sid: Option<MessageSid>,
    /// How long ago it was accepted.
    pub age: Duration,
}

/// Takes at most `limit` messages that are to be looked at now, for two minutes. The second part says whether there may
/// be more.
///
/// # Errors
/// The database's, classified; nothing was changed then.
pub async fn take_due(database: &Database, limit: i64) -> Result<(Vec<MissingReceipt>, bool), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(DUE).await.map_err(classify)?;
    let rows = client.query(&statement, &[&limit, &POLL_LEASE.as_secs_f64()]).await.map_err(classify)?;
    let is_full = rows.last().is_some_and(|row| row.get::<_, i64>("judged") >= limit);
    Ok((rows.iter().filter_map(missing).collect(), is_full))
}

fn missing(row: &Row) -> Option<MissingReceipt> {
    let job_id = row.get::<_, Option<Uuid>>("job_id")?;
    Some(MissingReceipt {
        job_id: JobId(job_id),
        attempt: AttemptNumber(row.get("attempt")),
        account: row.get("account"),
        sid: MessageSid::parse(row.get("sid")).ok(),
        // The age of what the future holds is zero.
        age: Duration::try_from_secs_f64(row.get("age_s")).unwrap_or_default(),
    })
}

const LOOK_LATER: &str = "WITH input AS (SELECT * FROM unnest($1::uuid[], $2::float8[], $3::int4[]) \
         AS i(job_id, age_s, polls)), \
     locked AS (SELECT i.* FROM (SELECT * FROM input ORDER BY job_id) i CROSS JOIN LATERAL \
         (SELECT job_id FROM facteur.missing_receipts WHERE job_id = i.job_id FOR UPDATE) m) \
     UPDATE facteur.missing_receipts m SET polls = m.polls + i.polls, \
         next_poll_at = m.accepted_at + i.age_s * interval '1 second' \
     FROM locked l JOIN input i ON i.job_id = l.job_id AND i.age_s = l.age_s AND i.polls = l.polls \
     WHERE m.job_id = l.job_id";

/// When to look at a message again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookLater {
    /// Which.
    pub job_id: JobId,
    /// At this age of it.
    pub age: Duration,
    /// Whether Twilio answered about it this time.
    pub was_answered: bool,
}

/// Puts the next looks down; at most 1,000.
///
/// # Errors
/// The database's, classified; nothing was changed then.
pub async fn look_later(database: &Database, looks: &[LookLater]) -> Result<(), BatchFailure> {
    if looks.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = looks.iter().map(|look| look.job_id.0).collect();
    let ages_s: Vec<f64> = looks.iter().map(|look| look.age.as_secs_f64()).collect();
    let polls: Vec<i32> = looks.iter().map(|look| i32::from(look.was_answered)).collect();
    let client = database.client().await?;
    let statement = client.prepare_cached(LOOK_LATER).await.map_err(classify)?;
    client.execute(&statement, &[&ids, &ages_s, &polls]).await.map_err(classify)?;
    Ok(())
}

const CLOSE: &str = "WITH input AS (SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[]) \
         AS i(id, reason, sentence)), \
     locked AS (SELECT j.* FROM (SELECT id FROM input ORDER BY id) i CROSS JOIN LATERAL \
         (SELECT id, status FROM facteur.jobs WHERE id = i.id FOR UPDATE) j), \
     closed AS (UPDATE facteur.jobs j SET reason = i.reason, sentence = i.sentence, updated_at = clock_timestamp() \
         FROM locked l JOIN input i USING (id) WHERE j.id = l.id AND l.status = 'sent' RETURNING j.id), \
     forgotten AS (DELETE FROM facteur.missing_receipts WHERE job_id = ANY ($1::uuid[])) \
     SELECT id FROM closed";

/// Ends the wait for receipts, at most 1,000: the messages stay `sent`, with that reason. What a callback told in the
/// meantime stands. Returns how many were closed.
///
/// # Errors
/// The database's, classified; nothing was changed then.
pub async fn close(database: &Database, closings: &[(JobId, Reason)]) -> Result<usize, BatchFailure> {
    if closings.is_empty() {
        return Ok(0);
    }
    let ids: Vec<Uuid> = closings.iter().map(|(id, _)| id.0).collect();
    let reasons: Vec<&str> = closings.iter().map(|(_, reason)| reason.code.as_str()).collect();
    let sentences: Vec<&str> = closings.iter().map(|(_, reason)| reason.sentence.as_str()).collect();
    let client = database.client().await?;
    let statement = client.prepare_cached(CLOSE).await.map_err(classify)?;
    let rows = client.query(&statement, &[&ids, &reasons, &sentences]).await.map_err(classify)?;
    Ok(rows.len())
}

/// How many receipts are missing; 100,000 if there are more.
///
/// # Errors
/// The database's, classified.
pub async fn count_missing(database: &Database) -> Result<u32, BatchFailure> {
    let client = database.client().await?;
    let count = "SELECT count(*) FROM (SELECT FROM facteur.missing_receipts LIMIT $1) AS m";
    let statement = client.prepare_cached(count).await.map_err(classify)?;
    let row = client.query_one(&statement, &[&COUNT_MAX]).await.map_err(classify)?;
    Ok(u32::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}

const FACTS: &str = "SELECT e.twilio_status, e.source, e.received_at, m.polls, m.next_poll_at \
     FROM (SELECT) AS one \
     LEFT JOIN LATERAL (SELECT twilio_status, source, received_at FROM facteur.status_events WHERE job_id = $1 \
         ORDER BY received_at DESC LIMIT 1) e ON true \
     LEFT JOIN facteur.missing_receipts m ON m.job_id = $1";

/// What is known about a message's receipt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptFacts {
    /// What was heard last, if anything was.
    pub heard: Option<Heard>,
    /// Answered questions to Twilio and the instant of the next one, if the receipt is missed.
    pub missed: Option<(i32, Timestamp)>,
}

/// What Twilio told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Its status of the message.
    pub twilio_status: String,
    /// `callback`, `poll` or `list`.
    pub source: String,
    /// When we heard it.
    pub at: Timestamp,
}

/// What is known about a message's receipt.
///
/// # Errors
/// The database's, classified.
pub async fn facts(database: &Database, id: JobId) -> Result<ReceiptFacts, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FACTS).await.map_err(classify)?;
    let row = client.query_one(&statement, &[&id.0]).await.map_err(classify)?;
    let heard = row.get::<_, Option<String>>("twilio_status").map(|twilio_status| Heard {
        twilio_status,
        source: row.get("source"),
        at: row.get("received_at"),
    });
    let missed = row.get::<_, Option<i32>>("polls").map(|polls| (polls, row.get("next_poll_at")));
    Ok(ReceiptFacts { heard, missed })
}

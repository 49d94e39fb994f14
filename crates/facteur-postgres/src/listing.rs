//! Messages as lists show them: what each is, and where it stands now.

mod page;

pub use page::{MessageFilter, MessagePage, page};

use std::fmt;

use facteur_core::ids::MessageSid;
use facteur_core::phone::PhoneNumber;
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_core::{Timestamp, twilio_errors};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::claim::final_statuses;
use crate::pool::Database;

/// What is read of a message, with where it stands and what its latest attempt told.
macro_rules! summary {
    ($messages:literal) => {
        concat!(
            "SELECT m.id, m.tenant, m.channel, m.category, m.lane, m.recipient, m.sender, m.text, m.segments, m.bulk_id, \
                    m.created_at, j.status, j.reason, j.sentence, j.not_before, j.attempt, j.updated_at, \
                    a.sid, a.code, a.twilio_status \
             FROM (",
            $messages,
            ") m CROSS JOIN LATERAL (SELECT status, reason, sentence, not_before, attempt, updated_at \
                 FROM facteur.jobs WHERE id = m.id LIMIT 1) j \
             LEFT JOIN LATERAL (SELECT sid, code, twilio_status FROM facteur.attempts WHERE job_id = m.id \
                 ORDER BY number DESC LIMIT 1) a ON true"
        )
    };
}

const BY_IDS: &str = summary!(
    "SELECT m.* FROM unnest($1::uuid[]) AS i(id) CROSS JOIN LATERAL \
     (SELECT * FROM facteur.messages WHERE id = i.id AND direction = 'outbound' LIMIT 1) m"
);

const ENDED: &str = "SELECT j.id FROM unnest($1::uuid[]) AS i(id) CROSS JOIN LATERAL \
     (SELECT id, status FROM facteur.jobs WHERE id = i.id LIMIT 1) j WHERE j.status = ANY ($2::text[])";

const OF_SID: &str = "SELECT job_id FROM facteur.attempts WHERE sid IS NOT NULL AND sid = $1";

const TENANT_OF: &str = "SELECT tenant FROM facteur.jobs WHERE id = $1";

/// A message may name any bulk: whose a bulk is, its own row says. What producers number themselves has no row, and is
/// somebody's only if all its messages are.
const TENANT_OF_BULK: &str = "SELECT tenant FROM facteur.bulks WHERE id = $1 \
     UNION ALL SELECT min(tenant) FROM facteur.messages WHERE bulk_id IS NOT NULL AND bulk_id = $1 \
         AND NOT EXISTS (SELECT FROM facteur.bulks WHERE id = $1) HAVING min(tenant) = max(tenant)";

const EVENTS: &str = "SELECT attempt, sid, twilio_status, nullif(code, 0) AS code, source, received_at \
     FROM facteur.status_events WHERE job_id = $1 ORDER BY received_at LIMIT 200";

/// A message and where it stands.
#[derive(Clone, PartialEq)]
pub struct MessageSummary {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub tenant: String,
    /// Where it stands.
    pub status: Status,
    /// Why: a stable code.
    pub reason: String,
    /// Why, for a person.
    pub sentence: Option<String>,
    /// How: `sms`, `mms` or `whatsapp`.
    pub channel: String,
    /// What for.
    pub category: String,
    /// In which lane.
    pub lane: Option<String>,
    /// To whom; `None` if it was erased.
    pub to: Option<PhoneNumber>,
    /// From which sender.
    pub from: Option<String>,
    /// The text; `None` if Twilio renders it, or if it was redacted.
    pub text: Option<String>,
    /// What it costs at the limiter.
    pub segments: i32,
    /// Part of which bulk.
    pub bulk_id: Option<Uuid>,
    /// Twilio's id of it.
    pub sid: Option<String>,
    /// Twilio's error code of its latest attempt.
    pub error_code: Option<i32>,
    /// Twilio's status of its latest attempt.
    pub twilio_status: Option<String>,
    /// How many attempts were made.
    pub attempts: i32,
    /// Not before this instant.
    pub not_before: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl MessageSummary {
    /// What went wrong, for a person: `None` while nothing did.
    #[must_use]
    pub fn error(&self) -> Option<String> {
        let is_wrong = matches!(
            self.status,
            Status::Undelivered
                | Status::Failed
                | Status::Expired
                | Status::Canceled
                | Status::Suppressed
                | Status::Dead
        );
        let meaning =
            || Some(twilio_errors::lookup(u32::try_from(self.error_code?).ok()?)?.meaning.to_owned());
        let advice = || Some(ReasonCode::from_name(&self.reason)?.advice().to_owned());
        is_wrong.then(|| meaning().or_else(|| self.sentence.clone()).or_else(advice)).flatten()
    }
}

impl fmt::Debug for MessageSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MessageSummary")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("status", &self.status)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

/// The messages of these ids, in any order; ids that are none of ours have no row.
///
/// # Errors
/// The database's, classified.
pub async fn by_ids(database: &Database, ids: &[Uuid]) -> Result<Vec<MessageSummary>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(BY_IDS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&ids]).await.map_err(classify)?;
    Ok(rows.iter().map(summary).collect())
}

/// Those of these messages whose work is over: Twilio has them, or never will.
///
/// # Errors
/// The database's, classified.
pub async fn ended(database: &Database, ids: &[Uuid]) -> Result<Vec<Uuid>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(ENDED).await.map_err(classify)?;
    let rows = client.query(&statement, &[&ids, &final_statuses()]).await.map_err(classify)?;
    Ok(rows.iter().map(|row| row.get("id")).collect())
}

/// The message that Twilio knows under this SID.
///
/// # Errors
/// The database's, classified.
pub async fn of_sid(database: &Database, sid: &MessageSid) -> Result<Option<Uuid>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OF_SID).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&sid.as_str()]).await.map_err(classify)?;
    Ok(row.map(|row| row.get("job_id")))
}

/// Whose job it is; `None` if nobody has seen it.
///
/// # Errors
/// The database's, classified.
pub async fn tenant_of(database: &Database, id: Uuid) -> Result<Option<String>, BatchFailure> {
    one_word(database, TENANT_OF, id).await
}

/// Whose bulk it is; `None` if none of its messages was seen.
///
/// # Errors
/// The database's, classified.
pub async fn tenant_of_bulk(database: &Database, bulk_id: Uuid) -> Result<Option<String>, BatchFailure> {
    one_word(database, TENANT_OF_BULK, bulk_id).await
}

async fn one_word(database: &Database, sql: &str, id: Uuid) -> Result<Option<String>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    Ok(client.query_opt(&statement, &[&id]).await.map_err(classify)?.map(|row| row.get(0)))
}

/// What Twilio told of a message after it had taken it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusEvent {
    /// Of which attempt.
    pub attempt: i32,
    /// Twilio's id of it.
    pub sid: String,
    /// Twilio's word.
    pub twilio_status: String,
    /// Twilio's error code.
    pub code: Option<i32>,
    /// How it was heard: `callback`, `poll` or `list`.
    pub source: String,
    /// When.
    pub received_at: Timestamp,
}

/// What Twilio told of a message, the first first.
///
/// # Errors
/// The database's, classified.
pub async fn events(database: &Database, id: Uuid) -> Result<Vec<StatusEvent>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(EVENTS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&id]).await.map_err(classify)?;
    let event = |row: &Row| StatusEvent {
        attempt: row.get("attempt"),
        sid: row.get("sid"),
        twilio_status: row.get("twilio_status"),
        code: row.get("code"),
        source: row.get("source"),
        received_at: row.get("received_at"),
    };
    Ok(rows.iter().map(event).collect())
}

fn summary(row: &Row) -> MessageSummary {
    MessageSummary {
        id: row.get("id"),
        tenant: row.get("tenant"),
        // The table's CHECK allows no other names; an unknown one would be a newer release's.
        status: Status::from_name(row.get("status")).unwrap_or(Status::Uncertain),
        reason: row.get("reason"),
        sentence: row.get("sentence"),
        channel: row.get("channel"),
        category: row.get("category"),
        lane: row.get("lane"),
        to: PhoneNumber::from_e164(row.get("recipient")).ok(),
        from: row.get("sender"),
        text: row.get("text"),
        segments: row.get("segments"),
        bulk_id: row.get("bulk_id"),
        sid: row.get("sid"),
        error_code: row.get("code"),
        twilio_status: row.get("twilio_status"),
        attempts: row.get("attempt"),
        not_before: row.get("not_before"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    }
}

//! What was written in a conversation, by both sides.

use std::fmt;

use facteur_core::Timestamp;
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_core::twilio_errors;
use serde::Deserialize;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{Conversation, PAGE_ROWS_MAX};
use crate::batch_error::{BatchFailure, classify};
use crate::page::Position;
use crate::pool::Database;

/// Both sides, the newest first, each read no further than a page reaches.
const MESSAGES: &str = "SELECT p.*, j.status, j.sentence, j.reason, a.sid AS attempt_sid, a.code, m.ids, m.types \
     FROM (SELECT * FROM (SELECT id, true AS is_inbound, received_at AS at, text, channel, sid, keyword, \
                   NULL::bytea AS document FROM facteur.inbound_messages \
               WHERE tenant = $1 AND number = $2 AND sender = $3 \
                 AND (received_at, id) < (coalesce($4::timestamptz, 'infinity'), coalesce($5::uuid, \
                     'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
               ORDER BY received_at DESC, id DESC LIMIT $6) i \
           UNION ALL SELECT * FROM (SELECT id, false, created_at, text, channel, NULL::text, NULL::text, document \
               FROM facteur.messages WHERE tenant = $1 AND recipient = $2 AND sender = $3 AND direction = 'outbound' \
                 AND (created_at, id) < (coalesce($4, 'infinity'), coalesce($5, \
                     'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
               ORDER BY created_at DESC, id DESC LIMIT $6) o \
           ORDER BY at DESC, id DESC LIMIT $6) p \
     LEFT JOIN LATERAL (SELECT status, sentence, reason FROM facteur.jobs WHERE id = p.id LIMIT 1) j ON true \
     LEFT JOIN LATERAL (SELECT sid, code FROM facteur.attempts WHERE job_id = p.id ORDER BY number DESC LIMIT 1) a \
         ON true \
     LEFT JOIN LATERAL (SELECT array_agg(id ORDER BY place) AS ids, array_agg(content_type ORDER BY place) AS types \
         FROM facteur.media WHERE message_id = p.id) m ON true \
     ORDER BY p.at DESC, p.id DESC";

/// A medium of an inbound message.
#[derive(Clone, PartialEq, Eq)]
pub struct MediumRef {
    /// Identity.
    pub id: Uuid,
    /// As Twilio announced it.
    pub content_type: String,
}

/// One message of a conversation. `Debug` does not show the text.
#[derive(Clone, PartialEq, Eq)]
pub struct ConversationMessage {
    /// Identity.
    pub id: Uuid,
    /// Whether the contact wrote it.
    pub is_inbound: bool,
    /// When it was received, or accepted.
    pub at: Timestamp,
    /// The text; `None` if Twilio renders it, or if it was redacted.
    pub text: Option<String>,
    /// `sms`, `mms` or `whatsapp`.
    pub channel: String,
    /// Where an outbound one stands; `None` for an inbound one.
    pub status: Option<Status>,
    /// Twilio's id of it, once there is one.
    pub sid: Option<String>,
    /// Twilio's error code of the latest attempt.
    pub error_code: Option<i32>,
    /// What went wrong with an outbound one, for a person.
    pub error: Option<String>,
    /// `stop`, `start` or `help`, if the text of an inbound one is such a word.
    pub keyword: Option<String>,
    /// Media of an inbound one.
    pub media: Vec<MediumRef>,
    /// URLs of an outbound one's media, as they were given.
    pub media_urls: Vec<String>,
}

impl ConversationMessage {
    /// Its place in the conversation.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { at: self.at, id: self.id }
    }
}

impl fmt::Debug for ConversationMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConversationMessage")
            .field("id", &self.id)
            .field("is_inbound", &self.is_inbound)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// What was written in a conversation, the newest first: at most `limit`, and 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn messages(
    database: &Database,
    conversation: &Conversation,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<ConversationMessage>, BatchFailure> {
    let (at, id, limit) =
        (after.map(|after| after.at), after.map(|after| after.id), limit.min(PAGE_ROWS_MAX));
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&conversation.tenant, &conversation.number, &conversation.sender, &at, &id, &limit];
    let client = database.client().await?;
    let statement = client.prepare_cached(MESSAGES).await.map_err(classify)?;
    Ok(client.query(&statement, &parameters).await.map_err(classify)?.iter().map(message).collect())
}

fn message(row: &Row) -> ConversationMessage {
    let is_inbound: bool = row.get("is_inbound");
    let status = row.get::<_, Option<&str>>("status").and_then(Status::from_name);
    let error_code: Option<i32> = row.get("code");
    ConversationMessage {
        id: row.get("id"),
        is_inbound,
        at: row.get("at"),
        text: row.get("text"),
        channel: row.get("channel"),
        status,
        sid: row.get::<_, Option<String>>("sid").or_else(|| row.get("attempt_sid")),
        error_code,
        error: status.filter(|status| is_wrong(*status)).and_then(|_| error(row, error_code)),
        keyword: row.get("keyword"),
        media: media(row),
        media_urls: row.get::<_, Option<&[u8]>>("document").map(media_urls).unwrap_or_default(),
    }
}

fn media(row: &Row) -> Vec<MediumRef> {
    let ids = row.get::<_, Option<Vec<Uuid>>>("ids").unwrap_or_default();
    let types = row.get::<_, Option<Vec<String>>>("types").unwrap_or_default();
    ids.into_iter().zip(types).map(|(id, content_type)| MediumRef { id, content_type }).collect()
}

fn is_wrong(status: Status) -> bool {
    matches!(
        status,
        Status::Undelivered
            | Status::Failed
            | Status::Expired
            | Status::Canceled
            | Status::Suppressed
            | Status::Dead
    )
}

fn error(row: &Row, code: Option<i32>) -> Option<String> {
    let meaning = code.and_then(|code| twilio_errors::lookup(u32::try_from(code).ok()?));
    let advice = || Some(ReasonCode::from_name(row.get::<_, Option<&str>>("reason")?)?.advice().to_owned());
    meaning.map(|known| known.meaning.to_owned()).or_else(|| row.get("sentence")).or_else(advice)
}

/// The URLs of a job's document; whatever else is in it does not count here.
fn media_urls(document: &[u8]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Media {
        #[serde(default)]
        media_urls: Option<Vec<String>>,
    }
    serde_json::from_slice::<Media>(document).ok().and_then(|media| media.media_urls).unwrap_or_default()
}

//! Conversations of the shared inbox: what a contact and one of our senders wrote to each other. What we sent is found by
//! tenant, number and sender among all messages, so an answer to a bulk stands below the text that it answers.

mod view;

use std::fmt;

use facteur_core::Timestamp;
use facteur_core::conversation::{ConversationEvent, ConversationStatus};
use facteur_core::ids::Tenant;
use facteur_core::phone::PhoneNumber;
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::acts::By;
use crate::batch_error::{BatchFailure, classify};
use crate::inbound::transitions;
use crate::page::{PageOf, Position, SCANNED_MAX};
use crate::pool::Database;

pub use view::{ConversationMessage, MediumRef, messages};

/// Most rows of one page.
const PAGE_ROWS_MAX: i64 = 1_000;

macro_rules! conversation {
    ($rows:literal) => {
        concat!(
            "SELECT v.*, c.id AS contact_id, c.name, EXISTS (SELECT FROM facteur.suppressions s \
                 WHERE s.tenant = v.tenant AND s.recipient = v.number AND s.sender IN ('', v.sender)) AS is_opted_out \
             FROM (",
            $rows,
            ") v LEFT JOIN LATERAL (SELECT id, name FROM facteur.contacts \
                 WHERE tenant = v.tenant AND number = v.number LIMIT 1) c ON true"
        )
    };
}

/// Leads only narrow what is looked at: every filter is a condition all the same.
macro_rules! list {
    ($lead:literal) => {
        concat!(
            "WITH scanned AS MATERIALIZED (SELECT id, last_message_at AS at, number, integration_id, status, unread \
                 FROM facteur.conversations WHERE tenant = $1",
            $lead,
            " AND (last_message_at, id) < (coalesce($6::timestamptz, 'infinity'), coalesce($7::uuid, \
                     'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
                 ORDER BY last_message_at DESC, id DESC LIMIT $9), \
             picked AS (SELECT id FROM scanned WHERE ($2::text IS NULL OR status = $2) \
                 AND ($3::uuid IS NULL OR integration_id = $3) \
                 AND ($4::uuid IS NULL OR number = (SELECT k.number FROM facteur.contacts k \
                                                   WHERE k.id = $4 AND k.tenant = $1)) \
                 AND ($5::bool IS NULL OR (unread > 0) = $5) \
                 ORDER BY at DESC, id DESC LIMIT $8), \
             end_of AS (SELECT count(*) AS scanned, min(at) AS last_at, \
                 (SELECT id FROM scanned ORDER BY at, id LIMIT 1) AS last_id FROM scanned) \
             SELECT e.scanned, e.last_at, e.last_id, r.* FROM end_of e LEFT JOIN (",
            conversation!("SELECT * FROM facteur.conversations WHERE id = ANY (ARRAY(SELECT id FROM picked))"),
            ") r ON true ORDER BY r.last_message_at DESC, r.id DESC"
        )
    };
}

const LIST: &str = list!("");
const LIST_UNREAD: &str = list!(" AND unread > 0");
const LIST_OF_STATUS: &str = list!(" AND status = $2");
const LIST_OF_CONTACT: &str =
    list!(" AND number = (SELECT number FROM facteur.contacts WHERE id = $4 AND tenant = $1)");

const FIND: &str = conversation!("SELECT * FROM facteur.conversations WHERE id = $1");

/// A status that is set goes before the one that looking makes.
const CHANGE: &str = "WITH changed AS (UPDATE facteur.conversations c SET updated_at = clock_timestamp(), \
         status = coalesce($2::text, CASE WHEN $5::bool THEN (SELECT m.after \
             FROM unnest($6::text[], $7::text[]) AS m(before, after) WHERE m.before = c.status) END, c.status), \
         assignee = CASE WHEN $3::bool THEN $4::text ELSE c.assignee END, \
         unread = CASE WHEN $5 THEN 0 ELSE c.unread END \
     WHERE id = $1 RETURNING id, tenant) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT tenant, $8, 'conversation_changed', id::text, $9, $10::jsonb FROM changed";

const WROTE: &str = "WITH contact AS (INSERT INTO facteur.contacts (tenant, number) VALUES ($1::text, $2::text) \
         ON CONFLICT DO NOTHING) \
     INSERT INTO facteur.conversations AS c (tenant, number, sender, channel, status) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (tenant, number, sender) DO UPDATE SET unread = 0, last_message_at = clock_timestamp(), \
         updated_at = clock_timestamp(), status = coalesce((SELECT m.after \
             FROM unnest($6::text[], $7::text[]) AS m(before, after) WHERE m.before = c.status), c.status) \
     RETURNING id";

/// A conversation. `Debug` shows neither number nor name.
#[derive(Clone, PartialEq, Eq)]
pub struct Conversation {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub tenant: String,
    /// With whom; `None` if the contact was erased.
    pub contact_id: Option<Uuid>,
    /// Their number in E.164, or whatever else Twilio names somebody by.
    pub number: String,
    /// Their name, as far as is known.
    pub name: Option<String>,
    /// Our sender: a number, or a Messaging Service.
    pub sender: String,
    /// `sms` (MMS too) or `whatsapp`.
    pub channel: String,
    /// `None` for the account of the environment.
    pub integration_id: Option<Uuid>,
    /// Whose turn it is.
    pub status: ConversationStatus,
    /// Who takes care of it.
    pub assignee: Option<String>,
    /// How many inbound messages nobody has seen.
    pub unread: i32,
    /// Whether this sender must not write to the contact.
    pub is_opted_out: bool,
    /// When somebody wrote last.
    pub last_message_at: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Conversation {
    /// Its place in a list, in which what was written to last is first.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { at: self.last_message_at, id: self.id }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Which conversations of a tenant; what is `None` does not count.
#[derive(Debug, Clone, Default)]
pub struct ConversationFilter {
    /// Where it stands.
    pub status: Option<ConversationStatus>,
    /// Over which integration.
    pub integration_id: Option<Uuid>,
    /// With which contact.
    pub contact_id: Option<Uuid>,
    /// Whether something is unread.
    pub is_unread: Option<bool>,
}

/// What is to be changed; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct ConversationChange {
    /// The status.
    pub status: Option<ConversationStatus>,
    /// Who takes care of it; the inner `None` is nobody.
    pub assignee: Option<Option<String>>,
    /// Everything in it was seen.
    pub is_seen: bool,
}

/// A tenant's conversations, what was written to last first: at most `limit`, and 1,000. An index leads to those with a
/// contact, else to what is unread, else to those of a status; for any further condition 20,000 of these are looked at,
/// and the page may be short or empty with more behind it.
///
/// # Errors
/// The database's, classified.
pub async fn list(
    database: &Database,
    tenant: &Tenant,
    filter: &ConversationFilter,
    after: Option<Position>,
    limit: i64,
) -> Result<PageOf<Conversation>, BatchFailure> {
    let status = filter.status.map(ConversationStatus::as_str);
    let (at, id, limit) =
        (after.map(|after| after.at), after.map(|after| after.id), limit.clamp(0, PAGE_ROWS_MAX));
    let (sql, is_exact) = led(filter);
    let rows_max = limit + 1;
    let scanned_max = if is_exact { rows_max } else { SCANNED_MAX };
    let parameters: [&(dyn ToSql + Sync); 9] = [
        &tenant.as_str(),
        &status,
        &filter.integration_id,
        &filter.contact_id,
        &filter.is_unread,
        &at,
        &id,
        &rows_max,
        &scanned_max,
    ];
    let client = database.client().await?;
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    let found = client.query(&statement, &parameters).await.map_err(classify)?;
    let end = found.first().filter(|row| row.get::<_, i64>("scanned") >= scanned_max);
    let end = end.map(|row| Position { at: row.get("last_at"), id: row.get("last_id") });
    let rows =
        found.iter().filter(|row| row.get::<_, Option<Uuid>>("id").is_some()).map(conversation).collect();
    Ok(PageOf::cut(rows, usize::try_from(limit).unwrap_or_default(), Conversation::position, end))
}

/// The statement whose index leads to the fewest, and whether that is all that the filter asks.
fn led(filter: &ConversationFilter) -> (&'static str, bool) {
    let ConversationFilter { status, integration_id, contact_id, is_unread } = filter;
    let conditions = [status.is_some(), integration_id.is_some(), contact_id.is_some(), is_unread.is_some()];
    let count = conditions.into_iter().filter(|is_asked| *is_asked).count();
    match (contact_id, is_unread, status) {
        (Some(_), ..) => (LIST_OF_CONTACT, count == 1),
        (None, Some(true), _) => (LIST_UNREAD, count == 1),
        (None, _, Some(_)) => (LIST_OF_STATUS, count == 1),
        (None, _, None) => (LIST, count == 0),
    }
}

/// The conversation of that id.
///
/// # Errors
/// The database's, classified.
pub async fn find(database: &Database, id: Uuid) -> Result<Option<Conversation>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await.map_err(classify)?;
    Ok(client.query_opt(&statement, &[&id]).await.map_err(classify)?.as_ref().map(conversation))
}

/// Changes a conversation. Returns whether there is one.
///
/// # Errors
/// The database's, classified.
pub async fn change(
    database: &Database,
    id: Uuid,
    change: &ConversationChange,
    by: impl Into<By<'_>>,
) -> Result<bool, BatchFailure> {
    let by = by.into();
    let (before, after) = transitions(ConversationEvent::Seen);
    let status = change.status.map(ConversationStatus::as_str);
    let assignee = change.assignee.as_ref().and_then(Option::as_deref);
    let mut told = serde_json::Map::new();
    told.extend(status.map(|status| ("status".to_owned(), status.into())));
    told.extend(change.assignee.as_ref().map(|_| ("assignee".to_owned(), assignee.into())));
    told.extend(change.is_seen.then(|| ("is_read".to_owned(), true.into())));
    let parameters: [&(dyn ToSql + Sync); 10] = [
        &id,
        &status,
        &change.assignee.is_some(),
        &assignee,
        &change.is_seen,
        &before,
        &after,
        &by.actor,
        &by.request_id,
        &Json(&told),
    ];
    let client = database.client().await?;
    let statement = client.prepare_cached(CHANGE).await.map_err(classify)?;
    Ok(client.execute(&statement, &parameters).await.map_err(classify)? == 1)
}

/// Notes that we wrote to a number from a sender over a channel (`sms` or `whatsapp`): makes the contact and the
/// conversation if they are not there. Returns the conversation's id.
///
/// # Errors
/// The database's, classified.
pub async fn wrote(
    database: &Database,
    tenant: &str,
    number: &PhoneNumber,
    (sender, channel): (&str, &str),
) -> Result<Uuid, BatchFailure> {
    let event = ConversationEvent::Wrote;
    let (before, after) = transitions(event);
    let parameters: [&(dyn ToSql + Sync); 7] =
        [&tenant, &number.reveal(), &sender, &channel, &event.first().as_str(), &before, &after];
    let client = database.client().await?;
    let statement = client.prepare_cached(WROTE).await.map_err(classify)?;
    Ok(client.query_one(&statement, &parameters).await.map_err(classify)?.get(0))
}

fn conversation(row: &Row) -> Conversation {
    Conversation {
        id: row.get("id"),
        tenant: row.get("tenant"),
        contact_id: row.get("contact_id"),
        number: row.get("number"),
        name: row.get("name"),
        sender: row.get("sender"),
        channel: row.get("channel"),
        integration_id: row.get("integration_id"),
        // The table's CHECK allows no other names; an unknown one would be a newer release's.
        status: ConversationStatus::from_name(row.get("status")).unwrap_or(ConversationStatus::Open),
        assignee: row.get("assignee"),
        unread: row.get("unread"),
        is_opted_out: row.get("is_opted_out"),
        last_message_at: row.get("last_message_at"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    }
}

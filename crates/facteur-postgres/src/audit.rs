//! The audit log: one record for each call that sends, and for each act of an administrator, written in the
//! transaction of what it tells.

use std::collections::{BTreeSet, HashMap};

use deadpool_postgres::GenericClient;
use facteur_core::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::page::{PageOf, Position, SCANNED_MAX};
use crate::pool::Database;

/// In the place of a tenant, where a record concerns all of them. No tenant can have this name.
pub const ALL_TENANTS: &str = "*";
/// The member of `details` that names the messages of a call, by their ids.
pub const MESSAGES: &str = "messages";
/// Most messages that one record names.
pub const MESSAGES_MAX: usize = 100;
/// Most rows of one statement.
const ROWS_MAX: usize = 1_000;

const RECORD: &str = "INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::jsonb[])";

macro_rules! list {
    ($whose:literal) => {
        concat!(
            "WITH scanned AS MATERIALIZED (SELECT id, at, actor, action, subject FROM facteur.audit_log \
                 WHERE ",
            $whose,
            " AND at >= coalesce($5, '-infinity'::timestamptz) AND (at, id) < ($6::timestamptz, $7::bigint) \
                 ORDER BY at DESC, id DESC LIMIT $9), \
             picked AS (SELECT id, at FROM scanned WHERE ($2::text IS NULL OR actor = $2) \
                 AND ($3::text IS NULL OR action = $3) AND ($4::text IS NULL OR subject = $4) \
                 ORDER BY at DESC, id DESC LIMIT $8), \
             end_of AS (SELECT count(*) AS scanned, min(at) AS last_at, \
                 (SELECT id FROM scanned ORDER BY at, id LIMIT 1) AS last_id FROM scanned) \
             SELECT e.scanned, e.last_at, e.last_id, r.* FROM end_of e LEFT JOIN (SELECT l.* FROM picked p \
                 CROSS JOIN LATERAL (SELECT id, at, tenant, actor, action, subject, request_id, details \
                     FROM facteur.audit_log WHERE id = p.id LIMIT 1) l) r ON true ORDER BY r.at DESC, r.id DESC"
        )
    };
}

const LIST_OF_TENANT: &str = list!("tenant = $1::text");
/// Its index says `id > 0`, so that it is not taken for one tenant's.
const LIST_ALL: &str = list!("$1::text IS NULL AND id > 0");

const BECAME: &str = "SELECT j.id, j.status, a.sid, a.code FROM facteur.jobs j \
     LEFT JOIN facteur.attempts a ON a.job_id = j.id AND a.number = j.attempt WHERE j.id = ANY($1)";

/// A record to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Whom it concerns; [`ALL_TENANTS`] for what belongs to none.
    pub tenant: String,
    /// Who did it: `key:…`, `jwt:…` or `cli:…`.
    pub actor: String,
    /// A stable word: `send_sms`, `key_created`, …
    pub action: String,
    /// What it was about: a message, a bulk, a key.
    pub subject: Option<String>,
    /// The request by which it was done.
    pub request_id: Option<String>,
    /// What else there is to know: an object. [`MESSAGES`] names the messages that it made.
    pub details: Value,
}

/// A record, as it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its number.
    pub id: i64,
    /// When it was written.
    pub at: Timestamp,
    /// What was written.
    pub entry: Entry,
    /// What became of the messages that it names, in their order.
    pub messages: Vec<MessageFate>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFate {
    /// Its id.
    pub id: Uuid,
    /// Where it stands; `None` if it is not known any more.
    pub status: Option<String>,
    /// Twilio's SID of its last attempt.
    pub sid: Option<String>,
    /// Twilio's error code of its last attempt.
    pub code: Option<i32>,
}

/// Which records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AuditFilter {
    /// Of one tenant; `None` for all.
    pub tenant: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// Of this kind.
    pub action: Option<String>,
    /// About this.
    pub subject: Option<String>,
    /// Not before this instant.
    pub since: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

impl AuditRow {
    /// Its place in the list.
    #[must_use]
    pub fn position(&self) -> Position {
        place(self.at, self.id)
    }
}

/// Writes a record, over a connection or within a transaction.
///
/// # Errors
/// The database's, classified.
pub async fn record(client: &impl GenericClient, entry: &Entry) -> Result<(), BatchFailure> {
    record_all(client, std::slice::from_ref(entry)).await
}

/// Writes many records, in chunks of at most 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn record_all(client: &impl GenericClient, entries: &[Entry]) -> Result<(), BatchFailure> {
    let statement = client.prepare_cached(RECORD).await.map_err(classify)?;
    for chunk in entries.chunks(ROWS_MAX) {
        let texts = |field: fn(&Entry) -> &str| chunk.iter().map(field).collect::<Vec<_>>();
        let options = |field: fn(&Entry) -> Option<&str>| chunk.iter().map(field).collect::<Vec<_>>();
        let details: Vec<_> = chunk.iter().map(|entry| Json(&entry.details)).collect();
        client
            .execute(
                &statement,
                &[
                    &texts(|entry| &entry.tenant),
                    &texts(|entry| &entry.actor),
                    &texts(|entry| &entry.action),
                    &options(|entry| entry.subject.as_deref()),
                    &options(|entry| entry.request_id.as_deref()),
                    &details,
                ],
            )
            .await
            .map_err(classify)?;
    }
    Ok(())
}

/// A page of records, the newest first, with what became of the messages that they name. By an actor, of a kind or about
/// a subject, 20,000 records are looked at, and the page may be short or empty with more behind it: an index of those
/// would be written by every request.
///
/// # Errors
/// The database's, classified.
pub async fn list(
    database: &Database,
    filter: &AuditFilter,
    after: Option<Position>,
    limit: u16,
) -> Result<PageOf<AuditRow>, BatchFailure> {
    let AuditFilter { tenant, actor, action, subject, since, until } = filter;
    let (at, id) = before(after, *until);
    let rows_max = i64::from(limit) + 1;
    let is_chosen = actor.is_some() || action.is_some() || subject.is_some();
    let scanned_max = if is_chosen { SCANNED_MAX } else { rows_max };
    let client = database.client().await?;
    let sql = if tenant.is_some() { LIST_OF_TENANT } else { LIST_ALL };
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    let found = client
        .query(&statement, &[tenant, actor, action, subject, since, &at, &id, &rows_max, &scanned_max])
        .await
        .map_err(classify)?;
    let end = found.first().filter(|row| row.get::<_, i64>("scanned") >= scanned_max);
    let end = end.map(|row| place(row.get("last_at"), row.get("last_id")));
    let rows = found.iter().filter(|row| row.get::<_, Option<i64>>("id").is_some()).map(row).collect();
    let mut page = PageOf::cut(rows, usize::from(limit), AuditRow::position, end);
    let ids: BTreeSet<Uuid> = page.rows.iter().flat_map(|row| named(&row.entry.details)).collect();
    let fates = fates(&client, &ids.into_iter().collect::<Vec<_>>()).await?;
    for row in &mut page.rows {
        let fate = |id: Uuid| {
            fates.get(&id).cloned().unwrap_or(MessageFate { id, status: None, sid: None, code: None })
        };
        row.messages = named(&row.entry.details).into_iter().map(fate).collect();
    }
    Ok(page)
}

/// Before which place the page's records stand: of the page before, and of the end of the time that is asked for.
fn before(after: Option<Position>, until: Option<Timestamp>) -> (Timestamp, i64) {
    let after = after.map(|after| (after.at, i64::try_from(after.id.as_u128()).unwrap_or(i64::MAX)));
    let until = until.map(|until| (until, i64::MIN));
    after.into_iter().chain(until).min().unwrap_or((Timestamp::MAX, i64::MAX))
}

fn place(at: Timestamp, id: i64) -> Position {
    Position { at, id: Uuid::from_u128(u128::from(id.unsigned_abs())) }
}

async fn fates(
    client: &impl GenericClient,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, MessageFate>, BatchFailure> {
    let mut fates = HashMap::new();
    let statement = client.prepare_cached(BECAME).await.map_err(classify)?;
    for chunk in ids.chunks(ROWS_MAX) {
        let rows = client.query(&statement, &[&chunk]).await.map_err(classify)?;
        fates.extend(rows.iter().map(|row| {
            let id = row.get("id");
            (id, MessageFate { id, status: row.get("status"), sid: row.get("sid"), code: row.get("code") })
        }));
    }
    Ok(fates)
}

fn named(details: &Value) -> Vec<Uuid> {
    let ids = details.get(MESSAGES).and_then(Value::as_array).into_iter().flatten();
    ids.filter_map(|id| id.as_str()?.parse().ok()).take(MESSAGES_MAX).collect()
}

fn row(row: &Row) -> AuditRow {
    let entry = Entry {
        tenant: row.get("tenant"),
        actor: row.get("actor"),
        action: row.get("action"),
        subject: row.get("subject"),
        request_id: row.get("request_id"),
        details: row.get("details"),
    };
    AuditRow { id: row.get("id"), at: row.get("at"), entry, messages: vec![] }
}

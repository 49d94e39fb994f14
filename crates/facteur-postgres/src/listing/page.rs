//! A page of messages. A filter that no index answers is asked of a bounded number of rows: then a page may be short,
//! or empty, and still say where the next one begins.

use facteur_core::Timestamp;
use facteur_core::status::Status;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::{MessageSummary, summary};
use crate::batch_error::{BatchFailure, classify};
use crate::page::Position;
use crate::pool::Database;

/// Rows that one page looks at, at most, for those that its filter wants.
const SCANNED_MAX: i64 = 5_000;

/// `$1`: tenant; `$2`, `$3`: before this place; `$4`, `$5`: from and until; `$6`: rows to look at; `$7`: rows of the page;
/// `$8` to `$11`: status, channel, sender, category; `$12`: what the index is asked for beside the tenant.
macro_rules! page_sql {
    ($found_by:literal) => {
        concat!(
            "WITH scanned AS MATERIALIZED (SELECT id, created_at, channel, sender, category, direction FROM facteur.messages \
                 WHERE tenant = $1 AND ",
            $found_by,
            " AND (created_at, id) < (coalesce($2::timestamptz, 'infinity'), \
                     coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
                 AND created_at >= coalesce($4::timestamptz, '-infinity') AND created_at < coalesce($5::timestamptz, 'infinity') \
                 ORDER BY created_at DESC, id DESC LIMIT $6), \
             picked AS MATERIALIZED (SELECT s.id, s.created_at FROM scanned s CROSS JOIN LATERAL \
                 (SELECT status FROM facteur.jobs WHERE id = s.id LIMIT 1) j \
                 WHERE s.direction = 'outbound' AND ($8::text[] IS NULL OR j.status = ANY ($8)) \
                   AND ($9::text IS NULL OR s.channel = $9) AND ($10::text IS NULL OR s.sender = $10) \
                   AND ($11::text IS NULL OR s.category = $11) \
                 ORDER BY s.created_at DESC, s.id DESC LIMIT $7), \
             end_of AS (SELECT count(*) AS scanned, min(created_at) AS last_at, \
                 (SELECT id FROM scanned ORDER BY created_at, id LIMIT 1) AS last_id FROM scanned) \
             SELECT e.scanned, e.last_at, e.last_id, r.* FROM end_of e LEFT JOIN LATERAL ( \
                 SELECT m.id, m.tenant, m.channel, m.category, m.lane, m.recipient, m.sender, m.text, m.segments, m.bulk_id, \
                        m.created_at, j.status, j.reason, j.sentence, j.not_before, j.attempt, j.updated_at, \
                        a.sid, a.code, a.twilio_status \
                 FROM picked p CROSS JOIN LATERAL (SELECT * FROM facteur.messages WHERE id = p.id LIMIT 1) m \
                 CROSS JOIN LATERAL (SELECT status, reason, sentence, not_before, attempt, updated_at \
                     FROM facteur.jobs WHERE id = p.id LIMIT 1) j \
                 LEFT JOIN LATERAL (SELECT sid, code, twilio_status FROM facteur.attempts WHERE job_id = p.id \
                     ORDER BY number DESC LIMIT 1) a ON true) r ON true \
             ORDER BY r.created_at DESC, r.id DESC"
        )
    };
}

const OF_TENANT: &str = page_sql!("$12::text IS NULL");
const OF_RECIPIENT: &str = page_sql!("recipient = $12::text");
const OF_BULK: &str = page_sql!("bulk_id IS NOT NULL AND bulk_id = $12::text::uuid");

/// Which messages of a tenant are listed, and from where on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MessageFilter {
    /// Whose.
    pub tenant: String,
    /// Only those that stand in one of these; all if empty.
    pub statuses: Vec<Status>,
    /// Only those of this channel.
    pub channel: Option<String>,
    /// Only those to this number (E.164).
    pub to: Option<String>,
    /// Only those from this sender.
    pub from: Option<String>,
    /// Only those of this category.
    pub category: Option<String>,
    /// Only those of this bulk.
    pub bulk_id: Option<Uuid>,
    /// Only those accepted at this instant or later.
    pub since: Option<Timestamp>,
    /// Only those accepted before this instant.
    pub until: Option<Timestamp>,
    /// Only those after this place.
    pub after: Option<Position>,
    /// Rows of the page.
    pub limit: u16,
}

/// A page of messages, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagePage {
    /// The messages.
    pub messages: Vec<MessageSummary>,
    /// After which place the next page begins; `None` on the last one.
    pub next: Option<Position>,
}

/// A page of a tenant's messages.
///
/// # Errors
/// The database's, classified.
pub async fn page(database: &Database, filter: &MessageFilter) -> Result<MessagePage, BatchFailure> {
    let (sql, found_by) = match (&filter.to, filter.bulk_id) {
        (Some(to), _) => (OF_RECIPIENT, Some(to.clone())),
        (None, Some(bulk_id)) => (OF_BULK, Some(bulk_id.to_string())),
        (None, None) => (OF_TENANT, None),
    };
    let statuses: Option<Vec<&str>> =
        (!filter.statuses.is_empty()).then(|| filter.statuses.iter().map(|status| status.as_str()).collect());
    let (after_at, after_id) = filter.after.map(|place| (place.at, place.id)).unzip();
    let rows_max = i64::from(filter.limit) + 1;
    let client = database.client().await?;
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 12] = [
        &filter.tenant,
        &after_at,
        &after_id,
        &filter.since,
        &filter.until,
        &SCANNED_MAX,
        &rows_max,
        &statuses,
        &filter.channel,
        &filter.from,
        &filter.category,
        &found_by,
    ];
    let rows = client.query(&statement, &parameters).await.map_err(classify)?;
    Ok(page_of(&rows, filter.limit))
}

fn page_of(rows: &[Row], limit: u16) -> MessagePage {
    let found = rows.iter().filter(|row| row.get::<_, Option<Uuid>>("id").is_some());
    let mut messages: Vec<MessageSummary> = found.map(summary).collect();
    let has_more = messages.len() > usize::from(limit);
    messages.truncate(usize::from(limit));
    let scan_end = rows.first().filter(|row| row.get::<_, i64>("scanned") >= SCANNED_MAX).and_then(|row| {
        Some(Position {
            at: row.get::<_, Option<Timestamp>>("last_at")?,
            id: row.get::<_, Option<Uuid>>("last_id")?,
        })
    });
    let last = messages.last().map(|message| Position { at: message.created_at, id: message.id });
    MessagePage { next: if has_more { last } else { scan_end }, messages }
}

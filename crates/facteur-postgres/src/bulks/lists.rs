//! Looks at bulks and at their recipients.

use facteur_core::Timestamp;
use facteur_core::bulk::BulkState;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::page::Position;
use crate::pool::Database;

macro_rules! columns {
    () => {
        "b.id, b.tenant, b.name, b.channel, b.category, b.sender, b.template, b.state, b.reason, b.rate, \
         b.error_ratio_max, b.starts_at, b.expires_at, b.total, b.round, b.created_by, b.created_at, b.accepted_at, \
         b.ended_at, b.currency, p.reason AS paused_because, p.actor AS paused_by, p.until AS paused_until"
    };
}

macro_rules! paused {
    () => {
        "LEFT JOIN LATERAL (SELECT reason, actor, until FROM facteur.pauses WHERE scope = 'bulk' AND key = b.id::text \
             AND ended_at IS NULL AND (until IS NULL OR until > clock_timestamp()) LIMIT 1) p ON true"
    };
}

const FIND: &str = concat!("SELECT ", columns!(), " FROM facteur.bulks b ", paused!(), " WHERE b.id = $1");

/// `$1`, `$2`: the position before; `$3`: the limit.
const LIST_ALL: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (SELECT * FROM facteur.bulks WHERE (created_at, id) < ($1, $2) \
      ORDER BY created_at DESC, id DESC LIMIT $3) b ",
    paused!(),
    " ORDER BY b.created_at DESC, b.id DESC"
);
const LIST_OF_TENANT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (SELECT * FROM facteur.bulks WHERE tenant = $4 AND (created_at, id) < ($1, $2) \
      ORDER BY created_at DESC, id DESC LIMIT $3) b ",
    paused!(),
    " ORDER BY b.created_at DESC, b.id DESC"
);

/// Most lines that are looked at for a page of recipients in some states.
const LOOKED_LINES_MAX: u32 = 10_000;

/// The attempt is the job's last one. Jobs are not asked about lines that say themselves that they don't count.
const RECIPIENTS: &str = "SELECT r.line, r.recipient, r.name, r.job_id, r.round, r.segments, r.field, \
         CASE WHEN r.state IN ('released', 'settled') THEN coalesce(j.status, 'waiting') ELSE r.state END AS state, \
         coalesce(r.code, j.reason) AS code, coalesce(r.sentence, j.sentence) AS sentence, \
         a.sid, a.code AS twilio_code, j.updated_at \
     FROM (SELECT * FROM facteur.bulk_recipients WHERE bulk_id = $1 AND line > $2 AND line <= $5 \
             AND ($3::text[] IS NULL OR state = ANY ($3) \
                  OR state IN ('released', 'settled') AND NOT $3 <@ ARRAY['pending', 'refused']) \
         ORDER BY line) r \
     LEFT JOIN LATERAL (SELECT status, reason, sentence, attempt, updated_at FROM facteur.jobs \
         WHERE id = r.job_id AND r.state IN ('released', 'settled') LIMIT 1) j ON true \
     LEFT JOIN LATERAL (SELECT sid, code FROM facteur.attempts WHERE job_id = r.job_id AND number = j.attempt \
         LIMIT 1) a ON true \
     WHERE $3::text[] IS NULL \
        OR CASE WHEN r.state IN ('released', 'settled') THEN coalesce(j.status, 'waiting') ELSE r.state END = ANY ($3) \
     ORDER BY r.line LIMIT $4";

const GOES_ON: &str = "SELECT EXISTS (SELECT FROM facteur.bulk_recipients WHERE bulk_id = $1 AND line > $2)";

/// A bulk, without its progress.
#[derive(Debug, Clone, PartialEq)]
pub struct Bulk {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub tenant: String,
    /// Its name, for people.
    pub name: Option<String>,
    /// `sms`, `mms` or `whatsapp`.
    pub channel: String,
    /// What its messages are for.
    pub category: String,
    /// From which sender they leave.
    pub sender: String,
    /// The template that their texts came from.
    pub template: Option<String>,
    /// Where it stands.
    pub state: BulkState,
    /// Why it failed or was cancelled.
    pub reason: Option<String>,
    /// The pause that keeps it back.
    pub pause: Option<BulkPause>,
    /// Messages a second; as fast as possible if absent.
    pub rate: Option<f64>,
    /// The share of failures at which it pauses itself.
    pub error_ratio_max: Option<f64>,
    /// Not before.
    pub starts_at: Option<Timestamp>,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// Lines that were staged.
    pub total: u32,
    /// How often those that failed were tried anew.
    pub round: u32,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When all of its lines were there.
    pub accepted_at: Option<Timestamp>,
    /// When it completed, was cancelled or failed.
    pub ended_at: Option<Timestamp>,
    /// In which currency its costs are estimated.
    pub currency: Option<String>,
}

/// The pause of a bulk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPause {
    /// Why.
    pub reason: String,
    /// By whom; `facteur` if it paused itself.
    pub actor: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

/// Which bulks are listed, and from where on.
#[derive(Debug, Clone, Default)]
pub struct BulkFilter<'a> {
    /// Only this tenant's; all if absent.
    pub tenant: Option<&'a str>,
    /// The last one of the page before.
    pub after: Option<Position>,
    /// At most so many.
    pub limit: i64,
}

/// A recipient of a bulk. Its number and name are personal.
#[derive(Clone, PartialEq)]
pub struct RecipientRow {
    /// Its line, from 1.
    pub line: u32,
    /// E.164; of a refused line what was given, shortened.
    pub recipient: String,
    /// Its name.
    pub name: Option<String>,
    /// `pending`, `refused`, or the status of its message.
    pub state: String,
    /// Why it stands there: a stable code.
    pub code: Option<String>,
    /// The field at fault of a refused line.
    pub field: Option<String>,
    /// Why, for a person.
    pub sentence: Option<String>,
    /// Its message, once it is or was released.
    pub job_id: Option<Uuid>,
    /// How often it was tried anew.
    pub round: u32,
    /// What its message costs, in segments.
    pub segments: u32,
    /// Twilio's id of the message.
    pub sid: Option<String>,
    /// Twilio's code of the last attempt.
    pub twilio_code: Option<i32>,
    /// When its message last changed.
    pub updated_at: Option<Timestamp>,
}

/// A page of a bulk's recipients.
#[derive(Clone, PartialEq)]
pub struct RecipientsPage {
    /// The recipients, in the order of their lines.
    pub rows: Vec<RecipientRow>,
    /// After which line the next page begins; `None` if there is none.
    pub next: Option<u32>,
}

/// The bulk of that id.
///
/// # Errors
/// The database's, classified.
pub async fn find(database: &Database, id: Uuid) -> Result<Option<Bulk>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await.map_err(classify)?;
    Ok(client.query_opt(&statement, &[&id]).await.map_err(classify)?.as_ref().map(bulk))
}

/// Bulks, the newest first.
///
/// # Errors
/// The database's, classified.
pub async fn list(database: &Database, filter: &BulkFilter<'_>) -> Result<Vec<Bulk>, BatchFailure> {
    let (at, id) = filter.after.map_or((Timestamp::MAX, Uuid::max()), |after| (after.at, after.id));
    let client = database.client().await?;
    let rows = match filter.tenant {
        Some(tenant) => {
            let statement = client.prepare_cached(LIST_OF_TENANT).await.map_err(classify)?;
            client.query(&statement, &[&at, &id, &filter.limit, &tenant]).await
        }
        None => {
            let statement = client.prepare_cached(LIST_ALL).await.map_err(classify)?;
            client.query(&statement, &[&at, &id, &filter.limit]).await
        }
    };
    Ok(rows.map_err(classify)?.iter().map(bulk).collect())
}

/// Recipients after a line, in their order, at most `limit`; only those in one of these states, if any are named. For
/// those, 10,000 lines are looked at, and the page may be short or empty with more behind it.
///
/// # Errors
/// The database's, classified.
pub async fn recipients(
    database: &Database,
    id: Uuid,
    after: u32,
    states: Option<&[&str]>,
    limit: u16,
) -> Result<RecipientsPage, BatchFailure> {
    let line = |line: u32| i32::try_from(line).unwrap_or(i32::MAX);
    let end = states.map_or(u32::MAX, |_| after.saturating_add(LOOKED_LINES_MAX));
    let client = database.client().await?;
    let statement = client.prepare_cached(RECIPIENTS).await.map_err(classify)?;
    let rows_max = i64::from(limit) + 1;
    let rows = client
        .query(&statement, &[&id, &line(after), &states, &rows_max, &line(end)])
        .await
        .map_err(classify)?;
    let mut rows: Vec<RecipientRow> = rows.iter().map(recipient).collect();
    let has_more = rows.len() > usize::from(limit);
    rows.truncate(usize::from(limit));
    let next = if has_more {
        rows.last().map(|row| row.line)
    } else if states.is_none() {
        None
    } else {
        let statement = client.prepare_cached(GOES_ON).await.map_err(classify)?;
        let goes_on = client.query_one(&statement, &[&id, &line(end)]).await.map_err(classify)?;
        goes_on.get::<_, bool>(0).then_some(end)
    };
    Ok(RecipientsPage { rows, next })
}

/// The table's CHECK allows no other names; an unknown one would be a newer release's, of which nothing is done here.
pub(super) fn state(name: &str) -> BulkState {
    BulkState::from_name(name).unwrap_or(BulkState::Completed)
}

fn count(row: &Row, column: &str) -> u32 {
    u32::try_from(row.get::<_, i32>(column)).unwrap_or_default()
}

fn bulk(row: &Row) -> Bulk {
    let pause = row.get::<_, Option<String>>("paused_because").map(|reason| BulkPause {
        reason,
        actor: row.get("paused_by"),
        until: row.get("paused_until"),
    });
    Bulk {
        id: row.get("id"),
        tenant: row.get("tenant"),
        name: row.get("name"),
        channel: row.get("channel"),
        category: row.get("category"),
        sender: row.get("sender"),
        template: row.get("template"),
        state: state(row.get("state")),
        reason: row.get("reason"),
        pause,
        rate: row.get("rate"),
        error_ratio_max: row.get("error_ratio_max"),
        starts_at: row.get("starts_at"),
        expires_at: row.get("expires_at"),
        total: count(row, "total"),
        round: count(row, "round"),
        created_by: row.get("created_by"),
        created_at: row.get("created_at"),
        accepted_at: row.get("accepted_at"),
        ended_at: row.get("ended_at"),
        currency: row.get("currency"),
    }
}

fn recipient(row: &Row) -> RecipientRow {
    RecipientRow {
        line: count(row, "line"),
        recipient: row.get("recipient"),
        name: row.get("name"),
        state: row.get("state"),
        code: row.get("code"),
        field: row.get("field"),
        sentence: row.get("sentence"),
        job_id: row.get("job_id"),
        round: count(row, "round"),
        segments: count(row, "segments"),
        sid: row.get("sid"),
        twilio_code: row.get("twilio_code"),
        updated_at: row.get("updated_at"),
    }
}

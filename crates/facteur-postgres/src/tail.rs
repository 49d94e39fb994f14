//! What happens now: the attempts of the last moments, for whoever follows them.

use facteur_core::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// Attempts of one question, at most.
pub const ROWS_MAX: i64 = 1_000;

const NOW: &str = "SELECT clock_timestamp() AS now";

/// The index on `created_at` finds the pages at the end of the table.
const SINCE: &str = "SELECT a.job_id, a.number, a.outcome, a.code, a.sid, a.next_status, a.reason, a.duration_ms, a.created_at, \
         j.tenant, j.lane \
     FROM facteur.attempts a LEFT JOIN LATERAL (SELECT tenant, lane FROM facteur.jobs WHERE id = a.job_id LIMIT 1) j ON true \
     WHERE a.created_at >= $1 ORDER BY a.created_at, a.job_id, a.number LIMIT $2";

/// One call to Twilio, and what was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// The message.
    pub id: Uuid,
    /// Which attempt.
    pub number: i32,
    /// Whose.
    pub tenant: Option<String>,
    /// In which lane.
    pub lane: Option<String>,
    /// What the call told.
    pub outcome: String,
    /// Twilio's error code.
    pub code: Option<i32>,
    /// Twilio's id.
    pub sid: Option<String>,
    /// Where the message stood then.
    pub status: String,
    /// Why: a stable code.
    pub reason: String,
    /// How long the call took, in milliseconds.
    pub duration_ms: i32,
    /// When it was recorded.
    pub at: Timestamp,
}

/// The database's clock.
///
/// # Errors
/// The database's, classified.
pub async fn now(database: &Database) -> Result<Timestamp, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(NOW).await.map_err(classify)?;
    Ok(client.query_one(&statement, &[]).await.map_err(classify)?.get("now"))
}

/// What was recorded from this instant on, the first first; at most [`ROWS_MAX`]. What is recorded at once is committed
/// in any order: whoever follows asks again for the last seconds.
///
/// # Errors
/// The database's, classified.
pub async fn since(database: &Database, at: Timestamp) -> Result<Vec<Happened>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(SINCE).await.map_err(classify)?;
    let rows = client.query(&statement, &[&at, &ROWS_MAX]).await.map_err(classify)?;
    let happened = |row: &Row| Happened {
        id: row.get("job_id"),
        number: row.get("number"),
        tenant: row.get("tenant"),
        lane: row.get("lane"),
        outcome: row.get("outcome"),
        code: row.get("code"),
        sid: row.get("sid"),
        status: row.get("next_status"),
        reason: row.get("reason"),
        duration_ms: row.get("duration_ms"),
        at: row.get("created_at"),
    };
    Ok(rows.iter().map(happened).collect())
}

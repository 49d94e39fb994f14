//! Breakers: their rows, which all workers share, and which of them have jobs waiting behind them. How a row moves is
//! decided by [`facteur_core::breaker::after`]; here it is locked, asked, and written.

use facteur_core::Timestamp;
use facteur_core::breaker::{Breaker, Cause, Change, State, after};
use facteur_core::hold::{Fuse, Hold};
use tokio_postgres::Row;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// Most breakers that are read at once: far more senders than one account has.
const BREAKERS_MAX: i64 = 10_000;
/// A line is counted up to here; more are "at least so many".
const COUNTED_MAX: i64 = 100_000;

const COLUMNS_OF_ALL: &str = "SELECT scope, key, state, reason, sentence, openings, opened_at, retry_at, updated_at, \
         retry_at <= clock_timestamp() AS is_due \
     FROM facteur.breakers WHERE state <> 'closed' ORDER BY scope, key LIMIT $1";

const FIND: &str = "SELECT scope, key, state, reason, sentence, openings, opened_at, retry_at, updated_at \
     FROM facteur.breakers WHERE scope = $1 AND key = $2";

/// One change of a breaker at a time, even while it has no row yet.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('facteur.breakers:' || $1 || ':' || $2, 0)), \
         clock_timestamp() AS now";

const WRITE: &str = "INSERT INTO facteur.breakers \
         (scope, key, state, reason, sentence, openings, opened_at, retry_at, updated_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
     ON CONFLICT (scope, key) DO UPDATE SET state = excluded.state, reason = excluded.reason, \
         sentence = excluded.sentence, openings = excluded.openings, opened_at = excluded.opened_at, \
         retry_at = excluded.retry_at, updated_at = excluded.updated_at";

const WAITING: &str = "SELECT count(*) FROM (SELECT FROM facteur.jobs WHERE waits_for = $1 LIMIT $2) AS line";

/// A breaker that is not closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBreaker {
    /// What it protects.
    pub fuse: Fuse,
    /// Its row.
    pub breaker: Breaker,
    /// Whether it is time to try it, by the database's clock.
    pub is_due: bool,
}

/// Every breaker that is open or half open.
///
/// # Errors
/// The database's, classified.
pub async fn open(database: &Database) -> Result<Vec<OpenBreaker>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(COLUMNS_OF_ALL).await.map_err(classify)?;
    let rows = client.query(&statement, &[&BREAKERS_MAX]).await.map_err(classify)?;
    let read =
        |row: &Row| Some(OpenBreaker { fuse: fuse(row)?, breaker: breaker(row), is_due: row.get("is_due") });
    Ok(rows.iter().filter_map(read).collect())
}

/// The row of one breaker; `None` if it never opened.
///
/// # Errors
/// The database's, classified.
pub async fn find(database: &Database, fuse: &Fuse) -> Result<Option<Breaker>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&fuse.scope(), &fuse.key()]).await.map_err(classify)?;
    Ok(row.as_ref().map(breaker))
}

/// Moves a breaker, if the change says something to it as it stands now. Returns the new row, or `None` if another
/// process was first.
///
/// # Errors
/// The database's, classified; nothing was changed then, or the reply was lost and the next look shows it.
pub async fn change(
    database: &Database,
    fuse: &Fuse,
    change: &Change,
) -> Result<Option<Breaker>, BatchFailure> {
    let (scope, key) = (fuse.scope(), fuse.key());
    let mut client = database.client().await?;
    let transaction = client.transaction().await.map_err(classify)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(classify)?;
    let now: Timestamp = transaction.query_one(&lock, &[&scope, &key]).await.map_err(classify)?.get("now");
    let find = transaction.prepare_cached(FIND).await.map_err(classify)?;
    let before = transaction.query_opt(&find, &[&scope, &key]).await.map_err(classify)?;
    let Some(row) = after(fuse, before.as_ref().map(breaker).as_ref(), change, now) else {
        return Ok(None);
    };
    let write = transaction.prepare_cached(WRITE).await.map_err(classify)?;
    let openings = i32::try_from(row.openings).unwrap_or(i32::MAX);
    transaction
        .execute(
            &write,
            &[
                &scope,
                &key,
                &row.state.as_str(),
                &row.cause.as_str(),
                &row.sentence,
                &openings,
                &row.opened_at,
                &row.retry_at,
                &row.updated_at,
            ],
        )
        .await
        .map_err(classify)?;
    transaction.commit().await.map_err(classify)?;
    Ok(Some(row))
}

/// How many jobs stand in the line of that breaker, counted up to 100,000.
///
/// # Errors
/// The database's, classified.
pub async fn waiting(database: &Database, fuse: &Fuse) -> Result<i64, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(WAITING).await.map_err(classify)?;
    let line = Hold::Breaker(fuse.clone()).to_string();
    Ok(client.query_one(&statement, &[&line, &COUNTED_MAX]).await.map_err(classify)?.get(0))
}

/// A scope that a newer release invented is left to it.
fn fuse(row: &Row) -> Option<Fuse> {
    Fuse::parse(row.get("scope"), row.get("key"))
}

fn breaker(row: &Row) -> Breaker {
    Breaker {
        // The table's CHECK allows no other names. What we can't read holds nobody back for ever.
        state: State::from_name(row.get("state")).unwrap_or(State::HalfOpen),
        cause: Cause::from_name(row.get("reason")).unwrap_or(Cause::Failing),
        sentence: row.get("sentence"),
        openings: u32::try_from(row.get::<_, i32>("openings")).unwrap_or(1),
        opened_at: row.get("opened_at"),
        retry_at: row.get("retry_at"),
        updated_at: row.get("updated_at"),
    }
}

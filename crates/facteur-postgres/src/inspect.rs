//! What `doctor` wants to know of a server: whether a commit lasts, and what time it has.

use facteur_core::Timestamp;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

const INSPECT: &str = "SELECT current_setting('server_version') AS version, \
     current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on' AS survives_crashes, \
     current_setting('synchronous_commit') <> 'off' AS commits_wait, \
     current_setting('synchronous_standby_names') <> '' \
         AND current_setting('synchronous_commit') NOT IN ('off', 'local') AS has_synchronous_standby, \
     clock_timestamp() AS now";

/// A server, as far as our promises depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Its version.
    pub version: String,
    /// Whether a commit survives a crash of the machine (`fsync`, `full_page_writes`).
    pub survives_crashes: bool,
    /// Whether a commit is on disk when it is answered (`synchronous_commit`).
    pub commits_wait: bool,
    /// Whether a commit is on another machine too when it is answered.
    pub has_synchronous_standby: bool,
    /// Its clock.
    pub now: Timestamp,
}

/// Asks.
///
/// # Errors
/// The database's, classified.
pub async fn inspect(database: &Database) -> Result<Inspection, BatchFailure> {
    let row = database.client().await?.query_one(INSPECT, &[]).await.map_err(classify)?;
    Ok(Inspection {
        version: row.get("version"),
        survives_crashes: row.get("survives_crashes"),
        commits_wait: row.get("commits_wait"),
        has_synchronous_standby: row.get("has_synchronous_standby"),
        now: row.get("now"),
    })
}

const CAN_COMMIT: &str = "SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS writes, \
     to_regclass('facteur.status_events') IS NOT NULL AS has_schema";

/// Why nothing can be committed now; `None` if it can.
///
/// # Errors
/// The database's, classified.
pub async fn can_commit(database: &Database) -> Result<Option<&'static str>, BatchFailure> {
    let row = database.client().await?.query_one(CAN_COMMIT, &[]).await.map_err(classify)?;
    Ok(match (row.get("writes"), row.get("has_schema")) {
        (false, _) => Some("the database only reads: it is a standby, or its transactions are read-only"),
        (true, false) => Some("the schema is not there yet: run `facteur migrate`"),
        (true, true) => None,
    })
}

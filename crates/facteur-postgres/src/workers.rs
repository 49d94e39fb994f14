//! Processes at work: each writes a row every few seconds, reads the others', and hears what time the database has.

use facteur_core::Timestamp;
use facteur_core::peers::SharedSettings;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// A row that is older is of a process that is gone.
const LIVE_S: f64 = 60.0;
/// A row that is older is removed.
const KEPT_S: f64 = 86_400.0;
/// Others that are read at most.
const OTHERS_MAX: i64 = 1_000;

const BEAT: &str = "INSERT INTO facteur.workers (id, role, version, settings) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), settings = excluded.settings";

const FORGET: &str = "DELETE FROM facteur.workers WHERE id IN (SELECT id FROM facteur.workers \
     WHERE seen_at < clock_timestamp() - $1::float8 * interval '1 second' ORDER BY id LIMIT $2 \
     FOR UPDATE SKIP LOCKED)";

const LEAVE: &str = "DELETE FROM facteur.workers WHERE id = $1";

const LIVE: &str = "SELECT id, role, version, settings FROM facteur.workers \
     WHERE seen_at >= clock_timestamp() - $1::float8 * interval '1 second' AND id IS DISTINCT FROM $2 \
     ORDER BY id LIMIT $3";

/// A process, as it tells about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Drawn at its start.
    pub id: Uuid,
    /// `worker` or `web`.
    pub role: String,
    /// Its release.
    pub version: String,
    /// What all must share.
    pub settings: SharedSettings,
}

/// Writes our row, removes those of processes that are long gone, and reads the other live ones.
///
/// # Errors
/// The database's, classified.
pub async fn beat(database: &Database, ours: &Peer) -> Result<Vec<Peer>, BatchFailure> {
    let client = database.client().await?;
    let beat = client.prepare_cached(BEAT).await.map_err(classify)?;
    client
        .execute(&beat, &[&ours.id, &ours.role, &ours.version, &Json(&ours.settings)])
        .await
        .map_err(classify)?;
    let forget = client.prepare_cached(FORGET).await.map_err(classify)?;
    client.execute(&forget, &[&KEPT_S, &OTHERS_MAX]).await.map_err(classify)?;
    drop(client);
    live(database, Some(ours.id)).await
}

/// The live processes, without `except`.
///
/// # Errors
/// The database's, classified.
pub async fn live(database: &Database, except: Option<Uuid>) -> Result<Vec<Peer>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LIVE).await.map_err(classify)?;
    let rows = client.query(&statement, &[&LIVE_S, &except, &OTHERS_MAX]).await.map_err(classify)?;
    let peer = |row: &tokio_postgres::Row| Peer {
        id: row.get("id"),
        role: row.get("role"),
        version: row.get("version"),
        // Settings of a release that writes them otherwise are no reason to fail.
        settings: row
            .try_get::<_, Json<SharedSettings>>("settings")
            .map(|Json(settings)| settings)
            .unwrap_or_default(),
    };
    Ok(rows.iter().map(peer).collect())
}

/// Removes our row: a process that stops is missed by nobody.
///
/// # Errors
/// The database's, classified.
pub async fn leave(database: &Database, id: Uuid) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    client.execute(LEAVE, &[&id]).await.map_err(classify)?;
    Ok(())
}

/// What time the database has.
///
/// # Errors
/// The database's, classified.
pub async fn database_time(database: &Database) -> Result<Timestamp, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached("SELECT clock_timestamp() AS now").await.map_err(classify)?;
    Ok(client.query_one(&statement, &[]).await.map_err(classify)?.get("now"))
}

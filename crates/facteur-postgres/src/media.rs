//! Media of inbound messages, by reference: they stay at Twilio.

use std::fmt;

use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

const FIND: &str = "SELECT tenant, account, url, content_type FROM facteur.media WHERE id = $1";

const FETCHED: &str =
    "UPDATE facteur.media SET size_bytes = $2, fetched_at = clock_timestamp() WHERE id = $1";

/// Where a medium is. `Debug` does not show the URL.
#[derive(Clone, PartialEq, Eq)]
pub struct Medium {
    /// Whose.
    pub tenant: String,
    /// The account at Twilio that it belongs to, by its SID.
    pub account: String,
    /// Where it is, as Twilio said.
    pub url: String,
    /// What it is, as Twilio announced it.
    pub content_type: String,
}

impl fmt::Debug for Medium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Medium").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// The medium of that id.
///
/// # Errors
/// The database's, classified.
pub async fn find(database: &Database, id: Uuid) -> Result<Option<Medium>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&id]).await.map_err(classify)?;
    Ok(row.map(|row| Medium {
        tenant: row.get("tenant"),
        account: row.get("account"),
        url: row.get("url"),
        content_type: row.get("content_type"),
    }))
}

/// Notes that a medium was fetched, and its size in bytes.
///
/// # Errors
/// The database's, classified.
pub async fn fetched(database: &Database, id: Uuid, size_bytes: i64) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FETCHED).await.map_err(classify)?;
    client.execute(&statement, &[&id, &size_bytes]).await.map(drop).map_err(classify)
}

//! Media of inbound messages: kept by reference, they stay at Twilio.

use std::fmt;

use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

const FIND: &str = "SELECT tenant, account, url, content_type FROM facteur.media WHERE id = $1";

/// Where a medium is. `Debug` does not show its URL.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredMedium {
    /// Whose.
    pub tenant: String,
    /// The account at Twilio that received it, by its SID.
    pub account: String,
    /// Its URL, as the webhook named it: it may be anything.
    pub url: String,
    /// Its content type, as the webhook named it: it may be anything.
    pub content_type: String,
}

impl fmt::Debug for StoredMedium {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredMedium").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// The medium of that id.
///
/// # Errors
/// The database's, classified.
pub async fn find(database: &Database, id: Uuid) -> Result<Option<StoredMedium>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&id]).await.map_err(classify)?;
    Ok(row.map(|row| StoredMedium {
        tenant: row.get("tenant"),
        account: row.get("account"),
        url: row.get("url"),
        content_type: row.get("content_type"),
    }))
}

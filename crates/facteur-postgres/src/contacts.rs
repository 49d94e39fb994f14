//! Contacts of the shared inbox.

use std::fmt;

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::page::Position;
use crate::pool::Database;

/// Most rows of one page.
const PAGE_ROWS_MAX: i64 = 1_000;

/// Who left is read where every claim reads it; a suppression for one sender is one for some of them.
macro_rules! contact {
    ($rows:literal) => {
        concat!(
            "SELECT c.*, EXISTS (SELECT FROM facteur.suppressions s \
                 WHERE s.tenant = c.tenant AND s.recipient = c.number) AS is_opted_out FROM (",
            $rows,
            ") c"
        )
    };
}

const LIST: &str = concat!(
    contact!(
        "SELECT id, tenant, number, name, first_seen_at, last_seen_at FROM facteur.contacts \
         WHERE tenant = $1 AND ($2::text IS NULL OR number = $2) AND (first_seen_at, id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4::uuid, \
               'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
         ORDER BY first_seen_at DESC, id DESC LIMIT $5"
    ),
    " ORDER BY c.first_seen_at DESC, c.id DESC"
);

/// The place is compared with a choice here, so that the index of the list is of no use: there is one row at most.
const OF_NUMBER: &str = contact!(
    "SELECT id, tenant, number, name, first_seen_at, last_seen_at FROM facteur.contacts \
     WHERE tenant = $1 AND number = $2 AND ($3::timestamptz IS NULL OR (first_seen_at, id) < ($3, $4::uuid)) LIMIT $5"
);

const FIND: &str = contact!(
    "SELECT id, tenant, number, name, first_seen_at, last_seen_at FROM facteur.contacts WHERE id = $1"
);

/// Somebody who wrote to us, or whom we wrote to. `Debug` shows neither number nor name.
#[derive(Clone, PartialEq, Eq)]
pub struct Contact {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub tenant: String,
    /// In E.164, or whatever else Twilio names somebody by.
    pub number: String,
    /// As far as is known.
    pub name: Option<String>,
    /// Whether some sender of the tenant, or none of them, may write to it.
    pub is_opted_out: bool,
    /// When it appeared.
    pub first_seen_at: Timestamp,
    /// When it wrote last.
    pub last_seen_at: Timestamp,
}

impl Contact {
    /// Its place in a list.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { at: self.first_seen_at, id: self.id }
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact").field("id", &self.id).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// A tenant's contacts, or the one of a number, those that appeared last first: at most `limit`, and 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn list(
    database: &Database,
    tenant: &Tenant,
    number: Option<&str>,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Contact>, BatchFailure> {
    let (at, id) = (after.map(|after| after.at), after.map(|after| after.id));
    let client = database.client().await?;
    let sql = if number.is_some() { OF_NUMBER } else { LIST };
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    let rows = client
        .query(&statement, &[&tenant.as_str(), &number, &at, &id, &limit.min(PAGE_ROWS_MAX)])
        .await
        .map_err(classify)?;
    Ok(rows.iter().map(contact).collect())
}

/// The contact of that id.
///
/// # Errors
/// The database's, classified.
pub async fn find(database: &Database, id: Uuid) -> Result<Option<Contact>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await.map_err(classify)?;
    Ok(client.query_opt(&statement, &[&id]).await.map_err(classify)?.as_ref().map(contact))
}

fn contact(row: &Row) -> Contact {
    Contact {
        id: row.get("id"),
        tenant: row.get("tenant"),
        number: row.get("number"),
        name: row.get("name"),
        is_opted_out: row.get("is_opted_out"),
        first_seen_at: row.get("first_seen_at"),
        last_seen_at: row.get("last_seen_at"),
    }
}

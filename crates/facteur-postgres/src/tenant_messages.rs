//! A tenant's messages in pages, and their subjects: what producers keep with a message for people, under
//! `metadata.subject`.

use std::collections::HashMap;

use facteur_core::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::page::{Position, SCANNED_MAX};
use crate::pool::Database;

/// The place is compared without a choice, so that the index leads to it: a deep page costs as much as the first.
const PAGE: &str = "WITH scanned AS MATERIALIZED (SELECT id, created_at, channel, direction FROM facteur.messages \
         WHERE tenant = $1 AND (created_at, id) < (coalesce($3::timestamptz, 'infinity'), \
             coalesce($4::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')) \
         ORDER BY created_at DESC, id DESC LIMIT $6), \
     picked AS (SELECT id, created_at FROM scanned \
         WHERE direction = 'outbound' AND ($2::text IS NULL OR channel = $2) \
         ORDER BY created_at DESC, id DESC LIMIT $5), \
     end_of AS (SELECT count(*) AS scanned, min(created_at) AS last_at, \
         (SELECT id FROM scanned ORDER BY created_at, id LIMIT 1) AS last_id FROM scanned) \
     SELECT e.scanned, e.last_at, e.last_id, p.id, p.created_at FROM end_of e LEFT JOIN picked p ON true \
     ORDER BY p.created_at DESC, p.id DESC";

/// A page of a tenant's messages.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacesPage {
    /// Where its messages stand, the newest first.
    pub places: Vec<Position>,
    /// After which place the next page begins; `None` if there is none.
    pub next: Option<Position>,
}

const SUBJECTS: &str = "SELECT m.id, convert_from(m.document, 'UTF8')::jsonb #>> '{metadata,subject}' AS subject \
     FROM unnest($1::uuid[]) AS i(id) CROSS JOIN LATERAL \
         (SELECT id, document FROM facteur.messages WHERE id = i.id AND direction = 'outbound' LIMIT 1) m";

/// Where the messages of a tenant stand in its list, the newest first: up to `limit` after that position. A page of one
/// channel looks at 20,000 messages at most, and may be short or empty with more behind it.
///
/// # Errors
/// The database's, classified.
pub async fn page(
    database: &Database,
    tenant: &str,
    channel: Option<&str>,
    after: Option<Position>,
    limit: u16,
) -> Result<PlacesPage, BatchFailure> {
    let (at, id) = (after.map(|position| position.at), after.map(|position| position.id));
    let client = database.client().await?;
    let statement = client.prepare_cached(PAGE).await.map_err(classify)?;
    let rows_max = i64::from(limit) + 1;
    let scanned_max = channel.map_or(rows_max, |_| SCANNED_MAX);
    let parameters: [&(dyn ToSql + Sync); 6] = [&tenant, &channel, &at, &id, &rows_max, &scanned_max];
    let rows = client.query(&statement, &parameters).await.map_err(classify)?;
    let place = |row: &tokio_postgres::Row, at: &str, id: &str| {
        Some(Position { at: row.get::<_, Option<Timestamp>>(at)?, id: row.get::<_, Option<Uuid>>(id)? })
    };
    let mut places: Vec<Position> = rows.iter().filter_map(|row| place(row, "created_at", "id")).collect();
    let has_more = places.len() > usize::from(limit);
    places.truncate(usize::from(limit));
    let is_cut = |row: &&tokio_postgres::Row| row.get::<_, i64>("scanned") >= scanned_max;
    let scan_end = rows.first().filter(is_cut).and_then(|row| place(row, "last_at", "last_id"));
    let next = if has_more { places.last().copied() } else { scan_end };
    Ok(PlacesPage { places, next })
}

/// The subjects of these messages; those without one have no entry.
///
/// # Errors
/// The database's, classified.
pub async fn subjects(database: &Database, ids: &[Uuid]) -> Result<HashMap<Uuid, String>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(SUBJECTS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&ids]).await.map_err(classify)?;
    let subject = |row: &tokio_postgres::Row| Some((row.get("id"), row.get::<_, Option<String>>("subject")?));
    Ok(rows.iter().filter_map(subject).collect())
}

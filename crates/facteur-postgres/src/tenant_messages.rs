//! A tenant's messages in pages, and their subjects: what producers keep with a message for people, under
//! `metadata.subject`.

use std::collections::HashMap;

use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::page::Position;
use crate::pool::Database;

const PAGE: &str = "SELECT id, created_at FROM facteur.messages \
     WHERE tenant = $1 AND direction = 'outbound' AND ($2::text IS NULL OR channel = $2) \
       AND ($3::timestamptz IS NULL OR (created_at, id) < ($3, $4)) \
     ORDER BY created_at DESC, id DESC LIMIT $5";

const SUBJECTS: &str = "SELECT m.id, convert_from(m.document, 'UTF8')::jsonb #>> '{metadata,subject}' AS subject \
     FROM unnest($1::uuid[]) AS i(id) CROSS JOIN LATERAL \
         (SELECT id, document FROM facteur.messages WHERE id = i.id AND direction = 'outbound' LIMIT 1) m";

/// Where the messages of a tenant stand in its list, the newest first: up to `limit` + 1, after that position.
///
/// # Errors
/// The database's, classified.
pub async fn page(
    database: &Database,
    tenant: &str,
    channel: Option<&str>,
    after: Option<Position>,
    limit: u16,
) -> Result<Vec<Position>, BatchFailure> {
    let (at, id) = (after.map(|position| position.at), after.map(|position| position.id));
    let client = database.client().await?;
    let statement = client.prepare_cached(PAGE).await.map_err(classify)?;
    let rows = client
        .query(&statement, &[&tenant, &channel, &at, &id, &(i64::from(limit) + 1)])
        .await
        .map_err(classify)?;
    Ok(rows.iter().map(|row| Position { at: row.get("created_at"), id: row.get("id") }).collect())
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

//! Subjects of messages: what producers keep with a message for people, under `metadata.subject`.

use std::collections::HashMap;

use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

const SUBJECTS: &str = "SELECT m.id, convert_from(m.document, 'UTF8')::jsonb #>> '{metadata,subject}' AS subject \
     FROM unnest($1::uuid[]) AS i(id) CROSS JOIN LATERAL \
         (SELECT id, document FROM facteur.messages WHERE id = i.id AND direction = 'outbound' LIMIT 1) m";

/// The subjects of these messages; those without one have no entry.
///
/// # Errors
/// The database's, classified.
pub async fn of(database: &Database, ids: &[Uuid]) -> Result<HashMap<Uuid, String>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(SUBJECTS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&ids]).await.map_err(classify)?;
    let subject = |row: &tokio_postgres::Row| Some((row.get("id"), row.get::<_, Option<String>>("subject")?));
    Ok(rows.iter().filter_map(subject).collect())
}

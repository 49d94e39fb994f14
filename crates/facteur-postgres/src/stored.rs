//! What an earlier turn of a job settled: its sender and its rendered text.

use facteur_core::ids::JobId;
use facteur_core::ledger::Stored;
use facteur_core::sender::Sender;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::batcher::BatchOperation;
use crate::pool::Database;
use crate::rows::by_id;

const STORED: &str = "SELECT m.id, m.sender, m.text FROM unnest($1::uuid[]) AS i(id) CROSS JOIN LATERAL \
         (SELECT id, sender, text FROM facteur.messages WHERE id = i.id LIMIT 1) m";

/// Looks up many jobs at once.
pub(crate) struct StoredOperation {
    pub(crate) database: Database,
}

impl BatchOperation for StoredOperation {
    type Item = JobId;
    type Key = JobId;
    type Answer = Option<Stored>;

    fn key(item: &JobId) -> JobId {
        *item
    }

    async fn execute(&self, items: &[JobId]) -> Result<Vec<Option<Stored>>, BatchFailure> {
        let ids: Vec<Uuid> = items.iter().map(|id| id.0).collect();
        let client = self.database.client().await?;
        let statement = client.prepare_cached(STORED).await.map_err(classify)?;
        let rows = client.query(&statement, &[&ids]).await.map_err(classify)?;
        let rows = by_id(&rows);
        Ok(ids.iter().map(|id| rows.get(id).map(|row| stored(row))).collect())
    }
}

fn stored(row: &Row) -> Stored {
    let sender = row.get::<_, Option<&str>>("sender");
    Stored { sender: sender.and_then(|sender| Sender::parse(sender).ok()), text: row.get("text") }
}

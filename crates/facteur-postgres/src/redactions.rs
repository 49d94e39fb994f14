//! Messages that hold a password are forgotten once their job has ended: the text, the variables, and the bytes of a
//! dead letter, which can't be sent back to work then.

use facteur_core::limits::DUTY_ROWS_MAX;

use crate::batch_error::{BatchFailure, classify};
use crate::claim::final_statuses;
use crate::pool::Database;

/// The index `messages_secret` holds what is still to be done. Whoever changes a letter of a job holds the job's row: a
/// requeue comes before, or finds it redacted. Only `body` and `variables` hold what was written; the rest of the
/// document says to whom and by which template.
const REDACT: &str = "WITH due AS (SELECT j.id FROM \
         (SELECT id FROM facteur.messages WHERE headers ? 'facteur-secret' ORDER BY id) m CROSS JOIN LATERAL \
         (SELECT id FROM facteur.jobs WHERE id = m.id AND status = ANY ($1::text[]) FOR UPDATE SKIP LOCKED) j \
         LIMIT $2), \
     redacted AS (UPDATE facteur.messages m SET text = NULL, headers = m.headers - 'facteur-secret', \
             document = convert_to((convert_from(m.document, 'UTF8')::jsonb - 'variables' - 'body')::text, 'UTF8'), \
             redacted_at = clock_timestamp() \
         FROM due WHERE m.id = due.id AND m.headers ? 'facteur-secret' RETURNING m.id, m.document), \
     letters AS (UPDATE facteur.dead_letters d SET body = r.document, headers = d.headers - 'facteur-secret' \
         FROM redacted r WHERE d.job_id = r.id) \
     SELECT count(*) FROM redacted";

/// Redacts what is due, at most 1,000 messages. Returns how many it was.
///
/// # Errors
/// The database's, classified.
pub async fn redact(database: &Database) -> Result<u64, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(REDACT).await.map_err(classify)?;
    let row = client.query_one(&statement, &[&final_statuses(), &DUTY_ROWS_MAX]).await.map_err(classify)?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or_default())
}

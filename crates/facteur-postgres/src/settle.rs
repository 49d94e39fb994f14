//! The settlement: a job that is not claimed is refused, scheduled, or put into the waiting room.

use facteur_core::ids::{JobId, Turn};
use facteur_core::ledger::{Settled, Settlement};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::batch_error::{BatchFailure, classify};
use crate::batcher::BatchOperation;
use crate::pool::{Client, Database};
use crate::rows::{JobColumns, bury, by_id, is_same, job_input, store_messages};

macro_rules! settle_input {
    () => {
        job_input!(
            "$18::text[], $19::text[], $20::text[], $21::text[], $22::float8[], $23::text[]",
            "status, reason, field, sentence, delay_s, waits_for"
        )
    };
}

/// A new job: its row is created in the state it goes to.
const SETTLE_NEW: &str = concat!(
    settle_input!(),
    ", inserted AS (INSERT INTO facteur.jobs \
         (id, fingerprint, tenant, lane, status, reason, sentence, turn, not_before, due_at, deadline, waits_for, \
          in_line_since) \
         SELECT id, fingerprint, tenant, lane, status, reason, sentence, turn + (delay_s IS NOT NULL)::int4, \
                CASE WHEN waits_for IS NULL THEN clock_timestamp() + delay_s * interval '1 second' END, \
                CASE WHEN waits_for IS NOT NULL THEN deadline WHEN delay_s IS NOT NULL \
                     THEN least(clock_timestamp() + delay_s * interval '1 second', deadline) END, \
                deadline, waits_for, CASE WHEN waits_for IS NOT NULL THEN clock_timestamp() END \
         FROM input ORDER BY id ON CONFLICT (id) DO NOTHING RETURNING id, turn), \
     stored AS (",
    store_messages!("input"),
    "), buried AS (",
    bury!(
        "SELECT id, tenant, reason, field, sentence, document, headers, 'send.' || lane \
         FROM input JOIN inserted USING (id) WHERE status = 'dead'"
    ),
    ") SELECT id, turn FROM inserted"
);

/// A job that waits: an early copy never shortens its wait, and only the present turn may move it. Rows are
/// looked up in a lateral part, for the reason that `record.rs` gives.
const SETTLE_KNOWN: &str = concat!(
    settle_input!(),
    ", locked AS (SELECT j.* FROM (SELECT id FROM input ORDER BY id) i CROSS JOIN LATERAL \
         (SELECT id, tenant, status, turn, fingerprint FROM facteur.jobs WHERE id = i.id FOR UPDATE) j), \
     moved AS (UPDATE facteur.jobs j SET status = i.status, reason = i.reason, sentence = i.sentence, \
             turn = j.turn + (i.delay_s IS NOT NULL)::int4, updated_at = clock_timestamp(), \
             waits_for = i.waits_for, \
             in_line_since = CASE WHEN i.waits_for IS NOT NULL THEN coalesce(j.in_line_since, clock_timestamp()) END, \
             not_before = CASE WHEN i.waits_for IS NULL \
                 THEN greatest(j.not_before, clock_timestamp() + i.delay_s * interval '1 second') END, \
             due_at = CASE WHEN i.waits_for IS NOT NULL THEN j.deadline WHEN i.delay_s IS NOT NULL \
                      THEN least(j.deadline, \
                          greatest(j.not_before, clock_timestamp() + i.delay_s * interval '1 second')) END \
         FROM input i JOIN locked l USING (id) \
         WHERE j.id = i.id AND l.turn = i.turn AND l.fingerprint = i.fingerprint \
           AND l.status IN ('scheduled', 'waiting', 'retrying') \
         RETURNING j.id, j.turn), \
     buried AS (",
    bury!(
        "SELECT id, tenant, reason, field, sentence, document, headers, 'send.' || lane \
         FROM input i JOIN moved USING (id) WHERE i.status = 'dead'"
    ),
    ") SELECT l.id, m.turn AS moved_to, ",
    is_same!("l"),
    " FROM locked l JOIN input i USING (id) LEFT JOIN moved m USING (id)"
);

/// Settles in batches.
pub(crate) struct SettleOperation {
    pub(crate) database: Database,
}

impl BatchOperation for SettleOperation {
    type Item = Settlement;
    type Key = JobId;
    type Answer = Settled;

    fn key(item: &Settlement) -> JobId {
        item.row.id
    }

    fn bytes(item: &Settlement) -> usize {
        item.row.document.len()
    }

    async fn execute(&self, items: &[Settlement]) -> Result<Vec<Settled>, BatchFailure> {
        let client = self.database.client().await?;
        let mut answers: Vec<Option<Settled>> = vec![None; items.len()];
        let mut open: Vec<usize> = (0..items.len()).collect();
        for _ in 0..3 {
            open = settle(&client, (SETTLE_NEW, of_new), items, open, &mut answers).await?;
            open = settle(&client, (SETTLE_KNOWN, of_known), items, open, &mut answers).await?;
            if open.is_empty() {
                break;
            }
        }
        let answers: Option<Vec<Settled>> = answers.into_iter().collect();
        answers
            .ok_or_else(|| BatchFailure::Unavailable("rows changed hands while they were settled".to_owned()))
    }
}

/// Settles the jobs of these indices, and returns the indices of those that the statement has no row for.
async fn settle(
    client: &Client,
    (sql, read): (&str, fn(&Row) -> Settled),
    items: &[Settlement],
    indices: Vec<usize>,
    answers: &mut [Option<Settled>],
) -> Result<Vec<usize>, BatchFailure> {
    let rows = query(client, sql, items, &indices).await?;
    let found = by_id(&rows);
    let mut left = Vec::new();
    for index in indices {
        match found.get(&items[index].row.id.0) {
            Some(row) => answers[index] = Some(read(row)),
            None => left.push(index),
        }
    }
    Ok(left)
}

fn of_new(row: &Row) -> Settled {
    Settled::Done(Turn(row.get("turn")))
}

fn of_known(row: &Row) -> Settled {
    match (row.get::<_, Option<i32>>("moved_to"), row.get("is_same")) {
        (Some(turn), _) => Settled::Done(Turn(turn)),
        (None, false) => Settled::Conflict,
        // A settlement whose reply was lost reads the same: what it wrote stands.
        (None, true) => Settled::Superseded,
    }
}

async fn query(
    client: &Client,
    sql: &str,
    items: &[Settlement],
    indices: &[usize],
) -> Result<Vec<Row>, BatchFailure> {
    if indices.is_empty() {
        return Ok(Vec::new());
    }
    let chosen = || indices.iter().map(|&index| &items[index]);
    let columns = JobColumns::of(indices.iter().map(|&index| &items[index].row));
    let statuses: Vec<&str> = chosen().map(|item| item.next.status.as_str()).collect();
    let reasons: Vec<&str> = chosen().map(|item| item.next.reason.code.as_str()).collect();
    let fields: Vec<Option<&str>> = chosen().map(|item| item.next.reason.field.as_deref()).collect();
    let sentences: Vec<&str> = chosen().map(|item| item.next.reason.sentence.as_str()).collect();
    let delays_s: Vec<Option<f64>> =
        chosen().map(|item| item.next.wait.map(|wait| wait.delay.as_secs_f64())).collect();
    let lines: Vec<Option<String>> =
        chosen().map(|item| item.next.hold.as_ref().map(ToString::to_string)).collect();
    let mut parameters = columns.parameters();
    let extra: [&(dyn ToSql + Sync); 6] = [&statuses, &reasons, &fields, &sentences, &delays_s, &lines];
    parameters.extend(extra);
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    client.query(&statement, &parameters).await.map_err(classify)
}

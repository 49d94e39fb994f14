//! The claim: one statement decides who makes the next attempt of a job, in database time.
//!
//! A job that is new gets its row by the claim itself. A repeated request with the same token gets the same
//! answer, so a commit whose reply was lost is resolved by asking again. Jobs of a tenant that has a budget are claimed
//! and counted in one transaction (`budgets.rs`); all others cost one statement.

use std::collections::HashSet;
use std::time::Duration;

use deadpool_postgres::GenericClient;
use facteur_core::Timestamp;
use facteur_core::hold::{Hold, Scope};
use facteur_core::ids::{AttemptNumber, JobId, Turn};
use facteur_core::ledger::{Attempt, Claim, ClaimRequest, JobRow};
use facteur_core::limits::CLAIM_LEASE;
use facteur_core::status::Status;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::batcher::BatchOperation;
use crate::budgets;
use crate::pool::{Client, Database};
use crate::rows::{JobColumns, by_id, is_same, job_input, store_messages};

/// What is paused now: one row, NULL while nothing is.
macro_rules! paused {
    () => {
        "paused AS MATERIALIZED (SELECT jsonb_object_agg(scope || ':' || key, true) AS scopes FROM facteur.pauses \
         WHERE ended_at IS NULL AND (until IS NULL OR until > clock_timestamp()))"
    };
}

/// What of the row's job is paused, the most specific first, in the order of `directory.rs`.
macro_rules! held {
    ($bulk:literal, $sender:literal, $row:literal, $via:literal) => {
        concat!(
            "CASE WHEN scopes IS NULL THEN NULL WHEN scopes ? ('bulk:' || ",
            $bulk,
            "::text) THEN 'bulk:' || ",
            $bulk,
            "::text WHEN scopes ? ('sender:' || ",
            $sender,
            ") THEN 'sender:' || ",
            $sender,
            " WHEN scopes ? ('tenant:' || ",
            $row,
            ".tenant) THEN 'tenant:' || ",
            $row,
            ".tenant WHEN scopes ? ('lane:' || ",
            $row,
            ".lane) THEN 'lane:' || ",
            $row,
            ".lane WHEN scopes ? ('integration:' || ",
            $via,
            ".integration::text) THEN 'integration:' || ",
            $via,
            ".integration::text WHEN scopes ? ('integration:' || ",
            $via,
            ".account) THEN 'integration:' || ",
            $via,
            ".account END AS held"
        )
    };
}

/// A job that is held gets no row here: it is settled into its line. One that has a row is judged by [`CLAIM_KNOWN`].
const CLAIM_NEW: &str = concat!(
    job_input!("$18::uuid[], $20::text[], $21::uuid[]", "token, account, integration"),
    ", ",
    paused!(),
    ", judged AS (SELECT i.*, CASE \
         WHEN i.deadline <= clock_timestamp() THEN 'expired' \
         WHEN i.bulk_id IS NOT NULL \
              AND EXISTS (SELECT FROM facteur.bulk_cancels c WHERE c.bulk_id = i.bulk_id) THEN 'canceled' \
         WHEN EXISTS (SELECT FROM facteur.suppressions s WHERE s.tenant = i.tenant AND s.recipient = i.recipient \
                      AND s.sender IN ('', i.sender)) THEN 'suppressed' \
         WHEN i.held IS NOT NULL THEN 'held' \
         ELSE 'sending' END AS status FROM (SELECT i.*, ",
    held!("i.bulk_id", "i.sender", "i", "i"),
    " FROM input i CROSS JOIN paused) i), \
     inserted AS (INSERT INTO facteur.jobs \
         (id, fingerprint, tenant, lane, status, reason, turn, attempt, due_at, claim_token, account, deadline) \
         SELECT id, fingerprint, tenant, lane, status, status, turn, (status = 'sending')::int4, \
                CASE WHEN status = 'sending' THEN clock_timestamp() + $19::float8 * interval '1 second' END, \
                token, account, deadline \
         FROM judged WHERE status <> 'held' ORDER BY id ON CONFLICT (id) DO NOTHING \
         RETURNING id, status, deadline), \
     stored AS (",
    store_messages!("judged"),
    ") SELECT id, status, deadline, NULL::text AS held FROM inserted \
     UNION ALL SELECT id, status, deadline, held FROM judged v \
     WHERE status = 'held' AND (SELECT count(*) FROM facteur.jobs j WHERE j.id = v.id) = 0"
);

/// Rows are locked in id order, so that two workers never wait for each other in a circle. They are looked up in lateral
/// parts, for the reason that `record.rs` gives, and `moved` inserts what is there already: an upsert is the one update
/// that finds its rows by key whatever the plan.
const CLAIM_KNOWN: &str = concat!(
    "WITH input AS (SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int4[], $4::uuid[], $7::text[], \
         $8::uuid[], $9::text[]) AS i(id, fingerprint, turn, token, account, integration, tenant)), ",
    paused!(),
    ", locked AS (SELECT j.id, j.status, j.turn, j.attempt, j.failures, j.parks, j.not_before, j.deadline, j.tenant, \
                       j.lane, j.fingerprint, j.claim_token, j.counted_on, i.token, \
                       i.account, i.integration, \
                       ",
    is_same!("j"),
    ", i.turn AS envelope_turn \
         FROM (SELECT * FROM input ORDER BY id) i CROSS JOIN LATERAL \
             (SELECT * FROM facteur.jobs WHERE id = i.id FOR UPDATE) j), \
     judged AS (SELECT l.*, CASE \
             WHEN NOT l.is_same THEN 'conflict' \
             WHEN l.status = 'sending' AND l.claim_token = l.token THEN 'again' \
             WHEN l.status = ANY ($5::text[]) THEN 'final' \
             WHEN l.envelope_turn <> l.turn THEN 'stale' \
             WHEN l.status IN ('sending', 'uncertain') THEN 'busy' \
             WHEN l.deadline <= clock_timestamp() THEN 'expired' \
             WHEN l.bulk_id IS NOT NULL \
                  AND EXISTS (SELECT FROM facteur.bulk_cancels c WHERE c.bulk_id = l.bulk_id) THEN 'canceled' \
             WHEN l.not_before > clock_timestamp() THEN 'not_yet' \
             WHEN EXISTS (SELECT FROM facteur.suppressions s WHERE s.tenant = l.tenant \
                          AND s.recipient = l.recipient AND s.sender IN ('', l.sender)) THEN 'suppressed' \
             WHEN l.held IS NOT NULL THEN 'held' \
             ELSE 'yours' END AS verdict \
         FROM (SELECT l.*, m.text, m.recipient, m.sender, m.bulk_id, ",
    held!("m.bulk_id", "m.sender", "l", "l"),
    " FROM locked l LEFT JOIN LATERAL \
             (SELECT text, recipient, sender, bulk_id FROM facteur.messages WHERE id = l.id LIMIT 1) m ON true \
         CROSS JOIN paused) l), \
     moved AS (INSERT INTO facteur.jobs \
             (id, fingerprint, tenant, lane, deadline, status, reason, attempt, claim_token, account, due_at) \
         SELECT id, fingerprint, tenant, lane, deadline, next, next, attempt + (verdict = 'yours')::int4, token, account, \
                CASE WHEN next = 'sending' THEN clock_timestamp() + $6::float8 * interval '1 second' END \
         FROM judged CROSS JOIN LATERAL \
             (SELECT CASE WHEN verdict IN ('yours', 'again') THEN 'sending' ELSE verdict END AS next) n \
         WHERE verdict IN ('yours', 'again', 'expired', 'suppressed', 'canceled') \
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, reason = excluded.reason, sentence = NULL, \
             not_before = NULL, waits_for = NULL, updated_at = clock_timestamp(), \
             attempt = excluded.attempt, claim_token = excluded.claim_token, account = excluded.account, \
             due_at = excluded.due_at) \
     SELECT id, verdict, held, status, turn, attempt + (verdict = 'yours')::int4 AS attempt, failures, parks, deadline, \
            text, extract(epoch FROM not_before - clock_timestamp())::float8 AS wait_s, \
            counted_on IS NOT NULL OR verdict <> 'yours' AS is_counted FROM judged"
);

/// Undoes a claim that made no call, if it is still ours: the attempt number is given back.
const RELEASE: &str = "UPDATE facteur.jobs SET status = 'waiting', reason = $3, sentence = NULL, \
         attempt = attempt - 1, claim_token = NULL, not_before = NULL, \
         due_at = clock_timestamp() + $4::float8 * interval '1 second', updated_at = clock_timestamp() \
     WHERE id = $1 AND claim_token = $2 AND status = 'sending'";

/// Claims in batches.
pub(crate) struct ClaimOperation {
    pub(crate) database: Database,
}

impl BatchOperation for ClaimOperation {
    type Item = ClaimRequest;
    type Key = JobId;
    type Answer = Claim;

    fn key(item: &ClaimRequest) -> JobId {
        item.row.id
    }

    fn bytes(item: &ClaimRequest) -> usize {
        item.row.document.len()
    }

    async fn execute(&self, items: &[ClaimRequest]) -> Result<Vec<Claim>, BatchFailure> {
        let mut client = self.database.client().await?;
        let mut batch = Batch { items, answers: vec![None; items.len()], uncounted: Vec::new() };
        let (counted, free): (Vec<usize>, Vec<usize>) =
            (0..items.len()).partition(|&index| items[index].is_budgeted);
        batch.claim(&client, free).await?;
        if !counted.is_empty() {
            batch.uncounted.clear();
            let transaction = client.transaction().await.map_err(classify)?;
            batch.claim(&transaction, counted).await?;
            let granted: Vec<&JobRow> = batch.uncounted.iter().map(|&index| &items[index].row).collect();
            let beyond = budgets::count(&transaction, &granted).await?;
            transaction.commit().await.map_err(classify)?;
            batch.hold_back(&beyond);
        }
        let answers: Option<Vec<Claim>> = batch.answers.into_iter().collect();
        answers
            .ok_or_else(|| BatchFailure::Unavailable("rows changed hands while they were claimed".to_owned()))
    }
}

/// The claims of one batch, and what was answered so far.
struct Batch<'a> {
    items: &'a [ClaimRequest],
    answers: Vec<Option<Claim>>,
    /// Those that were granted and whose segments no budget has counted yet.
    uncounted: Vec<usize>,
}

impl Batch<'_> {
    /// Claims the jobs of these indices.
    async fn claim(&mut self, client: &impl GenericClient, indices: Vec<usize>) -> Result<(), BatchFailure> {
        let (mut unseen, mut known): (Vec<usize>, Vec<usize>) =
            indices.into_iter().partition(|&index| self.items[index].row.turn == Turn::default());
        // A row can appear between the two statements (another worker's claim): then each looks once more.
        for _ in 0..3 {
            known.extend(self.claim_new(client, unseen).await?);
            unseen = self.claim_known(client, known).await?;
            known = Vec::new();
            if unseen.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Those of `jobs` were given back: their tenants' segments are spent.
    fn hold_back(&mut self, jobs: &HashSet<JobId>) {
        for (item, answer) in self.items.iter().zip(&mut self.answers) {
            if jobs.contains(&item.row.id) {
                *answer = Some(Claim::Held(Hold::Budget(item.row.tenant.clone())));
            }
        }
    }

    /// Returns the indices of the jobs that have a row already.
    async fn claim_new(
        &mut self,
        client: &impl GenericClient,
        indices: Vec<usize>,
    ) -> Result<Vec<usize>, BatchFailure> {
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let items = self.items;
        let columns = JobColumns::of(indices.iter().map(|&index| &items[index].row));
        let tokens: Vec<Uuid> = indices.iter().map(|&index| items[index].token.0).collect();
        let lease_s = CLAIM_LEASE.as_secs_f64();
        let mut parameters = columns.parameters();
        let (accounts, integrations) = ways(items, &indices);
        parameters.extend([
            &tokens as &(dyn tokio_postgres::types::ToSql + Sync),
            &lease_s,
            &accounts,
            &integrations,
        ]);
        let statement = client.prepare_cached(CLAIM_NEW).await.map_err(classify)?;
        let rows = client.query(&statement, &parameters).await.map_err(classify)?;
        let found = by_id(&rows);
        let mut left = Vec::new();
        for index in indices {
            let Some(row) = found.get(&items[index].row.id.0) else {
                left.push(index);
                continue;
            };
            let held = row.get::<_, Option<&str>>("held");
            self.answers[index] = Some(match (held, status(row)) {
                (Some(scope), _) => Claim::Held(hold(scope, &items[index].row)),
                (None, Status::Sending) => {
                    self.uncounted.push(index);
                    Claim::Yours(Attempt {
                        number: AttemptNumber(1),
                        failures: 0,
                        parks: 0,
                        deadline: row.get("deadline"),
                        text: None,
                    })
                }
                (None, ended) => Claim::Ended(ended),
            });
        }
        Ok(left)
    }

    /// Returns the indices of the jobs that have no row.
    async fn claim_known(
        &mut self,
        client: &impl GenericClient,
        indices: Vec<usize>,
    ) -> Result<Vec<usize>, BatchFailure> {
        if indices.is_empty() {
            return Ok(Vec::new());
        }
        let items = self.items;
        let of = |index: &usize| &items[*index];
        let ids: Vec<Uuid> = indices.iter().map(|index| of(index).row.id.0).collect();
        let fingerprints: Vec<&[u8]> = indices.iter().map(|index| &of(index).row.fingerprint.0[..]).collect();
        let turns: Vec<i32> = indices.iter().map(|index| of(index).row.turn.0).collect();
        let tokens: Vec<Uuid> = indices.iter().map(|index| of(index).token.0).collect();
        let finals = final_statuses();
        let lease_s = CLAIM_LEASE.as_secs_f64();
        let (accounts, integrations) = ways(items, &indices);
        let tenants: Vec<&str> = indices.iter().map(|index| of(index).row.tenant.as_str()).collect();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 9] =
            [&ids, &fingerprints, &turns, &tokens, &finals, &lease_s, &accounts, &integrations, &tenants];
        let statement = client.prepare_cached(CLAIM_KNOWN).await.map_err(classify)?;
        let rows = client.query(&statement, &parameters).await.map_err(classify)?;
        let found = by_id(&rows);
        let mut left = Vec::new();
        for index in indices {
            let Some(row) = found.get(&items[index].row.id.0) else {
                left.push(index);
                continue;
            };
            if !row.get::<_, bool>("is_counted") {
                self.uncounted.push(index);
            }
            self.answers[index] = Some(verdict(row, &items[index].row));
        }
        Ok(left)
    }
}

/// Over which accounts and integrations the calls would go.
fn ways<'a>(items: &'a [ClaimRequest], indices: &[usize]) -> (Vec<&'a str>, Vec<Option<Uuid>>) {
    let via = |index: &usize| &items[*index].via;
    (
        indices.iter().map(|index| via(index).account.as_str()).collect(),
        indices.iter().map(|index| via(index).integration).collect(),
    )
}

fn verdict(row: &Row, job: &JobRow) -> Claim {
    match row.get("verdict") {
        "yours" | "again" => Claim::Yours(Attempt {
            number: AttemptNumber(row.get("attempt")),
            failures: count(row, "failures"),
            parks: count(row, "parks"),
            deadline: row.get::<_, Timestamp>("deadline"),
            text: row.get("text"),
        }),
        "conflict" => Claim::Conflict,
        "final" => Claim::Final(status(row)),
        "stale" => Claim::Stale,
        "not_yet" => {
            let wait_s = row.get::<_, Option<f64>>("wait_s").unwrap_or_default();
            Claim::NotYet { turn: Turn(row.get("turn")), delay: Duration::from_secs_f64(wait_s.max(0.0)) }
        }
        "expired" => Claim::Ended(Status::Expired),
        "suppressed" => Claim::Ended(Status::Suppressed),
        "canceled" => Claim::Ended(Status::Canceled),
        "held" => Claim::Held(hold(row.get::<_, Option<&str>>("held").unwrap_or_default(), job)),
        _ => Claim::Busy,
    }
}

/// The line of a paused `scope:key`. What is found is a part of the job itself, so it can be read; if not, the line of
/// the job's lane has it, from which it is released at once.
fn hold(scope: &str, job: &JobRow) -> Hold {
    let found = scope.split_once(':').and_then(|(kind, key)| Scope::parse(kind, key));
    Hold::Pause(found.unwrap_or(Scope::Lane(job.lane)))
}

/// The table's CHECK allows no other names; an unknown one would be a newer release's, which we leave alone.
fn status(row: &Row) -> Status {
    Status::from_name(row.get("status")).unwrap_or(Status::Uncertain)
}

fn count(row: &Row, column: &str) -> u32 {
    u32::try_from(row.get::<_, i32>(column)).unwrap_or_default()
}

pub(crate) fn final_statuses() -> Vec<&'static str> {
    Status::ALL.iter().filter(|status| status.is_final()).map(|status| status.as_str()).collect()
}

/// Gives a claim back that made no call; the sweeper publishes a wake-up after `wake_up_after`, unless the
/// caller's own one comes first. Does nothing if the claim is not ours any more.
pub(crate) async fn release(
    client: &Client,
    id: JobId,
    token: facteur_core::ids::ClaimToken,
    reason: facteur_core::reason::ReasonCode,
    wake_up_after: Duration,
) -> Result<bool, BatchFailure> {
    let statement = client.prepare_cached(RELEASE).await.map_err(classify)?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&id.0, &token.0, &reason.as_str(), &wake_up_after.as_secs_f64()];
    Ok(client.execute(&statement, &parameters).await.map_err(classify)? == 1)
}

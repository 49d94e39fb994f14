//! Receipts: what Twilio tells of a message after it took it, by a callback or when it is asked, in any order, twice,
//! before our own record or long after it.
//!
//! Each is kept once (`status_events`); only a new one changes anything. It moves the attempt's status up, never
//! down, writes the attempt if our own record has not come yet, and moves the job as far as the table of transitions
//! allows. A receipt is proof that Twilio has the message, so it ends a search for evidence and a dead letter.

use std::collections::HashSet;
use std::time::Duration;

use facteur_core::ids::JobId;
use facteur_core::limits::BATCH_ITEMS_MAX;
use facteur_core::receipt::Receipt;
use facteur_core::status::Status;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::batcher::{BatchOperation, Batcher, BatcherConfig, SubmitError};
use crate::pool::{Client, Database};
use crate::rows::by_id;

/// A statement that takes longer is repeated; its effects are the same.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);

/// Each table is reached by its key alone, as in the record (see there). All parts take their rows from `locked`, so that jobs are locked before anything else, in id order, as records do.
///
/// `replaces` and `allowed` are lists: the statuses that this one replaces, and the job's states that it may end.
/// An attempt that is not the job's last one can't fail the job while a later one may still succeed. A tenant's own
/// account tells of nobody else's messages: its token is that tenant's. Its callbacks prove that callbacks reach us. Where our own record is missing, the claim's instant stands
/// for the start of the attempt, as the job or the search has it, or else the job's creation: a proof must not pretend
/// to be younger than it is, and the next one reads what this one wrote. An end that is no news ends the wait for the
/// receipt all the same: whoever asks for it would be told that for ever.
const APPLY: &str = "WITH input AS (SELECT * FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::text[], $5::text[], \
         $6::int4[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bool[], \
         $14::bool[], $15::float8[], $16::text[]) \
         AS i(id, number, sid, word, twilio_status, code, source, replaces, status, allowed, reason, sentence, \
              is_end, suppress, rest_s, account)), \
     locked AS (SELECT j.* FROM (SELECT id, number, account FROM input ORDER BY id) i CROSS JOIN LATERAL \
         (SELECT id, status AS was, attempt, claim_token, tenant, updated_at, created_at \
          FROM facteur.jobs k WHERE id = i.id AND ((SELECT count(*) FROM facteur.accounts a \
              WHERE a.sid = i.account AND a.tenant <> k.tenant) = 0 OR k.account = i.account \
              OR (SELECT count(*) FROM facteur.attempts a WHERE a.job_id = i.id AND a.number = i.number \
                  AND a.account = i.account) > 0) FOR UPDATE) j), \
     fresh AS (INSERT INTO facteur.status_events (job_id, attempt, sid, twilio_status, code, source) \
         SELECT i.id, i.number, i.sid, i.word, i.code, i.source FROM input i JOIN locked USING (id) \
         ON CONFLICT DO NOTHING RETURNING job_id AS id), \
     known AS (SELECT i.*, l.was, l.attempt, l.claim_token, l.tenant, a.sid AS sid_before, a.started_at, \
             coalesce((SELECT r.started_at FROM facteur.reconciliations r WHERE r.job_id = i.id AND r.attempt = i.number), \
                 CASE WHEN l.was = 'sending' AND l.attempt = i.number THEN l.updated_at ELSE l.created_at END) AS since, \
             a.sid IS DISTINCT FROM i.sid AND (SELECT count(*) FROM facteur.status_events e \
                 WHERE e.job_id = i.id AND e.sid = i.sid) = 0 AS is_first \
         FROM input i JOIN locked l USING (id) JOIN fresh USING (id) \
         LEFT JOIN LATERAL (SELECT sid, started_at FROM facteur.attempts \
             WHERE job_id = i.id AND number = i.number LIMIT 1) a ON true), \
     attempted AS (INSERT INTO facteur.attempts AS a (job_id, number, claim_token, started_at, duration_ms, outcome, \
             code, sid, twilio_status, next_status, reason, account) \
         SELECT id, number, coalesce(claim_token, gen_random_uuid()), since, 0, 'accepted', nullif(code, 0), sid, \
                twilio_status, status, reason, account FROM known \
         ON CONFLICT (job_id, number) DO UPDATE SET sid = coalesce(a.sid, excluded.sid), \
             account = coalesce(a.account, excluded.account), \
             code = CASE WHEN a.twilio_status IS NULL OR a.twilio_status = ANY (SELECT unnest(string_to_array(k.replaces, ' ')) \
                             FROM known k WHERE k.id = excluded.job_id) \
                         THEN coalesce(excluded.code, a.code) ELSE a.code END, \
             twilio_status = CASE WHEN a.twilio_status IS NULL OR a.twilio_status = ANY (SELECT unnest(string_to_array(k.replaces, ' ')) \
                             FROM known k WHERE k.id = excluded.job_id) \
                         THEN coalesce(excluded.twilio_status, a.twilio_status) ELSE a.twilio_status END \
         RETURNING job_id AS id, twilio_status AS merged), \
     news AS (SELECT k.*, CASE WHEN k.twilio_status IS NULL THEN k.sid_before IS NULL \
                               ELSE t.merged = k.twilio_status END AS is_news \
         FROM known k JOIN attempted t USING (id)), \
     moved AS (UPDATE facteur.jobs j SET status = n.status, reason = n.reason, sentence = n.sentence, \
             not_before = NULL, due_at = NULL, waits_for = NULL, in_line_since = NULL, updated_at = clock_timestamp() \
         FROM news n JOIN input i ON i.id = n.id AND i.number = n.number AND i.sid = n.sid \
         WHERE j.id = n.id AND n.is_news AND n.was = ANY (string_to_array(n.allowed, ' ')) \
           AND (n.number = n.attempt OR n.status NOT IN ('failed', 'undelivered') OR (n.was = 'sent' \
                AND NOT EXISTS (SELECT FROM (SELECT sid FROM facteur.attempts WHERE job_id = n.id \
                                AND number > n.number OFFSET 0) AS later WHERE later.sid IS NOT NULL))) \
         RETURNING j.id, n.was), \
     resolved AS (UPDATE facteur.dead_letters d SET state = 'resolved', closed_at = clock_timestamp() \
         WHERE d.id = ANY (ARRAY(SELECT o.id FROM moved m CROSS JOIN LATERAL \
             (SELECT id FROM facteur.dead_letters WHERE job_id = m.id AND state = 'open' FOR UPDATE) o \
             WHERE m.was = 'dead'))), \
     found AS (DELETE FROM facteur.reconciliations r WHERE r.job_id = ANY (ARRAY(SELECT id FROM news)) \
         AND (r.job_id IN (SELECT id FROM moved) OR (r.job_id, r.attempt) IN (SELECT id, number FROM news))), \
     received AS (DELETE FROM facteur.missing_receipts r \
         WHERE r.job_id = ANY (ARRAY(SELECT id FROM input JOIN locked USING (id) WHERE is_end)) \
           AND (r.job_id, r.attempt) IN (SELECT id, number FROM input WHERE is_end)), \
     suppressed AS (INSERT INTO facteur.suppressions (tenant, recipient, sender, reason) \
         SELECT m.tenant, m.recipient, coalesce(m.sender, ''), n.reason \
         FROM news n CROSS JOIN LATERAL \
             (SELECT tenant, recipient, sender FROM facteur.messages WHERE id = n.id LIMIT 1) m \
         WHERE n.suppress AND m.recipient NOT LIKE 'erased:%' ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING), \
     proven AS (INSERT INTO facteur.webhook_proofs AS p (account, attempt_started_at) \
         SELECT account, max(coalesce(started_at, since)) FROM news WHERE source = 'callback' GROUP BY account \
         ORDER BY account \
         ON CONFLICT (account) DO UPDATE SET received_at = clock_timestamp(), \
             attempt_started_at = greatest(p.attempt_started_at, excluded.attempt_started_at)), \
     throttled AS (INSERT INTO facteur.breakers AS b (scope, key, state, reason, sentence, retry_at) \
         SELECT 'sender', m.sender, 'open', 'throttled', min(n.sentence), \
                clock_timestamp() + max(n.rest_s) * interval '1 second' \
         FROM news n CROSS JOIN LATERAL (SELECT sender FROM facteur.messages WHERE id = n.id LIMIT 1) m \
         WHERE n.rest_s IS NOT NULL AND m.sender IS NOT NULL \
         GROUP BY m.sender ORDER BY m.sender \
         ON CONFLICT (scope, key) DO UPDATE SET state = 'open', reason = excluded.reason, \
             sentence = excluded.sentence, retry_at = greatest(b.retry_at, excluded.retry_at), \
             openings = CASE b.state WHEN 'closed' THEN 1 ELSE b.openings END, \
             opened_at = CASE b.state WHEN 'open' THEN b.opened_at ELSE clock_timestamp() END, \
             updated_at = clock_timestamp()) \
     SELECT l.id, n.id IS NOT NULL AS is_fresh, coalesce(n.is_first, false) AS is_first, \
            CASE WHEN m.id IS NOT NULL THEN n.status END AS moved_to \
     FROM locked l LEFT JOIN news n USING (id) LEFT JOIN moved m USING (id)";

/// Jobs with more than one SID. Asked after the receipts are committed: whichever of two comes second sees both.
const DOUBLES: &str = "SELECT i.id FROM unnest($1::uuid[]) AS i(id) \
     WHERE (SELECT count(DISTINCT s.sid) FROM ( \
         SELECT sid FROM (SELECT sid FROM facteur.attempts WHERE job_id = i.id OFFSET 0) AS a WHERE sid IS NOT NULL \
         UNION ALL SELECT sid FROM facteur.status_events WHERE job_id = i.id) AS s) > 1";

/// What became of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is new, and kept.
    New {
        /// The job's new state, if it moved.
        moved_to: Option<Status>,
        /// Whether it names a second SID of the job: the recipient may have two texts.
        is_double: bool,
    },
    /// It was known already: nothing has changed.
    Replay,
    /// There is no such job.
    Unknown,
}

/// Takes receipts, one at a time; batches stand behind it. Cloning it is cheap.
#[derive(Clone)]
pub struct Callbacks {
    receipts: Batcher<ApplyOperation>,
}

impl Callbacks {
    /// Opens the port over a pool.
    #[must_use]
    pub fn start(database: Database) -> Self {
        let config = BatcherConfig {
            items_max: BATCH_ITEMS_MAX,
            batches_in_flight: 2,
            attempt_timeout: STATEMENT_TIMEOUT,
        };
        Self { receipts: Batcher::start(ApplyOperation { database }, config) }
    }

    /// Applies a receipt. Waits as long as the database is away; a caller that gives up leaves it to be applied later.
    ///
    /// # Errors
    /// [`SubmitError::Data`] if the row itself can't be stored (its SID belongs to another attempt);
    /// [`SubmitError::Closed`] at shutdown.
    pub async fn apply(&self, receipt: Receipt) -> Result<Applied, SubmitError> {
        self.receipts.submit(receipt).await
    }

    /// Ends the port: what was submitted and can't be written is given up.
    pub async fn shutdown(&self) {
        self.receipts.shutdown().await;
    }
}

/// Applies in batches.
struct ApplyOperation {
    database: Database,
}

impl BatchOperation for ApplyOperation {
    type Item = Receipt;
    type Key = JobId;
    type Answer = Applied;

    fn key(item: &Receipt) -> JobId {
        item.job_id
    }

    async fn execute(&self, items: &[Receipt]) -> Result<Vec<Applied>, BatchFailure> {
        let client = self.database.client().await?;
        let statement = client.prepare_cached(APPLY).await.map_err(classify)?;
        let columns = Columns::of(items);
        let rows = client.query(&statement, &columns.parameters()).await.map_err(classify)?;
        let found = by_id(&rows);
        let doubles = doubles(&client, &rows).await?;
        let answer = |item: &Receipt| match found.get(&item.job_id.0) {
            None => Applied::Unknown,
            Some(row) if row.get("is_fresh") => Applied::New {
                moved_to: row.get::<_, Option<&str>>("moved_to").and_then(Status::from_name),
                is_double: doubles.contains(&item.job_id.0),
            },
            Some(_) => Applied::Replay,
        };
        Ok(items.iter().map(answer).collect())
    }
}

/// The jobs that have more than one SID, of those that have heard of one for the first time.
async fn doubles(client: &Client, rows: &[Row]) -> Result<HashSet<Uuid>, BatchFailure> {
    let first: Vec<Uuid> = rows.iter().filter(|row| row.get("is_first")).map(|row| row.get("id")).collect();
    if first.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = client.prepare_cached(DOUBLES).await.map_err(classify)?;
    let rows = client.query(&statement, &[&first]).await.map_err(classify)?;
    Ok(rows.iter().map(|row| row.get("id")).collect())
}

struct Columns<'a> {
    ids: Vec<Uuid>,
    numbers: Vec<i32>,
    sids: Vec<&'a str>,
    words: Vec<&'a str>,
    twilio_statuses: Vec<Option<&'static str>>,
    codes: Vec<i32>,
    sources: Vec<&'static str>,
    replaces: Vec<String>,
    statuses: Vec<&'static str>,
    allowed: Vec<String>,
    reasons: Vec<&'static str>,
    sentences: Vec<String>,
    are_ends: Vec<bool>,
    suppress: Vec<bool>,
    rests_s: Vec<Option<f64>>,
    accounts: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(items: &'a [Receipt]) -> Self {
        let reasons: Vec<_> = items.iter().map(Receipt::reason).collect();
        Self {
            ids: items.iter().map(|item| item.job_id.0).collect(),
            numbers: items.iter().map(|item| item.attempt.0).collect(),
            sids: items.iter().map(|item| item.sid.as_str()).collect(),
            words: items.iter().map(|item| item.status.as_str()).collect(),
            twilio_statuses: items
                .iter()
                .map(|item| item.status.known().map(|known| known.as_str()))
                .collect(),
            codes: items
                .iter()
                .map(|item| item.code.and_then(|code| i32::try_from(code).ok()).unwrap_or(0))
                .collect(),
            sources: items.iter().map(|item| item.source.as_str()).collect(),
            replaces: items
                .iter()
                .map(|item| listed(item.status.replaces().map(|status| status.as_str())))
                .collect(),
            statuses: items.iter().map(|item| item.status.job_status().as_str()).collect(),
            allowed: items.iter().map(|item| allowed(item.status.job_status())).collect(),
            reasons: reasons.iter().map(|reason| reason.code.as_str()).collect(),
            sentences: reasons.into_iter().map(|reason| reason.sentence).collect(),
            are_ends: items
                .iter()
                .map(|item| item.status.known().is_some_and(|known| known.is_end()))
                .collect(),
            suppress: items.iter().map(Receipt::suppresses).collect(),
            rests_s: items.iter().map(|item| item.throttle().map(|rest| rest.as_secs_f64())).collect(),
            accounts: items.iter().map(|item| item.account.as_str()).collect(),
        }
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.ids,
            &self.numbers,
            &self.sids,
            &self.words,
            &self.twilio_statuses,
            &self.codes,
            &self.sources,
            &self.replaces,
            &self.statuses,
            &self.allowed,
            &self.reasons,
            &self.sentences,
            &self.are_ends,
            &self.suppress,
            &self.rests_s,
            &self.accounts,
        ]
    }
}

fn allowed(next: Status) -> String {
    listed(Status::allowed_from(next).into_iter().map(Status::as_str))
}

/// A list as one text, for arrays of arrays must be rectangular.
fn listed(names: impl Iterator<Item = &'static str>) -> String {
    names.collect::<Vec<_>>().join(" ")
}

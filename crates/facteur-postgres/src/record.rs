//! The record: what one attempt came to and what follows, in one transaction: the attempt, the job's new
//! state, the dead letter, the suppression, and the search for evidence that an uncertain outcome begins.
//!
//! The claim's token stays on the row, so that a repeated record (its first reply was lost) reads what it
//! wrote, and a record that comes after the sweeper gave the lease up still counts: a known outcome is never
//! given up. A SID counts longest: whatever the job has become meanwhile and whoever holds it, it is not sent again.

use std::collections::HashSet;

use facteur_core::Timestamp;
use facteur_core::ids::{JobId, Turn};
use facteur_core::ledger::{Record, Recorded};
use facteur_core::limits::WAKE_UP_GRACE;
use facteur_core::outcome::Outcome;
use facteur_core::reconcile::FIRST_LOOK;
use facteur_core::status::Status;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::batcher::BatchOperation;
use crate::pool::{Client, Database};
use crate::rows::{bury, by_id, open_search};

/// The update takes its rows from `locked`, for the parts of one statement run in any order: a row that was updated
/// first would be skipped by the lock, and so by the answer. The attempts come after the lock too, for whoever applies
/// a receipt takes both in this order.
///
/// A receipt that came first has written the attempt already: it keeps its SID and its status, and learns the rest.
/// It has moved the job as far as it may, too: a SID that it has told is no news.
///
/// A plan is made once, perhaps while the tables are empty, when reading all of one seems cheapest. So each table is
/// reached in a way that leaves no choice but its key: from a lateral part that can't be merged (`FOR UPDATE`,
/// `LIMIT`), by an array, or, in the UPDATE, from a join on three columns, which is taken to give a single row.
///
/// `$20`: seconds of grace before the sweeper replaces a wake-up of the ladder; `$21`: the accounts of the attempts;
/// `$22`: seconds until an uncertain one is looked for; `$23`: the states that may become `sent`.
const RECORD: &str = concat!(
    "WITH input AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::int4[], $4::timestamptz[], \
         $5::int4[], $6::text[], $7::int4[], $8::int4[], $9::text[], $10::text[], $11::text[], $12::text[], \
         $13::text[], $14::text[], $15::text[], $16::float8[], $17::bool[], $18::bool[], $19::bool[], $21::text[]) \
         AS i(id, token, number, started_at, duration_ms, outcome, code, http_status, sid, twilio_status, cause, \
              status, reason, field, sentence, delay_s, in_ladder, is_counted, suppress, account)), \
     locked AS (SELECT j.*, j.status AS was, i.token, i.number \
         FROM (SELECT id, token, number FROM input ORDER BY id) i CROSS JOIN LATERAL \
         (SELECT id, status, reason, turn, attempt, claim_token FROM facteur.jobs WHERE id = i.id FOR UPDATE) j), \
     moved AS (UPDATE facteur.jobs j SET status = i.status, reason = i.reason, sentence = i.sentence, \
             turn = j.turn + (i.delay_s IS NOT NULL)::int4, \
             failures = j.failures + i.is_counted::int4, \
             parks = CASE WHEN i.delay_s IS NULL OR i.is_counted THEN 0 ELSE j.parks + 1 END, \
             not_before = clock_timestamp() + i.delay_s * interval '1 second', \
             due_at = clock_timestamp() + (i.delay_s + CASE WHEN i.in_ladder THEN $20::float8 ELSE 0 END) \
                      * interval '1 second', \
             waits_for = NULL, in_line_since = CASE WHEN i.sid IS NULL THEN j.in_line_since END, \
             updated_at = clock_timestamp() \
         FROM locked l JOIN input i ON i.id = l.id AND i.token = l.token AND i.number = l.number \
         WHERE j.id = l.id AND ((l.claim_token = i.token AND l.attempt = i.number AND (l.status = 'sending' \
                OR (l.reason IN ('uncertain', 'not_taken', 'resent_by_policy') \
                    AND (l.status = 'uncertain' OR (l.status = 'dead' AND i.status <> 'uncertain')) \
                    AND (SELECT count(*) FROM facteur.attempts a WHERE a.job_id = i.id AND a.number = i.number) = 0))) \
             OR (i.sid IS NOT NULL AND l.attempt >= i.number AND l.status = ANY ($23::text[]) \
                 AND (SELECT count(a.sid) FROM facteur.attempts a WHERE a.job_id = i.id AND a.number = i.number) = 0)) \
         RETURNING j.id, j.turn, j.tenant, j.lane), \
     attempted AS (INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, code, \
             http_status, sid, twilio_status, cause, next_status, reason, account) \
         SELECT i.id, i.number, i.token, i.started_at, i.duration_ms, i.outcome, i.code, i.http_status, i.sid, \
                i.twilio_status, i.cause, i.status, i.reason, i.account FROM input i LEFT JOIN locked l ON l.id = i.id \
         ON CONFLICT (job_id, number) DO UPDATE SET claim_token = excluded.claim_token, \
             started_at = excluded.started_at, duration_ms = excluded.duration_ms, \
             http_status = excluded.http_status, cause = excluded.cause, account = excluded.account, \
             code = coalesce(facteur.attempts.code, excluded.code), \
             sid = coalesce(facteur.attempts.sid, excluded.sid), \
             twilio_status = coalesce(facteur.attempts.twilio_status, excluded.twilio_status), \
             outcome = CASE WHEN facteur.attempts.sid IS NULL THEN excluded.outcome ELSE 'accepted' END \
         RETURNING job_id AS id, sid), \
     resolved AS (UPDATE facteur.dead_letters d SET state = 'resolved', closed_at = clock_timestamp() \
         WHERE d.id = ANY (ARRAY(SELECT o.id FROM moved JOIN input i USING (id) CROSS JOIN LATERAL \
             (SELECT id FROM facteur.dead_letters WHERE job_id = i.id AND state = 'open' FOR UPDATE) o \
             WHERE i.status <> 'dead'))), \
     buried AS (",
    bury!(
        "SELECT i.id, m.tenant, i.reason, i.field, i.sentence, s.document, s.headers, 'send.' || m.lane \
         FROM input i JOIN moved m USING (id) CROSS JOIN LATERAL \
             (SELECT document, headers FROM facteur.messages WHERE id = i.id LIMIT 1) s WHERE i.status = 'dead'"
    ),
    "), \
     opened AS (",
    open_search!(
        "SELECT i.id, i.number, i.account, s.recipient, i.started_at, \
                i.started_at + i.duration_ms * interval '1 millisecond', \
                clock_timestamp() + $22::float8 * interval '1 second' \
         FROM input i JOIN moved m USING (id) JOIN facteur.messages s USING (id) WHERE i.status = 'uncertain'"
    ),
    "), \
     overtaken AS (UPDATE facteur.reconciliations r SET next_check_at = NULL, verdict = 'overtaken', \
             closed_at = clock_timestamp() \
         FROM locked l JOIN input i USING (id) JOIN moved m USING (id) \
         WHERE r.job_id = m.id AND l.was <> 'sending' AND i.status <> 'uncertain'), \
     suppressed AS (INSERT INTO facteur.suppressions (tenant, recipient, sender, reason) \
         SELECT s.tenant, s.recipient, coalesce(s.sender, ''), i.reason \
         FROM input i CROSS JOIN LATERAL \
             (SELECT tenant, recipient, sender FROM facteur.messages WHERE id = i.id LIMIT 1) s \
         WHERE i.suppress ON CONFLICT DO NOTHING) \
     SELECT i.id, coalesce(m.turn, CASE WHEN l.claim_token = i.token THEN l.turn END) AS turn, \
            coalesce(t.sid <> i.sid, false) AS is_other_sid \
     FROM input i JOIN attempted t USING (id) LEFT JOIN locked l USING (id) LEFT JOIN moved m USING (id)"
);

/// A second SID of one job. Asked after the records are committed: whichever of two comes second sees both.
const DOUBLES: &str = "SELECT job_id FROM facteur.attempts WHERE job_id = ANY ($1::uuid[]) AND sid IS NOT NULL \
     GROUP BY job_id HAVING count(*) > 1";

/// Records in batches.
pub(crate) struct RecordOperation {
    pub(crate) database: Database,
}

impl BatchOperation for RecordOperation {
    type Item = Record;
    type Key = JobId;
    type Answer = Recorded;

    fn key(item: &Record) -> JobId {
        item.id
    }

    async fn execute(&self, items: &[Record]) -> Result<Vec<Recorded>, BatchFailure> {
        let client = self.database.client().await?;
        let statement = client.prepare_cached(RECORD).await.map_err(classify)?;
        let columns = RecordColumns::of(items);
        let mut parameters = columns.parameters();
        let grace_s = WAKE_UP_GRACE.as_secs_f64();
        let first_look_s = FIRST_LOOK.as_secs_f64();
        let may_be_sent: Vec<&str> =
            Status::allowed_from(Status::Sent).into_iter().map(Status::as_str).collect();
        let accounts: Vec<&str> = items.iter().map(|item| item.account.as_str()).collect();
        parameters.extend([&grace_s as &(dyn ToSql + Sync), &accounts, &first_look_s, &may_be_sent]);
        let rows = client.query(&statement, &parameters).await.map_err(classify)?;
        let found = by_id(&rows);
        let turn_of = |item: &Record| found.get(&item.id.0).and_then(|row| row.get::<_, Option<i32>>("turn"));
        let doubles = doubles(&client, items, |item| turn_of(item).is_none()).await?;
        let answer = |item: &Record| {
            let names_another = found.get(&item.id.0).is_some_and(|row| row.get("is_other_sid"));
            let is_double = names_another || doubles.contains(&item.id.0);
            match turn_of(item) {
                Some(turn) => Recorded::Done { turn: Turn(turn), is_double },
                // The job moved on, or its row is gone (a restored database): the attempt itself was written.
                None => Recorded::Late { is_double },
            }
        };
        Ok(items.iter().map(answer).collect())
    }
}

/// The jobs that have more than one SID, of those of which a later attempt, or a late one, was accepted.
async fn doubles(
    client: &Client,
    items: &[Record],
    is_late: impl Fn(&Record) -> bool,
) -> Result<HashSet<Uuid>, BatchFailure> {
    let is_accepted = |item: &&Record| matches!(item.outcome, Outcome::Accepted { .. });
    let again = items.iter().filter(is_accepted).filter(|item| item.number.0 > 1 || is_late(item));
    let ids: Vec<Uuid> = again.map(|item| item.id.0).collect();
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let statement = client.prepare_cached(DOUBLES).await.map_err(classify)?;
    let rows = client.query(&statement, &[&ids]).await.map_err(classify)?;
    Ok(rows.iter().map(|row| row.get("job_id")).collect())
}

struct RecordColumns<'a> {
    ids: Vec<Uuid>,
    tokens: Vec<Uuid>,
    numbers: Vec<i32>,
    started_at: Vec<Timestamp>,
    durations_ms: Vec<i32>,
    outcomes: Vec<&'static str>,
    codes: Vec<Option<i32>>,
    http_statuses: Vec<Option<i32>>,
    sids: Vec<Option<&'a str>>,
    twilio_statuses: Vec<Option<&'static str>>,
    causes: Vec<Option<&'a str>>,
    statuses: Vec<&'static str>,
    reasons: Vec<&'static str>,
    fields: Vec<Option<&'a str>>,
    sentences: Vec<&'a str>,
    delays_s: Vec<Option<f64>>,
    in_ladder: Vec<bool>,
    are_counted: Vec<bool>,
    suppress: Vec<bool>,
}

impl<'a> RecordColumns<'a> {
    fn of(items: &'a [Record]) -> Self {
        let told: Vec<Told<'a>> = items.iter().map(|item| told(&item.outcome)).collect();
        Self {
            ids: items.iter().map(|item| item.id.0).collect(),
            tokens: items.iter().map(|item| item.token.0).collect(),
            numbers: items.iter().map(|item| item.number.0).collect(),
            started_at: items.iter().map(|item| item.started_at).collect(),
            durations_ms: items
                .iter()
                .map(|item| i32::try_from(item.duration.as_millis()).unwrap_or(i32::MAX))
                .collect(),
            outcomes: items.iter().map(|item| item.outcome.name()).collect(),
            codes: told.iter().map(|told| told.code.and_then(|code| i32::try_from(code).ok())).collect(),
            http_statuses: told.iter().map(|told| told.http_status.map(i32::from)).collect(),
            sids: told.iter().map(|told| told.sid).collect(),
            twilio_statuses: told.iter().map(|told| told.twilio_status).collect(),
            causes: told.iter().map(|told| told.cause).collect(),
            statuses: items.iter().map(|item| item.next.status.as_str()).collect(),
            reasons: items.iter().map(|item| item.next.reason.code.as_str()).collect(),
            fields: items.iter().map(|item| item.next.reason.field.as_deref()).collect(),
            sentences: items.iter().map(|item| item.next.reason.sentence.as_str()).collect(),
            delays_s: items.iter().map(|item| item.next.wait.map(|wait| wait.delay.as_secs_f64())).collect(),
            in_ladder: items.iter().map(|item| item.next.wait.is_some_and(|wait| wait.in_ladder)).collect(),
            are_counted: items
                .iter()
                .map(|item| item.next.wait.is_some_and(|wait| wait.is_counted))
                .collect(),
            suppress: items.iter().map(|item| item.next.suppress).collect(),
        }
    }

    fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.ids,
            &self.tokens,
            &self.numbers,
            &self.started_at,
            &self.durations_ms,
            &self.outcomes,
            &self.codes,
            &self.http_statuses,
            &self.sids,
            &self.twilio_statuses,
            &self.causes,
            &self.statuses,
            &self.reasons,
            &self.fields,
            &self.sentences,
            &self.delays_s,
            &self.in_ladder,
            &self.are_counted,
            &self.suppress,
        ]
    }
}

/// The columns of an outcome.
#[derive(Default)]
struct Told<'a> {
    code: Option<u32>,
    http_status: Option<u16>,
    sid: Option<&'a str>,
    twilio_status: Option<&'static str>,
    cause: Option<&'a str>,
}

fn told(outcome: &Outcome) -> Told<'_> {
    match outcome {
        Outcome::Accepted { sid, twilio_status } => {
            Told { sid: Some(sid.as_str()), twilio_status: Some(twilio_status.as_str()), ..Told::default() }
        }
        Outcome::Refused { code, http_status, message } => {
            Told { code: *code, http_status: Some(*http_status), cause: Some(message), ..Told::default() }
        }
        Outcome::Throttled { code, .. } => Told { code: *code, http_status: Some(429), ..Told::default() },
        Outcome::Unreachable { cause } => Told { cause: Some(cause), ..Told::default() },
        Outcome::Uncertain { cause, http_status } => {
            Told { cause: Some(cause), http_status: *http_status, ..Told::default() }
        }
    }
}

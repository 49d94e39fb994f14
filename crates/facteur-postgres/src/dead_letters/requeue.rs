//! Back to work: dead letters whose job can succeed get another turn.

use std::collections::BTreeMap;

use deadpool_postgres::GenericClient;
use facteur_core::ids::JobId;
use facteur_core::limits::{DUTY_ROWS_MAX, WAKE_UP_GRACE};
use facteur_core::reason::ReasonCode;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// How long a requeued job is worth sending, in hours, if its producer set no earlier end.
const DEADLINE_HOURS: f64 = 24.0;
/// Skipped letters that a report names; it counts all of them.
const SKIPPED_NAMED_MAX: usize = 100;
/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 1_000;

const PICK_BY_FILTER: &str = "SELECT id, job_id FROM facteur.dead_letters \
     WHERE state = 'open' AND ($1::uuid IS NULL OR id > $1) AND ($2::text IS NULL OR code = $2) \
       AND ($3::text IS NULL OR tenant = $3) \
     ORDER BY id LIMIT $4";

const PICK_BY_ID: &str = "SELECT id, job_id FROM facteur.dead_letters \
     WHERE state = 'open' AND (id = ANY ($1::uuid[]) OR job_id = ANY ($1::uuid[])) ORDER BY id";

/// Whoever changes a letter of a job holds the job's row, and everybody takes rows in id order.
const LOCK_JOBS: &str = "SELECT id FROM facteur.jobs WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE";

/// A dead job's own reason goes before its letter's.
const JUDGE: &str = "SELECT d.id, d.job_id, CASE WHEN j.status = 'dead' THEN j.reason ELSE d.code END AS code, m.id IS NOT NULL AS has_message, \
         m.redacted_at IS NOT NULL AS is_redacted, \
         j.status IS NOT DISTINCT FROM 'dead' AS is_dead, \
         d.job_id IS NOT NULL AND j.id IS NULL AS is_unseen, \
         coalesce(m.expires_at <= clock_timestamp(), false) AS is_expired, \
         EXISTS (SELECT FROM facteur.suppressions s WHERE s.tenant = m.tenant AND s.recipient = m.recipient \
                 AND s.sender IN ('', m.sender)) AS is_suppressed \
     FROM facteur.dead_letters d LEFT JOIN facteur.jobs j ON j.id = d.job_id \
     LEFT JOIN facteur.messages m ON m.id = d.job_id \
     WHERE d.id = ANY ($1::uuid[]) AND d.state = 'open' ORDER BY d.job_id, d.id";

const REQUEUE: &str = "WITH moved AS (UPDATE facteur.jobs j SET status = 'waiting', reason = 'requeued', \
             sentence = NULL, turn = j.turn + 1, claim_token = NULL, failures = 0, parks = 0, \
             not_before = clock_timestamp(), due_at = clock_timestamp() + $4::float8 * interval '1 second', \
             waits_for = NULL, in_line_since = NULL, \
             deadline = least(m.expires_at, clock_timestamp() + $5::float8 * interval '1 hour'), \
             updated_at = clock_timestamp() \
         FROM facteur.messages m WHERE j.id = ANY ($1::uuid[]) AND m.id = j.id AND j.status = 'dead' \
         RETURNING j.id, j.lane, j.turn, m.headers, m.document), \
     closed AS (UPDATE facteur.dead_letters d SET state = 'requeued', closed_at = clock_timestamp() \
         FROM moved WHERE d.job_id = moved.id AND d.state = 'open' \
         RETURNING d.id, d.job_id, d.tenant), \
     noted AS (INSERT INTO facteur.requeues (dead_letter_id, job_id, actor, reason) \
         SELECT id, job_id, $2, $3 FROM closed), \
     audited AS (INSERT INTO facteur.audit_log (tenant, actor, action, details) \
         SELECT tenant, $2, 'dead_letters_requeued', jsonb_build_object('letters', count(*), 'reason', $3::text) \
         FROM closed GROUP BY tenant), \
     woken AS (INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, headers, body) \
         SELECT lane, 'jobs', 'send.' || lane, id, 'facteur.job.v1', \
                headers || jsonb_build_object('facteur-turn', turn), document FROM moved ORDER BY id) \
     SELECT count(*) FROM closed";

/// What went astray before it reached a record is published as its producer did, without what the broker and
/// the burial wrote into its headers; a routing key that names no lane becomes the normal lane's.
const REPUBLISH: &str = "WITH closed AS (UPDATE facteur.dead_letters SET state = 'requeued', closed_at = clock_timestamp() \
         WHERE id = ANY ($1::uuid[]) AND state = 'open' RETURNING id, job_id, tenant, headers, body, \
             coalesce(substring(routing_key FROM '(?:^|\\.)send\\.(urgent|normal|bulk)$'), 'normal') AS lane), \
     noted AS (INSERT INTO facteur.requeues (dead_letter_id, job_id, actor, reason) \
         SELECT id, job_id, $2, $3 FROM closed), \
     audited AS (INSERT INTO facteur.audit_log (tenant, actor, action, details) \
         SELECT tenant, $2, 'dead_letters_requeued', jsonb_build_object('letters', count(*), 'reason', $3::text) \
         FROM closed GROUP BY tenant), \
     woken AS (INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, headers, body) \
         SELECT lane, 'jobs', 'send.' || lane, job_id, 'facteur.job.v1', \
                coalesce((SELECT jsonb_object_agg(key, value) FROM jsonb_each(headers) \
                          WHERE key !~* '^(x-|property:|facteur-reason|facteur-original)'), '{}'), body \
         FROM closed ORDER BY id) \
     SELECT count(*) FROM closed";

/// Which letters are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// These letters, or the open letters of these jobs.
    Ids(Vec<Uuid>),
    /// All open letters that match; an absent condition matches everything.
    Open {
        /// Their reason code.
        code: Option<String>,
        /// Their tenant.
        tenant: Option<String>,
    },
}

/// What is to be sent back, by whom and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequeueRequest {
    /// Which letters.
    pub selection: Selection,
    /// Who asks: 1 to 200 characters, kept for ever.
    pub actor: String,
    /// Why: 1 to 1,000 characters, kept for ever.
    pub reason: String,
    /// Also what can hardly succeed, and what may have been sent already: a person has looked.
    pub force: bool,
    /// Judge, but change nothing.
    pub dry_run: bool,
}

/// Why a letter stays where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// It could not be read: there is nothing to send.
    NoMessage,
    /// Its job is not dead any more.
    NotDead,
    /// The producer's `expires_at` has passed.
    Expired,
    /// It held a password, or its contact was erased: it is forgotten.
    Redacted,
    /// The recipient opted out.
    Suppressed,
    /// The same would come of it.
    Hopeless,
    /// It may have been sent already.
    MaybeSent,
}

impl SkipReason {
    /// What to do, for a person.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::NoMessage => "it could not be read: correct it at its producer and publish it anew",
            Self::NotDead => "its job is at work again, or done",
            Self::Expired => "its expires_at has passed: nobody wants it any more",
            Self::Redacted => {
                "it held a password or its contact was erased, and it is forgotten: let its producer send it anew, under a \
                 new id"
            }
            Self::Suppressed => "the recipient opted out: only they can opt in again (START)",
            Self::Hopeless => {
                "the same would come of it: correct it at its producer, or force it with a reason"
            }
            Self::MaybeSent => {
                "it may have been sent already: look it up in Twilio's log, then force it with a reason"
            }
        }
    }
}

/// A letter that stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The letter.
    pub id: Uuid,
    /// Its job.
    pub job_id: Option<JobId>,
    /// Why.
    pub why: SkipReason,
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequeueReport {
    /// Letters that went back to work, or would.
    pub requeued: u64,
    /// How many of those may have been sent already, and were forced.
    pub maybe_sent_forced: u64,
    /// Letters that stay, counted by why.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The first 100 of them.
    pub skipped_first: Vec<Skipped>,
    /// Ids that stand for no open letter.
    pub unknown: Vec<Uuid>,
}

impl RequeueReport {
    fn skip(&mut self, skipped: Skipped) {
        *self.skipped.entry(skipped.why).or_default() += 1;
        if self.skipped_first.len() < SKIPPED_NAMED_MAX {
            self.skipped_first.push(skipped);
        }
    }
}

pub(super) async fn requeue(
    database: &Database,
    request: &RequeueRequest,
) -> Result<RequeueReport, BatchFailure> {
    check_words("actor", &request.actor, ACTOR_CHARS_MAX)?;
    check_words("reason", &request.reason, REASON_CHARS_MAX)?;
    let mut report = RequeueReport::default();
    match &request.selection {
        Selection::Ids(ids) => {
            for ids in ids.chunks(usize::try_from(DUTY_ROWS_MAX).unwrap_or(1_000)) {
                requeue_ids(database, request, ids, &mut report).await?;
            }
        }
        Selection::Open { code, tenant } => {
            let mut after: Option<Uuid> = None;
            loop {
                let client = database.client().await?;
                let statement = client.prepare_cached(PICK_BY_FILTER).await.map_err(classify)?;
                let rows = client
                    .query(&statement, &[&after, code, tenant, &DUTY_ROWS_MAX])
                    .await
                    .map_err(classify)?;
                drop(client);
                let Some(last) = rows.last() else { break };
                after = Some(last.get("id"));
                requeue_chunk(database, request, &rows, &mut report).await?;
            }
        }
    }
    Ok(report)
}

async fn requeue_ids(
    database: &Database,
    request: &RequeueRequest,
    ids: &[Uuid],
    report: &mut RequeueReport,
) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(PICK_BY_ID).await.map_err(classify)?;
    let rows = client.query(&statement, &[&ids]).await.map_err(classify)?;
    drop(client);
    let is_known = |id: &Uuid| {
        rows.iter()
            .any(|row| row.get::<_, Uuid>("id") == *id || row.get::<_, Option<Uuid>>("job_id") == Some(*id))
    };
    report.unknown.extend(ids.iter().filter(|id| !is_known(id)));
    requeue_chunk(database, request, &rows, report).await
}

async fn requeue_chunk(
    database: &Database,
    request: &RequeueRequest,
    picked: &[Row],
    report: &mut RequeueReport,
) -> Result<(), BatchFailure> {
    let letters: Vec<Uuid> = picked.iter().map(|row| row.get("id")).collect();
    let mut client = database.client().await?;
    if request.dry_run {
        let judged = judge(&client, &letters, request.force, report).await?;
        report.requeued += (judged.jobs.len() + judged.astray.len()) as u64;
        report.maybe_sent_forced += judged.maybe_sent;
        return Ok(());
    }
    let transaction = client.transaction().await.map_err(classify)?;
    let jobs: Vec<Uuid> = picked.iter().filter_map(|row| row.get("job_id")).collect();
    let lock = transaction.prepare_cached(LOCK_JOBS).await.map_err(classify)?;
    transaction.query(&lock, &[&jobs]).await.map_err(classify)?;
    let judged = judge(&transaction, &letters, request.force, report).await?;
    let statement = transaction.prepare_cached(REQUEUE).await.map_err(classify)?;
    let grace_s = WAKE_UP_GRACE.as_secs_f64();
    let requeued = transaction
        .query_one(&statement, &[&judged.jobs, &request.actor, &request.reason, &grace_s, &DEADLINE_HOURS])
        .await
        .map_err(classify)?;
    let statement = transaction.prepare_cached(REPUBLISH).await.map_err(classify)?;
    let republished = transaction
        .query_one(&statement, &[&judged.astray, &request.actor, &request.reason])
        .await
        .map_err(classify)?;
    transaction.commit().await.map_err(classify)?;
    for row in [requeued, republished] {
        report.requeued += u64::try_from(row.get::<_, i64>(0)).unwrap_or_default();
    }
    report.maybe_sent_forced += judged.maybe_sent;
    Ok(())
}

/// What goes back.
#[derive(Default)]
struct Judged {
    /// Jobs with a record: they get another turn.
    jobs: Vec<Uuid>,
    /// Letters of envelopes that never reached a record: they are published again.
    astray: Vec<Uuid>,
    /// How many of the jobs may have been sent already.
    maybe_sent: u64,
}

async fn judge(
    client: &impl GenericClient,
    letters: &[Uuid],
    force: bool,
    report: &mut RequeueReport,
) -> Result<Judged, BatchFailure> {
    let statement = client.prepare_cached(JUDGE).await.map_err(classify)?;
    let rows = client.query(&statement, &[&letters]).await.map_err(classify)?;
    let mut judged = Judged::default();
    for row in &rows {
        let (id, job_id): (Uuid, Option<Uuid>) = (row.get("id"), row.get("job_id"));
        match (verdict(row, force), job_id) {
            (None, Some(_)) if row.get("is_unseen") => judged.astray.push(id),
            (None, Some(job)) => {
                judged.jobs.push(job);
                judged.maybe_sent += u64::from(row.get::<_, &str>("code") == ReasonCode::Uncertain.as_str());
            }
            (why, _) => report.skip(Skipped {
                id,
                job_id: job_id.map(JobId),
                why: why.unwrap_or(SkipReason::NoMessage),
            }),
        }
    }
    Ok(judged)
}

fn verdict(row: &Row, force: bool) -> Option<SkipReason> {
    let is = |column: &str| row.get::<_, bool>(column);
    let code: &str = row.get("code");
    let is_one_of = |codes: &[ReasonCode]| codes.iter().any(|one| one.as_str() == code);
    if is("is_unseen") && ReasonCode::from_name(code).is_some_and(ReasonCode::is_astray) {
        None
    } else if !is("has_message") {
        Some(SkipReason::NoMessage)
    } else if !is("is_dead") {
        Some(SkipReason::NotDead)
    } else if is("is_expired") {
        Some(SkipReason::Expired)
    } else if is("is_redacted") {
        Some(SkipReason::Redacted)
    } else if is("is_suppressed") {
        // The claim would refuse it again, forced or not.
        Some(SkipReason::Suppressed)
    } else if !force && is_one_of(&[ReasonCode::Uncertain]) {
        Some(SkipReason::MaybeSent)
    } else if !force && is_one_of(&HOPELESS) {
        Some(SkipReason::Hopeless)
    } else {
        None
    }
}

/// Nothing that an admin of Facteur or of the Twilio account can change makes these succeed.
const HOPELESS: [ReasonCode; 5] = [
    ReasonCode::Refused,
    ReasonCode::Suppressed,
    ReasonCode::Expired,
    ReasonCode::NumberInvalid,
    ReasonCode::IdConflict,
];

//! The sweep: whatever nobody answers for any more is answered for here, by any worker, row by row.
//!
//! A lease that ran out means that a worker died in the middle of a call: nobody knows whether Twilio took
//! the message, so it is `uncertain`, and evidence is looked for. A wait that is over gets its
//! wake-up through the outbox: a release from the waiting room, a schedule that is due, or an envelope that
//! got lost between the record and the broker. Copies of envelopes are harmless.

use facteur_core::limits::{DUTY_ROWS_MAX, WAKE_UP_GRACE};

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::rows::open_search;

/// What one sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Jobs that got a wake-up.
    pub woken: i64,
    /// Waiting jobs whose deadline had passed.
    pub expired: i64,
    /// Leases that had run out.
    pub uncertain: i64,
}

impl Swept {
    /// Whether there may be more to do at once.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.woken + self.expired + self.uncertain >= DUTY_ROWS_MAX
    }
}

/// If an envelope is only late (a long queue), its next copy comes after twice the wait so far.
///
/// The clock is read by a SELECT of its own: as it goes on within a statement, no index is searched for a plain
/// `clock_timestamp()`, but every row that is due some day is compared with it.
const SWEEP: &str = concat!(
    "WITH due AS (SELECT id, status, turn, lane, deadline, attempt, account, updated_at AS claimed_at, due_at AS lease_until FROM facteur.jobs \
         WHERE due_at <= (SELECT clock_timestamp()) AND ($4 OR status <> 'sending') \
         ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED), \
     judged AS (SELECT d.*, CASE WHEN d.status = 'sending' THEN 'uncertain' \
         WHEN d.status NOT IN ('scheduled', 'waiting', 'retrying') THEN 'nothing' \
         WHEN d.deadline <= clock_timestamp() THEN 'expired' ELSE 'woken' END AS verdict FROM due d), \
     moved AS (UPDATE facteur.jobs j SET \
             status = CASE v.verdict WHEN 'uncertain' THEN 'uncertain' WHEN 'expired' THEN 'expired' ELSE j.status END, \
             reason = CASE WHEN v.verdict IN ('uncertain', 'expired') THEN v.verdict ELSE j.reason END, \
             sentence = CASE v.verdict WHEN 'uncertain' THEN $3 ELSE j.sentence END, \
             due_at = CASE v.verdict WHEN 'woken' THEN clock_timestamp() + greatest($2::float8 * interval '1 second', \
                          2 * (clock_timestamp() - coalesce(j.not_before, j.updated_at))) END, \
             waits_for = CASE v.verdict WHEN 'woken' THEN j.waits_for END, \
             updated_at = CASE v.verdict WHEN 'woken' THEN j.updated_at ELSE clock_timestamp() END \
         FROM due d JOIN judged v ON v.id = d.id AND v.turn = d.turn AND v.attempt = d.attempt WHERE j.id = d.id), \
     opened AS (",
    open_search!(
        "SELECT v.id, v.attempt, coalesce(v.account, $5::text), m.recipient, v.claimed_at, greatest(v.claimed_at, v.lease_until), \
                clock_timestamp() \
         FROM judged v CROSS JOIN LATERAL (SELECT recipient FROM facteur.messages WHERE id = v.id LIMIT 1) m \
         WHERE v.verdict = 'uncertain'"
    ),
    "), \
     woken AS (INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, headers, body) \
         SELECT v.lane, 'jobs', 'send.' || v.lane, v.id, 'facteur.job.v1', \
                m.headers || jsonb_build_object('facteur-turn', v.turn), m.document \
         FROM judged v CROSS JOIN LATERAL (SELECT headers, document FROM facteur.messages WHERE id = v.id LIMIT 1) m \
         WHERE v.verdict = 'woken') \
     SELECT count(*) FILTER (WHERE verdict = 'woken') AS woken, count(*) FILTER (WHERE verdict = 'expired') AS expired, \
            count(*) FILTER (WHERE verdict = 'uncertain') AS uncertain FROM judged"
);

const LEASE_OVER: &str = "the worker that had claimed it did not come back: \
     the call may or may not have reached Twilio; evidence is looked for";

/// Answers for at most 1,000 rows; for leases that ran out only if `with_leases`. `account` is the one of claims by the
/// release before this one, which knew of no other.
///
/// # Errors
/// The database's, classified; nothing was changed then.
pub async fn sweep(database: &Database, account: &str, with_leases: bool) -> Result<Swept, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(SWEEP).await.map_err(classify)?;
    let row = client
        .query_one(
            &statement,
            &[&DUTY_ROWS_MAX, &WAKE_UP_GRACE.as_secs_f64(), &LEASE_OVER, &with_leases, &account],
        )
        .await
        .map_err(classify)?;
    Ok(Swept { woken: row.get("woken"), expired: row.get("expired"), uncertain: row.get("uncertain") })
}

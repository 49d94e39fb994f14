//! What a poll told goes the way of a callback: the attempt's status by rank, the job's by the table of transitions.

use facteur_core::ids::{AttemptNumber, JobId, MessageSid};
use facteur_core::reason::ReasonCode;
use facteur_core::status::{Status, TRANSITIONS, TwilioStatus, status_of};
use facteur_core::twilio_errors;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// What Twilio told about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolledStatus {
    /// Whose.
    pub job_id: JobId,
    /// Which attempt.
    pub attempt: AttemptNumber,
    /// Twilio's id of it.
    pub sid: MessageSid,
    /// Twilio's status of it.
    pub twilio_status: TwilioStatus,
    /// Twilio's error code.
    pub code: Option<u32>,
}

/// `$7`: changes of a job's status that are allowed, `$8`: of Twilio's status, both as `old>new`; `$9`: its last words.
///
/// The job's row is locked first, as by everybody who changes an attempt.
const APPLY: &str = "WITH input AS (SELECT * FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::text[], $5::int4[], \
         $6::text[], $10::text[], $11::text[]) \
         AS i(job_id, attempt, sid, twilio_status, code, status, reason, sentence)), \
     locked AS (SELECT j.id, j.status FROM facteur.jobs j JOIN input i ON i.job_id = j.id \
         ORDER BY j.id FOR UPDATE OF j), \
     heard AS (INSERT INTO facteur.status_events (job_id, attempt, sid, twilio_status, code, source) \
         SELECT job_id, attempt, sid, twilio_status, coalesce(code, 0), 'poll' FROM input ORDER BY job_id \
         ON CONFLICT DO NOTHING), \
     attempted AS (UPDATE facteur.attempts a SET twilio_status = i.twilio_status, code = coalesce(i.code, a.code) \
         FROM locked l JOIN input i ON i.job_id = l.id \
         WHERE a.job_id = i.job_id AND a.number = i.attempt AND a.sid = i.sid \
           AND coalesce(a.twilio_status, '') || '>' || i.twilio_status = ANY ($8::text[])), \
     forgotten AS (DELETE FROM facteur.missing_receipts m USING input i \
         WHERE m.job_id = i.job_id AND i.twilio_status = ANY ($9::text[])), \
     moved AS (UPDATE facteur.jobs j SET status = i.status, reason = i.reason, sentence = i.sentence, \
             updated_at = clock_timestamp() \
         FROM locked l JOIN input i ON i.job_id = l.id \
         WHERE j.id = l.id AND l.status || '>' || i.status = ANY ($7::text[]) RETURNING j.id) \
     SELECT id FROM moved";

/// Applies what polls told, at most 1,000, each job once, in any order with callbacks. Returns the jobs that it moved.
///
/// # Errors
/// The database's, classified; nothing was changed then.
pub async fn apply_poll(database: &Database, polled: &[PolledStatus]) -> Result<Vec<JobId>, BatchFailure> {
    if polled.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = polled.iter().map(|one| one.job_id.0).collect();
    let attempts: Vec<i32> = polled.iter().map(|one| one.attempt.0).collect();
    let sids: Vec<&str> = polled.iter().map(|one| one.sid.as_str()).collect();
    let twilio_statuses: Vec<&str> = polled.iter().map(|one| one.twilio_status.as_str()).collect();
    let codes: Vec<Option<i32>> =
        polled.iter().map(|one| one.code.and_then(|code| i32::try_from(code).ok())).collect();
    let statuses: Vec<&str> = polled.iter().map(|one| status_of(one.twilio_status).as_str()).collect();
    let (reasons, sentences): (Vec<&str>, Vec<Option<String>>) = polled.iter().map(why).unzip();
    let ends: Vec<&str> =
        TwilioStatus::ALL.into_iter().filter(|status| status.is_end()).map(TwilioStatus::as_str).collect();
    let client = database.client().await?;
    let statement = client.prepare_cached(APPLY).await.map_err(classify)?;
    let rows = client
        .query(
            &statement,
            &[
                &ids,
                &attempts,
                &sids,
                &twilio_statuses,
                &codes,
                &statuses,
                &allowed_moves(),
                &kept_words(),
                &ends,
                &reasons,
                &sentences,
            ],
        )
        .await
        .map_err(classify)?;
    Ok(rows.iter().map(|row| JobId(row.get("id"))).collect())
}

fn why(polled: &PolledStatus) -> (&'static str, Option<String>) {
    match status_of(polled.twilio_status) {
        Status::Failed | Status::Undelivered => {
            let meaning = polled.code.map(|code| match twilio_errors::lookup(code) {
                Some(entry) => format!(" (error {code}: {})", entry.meaning),
                None => format!(" (error {code})"),
            });
            let sentence = format!("Twilio says `{}`{}", polled.twilio_status, meaning.unwrap_or_default());
            (ReasonCode::Refused.as_str(), Some(sentence))
        }
        _ => (ReasonCode::Accepted.as_str(), None),
    }
}

fn allowed_moves() -> Vec<String> {
    let moves = TRANSITIONS.iter().flat_map(|(from, nexts)| nexts.iter().map(move |next| (from, next)));
    moves.map(|(from, next)| format!("{from}>{next}")).collect()
}

/// Which of Twilio's words replace which: the pairs of which [`TwilioStatus::merge`] keeps the new one.
fn kept_words() -> Vec<String> {
    let olds = || std::iter::once(None).chain(TwilioStatus::ALL.into_iter().map(Some));
    let pairs = olds().flat_map(|old| TwilioStatus::ALL.into_iter().map(move |new| (old, new)));
    pairs
        .filter(|(old, new)| *old != Some(*new) && TwilioStatus::merge(*old, *new) == *new)
        .map(|(old, new)| format!("{}>{new}", old.map_or("", TwilioStatus::as_str)))
        .collect()
}

//! The search for evidence about uncertain attempts: which are to be looked for, what is known of them, and what came
//! of it. No transaction is open while Twilio is asked; whatever is applied tests the job's state again.

mod statements;

use std::collections::HashMap;
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::decide::History;
use facteur_core::ids::{JobId, MessageSid};
use facteur_core::job::{Category, Channel, Recipient};
use facteur_core::lane::Lane;
use facteur_core::ledger::Next;
use facteur_core::phone::PhoneNumber;
use facteur_core::reconcile::{CREATED_AFTER_MAX, CREATED_BEFORE_MAX, ListedMessage, Window};
use facteur_core::status::Status;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::{Client, Database};
use statements::{APPLY, GO_ON, KNOWN, LATER, OF_JOB, OPEN, OVERTAKEN, SIDS, TAKE};

/// Searches that one worker takes at once.
const LOOKS_MAX: i64 = 20;
/// How long they belong to it; another one that looks too does no harm.
const LOOK_LEASE: Duration = Duration::from_secs(120);
/// A message that was accepted so long ago must have been called back, if callbacks arrive at all.
const CALLBACK_LATE: Duration = Duration::from_secs(300);
/// Longest finding that is stored, in characters.
const FINDING_CHARS_MAX: usize = 500;

/// A search that is due: what to look for in the account's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The job.
    pub id: JobId,
    /// In the list of which account, by its SID.
    pub account: String,
    /// To whom.
    pub recipient: Recipient,
    /// When the call was under way.
    pub window: Window,
}

/// What the database knows of an uncertain attempt. The list is read before it is asked.
#[derive(Clone, PartialEq)]
pub struct Known {
    /// The job.
    pub id: JobId,
    /// Which attempt.
    pub attempt: i32,
    /// The account that it went over, by its SID.
    pub account: String,
    /// Whether it is still uncertain; if not, a callback or a late record has answered.
    pub is_open: bool,
    /// To whom.
    pub recipient: Recipient,
    /// Its text; `None` if Twilio rendered it.
    pub text: Option<String>,
    /// What for.
    pub category: Category,
    /// Its lane.
    pub lane: Lane,
    /// When the call was under way.
    pub window: Window,
    /// Counted failures, waits and deadline.
    pub history: History,
    /// The grace that had passed at the last look.
    pub searched: Duration,
    /// Looks so far.
    pub looks: u32,
    /// Whether the last look could tell something.
    pub was_clear: bool,
    /// How long ago that was.
    pub since_look: Option<Duration>,
    /// How long it has been uncertain.
    pub age: Duration,
    /// Whether an earlier look has found a later message of ours in the list.
    pub is_later_listed: bool,
    /// Whether a verified callback of a later attempt has arrived.
    pub is_later_called_back: bool,
    /// Whether callbacks arrive, as far as messages were accepted that must have been called back.
    pub callbacks_arrive: bool,
    /// Whether the account's breaker is open.
    pub is_breaker_open: bool,
    /// Whether another attempt can't be told from this one.
    pub has_twin: bool,
    /// The database's clock.
    pub now: Timestamp,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known")
            .field("id", &self.id)
            .field("attempt", &self.attempt)
            .field("is_open", &self.is_open)
            .field("searched", &self.searched)
            .field("looks", &self.looks)
            .field("was_clear", &self.was_clear)
            .field("has_twin", &self.has_twin)
            .finish_non_exhaustive()
    }
}

/// What a look came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The job.
    pub id: JobId,
    /// Which attempt.
    pub attempt: i32,
    /// Whether it could tell something: list readable, callbacks arriving.
    pub is_clear: bool,
    /// The grace that has passed.
    pub searched: Duration,
    /// Whether the list showed a later message of ours.
    pub is_later_listed: bool,
    /// What was found, for a person.
    pub finding: String,
}

/// A search, as its job's story tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchFacts {
    /// About which attempt.
    pub attempt: i32,
    /// When that was under way.
    pub window: Window,
    /// Since when it has been uncertain.
    pub since: Timestamp,
    /// The grace that has passed.
    pub searched: Duration,
    /// Looks so far.
    pub looks: i32,
    /// The last one.
    pub looked_at: Option<Timestamp>,
    /// The next one; `None` once the search is over.
    pub next_look_at: Option<Timestamp>,
    /// Whether the list has shown a later message of ours.
    pub is_later_listed: bool,
    /// Whether a verified callback of a later attempt has arrived.
    pub is_later_called_back: bool,
    /// What was found last.
    pub finding: String,
    /// How it ended.
    pub verdict: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Takes up to 20 searches that are due; nobody else takes them for two minutes.
///
/// # Errors
/// The database's, classified.
pub async fn take(database: &Database) -> Result<Vec<Look>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(TAKE).await.map_err(classify)?;
    let rows = client.query(&statement, &[&LOOKS_MAX, &LOOK_LEASE.as_secs_f64()]).await.map_err(classify)?;
    let look = |row: &Row| {
        let (id, account) = (JobId(row.get("job_id")), row.get("account"));
        Some(Look { id, account, recipient: recipient(row)?, window: window(row) })
    };
    Ok(rows.iter().filter_map(look).collect())
}

/// What is known of these attempts now.
///
/// # Errors
/// The database's, classified.
pub async fn known(database: &Database, ids: &[JobId]) -> Result<Vec<Known>, BatchFailure> {
    let client = database.client().await?;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let apart_s = (CREATED_BEFORE_MAX + CREATED_AFTER_MAX).as_secs_f64();
    let statement = client.prepare_cached(KNOWN).await.map_err(classify)?;
    let rows =
        client.query(&statement, &[&ids, &apart_s, &CALLBACK_LATE.as_secs_f64()]).await.map_err(classify)?;
    Ok(rows.iter().filter_map(known_of).collect())
}

/// Which of these SIDs belong to attempts of ours, and when those began.
///
/// # Errors
/// The database's, classified.
pub async fn sids(
    database: &Database,
    sids: &[MessageSid],
) -> Result<HashMap<String, Timestamp>, BatchFailure> {
    if sids.is_empty() {
        return Ok(HashMap::new());
    }
    let client = database.client().await?;
    let sids: Vec<&str> = sids.iter().map(MessageSid::as_str).collect();
    let statement = client.prepare_cached(SIDS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&sids]).await.map_err(classify)?;
    Ok(rows.iter().map(|row| (row.get("sid"), row.get("started_at"))).collect())
}

/// The search goes on: the next look comes after `pause`.
///
/// # Errors
/// The database's, classified.
pub async fn go_on(database: &Database, looked: &Looked, pause: Duration) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(GO_ON).await.map_err(classify)?;
    let (searched_s, pause_s) = (looked.searched.as_secs_f64(), pause.as_secs_f64());
    client
        .execute(
            &statement,
            &[
                &looked.id.0,
                &looked.attempt,
                &looked.is_clear,
                &searched_s,
                &looked.is_later_listed,
                &bounded(&looked.finding),
                &pause_s,
            ],
        )
        .await
        .map(drop)
        .map_err(classify)
}

/// Puts off the looks of these jobs, which were not made.
///
/// # Errors
/// The database's, classified.
pub async fn put_off(database: &Database, ids: &[JobId], pause: Duration) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let statement = client.prepare_cached(LATER).await.map_err(classify)?;
    client.execute(&statement, &[&ids, &pause.as_secs_f64()]).await.map(drop).map_err(classify)
}

/// Ends a search, if the job is still uncertain about that attempt; whether it was. `found` is the message that the
/// attempt turned out to be, `verdict` a name of `Verdict::ENDS`.
///
/// # Errors
/// The database's, classified: [`BatchFailure::Data`] also if another attempt got the same SID meanwhile.
pub async fn end(
    database: &Database,
    looked: &Looked,
    verdict: &str,
    next: &Next,
    found: Option<&ListedMessage>,
) -> Result<bool, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(APPLY).await.map_err(classify)?;
    let (status, reason) = (next.status.as_str(), next.reason.code.as_str());
    let delay_s = next.wait.map(|wait| wait.delay.as_secs_f64());
    let sid = found.map(|found| found.sid.as_str());
    let twilio_status = found.map(|found| found.twilio_status.as_str());
    let code = found.and_then(|found| found.code).and_then(|code| i32::try_from(code).ok());
    let (searched_s, finding) = (looked.searched.as_secs_f64(), bounded(&looked.finding));
    let row = client
        .query_one(
            &statement,
            &[
                &looked.id.0,
                &looked.attempt,
                &status,
                &reason,
                &next.reason.sentence,
                &delay_s,
                &sid,
                &twilio_status,
                &code,
                &verdict,
                &searched_s,
                &looked.is_later_listed,
                &finding,
                &next.wait.is_some_and(|wait| wait.is_counted),
            ],
        )
        .await
        .map_err(classify)?;
    let is_moved = row.get::<_, i64>(0) > 0;
    drop(client);
    if !is_moved {
        overtaken(database, looked.id, looked.attempt).await?;
    }
    Ok(is_moved)
}

/// Ends a search to which a callback or a late record has given the answer.
///
/// # Errors
/// The database's, classified.
pub async fn overtaken(database: &Database, id: JobId, attempt: i32) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OVERTAKEN).await.map_err(classify)?;
    client.execute(&statement, &[&id.0, &attempt]).await.map(drop).map_err(classify)
}

/// How many searches go on.
///
/// # Errors
/// The database's, classified.
pub async fn count_open(database: &Database) -> Result<i64, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OPEN).await.map_err(classify)?;
    Ok(client.query_one(&statement, &[]).await.map_err(classify)?.get(0))
}

/// The latest search about a job.
pub(crate) async fn of_job(client: &Client, id: JobId) -> Result<Option<SearchFacts>, BatchFailure> {
    let statement = client.prepare_cached(OF_JOB).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&id.0]).await.map_err(classify)?;
    Ok(row.map(|row| SearchFacts {
        attempt: row.get("attempt"),
        window: window(&row),
        since: row.get("created_at"),
        searched: seconds(row.get("searched_s")),
        looks: row.get("checks"),
        looked_at: row.get("checked_at"),
        next_look_at: row.get("next_check_at"),
        is_later_listed: row.get("later_listed"),
        is_later_called_back: row.get("later_called_back"),
        finding: row.get("finding"),
        verdict: row.get("verdict"),
        ended_at: row.get("closed_at"),
    }))
}

fn known_of(row: &Row) -> Option<Known> {
    let attempt: i32 = row.get("attempt");
    let count = |column| u32::try_from(row.get::<_, i32>(column)).unwrap_or_default();
    Some(Known {
        id: JobId(row.get("job_id")),
        attempt,
        account: row.get("account"),
        is_open: row.get::<_, &str>("status") == Status::Uncertain.as_str()
            && row.get::<_, i32>("job_attempt") == attempt,
        recipient: recipient(row)?,
        text: row.get("text"),
        category: Category::from_name(row.get("category")).unwrap_or_default(),
        lane: Lane::from_name(row.get("lane")).unwrap_or(Lane::Normal),
        window: window(row),
        history: History {
            failures: count("failures"),
            parks: count("parks"),
            deadline: row.get("deadline"),
        },
        searched: seconds(row.get("searched_s")),
        looks: count("checks"),
        was_clear: row.get("was_clear"),
        since_look: row.get::<_, Option<f64>>("since_look_s").map(seconds),
        age: seconds(row.get("age_s")),
        is_later_listed: row.get("later_listed"),
        is_later_called_back: row.get("later_called_back"),
        callbacks_arrive: row.get("callbacks_arrive"),
        is_breaker_open: row.get("breaker_open"),
        has_twin: row.get("has_twin"),
        now: row.get("now"),
    })
}

/// `None` for one that was erased.
fn recipient(row: &Row) -> Option<Recipient> {
    let channel = match row.get("channel") {
        "whatsapp" => Channel::Whatsapp,
        "mms" => Channel::Mms,
        _ => Channel::Sms,
    };
    Some(Recipient { channel, number: PhoneNumber::from_e164(row.get("recipient")).ok()? })
}

fn window(row: &Row) -> Window {
    Window { started_at: row.get("started_at"), ended_at: row.get("ended_at") }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

fn bounded(finding: &str) -> String {
    finding.chars().take(FINDING_CHARS_MAX).collect()
}

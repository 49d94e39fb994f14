//! The story of a job, for whoever asks where it is, and the state of the whole.

mod next;

use std::collections::BTreeMap;
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::breaker::Breaker;
use facteur_core::gate::BULK_CANCELED;
use facteur_core::hold::{Fuse, Hold};
use facteur_core::ids::JobId;
use facteur_core::lane::Lane;
use facteur_core::phone::PhoneNumber;
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::breakers;
use crate::cancels;
use crate::dead_letters::{self, LetterState, LetterSummary};
use crate::pauses::{self, Pause};
use crate::pool::{Client, Database};
use crate::rate_line::{self, Standing};
use crate::reconciliations::{self, SearchFacts};

const JOB: &str = "SELECT j.id, j.tenant, j.lane, j.status, j.reason, j.sentence, j.turn, j.attempt, j.failures, j.parks, \
         j.not_before, j.due_at, j.deadline, j.created_at, j.updated_at, j.waits_for, j.in_line_since, \
         j.fingerprint = '' AS is_unseen, \
         m.id IS NOT NULL AS has_message, m.category, m.channel, m.recipient, m.sender, m.segments, m.bulk_id, \
         m.enqueued_at, m.expires_at \
     FROM facteur.jobs j LEFT JOIN facteur.messages m USING (id) WHERE j.id = $1";

const ATTEMPTS: &str = "SELECT number, started_at, duration_ms, outcome, code, http_status, sid, twilio_status, cause, \
         next_status, reason \
     FROM facteur.attempts WHERE job_id = $1 ORDER BY number LIMIT 1000";

/// One row of the index `jobs_oldest` for each lane, however many wait.
const OLDEST_WAITING: &str = "SELECT l.lane, extract(epoch FROM clock_timestamp() - j.created_at)::float8 AS age_s \
     FROM unnest($1::text[]) AS l(lane) CROSS JOIN LATERAL (SELECT created_at FROM facteur.jobs \
         WHERE lane = l.lane AND status IN ('waiting', 'retrying') ORDER BY created_at LIMIT 1) j";

/// All that is known about a job: where it stands, what is sent, and what was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// Identity.
    pub id: JobId,
    /// Whose.
    pub tenant: String,
    /// Its lane.
    pub lane: Lane,
    /// Its status.
    pub status: Status,
    /// Why it stands there: a stable code.
    pub reason: String,
    /// Why, for a person.
    pub sentence: Option<String>,
    /// Its current turn.
    pub turn: i32,
    /// The number of the attempt that was claimed last; 0 for none.
    pub attempt: i32,
    /// Counted failures.
    pub failures: i32,
    /// Waits in a row that were not counted.
    pub parks: i32,
    /// Nothing happens before this instant.
    pub not_before: Option<Timestamp>,
    /// When somebody looks after it at the latest.
    pub due_at: Option<Timestamp>,
    /// Worthless after this instant.
    pub deadline: Timestamp,
    /// When the database saw it first.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// The line in which it waits, if it waits for something else than time.
    pub hold: Option<Hold>,
    /// Its place, if that is the line of its sender's rate.
    pub standing: Option<Standing>,
    /// The pause that keeps it back, if it stands in the line of one that has not ended.
    pub pause: Option<Pause>,
    /// The breaker in whose line it stands, if it does, as it stands now.
    pub breaker: Option<(Fuse, Breaker)>,
    /// Whether it was cancelled before its envelope came: nothing else is known of it.
    pub is_unseen: bool,
    /// What is sent; `None` if it could not be read.
    pub message: Option<MessageFacts>,
    /// Every call that left for Twilio, the first first.
    pub attempts: Vec<AttemptFacts>,
    /// The latest search for evidence about an uncertain attempt, also one that is over.
    pub search: Option<SearchFacts>,
    /// Its dead letters, the first first.
    pub dead_letters: Vec<LetterSummary>,
}

impl Story {
    /// Twilio's id of the message, once an attempt was accepted; the latest if there are several.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        self.attempts.iter().rev().find_map(|attempt| attempt.sid.as_deref())
    }

    /// Why it stands where it stands: the stable code, and the sentence of this case or else the code's advice.
    #[must_use]
    pub fn why(&self) -> String {
        let advice = || ReasonCode::from_name(&self.reason).map(ReasonCode::advice);
        match self.sentence.as_deref().or_else(advice) {
            Some(sentence) => format!("{}: {sentence}", self.reason),
            None => self.reason.clone(),
        }
    }
}

/// What is sent, without the text.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageFacts {
    /// What for.
    pub category: String,
    /// How: `sms`, `mms` or `whatsapp`.
    pub channel: String,
    /// To whom; masks itself. `None` if what is stored is no number any more (erased).
    pub recipient: Option<PhoneNumber>,
    /// From which sender, if one was chosen.
    pub sender: Option<String>,
    /// What it costs at the limiter.
    pub segments: i32,
    /// Part of which bulk.
    pub bulk_id: Option<Uuid>,
    /// When its producer published it, as far as is known.
    pub enqueued_at: Option<Timestamp>,
    /// Not after this instant, if its producer said so.
    pub expires_at: Option<Timestamp>,
}

/// One call to Twilio.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptFacts {
    /// Its number.
    pub number: i32,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// What it told: the name of an outcome.
    pub outcome: String,
    /// Twilio's error code.
    pub code: Option<i32>,
    /// The answer's HTTP status.
    pub http_status: Option<i32>,
    /// Twilio's id of the message.
    pub sid: Option<String>,
    /// Twilio's status of it.
    pub twilio_status: Option<String>,
    /// What happened, without personal data.
    pub cause: Option<String>,
    /// The status that was decided.
    pub next_status: String,
    /// Why: a stable code.
    pub reason: String,
}

/// Tells a job's story; `None` if Postgres has not seen it (yet).
///
/// # Errors
/// The database's, classified.
pub async fn story(database: &Database, id: JobId) -> Result<Option<Story>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(JOB).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&id.0]).await.map_err(classify)?;
    let dead_letters = dead_letters::of_job(&client, id).await?;
    let Some(row) = row else { return Ok(story_of_letters(id, dead_letters)) };
    let message = row.get::<_, bool>("has_message").then(|| message_facts(&row));
    let attempts = attempts(&client, id).await?;
    let mut story = Story { message, attempts, dead_letters, ..job_state(&row) };
    if let Some(Hold::Pause(scope)) = &story.hold {
        story.pause = pauses::of_scope(&client, scope).await?;
    }
    if story.status == Status::Canceled
        && story.sentence.as_deref().is_none_or(|told| told == BULK_CANCELED)
        && let Some((actor, reason)) = cancels::of_bulk(&client, id).await?
    {
        story.sentence = Some(format!("with its bulk, by {actor}: {reason}"));
    }
    if let (Some(Hold::Rate(_)), Some(line)) = (&story.hold, row.get::<_, Option<String>>("waits_for")) {
        let standing = rate_line::standing(&client, line, row.get("lane"), row.get("in_line_since")).await?;
        story.standing = Some(standing);
    }
    story.search = reconciliations::of_job(&client, id).await?;
    drop(client);
    if let Some(Hold::Breaker(fuse)) = &story.hold {
        story.breaker = breakers::find(database, fuse).await?.map(|breaker| (fuse.clone(), breaker));
    }
    Ok(Some(story))
}

/// A job that could not be read has no row: its open letter is all that is known of it.
fn story_of_letters(id: JobId, dead_letters: Vec<LetterSummary>) -> Option<Story> {
    let letter = dead_letters.iter().rev().find(|letter| letter.state == LetterState::Open)?.clone();
    Some(Story {
        id,
        tenant: letter.tenant,
        lane: Lane::from_routing_key(&letter.routing_key).unwrap_or(Lane::Normal),
        status: Status::Dead,
        reason: letter.code,
        sentence: Some(letter.sentence),
        turn: 0,
        attempt: 0,
        failures: 0,
        parks: 0,
        not_before: None,
        due_at: None,
        deadline: letter.created_at,
        created_at: letter.created_at,
        updated_at: letter.created_at,
        hold: None,
        standing: None,
        pause: None,
        breaker: None,
        is_unseen: false,
        message: None,
        attempts: Vec::new(),
        search: None,
        dead_letters,
    })
}

/// For each lane the age of the oldest job that waits for its turn; a lane in which none waits has no entry.
///
/// # Errors
/// The database's, classified.
pub async fn oldest_waiting(database: &Database) -> Result<BTreeMap<Lane, Duration>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OLDEST_WAITING).await.map_err(classify)?;
    let rows = client.query(&statement, &[&Lane::ALL.map(Lane::as_str).to_vec()]).await.map_err(classify)?;
    let age =
        |row: &Row| Duration::try_from_secs_f64(row.get::<_, f64>("age_s").max(0.0)).unwrap_or_default();
    Ok(rows.iter().filter_map(|row| Some((Lane::from_name(row.get("lane"))?, age(row)))).collect())
}

/// Every call that left for Twilio for a message, the first first.
///
/// # Errors
/// The database's, classified.
pub async fn attempts_of(database: &Database, id: JobId) -> Result<Vec<AttemptFacts>, BatchFailure> {
    attempts(&database.client().await?, id).await
}

async fn attempts(client: &Client, id: JobId) -> Result<Vec<AttemptFacts>, BatchFailure> {
    let statement = client.prepare_cached(ATTEMPTS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&id.0]).await.map_err(classify)?;
    Ok(rows.iter().map(attempt_facts).collect())
}

fn job_state(row: &Row) -> Story {
    Story {
        id: JobId(row.get("id")),
        tenant: row.get("tenant"),
        // The table's CHECKs allow no other names; a newer release's are shown as the nearest that we know.
        lane: Lane::from_name(row.get("lane")).unwrap_or(Lane::Normal),
        status: Status::from_name(row.get("status")).unwrap_or(Status::Uncertain),
        reason: row.get("reason"),
        sentence: row.get("sentence"),
        turn: row.get("turn"),
        attempt: row.get("attempt"),
        failures: row.get("failures"),
        parks: row.get("parks"),
        not_before: row.get("not_before"),
        due_at: row.get("due_at"),
        deadline: row.get("deadline"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
        hold: row.get::<_, Option<&str>>("waits_for").and_then(Hold::parse),
        standing: None,
        pause: None,
        breaker: None,
        is_unseen: row.get("is_unseen"),
        message: None,
        attempts: Vec::new(),
        search: None,
        dead_letters: Vec::new(),
    }
}

fn message_facts(row: &Row) -> MessageFacts {
    MessageFacts {
        category: row.get("category"),
        channel: row.get("channel"),
        recipient: PhoneNumber::from_e164(row.get("recipient")).ok(),
        sender: row.get("sender"),
        segments: row.get("segments"),
        bulk_id: row.get("bulk_id"),
        enqueued_at: row.get("enqueued_at"),
        expires_at: row.get("expires_at"),
    }
}

fn attempt_facts(row: &Row) -> AttemptFacts {
    AttemptFacts {
        number: row.get("number"),
        started_at: row.get("started_at"),
        duration: Duration::from_millis(u64::try_from(row.get::<_, i32>("duration_ms")).unwrap_or_default()),
        outcome: row.get("outcome"),
        code: row.get("code"),
        http_status: row.get("http_status"),
        sid: row.get("sid"),
        twilio_status: row.get("twilio_status"),
        cause: row.get("cause"),
        next_status: row.get("next_status"),
        reason: row.get("reason"),
    }
}

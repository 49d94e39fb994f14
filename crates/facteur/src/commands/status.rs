//! `facteur status`: the story of one message.

use facteur_core::ids::JobId;
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_core::{Timestamp, twilio_errors};
use facteur_postgres::messages::{self, AttemptFacts, MessageFacts, Story};
use serde::Serialize;
use uuid::Uuid;

mod search;

use self::search::ToldSearch;
use super::adapters;
use crate::cli::IdArgs;
use crate::config::{Config, WorkerSection};
use crate::exit::Exit;
use crate::output::{Output, table};

/// The story, as it is printed.
#[derive(Serialize)]
struct Told {
    id: Uuid,
    status: &'static str,
    /// The word that apps are shown: `pending`, `sent`, `delivered` or `failed`.
    public_status: &'static str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence: Option<String>,
    tenant: String,
    lane: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<ToldMessage>,
    sid: Option<String>,
    attempts: Vec<ToldAttempt>,
    /// The search for evidence about an attempt of which nobody knew what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    search: Option<ToldSearch>,
    dead_letters: Vec<ToldLetter>,
    created_at: Timestamp,
    updated_at: Timestamp,
    /// What comes next, for a person.
    next: String,
}

#[derive(Serialize)]
struct ToldMessage {
    channel: String,
    category: String,
    /// Masked.
    to: Option<String>,
    from: Option<String>,
    segments: i32,
}

#[derive(Serialize)]
struct ToldAttempt {
    number: i32,
    started_at: Timestamp,
    duration_ms: u128,
    outcome: String,
    code: Option<i32>,
    http_status: Option<i32>,
    sid: Option<String>,
    twilio_status: Option<String>,
    /// What Twilio's code means, or else what happened.
    meaning: Option<String>,
    next_status: String,
    reason: String,
}

#[derive(Serialize)]
struct ToldLetter {
    id: Uuid,
    code: String,
    state: &'static str,
    sentence: String,
}

/// A message that the database doesn't know.
#[derive(Serialize)]
struct NotSeen {
    id: Uuid,
    status: &'static str,
    /// For each lane with jobs that wait: the age of the oldest, in seconds.
    oldest_waiting_s: Vec<(&'static str, u64)>,
}

/// Runs it.
///
/// # Errors
/// If the database can't be asked.
pub async fn run(args: &IdArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let database = adapters::database(config, "status").await?;
    let Some(story) = messages::story(&database, JobId(args.id)).await? else {
        let oldest = messages::oldest_waiting(&database).await?;
        let oldest_waiting_s = oldest.into_iter().map(|(lane, age)| (lane.as_str(), age.as_secs())).collect();
        let not_seen = NotSeen { id: args.id, status: "not_seen_yet", oldest_waiting_s };
        output.show(&not_seen, NotSeen::as_text)?;
        return Ok(Exit::NotFound);
    };
    output.show(&Told::of(story, &config.worker), Told::as_text)?;
    Ok(Exit::Done)
}

fn advice(code: &str) -> Option<&'static str> {
    ReasonCode::from_name(code).map(ReasonCode::advice)
}

fn next(job: &Story, worker: &WorkerSection) -> String {
    let at =
        |instant: Option<Timestamp>| instant.map_or_else(|| "soon".to_owned(), |at| format!("at {at:.0}"));
    match job.status {
        Status::Scheduled => format!("it is released {}", at(job.not_before)),
        Status::Waiting | Status::Retrying => {
            format!("the next try comes {}, and none after {:.0}", at(job.not_before), job.deadline)
        }
        Status::Sending => {
            format!("a worker has it; if nothing is heard of that one, it is looked after {}", at(job.due_at))
        }
        Status::Uncertain => match &job.search {
            Some(search) => search::next(job, search, worker),
            None => "evidence is looked for".to_owned(),
        },
        Status::Sent => "nothing is left to do; a receipt of the carrier may follow".to_owned(),
        Status::Dead => {
            let remedy = advice(&job.reason).unwrap_or("Look at the dead letter.");
            let force = if job.reason == ReasonCode::Uncertain.as_str() { " --force" } else { "" };
            match (&job.message, ReasonCode::from_name(&job.reason)) {
                (None, Some(code)) if !code.is_astray() => format!("a person must look. {remedy}"),
                _ => format!("a person must look. {remedy} Then: facteur dead requeue {}{force}", job.id),
            }
        }
        Status::Delivered
        | Status::Read
        | Status::Undelivered
        | Status::Failed
        | Status::Expired
        | Status::Canceled
        | Status::Suppressed => "nothing: this is the end".to_owned(),
    }
}

impl Told {
    fn of(story: Story, worker: &WorkerSection) -> Self {
        let (sid, next) = (story.sid().map(str::to_owned), next(&story, worker));
        let letters = story.dead_letters.into_iter().map(|letter| ToldLetter {
            id: letter.id,
            code: letter.code,
            state: letter.state.as_str(),
            sentence: letter.sentence,
        });
        Self {
            id: story.id.0,
            status: story.status.as_str(),
            public_status: story.status.public_word(),
            reason: story.reason,
            sentence: story.sentence,
            tenant: story.tenant,
            lane: story.lane.as_str(),
            message: story.message.map(ToldMessage::of),
            sid,
            attempts: story.attempts.into_iter().map(ToldAttempt::of).collect(),
            search: story.search.map(ToldSearch::of),
            dead_letters: letters.collect(),
            created_at: story.created_at,
            updated_at: story.updated_at,
            next,
        }
    }

    fn as_text(&self) -> String {
        let sentence = self.sentence.as_deref().map(|sentence| format!(": {sentence}")).unwrap_or_default();
        let mut lines = vec![
            format!("{} is {} ({}{sentence})", self.id, self.status, self.reason),
            format!("tenant {}, lane {}, first seen {:.0}", self.tenant, self.lane, self.created_at),
        ];
        if let Some(message) = &self.message {
            let to = message.to.as_deref().unwrap_or("(erased)");
            let from = message.from.as_deref().unwrap_or("(no sender yet)");
            let (channel, category, segments) = (&message.channel, &message.category, message.segments);
            lines.push(format!("{channel} to {to} from {from}, {category}, segments: {segments}"));
        }
        lines.extend(self.sid.as_ref().map(|sid| format!("Twilio's SID {sid}")));
        if !self.attempts.is_empty() {
            lines.push(self.attempts_as_text());
        }
        lines.extend(self.search.as_ref().map(ToldSearch::as_text));
        for letter in &self.dead_letters {
            let ToldLetter { id, code, state, sentence } = letter;
            lines.push(format!("dead letter {id} ({state}): {code}: {sentence}"));
        }
        lines.push(format!("next: {}", self.next));
        lines.join("\n")
    }

    fn attempts_as_text(&self) -> String {
        let mut attempts = table(&["attempt", "started", "took", "outcome", "code", "meaning", "then"]);
        for attempt in &self.attempts {
            let code = attempt.code.or(attempt.http_status).map(|code| code.to_string());
            let meaning = attempt.meaning.clone().or_else(|| attempt.twilio_status.clone());
            attempts.add_row([
                attempt.number.to_string(),
                format!("{:.3}", attempt.started_at),
                format!("{} ms", attempt.duration_ms),
                attempt.outcome.clone(),
                code.unwrap_or_default(),
                meaning.unwrap_or_default(),
                format!("{} ({})", attempt.next_status, attempt.reason),
            ]);
        }
        attempts.to_string()
    }
}

impl ToldMessage {
    fn of(facts: MessageFacts) -> Self {
        Self {
            channel: facts.channel,
            category: facts.category,
            to: facts.recipient.map(|number| number.to_string()),
            from: facts.sender,
            segments: facts.segments,
        }
    }
}

impl ToldAttempt {
    fn of(facts: AttemptFacts) -> Self {
        let entry = facts.code.and_then(|code| twilio_errors::lookup(u32::try_from(code).ok()?));
        Self {
            number: facts.number,
            started_at: facts.started_at,
            duration_ms: facts.duration.as_millis(),
            outcome: facts.outcome,
            code: facts.code,
            http_status: facts.http_status,
            sid: facts.sid,
            twilio_status: facts.twilio_status,
            meaning: entry.map(|entry| entry.meaning.to_owned()).or(facts.cause),
            next_status: facts.next_status,
            reason: facts.reason,
        }
    }
}

impl NotSeen {
    fn as_text(&self) -> String {
        let ages = self.oldest_waiting_s.iter().map(|(lane, age)| format!("{lane} {age} s"));
        let ages = ages.collect::<Vec<_>>().join(", ");
        let wait = if ages.is_empty() {
            "no job that was seen waits".to_owned()
        } else {
            format!("oldest waiting: {ages}")
        };
        format!("{} is not seen yet: no worker has taken its envelope, or the id is wrong ({wait})", self.id)
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;

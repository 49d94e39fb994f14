//! `facteur status`: the story of one message.

use facteur_core::ids::JobId;
use facteur_core::{Timestamp, twilio_errors};
use facteur_postgres::Database;
use facteur_postgres::messages::{self, AttemptFacts, MessageFacts, Story};
use facteur_postgres::receipts::{self, ReceiptFacts};
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
    receipt: ToldReceipt,
    /// The line in which it waits, such as rate:+33700000001 or pause:lane:bulk.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<String>,
    /// By whom it is paused, why and until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause: Option<ToldPause>,
    /// For a message that was cancelled before it was seen: the age of the oldest that waits in each lane, in seconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    oldest_waiting_s: Vec<(&'static str, u64)>,
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

#[derive(Serialize)]
struct ToldPause {
    by: String,
    reason: String,
    since: Timestamp,
    until: Option<Timestamp>,
}

/// What Twilio told after it had taken the message.
#[derive(Serialize, Default)]
struct ToldReceipt {
    #[serde(skip_serializing_if = "Option::is_none")]
    twilio_status: Option<String>,
    /// How it was heard: by callback, poll or list.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    heard_at: Option<Timestamp>,
    /// How often Twilio answered a question about it, if its receipt is missed.
    #[serde(skip_serializing_if = "Option::is_none")]
    polls: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_poll_at: Option<Timestamp>,
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
        let oldest_waiting_s = oldest_waiting_s(&database).await?;
        let not_seen = NotSeen { id: args.id, status: "not_seen_yet", oldest_waiting_s };
        output.show(&not_seen, NotSeen::as_text)?;
        return Ok(Exit::NotFound);
    };
    let oldest_waiting_s = if story.is_unseen { oldest_waiting_s(&database).await? } else { Vec::new() };
    let receipt = receipts::facts(&database, story.id).await?;
    let told = Told { oldest_waiting_s, ..Told::of(story, &config.worker).with_receipt(receipt) };
    output.show(&told, Told::as_text)?;
    Ok(Exit::Done)
}

async fn oldest_waiting_s(database: &Database) -> anyhow::Result<Vec<(&'static str, u64)>> {
    let oldest = messages::oldest_waiting(database).await?;
    Ok(oldest.into_iter().map(|(lane, age)| (lane.as_str(), age.as_secs())).collect())
}

impl Told {
    fn of(story: Story, worker: &WorkerSection) -> Self {
        let (sid, next) = (story.sid().map(str::to_owned), story.next(worker.evidence()));
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
            waits_for: story.hold.as_ref().map(ToString::to_string),
            pause: story.pause.map(|pause| ToldPause {
                by: pause.actor,
                reason: pause.reason,
                since: pause.created_at,
                until: pause.until,
            }),
            oldest_waiting_s: Vec::new(),
            receipt: ToldReceipt::default(),
            created_at: story.created_at,
            updated_at: story.updated_at,
            next,
        }
    }

    fn with_receipt(mut self, facts: ReceiptFacts) -> Self {
        self.receipt = ToldReceipt::of(facts);
        if let Some(at) = self.receipt.next_poll_at {
            self.next = format!("its receipt is missed: Twilio is asked for it at {at:.0}");
        }
        self
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
        lines.extend(self.receipt.as_text());
        lines.extend(self.search.as_ref().map(ToldSearch::as_text));
        for letter in &self.dead_letters {
            let ToldLetter { id, code, state, sentence } = letter;
            lines.push(format!("dead letter {id} ({state}): {code}: {sentence}"));
        }
        if !self.oldest_waiting_s.is_empty() {
            lines.push(format!("oldest waiting: {}", ages_as_text(&self.oldest_waiting_s)));
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

impl ToldReceipt {
    fn of(facts: ReceiptFacts) -> Self {
        let (polls, next_poll_at) = facts.missed.unzip();
        let Some(heard) = facts.heard else { return Self { polls, next_poll_at, ..Self::default() } };
        let (twilio_status, by, heard_at) = (Some(heard.twilio_status), Some(heard.source), Some(heard.at));
        Self { twilio_status, by, heard_at, polls, next_poll_at }
    }

    fn as_text(&self) -> Option<String> {
        let heard = match (&self.twilio_status, &self.by, self.heard_at) {
            (Some(status), Some(by), Some(at)) => Some(format!("Twilio says {status} (by {by}, {at:.0})")),
            _ => None,
        };
        let polls = self.polls.map(|polls| format!("asked for {polls} time(s)"));
        let parts: Vec<String> = heard.into_iter().chain(polls).collect();
        (!parts.is_empty()).then(|| format!("receipt: {}", parts.join(", ")))
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

fn ages_as_text(ages: &[(&'static str, u64)]) -> String {
    ages.iter().map(|(lane, age)| format!("{lane} {age} s")).collect::<Vec<_>>().join(", ")
}

impl NotSeen {
    fn as_text(&self) -> String {
        let ages = ages_as_text(&self.oldest_waiting_s);
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

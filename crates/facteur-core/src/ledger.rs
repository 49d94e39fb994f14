//! What the worker asks of the database, as values: the claim, the record and the settlement.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use crate::Timestamp;
use crate::envelope::{
    EnvelopeContent, HEADER_COUNTRY, HEADER_ENQUEUED_AT_MS, HEADER_SECRET, HeaderValue, Headers,
};
use crate::gate::Ready;
use crate::gcra::Reservation;
use crate::hold::Hold;
use crate::ids::{AttemptNumber, ClaimToken, JobId, Tenant, Turn};
use crate::integration::Via;
use crate::job::{Category, Fingerprint, Job, Recipient};
use crate::lane::Lane;
use crate::notifications;
use crate::outcome::Outcome;
use crate::phone::Country;
use crate::reason::{Reason, ReasonCode};
use crate::sender::Sender;
use crate::status::Status;

/// A job as the database keeps it: written once, by whichever of claim or settlement comes first.
#[derive(Clone, PartialEq)]
pub struct JobRow {
    /// Identity.
    pub id: JobId,
    /// Tells a repeated job from another one under the same id.
    pub fingerprint: Fingerprint,
    /// The turn that the envelope was published for.
    pub turn: Turn,
    /// For whom.
    pub tenant: Tenant,
    /// The lane it travels in.
    pub lane: Lane,
    /// What for.
    pub category: Category,
    /// To whom, and how.
    pub recipient: Recipient,
    /// From which sender, once one is chosen.
    pub sender: Option<Sender>,
    /// The text as it will be sent, once it is rendered.
    pub text: Option<String>,
    /// What it costs at the limiter, in segments.
    pub segments: u32,
    /// The job's document (JSON), as the envelope carried it: wake-ups are made from it.
    pub document: Bytes,
    /// Headers that wake-ups keep.
    pub headers: Headers,
    /// When the job was first published, as far as is known.
    pub enqueued_at: Option<Timestamp>,
    /// Not after this instant: the producer's own wish.
    pub expires_at: Option<Timestamp>,
    /// Worthless after this instant: the producer's `expires_at` or the lane's age limit.
    pub deadline: Timestamp,
    /// Part of which bulk.
    pub bulk_id: Option<Uuid>,
}

impl JobRow {
    /// The row of a job that has not passed the gate yet, for this turn. `document` is what wakes it again.
    #[must_use]
    pub fn of(job: &Job, turn: Turn, lane: Lane, document: Bytes, deadline: Timestamp) -> Self {
        let mark = (HEADER_SECRET.to_owned(), HeaderValue::Bool(true));
        let headers = notifications::is_secret(&job.content).then_some(mark).into_iter().collect();
        Self {
            id: job.id,
            fingerprint: job.fingerprint(),
            turn,
            tenant: job.tenant.clone(),
            lane,
            category: job.category,
            recipient: job.recipient.clone(),
            sender: job.sender.clone(),
            text: None,
            segments: 1,
            document,
            headers,
            enqueued_at: None,
            expires_at: job.expires_at,
            deadline,
            bulk_id: job.bulk_id,
        }
    }

    /// Adds what the gate found out.
    pub fn add_ready(&mut self, ready: &Ready) {
        self.sender = Some(ready.sender.clone());
        self.text = ready.text().map(str::to_owned);
        self.segments = ready.segments;
    }

    /// Adds when the job was first published, the headers that its wake-ups keep, and the country in which its number
    /// was read: it is read so for ever. A job of unknown age ages from now on, also while it goes round in the ladder.
    pub fn add_origin(
        &mut self,
        mut headers: Headers,
        country: Country,
        enqueued_at: Option<Timestamp>,
        now: Timestamp,
    ) {
        let aged_from = enqueued_at.unwrap_or(now).as_millisecond();
        headers.insert(HEADER_ENQUEUED_AT_MS.to_owned(), HeaderValue::Int(aged_from));
        headers.insert(HEADER_COUNTRY.to_owned(), HeaderValue::Text(country.to_string()));
        self.headers.extend(headers);
        self.enqueued_at = enqueued_at;
    }
}

impl std::fmt::Debug for JobRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobRow")
            .field("id", &self.id)
            .field("turn", &self.turn)
            .field("tenant", &self.tenant)
            .field("lane", &self.lane)
            .field("recipient", &self.recipient)
            .field("segments", &self.segments)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Asks for the right to make the next attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRequest {
    /// The job.
    pub row: JobRow,
    /// Drawn for this claim alone. A repeated request with the same token gets the same answer.
    pub token: ClaimToken,
    /// Over which account the call is to go: while that one or the integration is paused, the claim is not granted.
    pub via: Via,
    /// Whether the tenant has a budget: then the claim counts the segments, once for each job, and is granted only if
    /// they fit into the day.
    pub is_budgeted: bool,
}

/// The database's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The attempt is ours, for one lease.
    Yours(Attempt),
    /// The job is in a final state: nothing to do.
    Final(Status),
    /// The envelope belongs to another turn: nothing to do.
    Stale,
    /// Another worker has it; the sweeper answers for that one's lease.
    Busy,
    /// Too early: the row's present turn, and how long to wait.
    NotYet {
        /// The turn that a new wake-up must carry.
        turn: Turn,
        /// How long to wait.
        delay: Duration,
    },
    /// The id already stands for another tenant, recipient or content.
    Conflict,
    /// The claim itself ended the job, for this reason (`suppressed`, `expired`, `canceled`): nothing to do.
    Ended(Status),
    /// A pause keeps it back, from the instant on at which it was committed, or the day's budget is spent: the job
    /// belongs into that line.
    Held(Hold),
}

/// The right to make one call.
#[derive(Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its number.
    pub number: AttemptNumber,
    /// Counted failures before it.
    pub failures: u32,
    /// Waits in a row before it that were not counted (throttled, unreachable).
    pub parks: u32,
    /// Worthless after this instant.
    pub deadline: Timestamp,
    /// The text that was stored at the first claim: the one that must be sent.
    pub text: Option<String>,
}

impl std::fmt::Debug for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("number", &self.number)
            .field("failures", &self.failures)
            .field("parks", &self.parks)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// Where a job goes next, for the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// Its new status.
    pub status: Status,
    /// Why.
    pub reason: Reason,
    /// For a job that will be tried again: how long it waits, from the database's now on.
    pub wait: Option<Wait>,
    /// Whether the recipient is to be suppressed (Twilio's 21610).
    pub suppress: bool,
    /// The line in which it waits, if it waits for something else than time. Then the wait's delay is zero.
    pub hold: Option<Hold>,
}

/// A wait before another try. It raises the turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// How long.
    pub delay: Duration,
    /// Whether a wake-up is published by the worker (ladder), or by the release from the waiting room.
    pub in_ladder: bool,
    /// Whether it is a counted failure.
    pub is_counted: bool,
}

/// What an earlier turn of a job settled: it is what will be sent, whatever template and configuration say now.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// From which sender.
    pub sender: Option<Sender>,
    /// The rendered text.
    pub text: Option<String>,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored").field("sender", &self.sender).finish_non_exhaustive()
    }
}

/// What one attempt came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The job.
    pub id: JobId,
    /// The claim under which the call was made.
    pub token: ClaimToken,
    /// Which attempt.
    pub number: AttemptNumber,
    /// Over which account at Twilio, by its SID.
    pub account: String,
    /// When the call started.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// What it told.
    pub outcome: Outcome,
    /// What follows.
    pub next: Next,
}

/// What the database made of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// Written.
    Done {
        /// The job's turn after it.
        turn: Turn,
        /// Whether another attempt of this job has a SID too: two texts may have gone out.
        is_double: bool,
    },
    /// The job had moved on (another claim, or a requeue): the attempt was written all the same.
    Late {
        /// Whether another attempt of this job has a SID too.
        is_double: bool,
    },
}

/// Moves a job that is not claimed: refused at the gate, scheduled, or put into the waiting room.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The job; its row is created if there is none.
    pub row: JobRow,
    /// Where it goes.
    pub next: Next,
}

/// What the database made of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Written; the job's turn after it.
    Done(Turn),
    /// The job had moved on: nothing to do.
    Superseded,
    /// The id already stands for another tenant, recipient or content.
    Conflict,
}

/// What a server said of itself with an answer that holds instants of its clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockReading {
    /// The server's clock.
    pub now: Timestamp,
    /// When the server started: another one than before may have forgotten what was committed last.
    pub server_started_at: Timestamp,
}

/// The answer to the question for slots; its instants are the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reserved {
    /// The server's clock.
    pub reading: ClockReading,
    /// What it gave.
    pub reservation: Reservation,
}

/// A job that came out of its sender's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PulledJob {
    /// Its lane.
    pub lane: Lane,
    /// Its wake-up, as if an envelope had brought it.
    pub content: EnvelopeContent,
    /// Its place on the sender's clock, by the server's; `None` if the sender has no limit.
    pub place: Option<Timestamp>,
}

/// What a pull brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// The server's clock.
    pub reading: ClockReading,
    /// The jobs, in the order of their places.
    pub jobs: Vec<PulledJob>,
    /// The sender's clock after it; `None` if the sender has no limit.
    pub tat: Option<Timestamp>,
    /// Lanes of which nothing waits any more.
    pub exhausted: Vec<Lane>,
}

/// How many jobs of each lane may be pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Of the urgent lane.
    pub urgent: u32,
    /// Of the normal lane.
    pub normal: u32,
    /// Of the bulk lane.
    pub bulk: u32,
}

impl Capacity {
    /// For this lane.
    #[must_use]
    pub fn of(self, lane: Lane) -> u32 {
        match lane {
            Lane::Urgent => self.urgent,
            Lane::Normal => self.normal,
            Lane::Bulk => self.bulk,
        }
    }

    /// For this lane, to be changed.
    pub fn of_mut(&mut self, lane: Lane) -> &mut u32 {
        match lane {
            Lane::Urgent => &mut self.urgent,
            Lane::Normal => &mut self.normal,
            Lane::Bulk => &mut self.bulk,
        }
    }
}

/// An envelope that could not be read, or that the broker gave up, for the table of dead letters.
#[derive(Clone, PartialEq)]
pub struct DeadEnvelope {
    /// The job's id, if that much could be read.
    pub job_id: Option<JobId>,
    /// Why it is here.
    pub code: ReasonCode,
    /// The field at fault.
    pub field: Option<String>,
    /// For a person.
    pub sentence: String,
    /// The body, byte for byte.
    pub body: Bytes,
    /// All headers and properties.
    pub headers: serde_json::Value,
    /// Routing key that it was published with.
    pub routing_key: String,
    /// SHA-256 of id, code, routing key and body: filing the same envelope twice makes one row.
    pub digest: [u8; 32],
}

impl std::fmt::Debug for DeadEnvelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadEnvelope")
            .field("job_id", &self.job_id)
            .field("code", &self.code)
            .field("routing_key", &self.routing_key)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

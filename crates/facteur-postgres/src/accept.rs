//! Accepting: the jobs of a request, their messages, their wake-ups, its idempotency key and its audit record are
//! committed together or not at all. Small requests share a statement with others; from the commit on a message can
//! be seen, counted and cancelled, whether the broker is there or not.
//!
//! An accepted job begins at turn 1, as one that a worker has scheduled does: its sender and its text are settled, and
//! the deadline in its row counts.

mod statements;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::ids::Turn;
use facteur_core::ledger::JobRow;
use facteur_core::limits::BATCH_ITEMS_MAX;
use facteur_core::status::Status;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::batcher::{BatchOperation, Batcher, BatcherConfig, SubmitError};
use crate::pool::{Client, Database};

/// Most messages of one request.
pub const REQUEST_MESSAGES_MAX: usize = 1_000;
/// The turn of a job that was accepted and is to be sent for the first time.
pub const ACCEPTED_TURN: Turn = Turn(1);
/// A request with more messages than this has a statement of its own.
const SHARING_MESSAGES_MAX: usize = 4;
/// A statement that takes longer is repeated; its effects are the same.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements at once for small requests, and for large ones.
const BATCHES_IN_FLIGHT: usize = 3;
const LARGE_IN_FLIGHT: usize = 2;
/// How long an idempotency key is kept.
const KEY_KEPT_FOR: Duration = Duration::from_hours(48);
/// Keys that one sweep removes.
const KEYS_SWEPT_MAX: i64 = 1_000;

/// A message that is to be accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMessage {
    /// Its job; its turn is [`ACCEPTED_TURN`].
    pub row: JobRow,
    /// When it is to be sent, if not now.
    pub not_before: Option<Timestamp>,
}

/// What became of one message of a request, as it is kept with the request's idempotency key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was accepted, under this id.
    Accepted(Uuid),
    /// It was refused.
    Refused {
        /// The stable code.
        code: String,
        /// For a person; without personal data.
        sentence: String,
        /// The field at fault.
        field: Option<String>,
    },
}

/// An `Idempotency-Key`, and what was asked under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// 1 to 255 characters; unique for its tenant.
    pub key: String,
    /// SHA-256 of what was asked.
    pub digest: [u8; 32],
}

/// Who asked for what, for the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// As the audit log names the bearer.
    pub actor: String,
    /// A stable word: `send_sms`, `send_bulk_sms`, …
    pub action: &'static str,
    /// What it was about: the message, if it is a single one.
    pub subject: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
    /// What else is known of it; numbers and texts stand with the messages.
    pub details: serde_json::Value,
}

/// A request whose messages are accepted together.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// Drawn for this request alone: a repeated one with the same token gets the same answer.
    pub token: Uuid,
    /// Whose messages they are.
    pub tenant: String,
    /// The messages that passed the gate, no id twice; at most [`REQUEST_MESSAGES_MAX`].
    pub messages: Arc<[NewMessage]>,
    /// What becomes of every message of the request, refused ones among them, in their order.
    pub outcomes: Arc<[Outcome]>,
    /// The key under which it may be repeated.
    pub idempotency: Option<IdempotencyKey>,
    /// The audit record.
    pub audit: Option<AuditEntry>,
    /// Nobody waits for the answer any more: it must not be accepted after this instant.
    pub give_up_at: Instant,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Accepted {
    /// Its messages are committed. Those that the database knew under their own ids are told, by their place in
    /// [`Acceptance::messages`].
    Done(Vec<(usize, Known)>),
    /// It was answered before: what became of its messages then.
    Replayed(Vec<Outcome>),
    /// Its idempotency key stands for another request.
    KeyReused,
    /// It came too late to be tried, or to be tried again: then nobody knows whether it was committed.
    GivenUp,
}

/// What an id stands for that a message brought along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// The same message, which stands there.
    Same(Status),
    /// Another one.
    Other,
}

/// Accepts messages; cloning it is cheap.
#[derive(Clone)]
pub struct Acceptances {
    small: Batcher<AcceptOperation>,
    large: Batcher<AcceptOperation>,
}

impl Acceptances {
    /// Opens it over a pool.
    #[must_use]
    pub fn start(database: Database) -> Self {
        let config = |items_max, batches_in_flight| BatcherConfig {
            items_max,
            batches_in_flight,
            attempt_timeout: STATEMENT_TIMEOUT,
        };
        let operation = || AcceptOperation { database: database.clone() };
        Self {
            small: Batcher::start(operation(), config(BATCH_ITEMS_MAX, BATCHES_IN_FLIGHT)),
            large: Batcher::start(operation(), config(1, LARGE_IN_FLIGHT)),
        }
    }

    /// Accepts a request: when this returns [`Accepted::Done`], it is committed. While the database is away it waits,
    /// until `give_up_at`.
    ///
    /// # Errors
    /// The database refuses a row of this request ([`BatchFailure::Data`]), or the process stops.
    pub async fn accept(&self, request: Acceptance) -> Result<Accepted, BatchFailure> {
        let is_small = request.messages.len() <= SHARING_MESSAGES_MAX;
        let batcher = if is_small { &self.small } else { &self.large };
        batcher.submit(request).await.map_err(|error| match error {
            SubmitError::Data(sentence) => BatchFailure::Data(sentence),
            SubmitError::Closed => BatchFailure::Unavailable("the process is stopping".to_owned()),
        })
    }

    /// Ends it: what was submitted is executed once more at most.
    pub async fn shutdown(&self) {
        tokio::join!(self.small.shutdown(), self.large.shutdown());
    }
}

/// Removes idempotency keys that are older than two days, at most 1,000 of them. Returns how many.
///
/// # Errors
/// The database's, classified.
pub async fn forget_old_keys(database: &Database) -> Result<u64, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(statements::FORGET).await.map_err(classify)?;
    client.execute(&statement, &[&KEY_KEPT_FOR.as_secs_f64(), &KEYS_SWEPT_MAX]).await.map_err(classify)
}

struct AcceptOperation {
    database: Database,
}

impl BatchOperation for AcceptOperation {
    type Item = Acceptance;
    /// Two requests under one idempotency key are never in flight at once: the later one is answered as the first.
    type Key = (String, String);
    type Answer = Accepted;

    fn key(item: &Acceptance) -> (String, String) {
        match &item.idempotency {
            Some(key) => (item.tenant.clone(), key.key.clone()),
            // No tenant has this name, so no key of a tenant is meant.
            None => (String::new(), item.token.to_string()),
        }
    }

    async fn execute(&self, items: &[Acceptance]) -> Result<Vec<Accepted>, BatchFailure> {
        let now = Instant::now();
        let mut answers: Vec<Option<Accepted>> =
            items.iter().map(|item| (item.give_up_at <= now).then_some(Accepted::GivenUp)).collect();
        if answers.iter().all(Option::is_some) {
            return Ok(answers.into_iter().flatten().collect());
        }
        let client = self.database.client().await?;
        loop {
            let open = without_common_ids(items, &answers);
            if open.is_empty() {
                return Ok(answers.into_iter().flatten().collect());
            }
            self.execute_some(&client, items, &open, &mut answers).await?;
        }
    }
}

impl AcceptOperation {
    /// Executes the requests of these indices, which have no id in common, and answers each of them.
    async fn execute_some(
        &self,
        client: &Client,
        items: &[Acceptance],
        open: &[usize],
        answers: &mut [Option<Accepted>],
    ) -> Result<(), BatchFailure> {
        // A key is not kept for a request of which nothing is accepted: it may be mended and come again.
        let (empty, new): (Vec<usize>, Vec<usize>) =
            open.iter().partition(|&&index| items[index].messages.is_empty());
        let left = statements::insert(client, items, &new).await?;
        for &index in open {
            answers[index] = Some(Accepted::Done(Vec::new()));
        }
        let earlier = statements::earlier(client, items, &left.requests).await?;
        if earlier.len() != left.requests.len() {
            return Err(BatchFailure::Unavailable(
                "an idempotency key ended while it was looked up".to_owned(),
            ));
        }
        for (index, earlier) in earlier.into_iter().chain(statements::earlier(client, items, &empty).await?) {
            answers[index] = Some(earlier);
        }
        for (index, known) in statements::known(client, items, &left.messages).await? {
            let others: Vec<usize> =
                known.iter().filter(|(_, known)| *known == Known::Other).map(|(place, _)| *place).collect();
            if !others.is_empty() && items[index].idempotency.is_some() {
                statements::correct(client, &items[index], &others).await?;
            }
            answers[index] = Some(Accepted::Done(known));
        }
        Ok(())
    }
}

/// The requests without an answer, but for those that bring an id along that an earlier one of them brings too.
fn without_common_ids(items: &[Acceptance], answers: &[Option<Accepted>]) -> Vec<usize> {
    let mut taken: HashSet<Uuid> = HashSet::new();
    let mut open = Vec::new();
    for (index, item) in items.iter().enumerate().filter(|(index, _)| answers[*index].is_none()) {
        let mut ids = item.messages.iter().map(|message| message.row.id.0);
        if !ids.clone().any(|id| taken.contains(&id)) {
            taken.extend(&mut ids);
            open.push(index);
        }
    }
    open
}

/// Messages that were not inserted, by their request and their place in it.
type Places = HashMap<usize, Vec<usize>>;

/// What the insertion left.
#[derive(Default)]
struct Left {
    /// Requests whose idempotency key is there already.
    requests: Vec<usize>,
    /// Messages whose ids are there already.
    messages: Places,
}

//! The batcher: callers submit one item each and wait for its answer, the database sees batches.
//!
//! Group commit: while one batch is in flight the next one gathers, so an idle system answers at once and a
//! busy one amortises; there is no timer. The promises, each with a property test:
//!
//! * an answer belongs to the item that it is given for, whatever the order, the size and the fate of batches;
//! * no two items with one key are in flight at once: a later one waits for a later batch;
//! * an item that the database refuses fails alone: its batch is halved until only it is left;
//! * while the database can't answer, the same items are repeated, for ever and with growing waits. Nobody
//!   guesses whether a lost reply was a commit: operations answer a repeated item as they did the first time;
//! * a caller that goes away harms nobody, and its item is still executed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::hash::Hash;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::limits::BATCH_BYTES_MAX;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff_policy::Delays;
use crate::batch_error::BatchFailure;

/// First and longest wait before a batch is repeated.
const REPEAT_DELAYS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Batches that may stand in the queue before submitting has to wait.
const QUEUED_BATCHES_MAX: usize = 8;

/// Work on many items at once. Executing an item again must give the answer that it gave before.
pub trait BatchOperation: Send + Sync + 'static {
    /// What is submitted.
    type Item: Clone + Send + 'static;
    /// What must not be twice in flight.
    type Key: Eq + Hash + Clone + Send + 'static;
    /// What is answered.
    type Answer: Send + 'static;

    /// The key of an item.
    fn key(item: &Self::Item) -> Self::Key;

    /// Bytes of an item, where they can be many: a batch takes no more of them than [`BATCH_BYTES_MAX`], but always
    /// one item.
    fn bytes(_item: &Self::Item) -> usize {
        0
    }

    /// Executes all items or none; the answers are in the order of the items.
    fn execute(
        &self,
        items: &[Self::Item],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, BatchFailure>> + Send;
}

/// The limits of one batcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatcherConfig {
    /// Most items of a batch; at least 1.
    pub items_max: usize,
    /// Most batches at once; at least 1.
    pub batches_in_flight: usize,
    /// An execution that takes longer counts as unavailable, and is repeated.
    pub attempt_timeout: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The database refuses this very item.
    #[error("{0}")]
    Data(String),
    /// The batcher was shut down before it could learn what became of the item.
    #[error("the batcher is shut down")]
    Closed,
}

/// Hands items in; cloning it is cheap.
pub struct Batcher<O: BatchOperation> {
    queue: mpsc::Sender<Submission<O>>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl<O: BatchOperation> Clone for Batcher<O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), closing: self.closing.clone(), tasks: self.tasks.clone() }
    }
}

struct Submission<O: BatchOperation> {
    item: O::Item,
    answer: Waiter<O>,
}

type Waiter<O> = oneshot::Sender<Result<<O as BatchOperation>::Answer, SubmitError>>;

impl<O: BatchOperation> Batcher<O> {
    /// Starts the task that gathers batches; it ends after [`Batcher::shutdown`], or when every handle is gone
    /// and the last item is executed.
    #[must_use]
    pub fn start(operation: O, config: BatcherConfig) -> Self {
        let items_max = config.items_max.max(1);
        let (queue, submissions) = mpsc::channel(items_max * QUEUED_BATCHES_MAX);
        let (closing, tasks) = (CancellationToken::new(), TaskTracker::new());
        let gatherer = Gatherer {
            operation: Arc::new(operation),
            config: BatcherConfig { items_max, batches_in_flight: config.batches_in_flight.max(1), ..config },
            closing: closing.clone(),
            submissions,
            waiting: VecDeque::new(),
            in_flight: HashSet::new(),
            batches: JoinSet::new(),
            keys_of: HashMap::new(),
        };
        tasks.spawn(gatherer.run());
        tasks.close();
        Self { queue, closing, tasks }
    }

    /// Has one item executed and waits for its answer, through any outage. From the moment that the item is in
    /// the (bounded) queue it will be executed, also if the caller drops this future.
    ///
    /// # Errors
    /// The database refuses this very item, or the batcher is shut down.
    pub async fn submit(&self, item: O::Item) -> Result<O::Answer, SubmitError> {
        if self.closing.is_cancelled() {
            return Err(SubmitError::Closed);
        }
        let (answer, answered) = oneshot::channel();
        self.queue.send(Submission { item, answer }).await.map_err(|_| SubmitError::Closed)?;
        answered.await.unwrap_or(Err(SubmitError::Closed))
    }

    /// Takes no more items, gives those that wait one more try, and returns when all have their answers; what
    /// the database can't execute then is answered with [`SubmitError::Closed`].
    pub async fn shutdown(&self) {
        self.closing.cancel();
        self.tasks.wait().await;
    }
}

struct Gatherer<O: BatchOperation> {
    operation: Arc<O>,
    config: BatcherConfig,
    closing: CancellationToken,
    submissions: mpsc::Receiver<Submission<O>>,
    waiting: VecDeque<Submission<O>>,
    /// Keys of all batches in flight.
    in_flight: HashSet<O::Key>,
    batches: JoinSet<()>,
    keys_of: HashMap<Id, Vec<O::Key>>,
}

impl<O: BatchOperation> Gatherer<O> {
    async fn run(mut self) {
        let waiting_max = self.config.items_max * 2;
        let mut is_open = true;
        while is_open || !self.waiting.is_empty() || !self.batches.is_empty() {
            let room = waiting_max.saturating_sub(self.waiting.len());
            let mut arrived = Vec::new();
            tokio::select! {
                Some(ended) = self.batches.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    for key in self.keys_of.remove(&id).unwrap_or_default() {
                        self.in_flight.remove(&key);
                    }
                }
                count = self.submissions.recv_many(&mut arrived, room), if is_open && room > 0 => {
                    is_open = count > 0;
                }
                () = self.closing.cancelled(), if is_open && !self.submissions.is_closed() => {
                    // What is in the queue already is still received, and then the end of it.
                    self.submissions.close();
                }
            }
            self.waiting.extend(arrived);
            while self.batches.len() < self.config.batches_in_flight && self.start_batch() {}
        }
    }

    /// Starts a batch of what waits longest; an item whose key is in flight stays where it is, and so does
    /// whatever comes after it under the same key, or after the first that is too large for this batch. Returns
    /// whether there was one to start.
    fn start_batch(&mut self) -> bool {
        let (mut keys, mut items, mut answers) = (Vec::new(), Vec::new(), Vec::new());
        let mut left = VecDeque::new();
        let (mut bytes, mut is_full) = (0, false);
        for submission in mem::take(&mut self.waiting) {
            let (key, more) = (O::key(&submission.item), O::bytes(&submission.item));
            let fits = items.is_empty() || bytes + more <= BATCH_BYTES_MAX;
            is_full |= items.len() >= self.config.items_max || !fits;
            if !is_full && self.in_flight.insert(key.clone()) {
                bytes += more;
                keys.push(key);
                items.push(submission.item);
                answers.push(submission.answer);
            } else {
                left.push_back(submission);
            }
        }
        self.waiting = left;
        if items.is_empty() {
            return false;
        }
        let batch = Batch::<O> {
            operation: Arc::clone(&self.operation),
            attempt_timeout: self.config.attempt_timeout,
            closing: self.closing.clone(),
            parts: vec![(items, answers)],
            delays: None,
        };
        let task = self.batches.spawn(batch.run());
        self.keys_of.insert(task.id(), keys);
        true
    }
}

type Part<O> = (Vec<<O as BatchOperation>::Item>, Vec<Waiter<O>>);

/// One batch on its way: whole, or the parts into which bad rows have split it.
struct Batch<O: BatchOperation> {
    operation: Arc<O>,
    attempt_timeout: Duration,
    closing: CancellationToken,
    /// Parts without an answer; the last one is next.
    parts: Vec<Part<O>>,
    /// Set while the database can't answer.
    delays: Option<Delays>,
}

impl<O: BatchOperation> Batch<O> {
    async fn run(mut self) {
        while let Some((items, waiters)) = self.parts.pop() {
            let executed = timeout(self.attempt_timeout, self.operation.execute(&items)).await;
            let executed = executed.unwrap_or_else(|_| {
                Err(BatchFailure::Unavailable(format!("no answer within {:?}", self.attempt_timeout)))
            });
            match executed {
                Ok(answers) => {
                    self.note_recovery();
                    answer_all::<O>(waiters, answers);
                }
                Err(BatchFailure::Data(sentence)) => {
                    self.note_recovery();
                    self.refuse_or_halve((items, waiters), sentence);
                }
                Err(BatchFailure::Unavailable(sentence)) => self.put_off((items, waiters), &sentence).await,
            }
        }
    }

    fn refuse_or_halve(&mut self, (mut items, mut waiters): Part<O>, sentence: String) {
        if items.len() > 1 {
            let half = items.len() / 2;
            let later = (items.split_off(half), waiters.split_off(half));
            self.parts.push(later);
            self.parts.push((items, waiters));
        } else {
            reply_all::<O>(waiters, &SubmitError::Data(sentence));
        }
    }

    /// Waits, and leaves the part as the next one to be tried; on shutdown gives it up.
    async fn put_off(&mut self, part: Part<O>, sentence: &str) {
        if self.delays.is_none() {
            tracing::warn!(
                operation = name::<O>(),
                items = part.0.len(),
                "the database can't answer: {sentence}"
            );
        }
        let delay = self.delays.get_or_insert_with(|| Delays::new(REPEAT_DELAYS.0, REPEAT_DELAYS.1)).next();
        tokio::select! {
            () = self.closing.cancelled() => reply_all::<O>(part.1, &SubmitError::Closed),
            () = tokio::time::sleep(delay) => self.parts.push(part),
        }
    }

    fn note_recovery(&mut self) {
        if self.delays.take().is_some() {
            tracing::info!(operation = name::<O>(), "the database answers again");
        }
    }
}

fn answer_all<O: BatchOperation>(waiters: Vec<Waiter<O>>, answers: Vec<O::Answer>) {
    if waiters.len() != answers.len() {
        // Giving an answer to the wrong item would be worse than giving none.
        let sentence = format!("{} gave {} answers to {} items", name::<O>(), answers.len(), waiters.len());
        tracing::error!("{sentence}");
        return reply_all::<O>(waiters, &SubmitError::Data(sentence));
    }
    for (waiter, answer) in waiters.into_iter().zip(answers) {
        // A caller that went away needs no answer.
        let _ = waiter.send(Ok(answer));
    }
}

fn reply_all<O: BatchOperation>(waiters: Vec<Waiter<O>>, error: &SubmitError) {
    for waiter in waiters {
        let _ = waiter.send(Err(error.clone()));
    }
}

fn name<O>() -> &'static str {
    let path = std::any::type_name::<O>();
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
#[path = "batcher_tests.rs"]
mod tests;

//! The broker in memory: queues, what is unacknowledged, the delay ladder, and the dead-letter queue.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use facteur_core::envelope::{EnvelopeContent, HEADER_TURN, HeaderValue};
use facteur_core::ids::{JobId, Turn};
use facteur_core::ladder::{self, Route};
use facteur_core::lane::Lane;
use facteur_core::limits::LADDER_DELAY_UNITS_MAX;
use facteur_core::reason::ReasonCode;
use tokio::time::Instant;
use uuid::Uuid;

use crate::run::LADDER_UNIT;

/// An envelope in the broker's hands, with what is read of it here.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) content: EnvelopeContent,
    /// The id in its `message_id`.
    pub(crate) job: Option<JobId>,
    pub(crate) turn: Turn,
}

impl Held {
    fn of(content: EnvelopeContent) -> Self {
        let job = content.message_id.as_deref().and_then(|id| Uuid::parse_str(id).ok()).map(JobId);
        let turn = match content.headers.get(HEADER_TURN) {
            Some(HeaderValue::Int(turn)) => Turn(i32::try_from(*turn).unwrap_or(i32::MAX)),
            _ => Turn::default(),
        };
        Self { content, job, turn }
    }
}

/// Identifies an envelope in a worker's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tag(u64);

#[derive(Default)]
pub(crate) struct Broker {
    ready: VecDeque<Held>,
    unacked: BTreeMap<Tag, (usize, Held)>,
    ladder: Vec<(Instant, Held)>,
    /// What was buried, and why.
    pub(crate) dead: Vec<(EnvelopeContent, ReasonCode)>,
    /// Every envelope that was ever published: copies are made from it.
    history: Vec<Held>,
    tags: u64,
}

impl Broker {
    pub(crate) fn publish(&mut self, content: EnvelopeContent) {
        let held = Held::of(content);
        self.history.push(held.clone());
        self.ready.push_back(held);
    }

    /// Into the ladder; it comes back with the ladder's long routing key.
    pub(crate) fn publish_later(
        &mut self,
        mut content: EnvelopeContent,
        lane: Lane,
        delay: Duration,
        now: Instant,
    ) {
        let units = match ladder::route(delay, LADDER_UNIT) {
            Route::Ladder { units } => units,
            Route::WaitingRoom => LADDER_DELAY_UNITS_MAX,
        };
        content.routing_key =
            if units == 0 { lane.routing_key().to_owned() } else { ladder::routing_key(units, lane) };
        let held = Held::of(content);
        self.history.push(held.clone());
        self.ladder.push((now + LADDER_UNIT * units, held));
    }

    /// Hands out a copy of an envelope of the past.
    pub(crate) fn copy(&mut self, nth: usize) {
        if !self.history.is_empty() {
            self.ready.push_back(self.history[nth % self.history.len()].clone());
        }
    }

    pub(crate) fn bury(&mut self, content: EnvelopeContent, reason: ReasonCode) {
        self.dead.push((content, reason));
    }

    /// Moves what has rested long enough in the ladder back to work.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.ladder.sort_by_key(|(at, _)| *at);
        let due = self.ladder.partition_point(|(at, _)| *at <= now);
        self.ready.extend(self.ladder.drain(..due).map(|(_, held)| held));
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.ladder.iter().map(|(at, _)| *at).min()
    }

    pub(crate) fn has_unacked(&self) -> bool {
        !self.unacked.is_empty()
    }

    /// Whether nothing is left but what a worker left alone.
    pub(crate) fn is_quiet(&self) -> bool {
        self.ready.is_empty() && self.ladder.is_empty()
    }

    pub(crate) fn hand_out(&mut self, worker: usize) -> Option<(Tag, EnvelopeContent)> {
        let held = self.ready.pop_front()?;
        self.tags += 1;
        let (tag, content) = (Tag(self.tags), held.content.clone());
        self.unacked.insert(tag, (worker, held));
        Some((tag, content))
    }

    pub(crate) fn ack(&mut self, tag: Tag) -> Option<Held> {
        self.unacked.remove(&tag).map(|(_, held)| held)
    }

    /// The worker is gone: what it held goes back to the head of the queue.
    pub(crate) fn redeliver(&mut self, worker: usize) {
        let lost: Vec<Tag> =
            self.unacked.iter().filter(|(_, (owner, _))| *owner == worker).map(|(tag, _)| *tag).collect();
        for tag in lost.into_iter().rev() {
            if let Some(mut held) = self.ack(tag) {
                held.content.redelivered = true;
                self.ready.push_front(held);
            }
        }
    }

    /// Whether an envelope of this job, of this turn or of any, is still on its way.
    pub(crate) fn holds(&self, job: Option<JobId>, turn: Option<Turn>) -> bool {
        let is_it = |held: &Held| held.job == job && turn.is_none_or(|turn| held.turn == turn);
        self.ready.iter().any(is_it) || self.ladder.iter().any(|(_, held)| is_it(held))
    }

    /// Whether another worker, or another life, has an envelope of this job in its hands.
    pub(crate) fn is_in_hands(&self, job: Option<JobId>) -> bool {
        self.unacked.values().any(|(_, held)| held.job == job)
    }

    /// For what this envelope stands in the dead-letter queue, byte for byte; nothing if it does not.
    pub(crate) fn burials(&self, content: &EnvelopeContent) -> BTreeSet<ReasonCode> {
        let is_it =
            |dead: &EnvelopeContent| dead.body == content.body && dead.message_id == content.message_id;
        self.dead.iter().filter(|(dead, _)| is_it(dead)).map(|(_, reason)| *reason).collect()
    }
}

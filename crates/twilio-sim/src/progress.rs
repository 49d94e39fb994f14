//! The whole way of a message, decided when it is accepted: which status it has from when on. So a status is
//! read, never written, and nothing runs in the background for messages that nobody asks about.

use std::time::Duration;

use rand::{Rng, RngExt, rngs::SmallRng};

use crate::address::Channel;
use crate::clock::Moment;
use crate::config::Progress;

/// Twilio's status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Accepted,
    Scheduled,
    Canceled,
    Queued,
    Sending,
    Sent,
    Delivered,
    Undelivered,
    Failed,
    Read,
    Received,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Scheduled => "scheduled",
            Self::Canceled => "canceled",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Failed => "failed",
            Self::Read => "read",
            Self::Received => "received",
        }
    }

    /// Whether a message in it may be deleted.
    pub(crate) fn is_final(self) -> bool {
        use Status::{Canceled, Delivered, Failed, Read, Received, Undelivered};
        matches!(self, Canceled | Delivered | Undelivered | Failed | Read | Received)
    }
}

/// From when on a message has a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at: Moment,
    pub(crate) status: Status,
    pub(crate) error: Option<u32>,
}

impl Step {
    fn new(at: Moment, status: Status) -> Self {
        Self { at, status, error: None }
    }

    fn failed(at: Moment, status: Status, code: u32) -> Self {
        Self { at, status, error: Some(code) }
    }
}

/// The steps of a message, in order; the first is its status on acceptance.
#[derive(Debug, Clone)]
pub(crate) struct Timeline {
    first: Step,
    later: Vec<Step>,
}

impl Timeline {
    /// A message that stays as it is.
    pub(crate) fn of(first: Step) -> Self {
        Self { first, later: Vec::new() }
    }

    /// An inbound message.
    pub(crate) fn received(at: Moment) -> Self {
        Self::of(Step::new(at, Status::Received))
    }

    /// The steps after acceptance: those that callbacks tell.
    pub(crate) fn changes(&self) -> &[Step] {
        &self.later
    }

    /// The status on acceptance.
    pub(crate) fn first(&self) -> Step {
        self.first
    }

    /// Where the message stands.
    pub(crate) fn at(&self, now: Moment) -> Step {
        *self.later.iter().rev().find(|step| step.at <= now).unwrap_or(&self.first)
    }

    /// When it was sent, if it was by `now`; an inbound message when it was received.
    pub(crate) fn sent_at(&self, now: Moment) -> Option<Moment> {
        let is_sent = |step: &&Step| matches!(step.status, Status::Sent | Status::Received) && step.at <= now;
        std::iter::once(&self.first).chain(&self.later).find(is_sent).map(|step| step.at)
    }

    /// Ends the message as canceled; `None` if it is no longer scheduled.
    pub(crate) fn cancel(&mut self, now: Moment) -> Option<Step> {
        let canceled = Step::new(now, Status::Canceled);
        (self.at(now).status == Status::Scheduled).then(|| {
            self.later = vec![canceled];
            canceled
        })
    }
}

/// What decides about a message's way.
#[derive(Debug)]
pub(crate) struct Circumstances {
    pub(crate) accepted_at: Moment,
    pub(crate) channel: Channel,
    /// Sent through a Messaging Service: `accepted` comes first.
    pub(crate) by_service: bool,
    pub(crate) send_at: Option<Moment>,
    /// When the sender's rate lets it go.
    pub(crate) slot: Moment,
    pub(crate) validity: Option<Duration>,
    /// It fails with this code as soon as it is queued (opted out, queue full; Messaging Services only).
    pub(crate) doomed: Option<u32>,
}

/// Draws the way of a message.
pub(crate) fn timeline(facts: &Circumstances, progress: &Progress, dice: &mut SmallRng) -> Timeline {
    let status = match (facts.send_at, facts.by_service) {
        (Some(_), _) => Status::Scheduled,
        (None, true) => Status::Accepted,
        (None, false) => Status::Queued,
    };
    let first = Step::new(facts.accepted_at, status);
    let mut later = Vec::with_capacity(5);
    let mut at = facts.send_at.unwrap_or(facts.accepted_at);
    if status != Status::Queued {
        at = at.plus(progress.queued.sample(dice));
        if facts.doomed.is_none() {
            later.push(Step::new(at, Status::Queued));
        }
    }
    later.extend(from_queue(facts, progress, dice, at));
    Timeline { first, later }
}

fn from_queue(
    facts: &Circumstances,
    progress: &Progress,
    dice: &mut SmallRng,
    queued_at: Moment,
) -> Vec<Step> {
    if let Some(code) = facts.doomed {
        return vec![Step::failed(queued_at, Status::Failed, code)];
    }
    let sending_at = queued_at.max(facts.slot).plus(progress.sending.sample(dice));
    let expires_at = facts.validity.map(|validity| queued_at.plus(validity));
    if let Some(expires_at) = expires_at.filter(|expires_at| *expires_at < sending_at) {
        return vec![Step::failed(expires_at, Status::Failed, 30036)];
    }
    if per_mille(progress.failed_per_mille, dice) {
        return vec![Step::failed(sending_at, Status::Failed, one_of(&progress.failed_codes, 30008, dice))];
    }
    let sent_at = sending_at.plus(progress.sent.sample(dice));
    let mut steps = vec![Step::new(sending_at, Status::Sending), Step::new(sent_at, Status::Sent)];
    let done_at = sent_at.plus(progress.delivered.sample(dice));
    if per_mille(progress.undelivered_per_mille, dice) {
        let code = one_of(&progress.undelivered_codes, 30008, dice);
        steps.push(Step::failed(done_at, Status::Undelivered, code));
        return steps;
    }
    steps.push(Step::new(done_at, Status::Delivered));
    if facts.channel == Channel::Whatsapp && per_mille(progress.whatsapp_read_per_mille, dice) {
        steps.push(Step::new(done_at.plus(progress.read.sample(dice)), Status::Read));
    }
    steps
}

fn per_mille(chance: u32, dice: &mut impl Rng) -> bool {
    dice.random_range(0..1_000) < chance
}

fn one_of(codes: &[u32], otherwise: u32, dice: &mut impl Rng) -> u32 {
    if codes.is_empty() { otherwise } else { codes[dice.random_range(0..codes.len())] }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;

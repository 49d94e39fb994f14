//! Breakers: while Twilio fails, or refuses an account or a sender, nothing is spent on it.
//!
//! A breaker has two halves. The *row* ([`Breaker`]) is shared by all workers; [`after`] is the whole table of how it
//! moves. The [`Guard`] stands in one worker's memory, judges what its own calls tell, acts at once, and follows the
//! row. What an outcome says about an account and a sender is the table of [`signs`].

mod guard;
mod signs;

use std::time::Duration;

pub use guard::{Guard, Pass};
pub use signs::{Sign, Signs, signs};

use crate::Timestamp;
use crate::hold::Fuse;

/// A breaker that opens again so soon after it closed had closed too early: its waits go on growing.
const FLAPPING: Duration = Duration::from_mins(1);
/// Whoever probes answers within this time, or another worker probes.
pub const PROBE_LEASE: Duration = Duration::from_secs(30);
/// How often trials are let out of the line while a breaker is half open.
pub const TRIAL_INTERVAL: Duration = Duration::from_secs(1);
/// Longest wait that Twilio may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything passes.
    Closed,
    /// Nothing passes.
    Open,
    /// A few messages pass, to see whether all may.
    HalfOpen,
}

impl State {
    /// The name, as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Closed, Self::Open, Self::HalfOpen].into_iter().find(|state| state.as_str() == name)
    }
}

/// Why a breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Twilio can't be reached, hangs, or answers with server errors.
    Failing,
    /// Twilio refuses the account or its credentials.
    AccountAtFault,
    /// Twilio refuses the sender.
    SenderAtFault,
    /// The sender's queue at Twilio is full.
    Throttled,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 4] = [Self::Failing, Self::AccountAtFault, Self::SenderAtFault, Self::Throttled];

    /// The stable code, as stored and counted.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::AccountAtFault => "account_at_fault",
            Self::SenderAtFault => "sender_at_fault",
            Self::Throttled => "throttled",
        }
    }

    /// The cause of that code.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == name)
    }

    /// How long a breaker that opened so many times in a row (1 for the first) stays open, in seconds: the steps, of
    /// which the last one repeats.
    fn steps_s(self) -> &'static [u64] {
        match self {
            Self::Failing => &[1, 2, 4, 8, 16, 32, 60],
            Self::AccountAtFault => &[30, 60, 120, 240, 600],
            Self::SenderAtFault => &[60, 120, 300, 600],
            Self::Throttled => &[30, 60, 120, 300, 600],
        }
    }
}

/// What opens a breaker, or keeps it open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Of which kind.
    pub cause: Cause,
    /// What happened, for a person; without personal data.
    pub sentence: String,
    /// How long Twilio asked to wait.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault for which Twilio named no time.
    #[must_use]
    pub fn new(cause: Cause, sentence: impl Into<String>) -> Self {
        Self { cause, sentence: sentence.into(), retry_after: None }
    }

    /// How long the breaker stays open that opened so many times in a row.
    #[must_use]
    pub fn delay(&self, openings: u32) -> Duration {
        let steps = self.cause.steps_s();
        let step = usize::try_from(openings.saturating_sub(1)).unwrap_or(usize::MAX).min(steps.len() - 1);
        let asked = self.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        Duration::from_secs(steps[step]).max(asked)
    }
}

/// A breaker's row: what all workers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breaker {
    /// Where it stands.
    pub state: State,
    /// Why it opened last.
    pub cause: Cause,
    /// The same, for a person.
    pub sentence: String,
    /// How often in a row it opened without staying closed for a minute.
    pub openings: u32,
    /// When it left `closed`.
    pub opened_at: Timestamp,
    /// Open: when it is tried again. Half open: when the next trials are let out.
    pub retry_at: Timestamp,
    /// When the row last changed.
    pub updated_at: Timestamp,
}

/// What moves a breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Calls failed, or a trial did.
    Open(Fault),
    /// A worker wants to try it: to probe while it is open, to let trials out while it is half open.
    Try,
    /// The probe was answered.
    Answered,
    /// The probe was not.
    Down(Fault),
    /// The trials went well.
    Close,
}

/// The row after a change; `None` if the change says nothing to a breaker that stands where this one does, because
/// another worker was first.
#[must_use]
pub fn after(fuse: &Fuse, before: Option<&Breaker>, change: &Change, now: Timestamp) -> Option<Breaker> {
    let later = |delay: Duration| now.checked_add(delay).unwrap_or(Timestamp::MAX);
    let reopened = |row: &Breaker, fault: &Fault| {
        let openings = row.openings.saturating_add(1);
        open(fault, openings, row.opened_at, later(fault.delay(openings)), now)
    };
    let Some(row) = before else {
        return match change {
            Change::Open(fault) => Some(open(fault, 1, now, later(fault.delay(1)), now)),
            Change::Try | Change::Answered | Change::Down(_) | Change::Close => None,
        };
    };
    let half_open = Breaker { state: State::HalfOpen, retry_at: now, updated_at: now, ..row.clone() };
    match (row.state, change) {
        (State::Closed, Change::Open(fault)) => {
            let is_flapping = now.duration_since(row.updated_at).unsigned_abs() < FLAPPING;
            let openings = if is_flapping { row.openings.saturating_add(1) } else { 1 };
            Some(open(fault, openings, now, later(fault.delay(openings)), now))
        }
        (State::HalfOpen, Change::Open(fault)) | (State::Open, Change::Down(fault)) => {
            Some(reopened(row, fault))
        }
        (State::Open | State::HalfOpen, Change::Try) if row.retry_at > now => None,
        // Whether a sender is taken again only a message can tell.
        (State::Open, Change::Try) if matches!(fuse, Fuse::Sender(_)) => Some(half_open),
        (State::Open, Change::Try) => {
            Some(Breaker { retry_at: later(PROBE_LEASE), updated_at: now, ..row.clone() })
        }
        (State::HalfOpen, Change::Try) => {
            Some(Breaker { retry_at: later(TRIAL_INTERVAL), updated_at: now, ..row.clone() })
        }
        (State::Open, Change::Answered) => Some(half_open),
        (State::HalfOpen, Change::Close) => {
            Some(Breaker { state: State::Closed, updated_at: now, ..row.clone() })
        }
        (State::Open, Change::Open(_) | Change::Close)
        | (State::HalfOpen, Change::Answered | Change::Down(_))
        | (State::Closed, Change::Try | Change::Answered | Change::Down(_) | Change::Close) => None,
    }
}

fn open(
    fault: &Fault,
    openings: u32,
    opened_at: Timestamp,
    retry_at: Timestamp,
    updated_at: Timestamp,
) -> Breaker {
    Breaker {
        state: State::Open,
        cause: fault.cause,
        sentence: fault.sentence.clone(),
        openings,
        opened_at,
        retry_at,
        updated_at,
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
mod tests;

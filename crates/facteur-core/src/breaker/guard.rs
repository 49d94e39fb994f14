//! One worker's view of a breaker: it judges the calls of this worker, and acts at once.

use std::time::Duration;

use super::signs::Sign;
use super::{Cause, Change, Fault, State};
use crate::hold::Fuse;

/// So many failures in a row open it.
const FAILURES_IN_A_ROW: u32 = 5;
/// From so many calls within the window on, half of them failing opens it.
const CALLS_MIN: u32 = 20;
/// The window, in seconds.
const WINDOW_S: usize = 10;

/// The guard. Times are those of a monotonic clock.
#[derive(Debug)]
pub struct Guard {
    position: Position,
    /// Since when it stands there.
    since: Duration,
    /// How many trials must go well before it closes.
    proofs_needed: u32,
}

#[derive(Debug)]
enum Position {
    Closed(Tally),
    Open,
    HalfOpen { in_flight: u32, proofs: u32 },
}

/// The right to make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// The breaker is closed.
    Free,
    /// As a trial of the half-open breaker, which must be told when it is over.
    Trial {
        /// Since when it was half open then.
        since: Duration,
    },
}

impl Guard {
    /// A closed breaker. A sender's closes again after one message that was taken; an account's after three, of which
    /// one, then up to two, then up to four may be under way at a time.
    #[must_use]
    pub fn closed(fuse: &Fuse, now: Duration) -> Self {
        let proofs_needed = match fuse {
            Fuse::Integration(_) => 3,
            Fuse::Sender(_) => 1,
        };
        Self { position: Position::Closed(Tally::default()), since: now, proofs_needed }
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.position {
            Position::Closed(_) => State::Closed,
            Position::Open => State::Open,
            Position::HalfOpen { .. } => State::HalfOpen,
        }
    }

    /// Whether a call may be made now.
    #[must_use]
    pub fn lets_through(&self) -> bool {
        match self.position {
            Position::Closed(_) => true,
            Position::Open => false,
            Position::HalfOpen { in_flight, .. } => in_flight < self.trials_max(),
        }
    }

    /// How many trials may be under way at a time: 1, and twice as many after each that went well.
    #[must_use]
    pub fn trials_max(&self) -> u32 {
        match self.position {
            Position::HalfOpen { proofs, .. } => 1 << proofs.min(16),
            Position::Closed(_) | Position::Open => 0,
        }
    }

    /// The right to make a call; `None` if none may be made now.
    #[must_use]
    pub fn pass(&mut self) -> Option<Pass> {
        if !self.lets_through() {
            return None;
        }
        match &mut self.position {
            Position::Closed(_) => Some(Pass::Free),
            Position::Open => None,
            Position::HalfOpen { in_flight, .. } => {
                *in_flight += 1;
                Some(Pass::Trial { since: self.since })
            }
        }
    }

    /// The call of this pass is over, or was not made after all.
    pub fn is_over(&mut self, pass: Pass) {
        if let (Pass::Trial { since }, Position::HalfOpen { in_flight, .. }) = (pass, &mut self.position)
            && since == self.since
        {
            *in_flight = in_flight.saturating_sub(1);
        }
    }

    /// What a call told that started at `started`. Calls from before the breaker's last move say nothing about now: an
    /// answer that hung for 30 s must not open a breaker that has just closed. Returns what is to be told to the others.
    #[must_use]
    pub fn told(&mut self, sign: Sign, started: Duration, now: Duration) -> Option<Change> {
        if started < self.since {
            return None;
        }
        match (&mut self.position, sign) {
            (_, Sign::Nothing) | (Position::Open, _) => None,
            (Position::Closed(tally), Sign::Alive) => {
                tally.count(now, false);
                None
            }
            (Position::Closed(tally), Sign::Failing(sentence)) => {
                tally.count(now, true);
                tally.is_too_much().then(|| self.open(Fault::new(Cause::Failing, sentence), now))
            }
            (Position::HalfOpen { .. }, Sign::Failing(sentence)) => {
                Some(self.open(Fault::new(Cause::Failing, sentence), now))
            }
            (Position::Closed(_) | Position::HalfOpen { .. }, Sign::Fault(fault)) => {
                Some(self.open(fault, now))
            }
            (Position::HalfOpen { proofs, .. }, Sign::Alive) => {
                *proofs += 1;
                if *proofs < self.proofs_needed {
                    return None;
                }
                self.stand(State::Closed, now);
                Some(Change::Close)
            }
        }
    }

    /// Follows the row.
    pub fn follow(&mut self, state: State, now: Duration) {
        if self.state() != state {
            self.stand(state, now);
        }
    }

    fn open(&mut self, fault: Fault, now: Duration) -> Change {
        self.stand(State::Open, now);
        Change::Open(fault)
    }

    fn stand(&mut self, state: State, now: Duration) {
        self.since = now;
        self.position = match state {
            State::Closed => Position::Closed(Tally::default()),
            State::Open => Position::Open,
            State::HalfOpen => Position::HalfOpen { in_flight: 0, proofs: 0 },
        };
    }
}

/// Calls and failures of the last ten seconds.
#[derive(Debug, Default)]
struct Tally {
    in_a_row: u32,
    /// The second that each place of the ring stands for, its calls, and those of them that failed.
    seconds: [(u64, u32, u32); WINDOW_S],
    latest: u64,
}

impl Tally {
    fn count(&mut self, now: Duration, is_failure: bool) {
        self.latest = now.as_secs();
        let place = usize::try_from(self.latest).unwrap_or_default() % WINDOW_S;
        let (second, calls, failures) = &mut self.seconds[place];
        if *second != self.latest {
            (*second, *calls, *failures) = (self.latest, 0, 0);
        }
        *calls = calls.saturating_add(1);
        *failures = failures.saturating_add(u32::from(is_failure));
        self.in_a_row = if is_failure { self.in_a_row.saturating_add(1) } else { 0 };
    }

    fn is_too_much(&self) -> bool {
        let recent = |second: u64| second + WINDOW_S as u64 > self.latest;
        let (calls, failures) = self
            .seconds
            .iter()
            .filter(|(second, ..)| recent(*second))
            .fold((0u64, 0u64), |(calls, failures), place| {
                (calls + u64::from(place.1), failures + u64::from(place.2))
            });
        self.in_a_row >= FAILURES_IN_A_ROW || (calls >= u64::from(CALLS_MIN) && failures * 2 >= calls)
    }
}

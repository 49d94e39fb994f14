//! The server's clock on this worker's monotonic one. Every answer that holds instants of the server says what the
//! server's clock showed at some moment between the question and the answer; the tightest of many such bounds is kept. An
//! instant is never taken for earlier than it is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::ledger::ClockReading;
use facteur_core::limits::SLOT_DISTRUST;
use tokio::time::Instant;

/// For how long a bound counts, twice at most: in that time two good clocks drift apart by a few milliseconds.
const BOUND_AGE_MAX: Duration = Duration::from_secs(30);
/// What drift may explain. A larger contradiction is a clock that jumped.
const DRIFT_MAX_NS: i128 = 10_000_000;

/// What an answer says about those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It goes with them: what it gave may be used.
    Sound,
    /// The clock jumped, or another server answered: what it gave may have been given to somebody else too.
    Broken,
}

/// One worker's view of the server's clock.
pub(crate) struct Anchor {
    origin: Instant,
    state: Mutex<Option<State>>,
}

/// By how much the server's clock is ahead of ours, in nanoseconds: at least and at most.
#[derive(Clone, Copy)]
struct Bounds {
    low: i128,
    high: i128,
}

impl Bounds {
    fn tightened(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }
}

struct State {
    server_started_at: Timestamp,
    /// Of the present and of the last half minute or so.
    present: Bounds,
    last: Bounds,
    since: Instant,
    /// Nothing is to be given before this instant.
    not_before: Option<Timestamp>,
}

impl Anchor {
    pub(crate) fn new() -> Self {
        Self { origin: Instant::now(), state: Mutex::default() }
    }

    /// Takes in what an answer said that was `asked_at` and received at `answered_at`.
    pub(crate) fn observe(&self, asked_at: Instant, answered_at: Instant, reading: ClockReading) -> Trust {
        let now = reading.now.as_nanosecond();
        let bounds = Bounds { low: now - self.ours(answered_at), high: now - self.ours(asked_at) };
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |not_before| State {
            server_started_at: reading.server_started_at,
            present: bounds,
            last: bounds,
            since: answered_at,
            not_before,
        };
        let Some(state) = guard.as_mut() else {
            *guard = Some(fresh(None));
            return Trust::Sound;
        };
        let known = state.present.tightened(state.last);
        let jumped_ns = (bounds.low - known.high).max(0) - (known.low - bounds.high).max(0);
        let is_other_server = state.server_started_at != reading.server_started_at;
        if is_other_server || jumped_ns.abs() > DRIFT_MAX_NS {
            log(is_other_server, jumped_ns);
            *guard = Some(fresh(reading.now.checked_add(SLOT_DISTRUST).ok()));
            return Trust::Broken;
        }
        if jumped_ns != 0 {
            (state.present, state.last) = (bounds, bounds);
        } else if answered_at.duration_since(state.since) > BOUND_AGE_MAX {
            (state.last, state.present, state.since) = (state.present, bounds, answered_at);
        } else {
            state.present = state.present.tightened(bounds);
        }
        Trust::Sound
    }

    /// The first instant that the server may give, if something was amiss.
    pub(crate) fn not_before(&self) -> Option<Timestamp> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|state| state.not_before)
    }

    /// An instant of the server's clock on ours; nothing is known before the first answer.
    pub(crate) fn instant(&self, at: Timestamp) -> Option<Instant> {
        let guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = guard.as_ref()?;
        let ours = at.as_nanosecond() - state.present.tightened(state.last).low;
        let since_origin = Duration::from_nanos(u64::try_from(ours.max(0)).unwrap_or(u64::MAX));
        self.origin.checked_add(since_origin)
    }

    fn ours(&self, at: Instant) -> i128 {
        i128::try_from(at.saturating_duration_since(self.origin).as_nanos()).unwrap_or(i128::MAX)
    }
}

fn log(is_other_server: bool, jumped_ns: i128) {
    if is_other_server {
        tracing::warn!(
            "another Postgres server answers than before (a restart or a failover): slots of limited senders begin \
             again in a second, in case it forgot the last ones"
        );
    } else {
        let jumped_ms = jumped_ns / 1_000_000;
        tracing::warn!(
            %jumped_ms,
            "the clock of the database's machine jumped: slots of limited senders begin again in a second. \
             Look at its time synchronisation"
        );
    }
}

#[cfg(test)]
#[path = "anchor_tests.rs"]
mod tests;

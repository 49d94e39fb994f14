//! The only place that reads a clock or draws a random number. Tests on virtual time get the same functions
//! from tokio's paused clock and a seed.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::ids::ClaimToken;
use facteur_core::schedule::Draw;
use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use uuid::Uuid;

/// A difference to the database's clock that is worth following, and worth telling.
pub const APART_MIN: Duration = Duration::from_secs(1);

/// What a machine knows of time.
pub trait TimeSource: Send + Sync + 'static {
    /// The wall clock, which somebody may set.
    fn wall(&self) -> Timestamp;
    /// Time since some fixed instant; goes on while the machine is suspended, and nobody sets it.
    fn uptime(&self) -> Duration;
}

/// This machine.
struct Machine;

impl TimeSource for Machine {
    #[expect(clippy::disallowed_methods, reason = "this is the one module that may")]
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn uptime(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let (s, ns) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
        Duration::new(s.unwrap_or_default(), ns.unwrap_or_default())
    }
}

/// Time and chance. Clones share both.
///
/// Wall time goes on with the machine's uptime from what the wall clock showed at the start, and follows the database's
/// clock when it is told that one ([`Clock::hear`]): so a wall clock that jumps moves no deadline.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    dice: Arc<Mutex<StdRng>>,
}

#[derive(Clone)]
enum Source {
    System {
        machine: Arc<dyn TimeSource>,
        /// Wall time at the uptime zero, in microseconds since 1970.
        origin_us: Arc<AtomicI64>,
    },
    /// Wall time is what it was at the origin plus tokio's time since.
    Virtual { wall: Timestamp, origin: Instant },
}

/// What the database's clock told about ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    /// How far the database's clock is ahead of this machine's wall clock; negative if it is behind.
    pub ahead: SignedDuration,
    /// How far our time was moved to follow it; zero if they were near enough.
    pub moved: SignedDuration,
}

impl Clock {
    /// The system's clock and its source of randomness.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one module that may")]
    pub fn system() -> Self {
        Self::of_machine(Machine, StdRng::from_rng(&mut rand::rng()))
    }

    /// A clock over another machine's time, with dice of this seed.
    #[must_use]
    pub fn of(machine: impl TimeSource, seed: u64) -> Self {
        Self::of_machine(machine, StdRng::seed_from_u64(seed))
    }

    fn of_machine(machine: impl TimeSource, dice: StdRng) -> Self {
        let origin_us = machine.wall().as_microsecond() - microseconds(machine.uptime());
        let source =
            Source::System { machine: Arc::new(machine), origin_us: Arc::new(AtomicI64::new(origin_us)) };
        Self { source, dice: Arc::new(Mutex::new(dice)) }
    }

    /// A clock that starts at `wall` and follows tokio's (paused) time, with dice of this seed.
    #[must_use]
    pub fn virtual_from(wall: Timestamp, seed: u64) -> Self {
        let source = Source::Virtual { wall, origin: Instant::now() };
        Self { source, dice: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))) }
    }

    /// Wall time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::System { machine, origin_us } => {
                let now_us = origin_us.load(Ordering::Relaxed).saturating_add(microseconds(machine.uptime()));
                Timestamp::from_microsecond(now_us).unwrap_or(Timestamp::MAX)
            }
            Source::Virtual { wall, origin } => wall.checked_add(origin.elapsed()).unwrap_or(Timestamp::MAX),
        }
    }

    /// Hears what time the database had between `asked` (our [`Clock::awake_or_not`] when it was asked) and now, and
    /// follows it if the two are more than a second apart, and more than the answer's own way may have taken. `None` on
    /// virtual time, which nobody corrects.
    #[must_use]
    pub fn hear(&self, database_now: Timestamp, asked: Duration) -> Option<Offset> {
        let Source::System { machine, origin_us } = &self.source else { return None };
        let (uptime, wall) = (machine.uptime(), machine.wall());
        let way = uptime.saturating_sub(asked) / 2;
        // The database read its clock somewhere in between: half of the way is the best guess.
        let database_us = database_now.as_microsecond().saturating_add(microseconds(way));
        let ours_us = origin_us.load(Ordering::Relaxed).saturating_add(microseconds(uptime));
        let apart_us = database_us.saturating_sub(ours_us);
        let moved_us = if apart_us.unsigned_abs() > microseconds(APART_MIN.max(way)).unsigned_abs() {
            origin_us.fetch_add(apart_us, Ordering::Relaxed);
            apart_us
        } else {
            0
        };
        let ahead_us = database_us.saturating_sub(wall.as_microsecond());
        let ahead = SignedDuration::from_micros(ahead_us);
        Some(Offset { ahead, moved: SignedDuration::from_micros(moved_us) })
    }

    /// Time since some fixed instant, on a clock that goes on while the machine is suspended. A call must
    /// not start on a claim that slept through its lease.
    #[must_use]
    pub fn awake_or_not(&self) -> Duration {
        match &self.source {
            Source::System { machine, .. } => machine.uptime(),
            Source::Virtual { origin, .. } => origin.elapsed(),
        }
    }

    /// An id that nobody else draws; ids that are drawn later sort later.
    #[must_use]
    pub fn id(&self) -> Uuid {
        let since_1970_ms = u64::try_from(self.now().as_millisecond()).unwrap_or_default();
        let random = self.dice().random::<[u8; 10]>();
        uuid::Builder::from_unix_timestamp_millis(since_1970_ms, &random).into_uuid()
    }

    /// A draw for a jittered delay.
    #[must_use]
    pub fn draw(&self) -> Draw {
        Draw(self.dice().random::<f64>())
    }

    /// A claim token that nobody else draws.
    #[must_use]
    pub fn claim_token(&self) -> ClaimToken {
        ClaimToken(Uuid::from_u128(self.dice().random::<u128>()))
    }

    fn dice(&self) -> std::sync::MutexGuard<'_, StdRng> {
        // The generator's state is valid wherever another thread stopped.
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;

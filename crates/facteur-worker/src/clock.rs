//! The only place that reads a clock or draws a random number. Tests on virtual time get the same functions
//! from tokio's paused clock and a seed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::ids::ClaimToken;
use facteur_core::schedule::Draw;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;
use uuid::Uuid;

/// Time and chance.
#[derive(Clone)]
pub struct Clock {
    source: Source,
    dice: Arc<Mutex<StdRng>>,
}

#[derive(Clone)]
enum Source {
    System,
    /// Wall time is what it was at the origin plus tokio's time since.
    Virtual {
        wall: Timestamp,
        origin: Instant,
    },
}

impl Clock {
    /// The system's clock and its source of randomness.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one module that may")]
    pub fn system() -> Self {
        Self { source: Source::System, dice: Arc::new(Mutex::new(StdRng::from_rng(&mut rand::rng()))) }
    }

    /// A clock that starts at `wall` and follows tokio's (paused) time, with dice of this seed.
    #[must_use]
    pub fn virtual_from(wall: Timestamp, seed: u64) -> Self {
        let source = Source::Virtual { wall, origin: Instant::now() };
        Self { source, dice: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))) }
    }

    /// Wall time.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one module that may")]
    pub fn now(&self) -> Timestamp {
        match &self.source {
            Source::System => Timestamp::now(),
            Source::Virtual { wall, origin } => wall.checked_add(origin.elapsed()).unwrap_or(Timestamp::MAX),
        }
    }

    /// Time since some fixed instant, on a clock that goes on while the machine is suspended. A call must
    /// not start on a claim that slept through its lease.
    #[must_use]
    pub fn awake_or_not(&self) -> Duration {
        match &self.source {
            Source::System => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let (s, ns) = (u64::try_from(time.tv_sec), u32::try_from(time.tv_nsec));
                Duration::new(s.unwrap_or_default(), ns.unwrap_or_default())
            }
            Source::Virtual { origin, .. } => origin.elapsed(),
        }
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

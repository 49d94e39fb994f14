//! Beats time in the process that carries every proxy, and asks the simulator at each beat. What comes late then is
//! late because of the machine: so are calls that are on their way meanwhile, and nobody who made them is to blame.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::clock::{self, Micros};
use crate::http::Control;

const BEAT: Duration = Duration::from_millis(20);
/// From one beat to the next, with the simulator's answer, it takes no longer than this on a machine that is well. What
/// is shorter is within what the ways of calls may differ by.
const BEAT_MAX: Micros = 60_000;

/// The metronome; it stops when it is dropped.
pub(super) struct Metronome {
    stalls: Arc<Mutex<Vec<(Micros, Micros)>>>,
    beating: JoinHandle<()>,
}

impl Metronome {
    /// Starts beating.
    #[must_use]
    pub(super) fn start(simulator: Control) -> Self {
        let stalls = Arc::new(Mutex::new(Vec::new()));
        let beating = tokio::spawn(beat(simulator, Arc::clone(&stalls)));
        Self { stalls, beating }
    }

    /// From when to when nothing moved, so far.
    #[must_use]
    pub(super) fn stalls(&self) -> Vec<(Micros, Micros)> {
        self.stalls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

async fn beat(simulator: Control, stalls: Arc<Mutex<Vec<(Micros, Micros)>>>) {
    let mut last = clock::now();
    loop {
        sleep(BEAT).await;
        // A simulator that has ended is told of by whoever needs its answer.
        let _ = simulator.get::<Value>("faults").await;
        let now = clock::now();
        if now - last > BEAT_MAX {
            stalls.lock().unwrap_or_else(PoisonError::into_inner).push((last, now));
        }
        last = now;
    }
}

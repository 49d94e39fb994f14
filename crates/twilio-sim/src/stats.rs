//! What the simulator counted: the referee of every test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// The answer of `GET /_sim/stats`, since the start or the last reset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Messages that were created, whatever the client was told. Test credentials don't count.
    pub accepted: u64,
    /// API requests, good and bad.
    pub requests: u64,
    /// Copies beyond the first of messages with the same recipient, text, template and media.
    pub duplicates_by_recipient_and_text: u64,
    /// Copies beyond the first of messages with the same `message` parameter in their `StatusCallback`.
    pub duplicates_by_message_id: u64,
    /// A duplicate counter is full: there may be copies that were not noticed.
    pub duplicates_incomplete: bool,
    /// Most segments accepted in any one-second window, by sender.
    pub window_max_per_sender: BTreeMap<String, u32>,
    /// Error answers by Twilio's code.
    pub refused_by_code: BTreeMap<u32, u64>,
    /// Faults by their names.
    pub faults_injected: BTreeMap<String, u64>,
    /// Status callbacks.
    pub callbacks: CallbackStats,
    /// Most requests of one account at the same time.
    pub concurrent_max: usize,
}

/// Status callbacks so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallbackStats {
    /// Answered with 2xx.
    pub sent: u64,
    /// Not answered with 2xx (after all tries), or dropped because too many waited.
    pub failed: u64,
    /// Messages whose callbacks are not all sent yet.
    pub pending: usize,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) concurrent_max: AtomicUsize,
    pub(crate) callbacks_sent: AtomicU64,
    pub(crate) callbacks_failed: AtomicU64,
    refused_by_code: Mutex<BTreeMap<u32, u64>>,
    faults_injected: Mutex<BTreeMap<&'static str, u64>>,
}

/// One more.
pub(crate) fn add_one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn refused(&self, code: u32) {
        let mut counts = self.refused_by_code.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(code).or_default() += 1;
    }

    pub(crate) fn fault(&self, name: &'static str) {
        let mut counts = self.faults_injected.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(name).or_default() += 1;
    }

    /// The counters' part of the statistics.
    pub(crate) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let faults = self.faults_injected.lock().unwrap_or_else(PoisonError::into_inner);
        Stats {
            accepted: read(&self.accepted),
            requests: read(&self.requests),
            refused_by_code: self.refused_by_code.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            faults_injected: faults.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
            callbacks: CallbackStats {
                sent: read(&self.callbacks_sent),
                failed: read(&self.callbacks_failed),
                pending: 0,
            },
            concurrent_max: self.concurrent_max.load(Ordering::Relaxed),
            ..Stats::default()
        }
    }

    pub(crate) fn clear(&self) {
        for counter in [&self.accepted, &self.requests, &self.callbacks_sent, &self.callbacks_failed] {
            counter.store(0, Ordering::Relaxed);
        }
        self.concurrent_max.store(0, Ordering::Relaxed);
        self.refused_by_code.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.faults_injected.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

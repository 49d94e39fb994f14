//! When each accepted message arrived, for whoever measures rates and latencies. Nothing is kept unless the
//! configuration says how much.

use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::clock::Moment;

/// Most arrivals of one answer.
const PAGE: usize = 50_000;

/// One accepted message.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Arrival {
    /// Microseconds since 1970.
    at_us: u64,
    from: String,
    to: String,
    segments: u32,
}

/// Arrivals from some point on, in the order in which they were accepted.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    /// Where the next page begins.
    next: usize,
    arrivals: Vec<Arrival>,
}

/// The first arrivals since the start or the last reset.
#[derive(Debug)]
pub(crate) struct Arrivals {
    kept_max: usize,
    kept: Mutex<Vec<Arrival>>,
}

impl Arrivals {
    pub(crate) fn new(kept_max: usize) -> Self {
        Self { kept_max, kept: Mutex::default() }
    }

    pub(crate) fn note(&self, at: Moment, from: &str, to: &str, segments: u32) {
        if self.kept_max == 0 {
            return;
        }
        let arrival = Arrival { at_us: at.as_micros(), from: from.to_owned(), to: to.to_owned(), segments };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < self.kept_max {
            kept.push(arrival);
        }
    }

    pub(crate) fn page(&self, after: usize) -> Page {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let arrivals: Vec<Arrival> = kept.iter().skip(after).take(PAGE).cloned().collect();
        Page { next: after.min(kept.len()) + arrivals.len(), arrivals }
    }

    pub(crate) fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

//! So many within a window, and the rest only counted: for what strangers can make happen as often as they like.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// At most `most` in each window.
pub(crate) struct Allowance {
    window: Duration,
    most: u32,
    used: Mutex<Used>,
}

struct Used {
    since: Option<Instant>,
    granted: u32,
    passed_over: u64,
}

impl Allowance {
    pub(crate) fn new(most: u32, window: Duration) -> Self {
        Self { window, most, used: Mutex::new(Used { since: None, granted: 0, passed_over: 0 }) }
    }

    /// Grants one, with the number of those that were passed over since the last grant; `None` if the window is full.
    pub(crate) fn take(&self, now: Instant) -> Option<u64> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.since.is_none_or(|since| now.duration_since(since) >= self.window) {
            (used.since, used.granted) = (Some(now), 0);
        }
        if used.granted >= self.most {
            used.passed_over += 1;
            return None;
        }
        used.granted += 1;
        Some(std::mem::take(&mut used.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_beyond_a_window_is_counted_and_told_with_the_next() {
        let allowance = Allowance::new(2, Duration::from_secs(1));
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let granted = [0, 10, 20, 990, 1_000, 1_001, 1_500].map(|ms| allowance.take(at(ms)));
        assert_eq!(granted, [Some(0), Some(0), None, None, Some(2), Some(0), None]);
    }
}

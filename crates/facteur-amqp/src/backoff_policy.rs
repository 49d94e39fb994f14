//! How long to wait before the next attempt to connect: the one place that uses the `backoff` crate, whose
//! own defaults would give up after 15 minutes.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(10);

/// A connection that held this long was a good one: the next loss starts again with a short wait.
pub(crate) const STEADY_AFTER: Duration = Duration::from_secs(15);

/// Doubles from 200 ms to 10 s, each wait spread by half to either side, without end.
pub(crate) struct BackoffPolicy(ExponentialBackoff);

impl BackoffPolicy {
    pub(crate) fn new() -> Self {
        Self(ExponentialBackoff {
            current_interval: FIRST,
            initial_interval: FIRST,
            randomization_factor: 0.5,
            multiplier: 2.0,
            max_interval: LONGEST,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    pub(crate) fn next_wait(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(LONGEST)
    }

    pub(crate) fn reset(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_never_end() {
        let mut policy = BackoffPolicy::new();
        let first = policy.next_wait();
        assert!(first >= FIRST / 2 && first <= FIRST * 3 / 2 + Duration::from_micros(1));
        for _ in 0..10_000 {
            assert!(policy.next_wait() <= LONGEST * 3 / 2 + Duration::from_micros(1));
        }
        assert!(policy.next_wait() >= LONGEST / 2);
        policy.reset();
        assert!(policy.next_wait() <= FIRST * 3 / 2 + Duration::from_micros(1));
    }
}

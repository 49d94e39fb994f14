//! The waits of whoever waits for the database to answer again. The only place that knows the crate `backoff`,
//! which is unmaintained (RUSTSEC-2025-0012) and wanted for this one purpose: it can be replaced here.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;

/// Growing waits without an end: each is drawn from ±50 % around its step, and a step is twice the last one.
pub(crate) struct Delays(ExponentialBackoff);

impl Delays {
    /// Waits around `first`, then longer ones, up to one and a half times `longest`.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self(ExponentialBackoff {
            current_interval: first,
            initial_interval: first,
            randomization_factor: 0.5,
            multiplier: 2.0,
            max_interval: longest,
            // The crate's default gives up after 15 minutes; an outage may last longer.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        })
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_their_maximum_and_never_end() {
        let mut delays = Delays::new(Duration::from_millis(100), Duration::from_secs(2));
        let waits: Vec<Duration> = (0..1_000).map(|_| delays.next()).collect();
        assert!(waits[0] <= Duration::from_millis(151), "{:?}", waits[0]);
        assert!(waits[10..].iter().all(|wait| *wait >= Duration::from_secs(1)));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(3_001)));
        assert!(waits[10..].windows(2).any(|pair| pair[0] != pair[1]), "no jitter");
    }
}

//! When the next try comes: exponential with jitter, ended by number and by age, per lane.

use std::time::Duration;

use crate::lane::Lane;

/// The schedule of one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySchedule {
    /// Delay before the first retry.
    pub delay_base: Duration,
    /// No delay is longer, jitter included.
    pub delay_max: Duration,
    /// Counted failures after which a job is buried.
    pub failures_max: u32,
    /// Age after which a job is worth nothing any more, whatever it waits for.
    pub age_max: Duration,
}

/// A draw between 0 (inclusive) and 1 (exclusive), taken by the caller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw(pub f64);

/// A retry delay is drawn from ±20 % around its step, so that failures of one instant don't return together.
const JITTER: f64 = 0.2;

impl RetrySchedule {
    /// The built-in schedule of a lane.
    #[must_use]
    pub const fn of(lane: Lane) -> Self {
        let (base_s, max_s, failures_max, age_s) = match lane {
            Lane::Urgent => (1, 30, 6, 10 * 60),
            Lane::Normal => (5, 15 * 60, 8, 24 * 3_600),
            Lane::Bulk => (15, 60 * 60, 8, 72 * 3_600),
        };
        Self {
            delay_base: Duration::from_secs(base_s),
            delay_max: Duration::from_secs(max_s),
            failures_max,
            age_max: Duration::from_secs(age_s),
        }
    }

    /// The delay after the `failures`th failure in a row (1 for the first): doubled each time, jittered,
    /// never below `at_least` (a `Retry-After` is a floor) and otherwise at most `delay_max`.
    #[must_use]
    pub fn delay(&self, failures: u32, draw: Draw, at_least: Option<Duration>) -> Duration {
        let doublings = failures.saturating_sub(1).min(30);
        let step = self.delay_base.saturating_mul(1 << doublings).min(self.delay_max);
        let spread = 1.0 - JITTER + 2.0 * JITTER * draw.0.clamp(0.0, 1.0);
        let jittered = step.mul_f64(spread).min(self.delay_max);
        jittered.max(at_least.unwrap_or(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_whole_schedule_of_each_lane_is_this() {
        let whole = |lane| {
            let schedule = RetrySchedule::of(lane);
            (1..schedule.failures_max)
                .map(|n| schedule.delay(n, Draw(0.5), None).as_secs())
                .collect::<Vec<_>>()
        };
        assert_eq!(whole(Lane::Urgent), [1, 2, 4, 8, 16]);
        assert_eq!(whole(Lane::Normal), [5, 10, 20, 40, 80, 160, 320]);
        assert_eq!(whole(Lane::Bulk), [15, 30, 60, 120, 240, 480, 960]);
    }

    #[test]
    fn a_retry_after_is_a_floor() {
        let schedule = RetrySchedule::of(Lane::Urgent);
        let asked = Duration::from_secs(3_600);
        assert_eq!(schedule.delay(1, Draw(0.0), Some(asked)), asked);
    }

    proptest! {
        #[test]
        fn delays_stay_within_jitter_and_maximum(failures in 0u32..200, draw in 0.0..1.0f64) {
            for lane in Lane::ALL {
                let schedule = RetrySchedule::of(lane);
                let delay = schedule.delay(failures, Draw(draw), None);
                prop_assert!(delay <= schedule.delay_max);
                prop_assert!(delay >= schedule.delay_base.mul_f64(1.0 - JITTER));
            }
        }
    }
}

//! How many calls a worker makes at once: Twilio bounds the simultaneous requests of an account, does not say where,
//! and answers 429/20429 beyond it. The limit is halved when it says so, and grows back by one every second. Each worker
//! does so for itself; like senders on one network link they find a fair share without a word between them.

use std::time::Duration;

use crate::lane::Lane;

/// One storm of answers is one sign: the limit is halved at most this often, and grows by one this often.
const STEP: Duration = Duration::from_secs(1);
/// What is left to the urgent lane in any case.
const URGENT_MIN: u32 = 2;

/// The limit of one worker. Times are those of a monotonic clock.
#[derive(Debug, Clone)]
pub struct Concurrency {
    /// Configured, by lane in the order of [`Lane::ALL`].
    permits: [u32; 3],
    limit: u32,
    moved_at: Duration,
}

impl Concurrency {
    /// No limit but the configured permits of each lane, in the order of [`Lane::ALL`].
    #[must_use]
    pub fn new(permits: [u32; 3], now: Duration) -> Self {
        Self { permits, limit: permits.iter().sum(), moved_at: now.saturating_sub(STEP) }
    }

    /// Twilio said that so many calls at once were too many. Whether the limit moved.
    pub fn throttled(&mut self, calls_in_flight: u32, now: Duration) -> bool {
        if now.saturating_sub(self.moved_at) < STEP && self.limit < self.max() {
            return false;
        }
        let floor: u32 = Lane::ALL.into_iter().map(|lane| self.floor(lane)).sum();
        // The permits may be far more than the calls that were really made.
        let halved = self.limit.min(calls_in_flight) / 2;
        let before = self.limit;
        self.limit = halved.max(floor).min(before);
        self.moved_at = now;
        self.limit != before
    }

    /// Lets it grow, if its time has come. Whether the limit moved.
    pub fn grow(&mut self, now: Duration) -> bool {
        if self.limit >= self.max() || now.saturating_sub(self.moved_at) < STEP {
            return false;
        }
        self.limit += 1;
        self.moved_at = now;
        true
    }

    /// The limit of a lane: bulk gives way first, then normal, urgent last.
    #[must_use]
    pub fn limit_of(&self, lane: Lane) -> u32 {
        let mut to_give = self.max() - self.limit;
        for other in [Lane::Bulk, Lane::Normal, Lane::Urgent] {
            let given = to_give.min(self.permits_of(other) - self.floor(other));
            if other == lane {
                return self.permits_of(other) - given;
            }
            to_give -= given;
        }
        self.permits_of(lane)
    }

    /// The configured permits of a lane.
    #[must_use]
    pub fn permits_of(&self, lane: Lane) -> u32 {
        let place = Lane::ALL.into_iter().position(|other| other == lane);
        place.map_or(0, |place| self.permits[place])
    }

    fn floor(&self, lane: Lane) -> u32 {
        self.permits_of(lane).min(if lane == Lane::Urgent { URGENT_MIN } else { 1 })
    }

    fn max(&self) -> u32 {
        self.permits.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    fn limits(concurrency: &Concurrency) -> [u32; 3] {
        Lane::ALL.map(|lane| concurrency.limit_of(lane))
    }

    #[test]
    fn bulk_gives_way_first_and_urgent_last_and_nobody_altogether() {
        let mut concurrency = Concurrency::new([16, 32, 32], at(0));
        assert_eq!(limits(&concurrency), [16, 32, 32]);
        let rows = [(80, [16, 23, 1]), (40, [16, 3, 1]), (20, [8, 1, 1]), (10, [3, 1, 1]), (5, [2, 1, 1])];
        for (second, (in_flight, expected)) in (0..).zip(rows) {
            assert!(concurrency.throttled(in_flight, at(second)));
            assert_eq!(limits(&concurrency), expected);
        }
        assert!(!concurrency.throttled(4, at(9)), "there is no less");
    }

    #[test]
    fn a_storm_within_a_second_halves_once_and_it_grows_back_by_one_a_second() {
        let mut concurrency = Concurrency::new([16, 32, 32], at(0));
        assert!(concurrency.throttled(80, at(0)));
        assert!(!concurrency.throttled(80, at(0) + Duration::from_millis(999)));
        assert!(!concurrency.grow(at(0) + Duration::from_millis(999)));
        for second in 1..=40 {
            assert!(concurrency.grow(at(second)));
            assert!(!concurrency.grow(at(second)));
        }
        assert_eq!(limits(&concurrency), [16, 32, 32]);
        assert!(!concurrency.grow(at(99)), "never beyond what is configured");
    }

    #[test]
    fn it_is_halved_from_the_calls_that_were_really_made() {
        let mut concurrency = Concurrency::new([64, 64, 64], at(0));
        assert!(concurrency.throttled(20, at(0)));
        assert_eq!(limits(&concurrency).iter().sum::<u32>(), 10);
    }

    proptest! {
        #[test]
        fn every_lane_keeps_something_and_never_gets_more_than_its_permits(
            permits in proptest::array::uniform3(1u32..200),
            moves in proptest::collection::vec((any::<bool>(), 0u32..700, 0u64..5), 0..60),
        ) {
            let mut concurrency = Concurrency::new(permits, at(0));
            let mut now = at(0);
            for (is_cut, in_flight, wait_s) in moves {
                now += Duration::from_secs(wait_s);
                if is_cut { concurrency.throttled(in_flight, now); } else { concurrency.grow(now); }
                for lane in Lane::ALL {
                    let limit = concurrency.limit_of(lane);
                    prop_assert!(limit >= 1 && limit <= concurrency.permits_of(lane));
                }
            }
        }
    }
}

//! The simulator's own clock: one reading of the wall clock at the start, then monotonic time.

use std::time::Duration;

use tokio::time::Instant;

/// Microseconds since 1970, never going backwards within one simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// This moment and `later` more.
    pub(crate) fn plus(self, later: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(later.as_micros()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Microseconds since 1970.
    pub(crate) fn as_micros(self) -> u64 {
        self.0
    }

    /// The same moment for a calendar.
    pub(crate) fn timestamp(self) -> jiff::Timestamp {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX)
    }

    /// The moment that a calendar names; times before 1970 become 1970.
    pub(crate) fn at(timestamp: jiff::Timestamp) -> Self {
        Self(u64::try_from(timestamp.as_microsecond()).unwrap_or(0))
    }

    /// As Twilio's v2010 API writes dates: RFC 2822 with `+0000`, whole seconds.
    pub(crate) fn rfc2822(self) -> String {
        self.timestamp().strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }
}

/// Tells the time.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    origin_moment: Moment,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "the simulator's own clock")]
    pub(crate) fn start() -> Self {
        Self { origin: Instant::now(), origin_moment: Moment::at(jiff::Timestamp::now()) }
    }

    pub(crate) fn now(&self) -> Moment {
        self.origin_moment.plus(self.origin.elapsed())
    }

    /// Waits until `moment`; at once if it has passed.
    pub(crate) async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep_until(self.origin + moment.since(self.origin_moment)).await;
    }
}

//! The laboratory's clock: that of the machine, which broker, database, workers and simulator share.

/// Microseconds since 1970.
pub type Micros = i64;

/// Microseconds in a second.
pub const SECOND: Micros = 1_000_000;

/// Now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "an observer compares instants that other processes recorded")]
pub fn now() -> Micros {
    jiff::Timestamp::now().as_microsecond()
}

/// That instant as a job's `send_at` and `expires_at` are written.
#[must_use]
pub fn written(at: Micros) -> String {
    jiff::Timestamp::from_microsecond(at).unwrap_or(jiff::Timestamp::MAX).to_string()
}

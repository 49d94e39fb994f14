//! Every bound of the system, named. Twilio's own come from its Messages resource page.

use std::time::Duration;

/// Longest envelope body that is read as a job; a longer one is buried unread.
pub const ENVELOPE_BODY_BYTES_MAX: usize = 256 * 1024;
/// Twilio refuses longer bodies (error 21617).
pub const TEXT_CHARS_MAX: usize = 1_600;
/// Twilio refuses more media (error 21623).
pub const MEDIA_COUNT_MAX: usize = 10;
/// Longest media URL.
pub const MEDIA_URL_BYTES_MAX: usize = 2_048;
/// Most variables of a template, and most metadata entries.
pub const VARIABLES_COUNT_MAX: usize = 64;
/// Longest name of a template, and of its language.
pub const TEMPLATE_NAME_CHARS_MAX: usize = 64;
/// Longest name of a variable or metadata entry.
pub const VARIABLE_NAME_CHARS_MAX: usize = 64;
/// Longest value of a variable or metadata entry.
pub const VARIABLE_VALUE_CHARS_MAX: usize = 1_600;
/// Furthest future of `send_at` and `expires_at`.
pub const SCHEDULE_AHEAD_MAX: Duration = Duration::from_hours(366 * 24);
/// Longest `ValidityPeriod` that Twilio takes, in seconds.
pub const VALIDITY_PERIOD_S_MAX: u32 = 36_000;
/// Shortest `ValidityPeriod` that we ask for; Twilio advises more than 5.
pub const VALIDITY_PERIOD_S_MIN: u32 = 6;
/// From so many recipients on, a bulk travels in the bulk lane whatever its producer asked.
pub const BULK_LANE_RECIPIENTS_MIN: u64 = 100;
/// Highest turn of a job; far beyond what any schedule reaches.
pub const TURN_MAX: i32 = 1_000_000;
/// Levels of the delay ladder: level n holds an envelope for 2^n units.
pub const LADDER_LEVELS: u32 = 10;
/// Longest delay of the ladder, in units (seconds).
pub const LADDER_DELAY_UNITS_MAX: u32 = (1 << LADDER_LEVELS) - 1;
/// How long a claim belongs to its worker.
pub const CLAIM_LEASE: Duration = Duration::from_secs(60);
/// A call starts at most this long after its claim was sent, or not at all.
pub const CALL_START_DELAY_MAX: Duration = Duration::from_secs(5);
/// Longest call to Twilio, all in all.
pub const CALL_DURATION_MAX: Duration = Duration::from_secs(30);
/// A slot that is further away than this is not waited for in place.
pub const SLOT_WAIT_IN_PLACE_MAX: Duration = Duration::from_secs(2);
/// A slot that is further away than this is waited for in the waiting room.
pub const SLOT_WAIT_IN_LADDER_MAX: Duration = Duration::from_secs(10);
/// Longest block of slots that a worker reserves at once.
pub const SLOT_BLOCK: Duration = Duration::from_millis(50);
/// How long after `not_before` a wake-up may be missing before the sweeper publishes another.
pub const WAKE_UP_GRACE: Duration = Duration::from_secs(60);
/// Largest batch of one SQL statement.
pub const BATCH_ITEMS_MAX: usize = 256;
/// Rows that a periodic duty takes at once.
pub const DUTY_ROWS_MAX: i64 = 1_000;
/// How long a stopping worker waits for the calls in flight.
pub const SHUTDOWN_DRAIN_MAX: Duration = Duration::from_secs(30);

const _: () = assert!(CALL_START_DELAY_MAX.as_secs() + CALL_DURATION_MAX.as_secs() < CLAIM_LEASE.as_secs());
const _: () = assert!(SLOT_WAIT_IN_PLACE_MAX.as_secs() < CALL_START_DELAY_MAX.as_secs());

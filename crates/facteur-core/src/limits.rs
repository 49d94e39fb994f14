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
/// Most segments of one message: 1,600 characters outside of the GSM alphabet, 67 in each segment.
pub const MESSAGE_SEGMENTS_MAX: u32 = 24;
/// A normal or bulk message whose place is further away than this stands in its sender's line.
pub const SLOT_HORIZON: Duration = Duration::from_millis(100);
/// An urgent message that may not leave at once waits so long in place before it stands in the line.
pub const SLOT_HORIZON_URGENT: Duration = Duration::from_millis(300);
/// A message that holds a claim, and whose place came too late, waits so long for another one before it stands in the
/// line: beyond what the line's own places ([`SLOT_LOOKAHEAD`]) have moved the clock.
pub const SLOT_HORIZON_CLAIMED: Duration = Duration::from_millis(300);
/// How far ahead the messages of a line get their places: time to hand them to a lane and to claim them. An urgent
/// message's debt lasts as long, for its place comes after all that were given.
pub const SLOT_LOOKAHEAD: Duration = Duration::from_millis(60);
/// A line is pulled again when the sender's clock is ahead by no more than this.
pub const SLOT_REFILL_AT: Duration = Duration::from_millis(30);
/// A line is not pulled more often.
pub const SLOT_PULL_INTERVAL_MIN: Duration = Duration::from_millis(15);
/// Longest block of slots that a worker reserves at once.
pub const SLOT_BLOCK: Duration = Duration::from_millis(50);
/// Longest block of an urgent lane, whose messages would otherwise wait for its later places.
pub const SLOT_BLOCK_URGENT: Duration = Duration::from_millis(10);
/// How much of a fast sender's rate urgent messages may owe.
pub const SLOT_DEBT: Duration = Duration::from_millis(20);
/// How much urgent messages may owe at least, in segments.
pub const SLOT_DEBT_SEGMENTS_MIN: u32 = 2;
/// How much urgent messages may owe at most, in segments: each of them is remembered in the row of the sender's clock.
pub const SLOT_DEBT_SEGMENTS_MAX: u32 = 64;
/// How late a message may leave after its place, at a fast sender.
pub const SLOT_LATE_MAX: Duration = Duration::from_millis(30);
/// How long no slot is given once a clock or a server turns out to be another than before: whatever was given out and
/// is forgotten has been used by then.
pub const SLOT_DISTRUST: Duration = Duration::from_secs(1);
/// How long after `not_before` a wake-up may be missing before the sweeper publishes another.
pub const WAKE_UP_GRACE: Duration = Duration::from_secs(60);
/// The same for a job whose first wake-up stands in the outbox, where it stays as long as the broker is away.
pub const OUTBOX_GRACE: Duration = Duration::from_mins(10);
/// Largest batch of one SQL statement.
pub const BATCH_ITEMS_MAX: usize = 256;
/// Largest batch of one SQL statement, in bytes of the documents in it: it is copied twice on its way to the socket.
/// One document is never too large.
pub const BATCH_BYTES_MAX: usize = 512 * 1024;
/// Bytes of bodies that the broker is asked to leave with one consumer, by what bodies have weighed of late.
pub const ENVELOPES_IN_HAND_BYTES: usize = 8 * 1024 * 1024;
/// Envelopes that a consumer asks for before it knows what they weigh: all that fit, if they weigh 64 KiB each.
pub const PREFETCH_FIRST: u16 = 128;
/// Rows that a periodic duty takes at once.
pub const DUTY_ROWS_MAX: i64 = 1_000;
/// How long a stopping worker waits for the calls in flight.
pub const SHUTDOWN_DRAIN_MAX: Duration = Duration::from_secs(30);

const _: () = assert!(CALL_START_DELAY_MAX.as_secs() + CALL_DURATION_MAX.as_secs() < CLAIM_LEASE.as_secs());
const _: () = assert!(SLOT_HORIZON_URGENT.as_millis() < CALL_START_DELAY_MAX.as_millis());
const _: () = assert!(SLOT_LOOKAHEAD.as_millis() < SLOT_DISTRUST.as_millis());
const _: () = assert!(SLOT_PULL_INTERVAL_MIN.as_millis() < SLOT_REFILL_AT.as_millis());
const _: () = assert!(SLOT_REFILL_AT.as_millis() < SLOT_LOOKAHEAD.as_millis());

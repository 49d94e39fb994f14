//! Pacing: the generic cell rate algorithm on one clock per sender. `tat` (theoretical arrival time) is the
//! instant at which everything reserved so far has been paid for. The database does this arithmetic under the lock of
//! the sender's row; this is the same as a value, and tests hold the two together.
//!
//! Why no second holds more than rate + [`burst`]: every segment has a place of its own on the clock's line, one
//! [`Rate::period`] after the other. A message leaves at its place or up to [`late_max`] after it, and only urgent ones
//! leave before it: at most [`debt_max`] segments at any time have left whose places are still to come. So what leaves
//! within a second has its place in that second, or up to `late_max` before it, or is debt; and the last message may
//! reach over the end.
//!
//! A debt ends when its own place comes, and each is remembered by its place: under steady urgent traffic the owed
//! segments are those of the last moments, as far back as places are given ahead. Whoever would owe too much leaves as
//! soon as enough of those before it have been repaid, which is before its own place.

use std::time::Duration;

use crate::Timestamp;
use crate::limits::{
    MESSAGE_SEGMENTS_MAX, SLOT_DEBT, SLOT_DEBT_SEGMENTS_MAX, SLOT_DEBT_SEGMENTS_MIN, SLOT_LATE_MAX,
    SLOT_LOOKAHEAD,
};

/// A sender's rate. A cost is in SMS segments; a WhatsApp message or an MMS costs 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    per_second: f64,
}

/// Slowest rate that is taken: one segment in about 28 hours. Slower means "pause it".
const PER_SECOND_MIN: f64 = 1e-5;
/// Fastest rate that is taken: Twilio's account ceiling is 2,000 a second (error 63017).
const PER_SECOND_MAX: f64 = 100_000.0;

impl Rate {
    /// A rate in segments a second.
    ///
    /// # Errors
    /// A sentence, if it is not between 0.00001 and 100,000.
    pub fn per_second(per_second: f64) -> Result<Self, String> {
        if (PER_SECOND_MIN..=PER_SECOND_MAX).contains(&per_second) {
            Ok(Self { per_second })
        } else {
            Err(format!(
                "a rate is between {PER_SECOND_MIN} and {PER_SECOND_MAX} segments a second; to stop, pause"
            ))
        }
    }

    /// Segments a second.
    #[must_use]
    pub fn as_per_second(self) -> f64 {
        self.per_second
    }

    /// How long one segment lasts.
    #[must_use]
    pub fn period(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }
}

/// How many segments of urgent messages may have left before their places, when the one that asks has `segments`: 20 ms
/// of the rate, between two and 64 segments, at least the message itself.
#[must_use]
pub fn debt_max(rate: Rate, segments: u32) -> u32 {
    segments.max(segments_within(rate, SLOT_DEBT).clamp(SLOT_DEBT_SEGMENTS_MIN, SLOT_DEBT_SEGMENTS_MAX))
}

/// How late after its place a message may leave: 30 ms, or a quarter of a slow sender's segment.
#[must_use]
pub fn late_max(rate: Rate) -> Duration {
    SLOT_LATE_MAX.max(rate.period() / 4)
}

/// The burst, in segments, of a sender whose largest message has `largest`: in any second at most rate + burst leaves,
/// the rate rounded up to whole segments. With messages of one segment it is 50 ms of a fast sender's rate.
#[must_use]
pub fn burst(rate: Rate, largest: u32) -> f64 {
    let overhang = largest.saturating_sub(1);
    f64::from(overhang + debt_max(rate, largest)) + rate.as_per_second() * late_max(rate).as_secs_f64()
}

/// How far ahead of now a clock can be: whoever is further was moved by a clock that jumped, and is set back.
#[must_use]
pub fn ahead_max(rate: Rate) -> Duration {
    // One message at the end of the lookahead, and as much debt; and what a failover is given to be forgotten.
    let segments = MESSAGE_SEGMENTS_MAX + debt_max(rate, MESSAGE_SEGMENTS_MAX);
    SLOT_LOOKAHEAD + crate::limits::SLOT_DISTRUST + rate.period().saturating_mul(segments)
}

/// How many segments a worker reserves at once: what the sender carries in one block, in whole messages of `needed`.
#[must_use]
pub fn block_size(rate: Rate, block: Duration, needed: u32) -> u32 {
    let needed = needed.max(1);
    needed.saturating_mul((segments_within(rate, block) / needed).max(1))
}

fn segments_within(rate: Rate, time: Duration) -> u32 {
    // The rate's maximum times a block is far below u32::MAX.
    (rate.as_per_second() * time.as_secs_f64()).floor() as u32
}

/// A sender's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderClock {
    /// Everything before this instant is spoken for.
    pub tat: Timestamp,
    /// The places of urgent messages that leave before them: one for each segment, in order. Those that have come are
    /// repaid.
    pub debts: Vec<Timestamp>,
}

impl SenderClock {
    /// A clock that has never been asked.
    pub const IDLE: Self = Self { tat: Timestamp::MIN, debts: Vec::new() };
}

/// What is asked of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ask {
    /// Segments of the message.
    pub needed: u32,
    /// Segments to reserve if nobody else waits; at least `needed`.
    pub block: u32,
    /// Whether it may leave before its place, as debt.
    pub may_owe: bool,
    /// How far ahead of now the first place may lie.
    pub horizon: Duration,
    /// Whether others wait in the sender's line, behind whom this message belongs.
    pub has_line: bool,
    /// Whether it had a place before them already, which came too late: it does not go behind them again.
    pub skips_line: bool,
}

/// What a clock answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// The places are ours.
    Granted {
        /// When the first segment may leave.
        from: Timestamp,
        /// Its place on the line; later than `from` if it is debt.
        place: Timestamp,
        /// How many segments.
        count: u32,
    },
    /// Nothing was reserved: the message stands in the line.
    Full,
}

/// Reserves the places of a message, and of those that follow it within the block. An idle clock stands at `now`: what
/// was not used is not saved up.
#[must_use]
pub fn reserve(clock: SenderClock, now: Timestamp, rate: Rate, ask: Ask) -> (SenderClock, Reservation) {
    let place = clock.tat.max(now);
    let has_line = ask.has_line && !ask.skips_line;
    let in_place = |clock: SenderClock, count: u32| {
        let tat = later(place, rate.period().saturating_mul(count));
        (SenderClock { tat, ..clock }, Reservation::Granted { from: place, place, count })
    };
    if place <= now {
        return in_place(clock, if has_line { ask.needed } else { ask.block });
    }
    let horizon = later(now, ask.horizon);
    let mut debts = unpaid(&clock, now, rate);
    if let Some(from) =
        owing_from(&debts, now, rate, ask).filter(|from| *from <= now || !has_line && *from <= horizon)
    {
        let tat = later(place, rate.period().saturating_mul(ask.needed));
        debts.extend((0..ask.needed).map(|_| place));
        return (SenderClock { tat, debts }, Reservation::Granted { from, place, count: ask.needed });
    }
    if place <= horizon && !has_line {
        return in_place(clock, ask.block);
    }
    (clock, Reservation::Full)
}

/// What is owed, in order. A debt that is further ahead than a clock can be is one of a clock that jumped.
fn unpaid(clock: &SenderClock, now: Timestamp, rate: Rate) -> Vec<Timestamp> {
    let last = later(now, ahead_max(rate));
    let mut debts = clock.debts.clone();
    debts.retain(|place| *place > now && *place <= last);
    debts.sort_unstable();
    debts
}

/// When the message may leave as debt: as soon as so many of the owed segments have been repaid that it is one of
/// [`debt_max`]. At most as many again stand behind these: nobody after them leaves before its place.
fn owing_from(debts: &[Timestamp], now: Timestamp, rate: Rate, ask: Ask) -> Option<Timestamp> {
    let most = debt_max(rate, ask.needed) as usize;
    let excess = (debts.len() + ask.needed as usize).saturating_sub(most);
    if !ask.may_owe || excess > most {
        return None;
    }
    excess.checked_sub(1).map_or(Some(now), |last| debts.get(last).copied())
}

/// Gives the next messages of a line their places, as long as these begin within [`SLOT_LOOKAHEAD`]. Returns the places
/// of those that got one.
#[must_use]
pub fn pull(
    clock: SenderClock,
    now: Timestamp,
    rate: Rate,
    segments: &[u32],
) -> (SenderClock, Vec<Timestamp>) {
    let mut tat = clock.tat.max(now);
    let mut places = Vec::new();
    for count in segments {
        if tat > later(now, SLOT_LOOKAHEAD) {
            break;
        }
        places.push(tat);
        tat = later(tat, rate.period().saturating_mul(*count));
    }
    (if places.is_empty() { clock } else { SenderClock { tat, ..clock } }, places)
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
#[path = "gcra_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "gcra_urgent_tests.rs"]
mod urgent_tests;

//! Dates and times written out: `2026-01-15T13:00:00Z` becomes "jeudi 15 janvier 2026 à 14:00" in Paris.
//!
//! No month or weekday leaves the GSM alphabet, for one letter outside of it would more than double what a message
//! costs: August is "aout", as the French spelling of 1990 has it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::Timestamp;

/// How a language writes dates.
struct Words {
    /// The language, without its region.
    language: &'static str,
    /// From Monday on.
    weekdays: [&'static str; 7],
    /// From January on.
    months: [&'static str; 12],
    /// The first day of a month.
    first: &'static str,
    /// Between the date and the time.
    at: &'static str,
}

const WORDS: [Words; 2] = [
    Words {
        language: "fr",
        weekdays: ["lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche"],
        months: [
            "janvier",
            "février",
            "mars",
            "avril",
            "mai",
            "juin",
            "juillet",
            "aout",
            "septembre",
            "octobre",
            "novembre",
            "décembre",
        ],
        first: "1er",
        at: "à",
    },
    Words {
        language: "en",
        weekdays: ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"],
        months: [
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
            "November",
            "December",
        ],
        first: "1",
        at: "at",
    },
];

/// The variables that hold a date, and the time of day that belongs to it.
const DATE: &str = "date";
const TIME: &str = "time";

/// What an ISO 8601 text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Day(Date),
    Moment(DateTime),
    Clock(Time),
}

/// The time zone of that name in the IANA database, which is a part of the program; UTC if there is none.
#[must_use]
pub fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

/// Writes out every value that is an ISO 8601 date or time from end to end, in the template's language and, where the
/// value names an offset from UTC, in this time zone. Whatever else a value says is left alone, and so is everything
/// in a language that is neither French nor English.
///
/// A template that asks for `date` and `time` apart gets the day in one and the time of day in the other, also if only
/// `date` was given and holds both.
pub fn write_out(
    variables: &mut BTreeMap<String, String>,
    placeholders: &BTreeSet<&str>,
    language: &str,
    zone: &TimeZone,
) {
    let spoken = language.split(['-', '_']).next().unwrap_or_default();
    let Some(words) = WORDS.iter().find(|words| words.language.eq_ignore_ascii_case(spoken)) else { return };
    let are_apart = placeholders.contains(DATE) && placeholders.contains(TIME);
    if are_apart
        && !variables.contains_key(TIME)
        && let Some(Told::Moment(at)) = variables.get(DATE).and_then(|date| read(date, zone))
    {
        variables.insert(TIME.to_owned(), clock(at.time()));
    }
    for (name, value) in variables {
        let Some(told) = read(value, zone) else { continue };
        *value = match told {
            Told::Day(day) => words.day(day),
            Told::Clock(time) => clock(time),
            Told::Moment(at) if name == TIME => clock(at.time()),
            Told::Moment(at) if are_apart && name == DATE => words.day(at.date()),
            Told::Moment(at) => format!("{} {} {}", words.day(at.date()), words.at, clock(at.time())),
        };
    }
}

impl Words {
    fn day(&self, day: Date) -> String {
        let at = |names: &[&'static str], number: i8| {
            usize::try_from(number - 1).ok().and_then(|index| names.get(index)).copied().unwrap_or_default()
        };
        let weekday = at(&self.weekdays, day.weekday().to_monday_one_offset());
        let number = if day.day() == 1 { self.first.to_owned() } else { day.day().to_string() };
        format!("{weekday} {number} {} {}", at(&self.months, day.month()), day.year())
    }
}

fn clock(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// Reads `2026-01-15`, `2026-01-15T14:00` with or without seconds and offset (a space may stand for the `T`), and
/// `14:00:00`.
fn read(text: &str, zone: &TimeZone) -> Option<Told> {
    let text = text.trim();
    let is_shape = |text: &str, shape: &str| {
        text.len() == shape.len()
            && text.bytes().zip(shape.bytes()).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            })
    };
    if is_shape(text, "00:00:00") {
        return text.parse().ok().map(Told::Clock);
    }
    if !text.get(..10).is_some_and(|day| is_shape(day, "0000-00-00")) {
        return None;
    }
    match text.get(10..)?.as_bytes() {
        [] => text.parse().ok().map(Told::Day),
        [b'T' | b't' | b' ', b'0'..=b'9', ..] => match text.parse::<Timestamp>() {
            Ok(instant) => Some(Told::Moment(zone.to_datetime(instant))),
            Err(_) => text.parse().ok().map(Told::Moment),
        },
        _ => None,
    }
}

#[cfg(test)]
#[path = "written_tests.rs"]
mod tests;

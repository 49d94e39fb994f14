//! Quiet hours: whether marketing may be sent now, and if not, when.
//!
//! A number tells its country, not its town. In a country of several time zones a message leaves only when it is day in
//! all of them: the strictest reading.

use jiff::ToSpan as _;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use super::hours::Hours;
use crate::Timestamp;

/// Days that are looked at for the next opening: a week has every kind of day, and two zones may be two days apart.
const DAYS_AHEAD: i32 = 9;

/// What quiet hours say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// It may leave, until then; `None` if there are no quiet hours to come.
    Open {
        /// When the next quiet hours begin.
        until: Option<Timestamp>,
    },
    /// Not before this instant.
    Until(Timestamp),
    /// There is no hour of the week at which it is day in all zones.
    Always,
}

/// Judges an instant by the hours of all the zones.
pub(super) fn judge(hours: Hours, zones: &[TimeZone], now: Timestamp) -> Quiet {
    let mut at = now;
    let is_near = |at: Timestamp| at.duration_since(now).as_hours() <= i64::from(DAYS_AHEAD) * 24;
    while is_near(at) {
        // Each zone moves the instant to its own day; when none moves it any more, it is day in all of them.
        let days: Option<Vec<Day>> = zones.iter().map(|zone| day_at_or_after(hours, zone, at)).collect();
        let Some(days) = days else { return Quiet::Always };
        let latest = days.iter().map(|day| day.begins).max().unwrap_or(at);
        if latest > at {
            at = latest;
            continue;
        }
        let ends = days.iter().map(|day| day.ends).min();
        return if at == now { Quiet::Open { until: ends } } else { Quiet::Until(at) };
    }
    Quiet::Always
}

/// One stretch of time in which marketing may be sent.
struct Day {
    begins: Timestamp,
    ends: Timestamp,
}

/// The stretch that holds the instant, or the next one after it.
fn day_at_or_after(hours: Hours, zone: &TimeZone, at: Timestamp) -> Option<Day> {
    let today = zone.to_datetime(at).date();
    (0..=DAYS_AHEAD).find_map(|ahead| {
        let day = day_of(hours, zone, today.checked_add(ahead.days()).ok()?)?;
        (day.ends > at).then_some(day)
    })
}

fn day_of(hours: Hours, zone: &TimeZone, date: Date) -> Option<Day> {
    let (from, to) = match date.weekday() {
        Weekday::Saturday => hours.saturday,
        Weekday::Sunday => hours.sunday,
        Weekday::Monday | Weekday::Tuesday | Weekday::Wednesday | Weekday::Thursday | Weekday::Friday => {
            hours.weekday
        }
    }?;
    let (from, to) = (time(from)?, time(to)?);
    // Of an hour that the clocks show twice the second begins the day and the first ends it.
    let begins = zone.to_ambiguous_timestamp(date.to_datetime(from)).later().ok()?;
    let ends = zone.to_ambiguous_timestamp(date.to_datetime(to)).earlier().ok()?;
    (begins < ends).then_some(Day { begins, ends })
}

fn time(minutes: u16) -> Option<Time> {
    Time::new(i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0).ok()
}

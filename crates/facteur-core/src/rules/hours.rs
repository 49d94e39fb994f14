//! Between which hours marketing may be sent, by country. Law where there is one, else what carriers or the careful ask
//! for; public holidays are not known here.

use crate::phone::Country;

/// The hours of one week: from and to, in minutes of the local day; `None` for a day on which nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hours {
    pub(super) weekday: Option<(u16, u16)>,
    pub(super) saturday: Option<(u16, u16)>,
    pub(super) sunday: Option<(u16, u16)>,
}

const fn between(from_h: u16, to_h: u16) -> Option<(u16, u16)> {
    Some((from_h * 60, to_h * 60))
}

const fn daily(from_h: u16, to_h: u16) -> Hours {
    let hours = between(from_h, to_h);
    Hours { weekday: hours, saturday: hours, sunday: hours }
}

/// Where nothing is written down, nobody is woken: the rule that messaging platforms apply world-wide.
const ANYWHERE: Hours = daily(8, 20);

/// France and its overseas: carriers hold marketing back at night, on Sundays and on holidays (AF2M's charter; their
/// night begins at 22:00 or 20:00).
const FRANCE: Hours = Hours { weekday: between(8, 20), saturday: between(8, 20), sunday: None };

/// The United States: 8:00 to 21:00 by 47 CFR 64.1200(c)(1); Florida (§501.059) and Oklahoma end at 20:00, and Texas
/// (Bus. & Com. Code ch. 302) begins at 9:00, on Sundays at 12:00.
const UNITED_STATES: Hours =
    Hours { weekday: between(9, 20), saturday: between(9, 20), sunday: between(12, 20) };

/// Canada: CRTC, Unsolicited Telecommunications Rules, part III §23: 9:00 to 21:30, at weekends 10:00 to 18:00.
const CANADA: Hours =
    Hours { weekday: Some((9 * 60, 21 * 60 + 30)), saturday: between(10, 18), sunday: between(10, 18) };

/// India: TRAI's TCCCPR 2018: commercial communication from 10:00 to 21:00.
const INDIA: Hours = daily(10, 21);

/// Australia: the Telemarketing and Research Calls Industry Standard 2017, which careful senders of texts follow too:
/// 9:00 to 20:00, on Saturdays to 17:00, never on Sundays.
const AUSTRALIA: Hours = Hours { weekday: between(9, 20), saturday: between(9, 17), sunday: None };

/// Every country whose hours are not those of [`ANYWHERE`].
pub(super) const BY_COUNTRY: &[(&[&str], Hours)] = &[
    (&["FR", "BL", "GF", "GP", "MF", "MQ", "NC", "PF", "PM", "RE", "WF", "YT"], FRANCE),
    (&["US", "AS", "GU", "MP", "PR", "VI"], UNITED_STATES),
    (&["CA"], CANADA),
    (&["IN"], INDIA),
    (&["AU"], AUSTRALIA),
];

/// The hours of a country.
pub(super) fn of(country: Country) -> Hours {
    let found = BY_COUNTRY.iter().find(|(countries, _)| countries.contains(&country.as_str()));
    found.map_or(ANYWHERE, |(_, hours)| *hours)
}

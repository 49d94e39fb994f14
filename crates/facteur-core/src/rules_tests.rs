use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;
use crate::ids::{JobId, Tenant};
use crate::job::{Content, Recipient};
use crate::phone::PhoneNumber;
use crate::rules::hours::Hours;

/// A mobile number of each country that the tests write to.
const NUMBERS: [(&str, &str); 9] = [
    ("FR", "+33612345678"),
    ("US", "+12125550123"),
    ("CA", "+14165550123"),
    ("IN", "+919812345678"),
    ("AU", "+61412345678"),
    ("RU", "+79161234567"),
    ("GB", "+447400123456"),
    ("BR", "+5511961234567"),
    ("KI", "+68672001234"),
];

fn job(number: &str, category: Category) -> Job {
    Job {
        id: JobId(uuid::Uuid::nil()),
        tenant: Tenant::parse("acme").unwrap(),
        recipient: Recipient { channel: Channel::Sms, number: PhoneNumber::from_e164(number).unwrap() },
        sender: None,
        content: Content::Message { text: "x".to_owned(), media_urls: Vec::new() },
        category,
        send_at: None,
        expires_at: None,
        bulk_id: None,
    }
}

fn marketing(number: &str) -> Job {
    job(number, Category::Marketing)
}

fn quiet() -> TenantRules {
    TenantRules { has_quiet_hours: true, ..TenantRules::default() }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Whether the clock on the wall of that zone shows an hour of the table, reckoned in another way than the judgement.
fn is_day(hours: Hours, zone: &TimeZone, at: Timestamp) -> bool {
    let wall = zone.to_datetime(at);
    let of_day = match wall.weekday() {
        Weekday::Saturday => hours.saturday,
        Weekday::Sunday => hours.sunday,
        _ => hours.weekday,
    };
    let minute = u16::try_from(i32::from(wall.hour()) * 60 + i32::from(wall.minute())).unwrap();
    of_day.is_some_and(|(from, to)| (from..to).contains(&minute))
}

fn is_day_everywhere(country: Country, at: Timestamp) -> bool {
    zones::of(country).iter().all(|zone| is_day(hours::of(country), zone, at))
}

#[test]
fn every_country_that_has_numbers_has_zones_that_exist_and_an_hour_of_day_in_all_of_them() {
    let letters = || ('A'..='Z').map(|letter| letter.to_string());
    let codes = letters().flat_map(|first| letters().map(move |second| format!("{first}{second}")));
    let countries: Vec<Country> = codes.filter_map(|code| Country::parse(&code).ok()).collect();
    assert!(countries.len() > 240, "{}", countries.len());
    for country in countries {
        let names: Vec<_> = zones::names(country.as_str()).collect();
        assert!(!names.is_empty(), "{country}");
        assert_eq!(zones::of(country).len(), names.len(), "{country}: {names:?}");
        // A Monday and a Sunday of either half of the year.
        for now in ["2026-01-05T00:00:00Z", "2026-07-05T00:00:00Z"] {
            let found = super::quiet::judge(hours::of(country), &zones::of(country), at(now));
            assert_ne!(found, Quiet::Always, "{country} has no hour that is day everywhere");
        }
    }
}

#[test]
fn every_row_of_the_hours_names_countries_and_hours_that_exist() {
    let mut seen = std::collections::BTreeSet::new();
    for (countries, hours) in hours::BY_COUNTRY {
        for code in *countries {
            assert!(Country::parse(code).is_ok() && seen.insert(code), "{code}");
        }
        for (from, to) in [hours.weekday, hours.saturday, hours.sunday].into_iter().flatten() {
            assert!(from < to && to < 24 * 60, "{countries:?}");
        }
    }
}

#[test]
fn marketing_waits_for_the_day_and_nothing_else_does() {
    let rows = [
        // A Wednesday in Paris, winter time.
        ("FR", "2026-12-02T06:59:59Z", Some("2026-12-02T07:00:00Z")),
        ("FR", "2026-12-02T07:00:00Z", None),
        ("FR", "2026-12-02T18:59:59Z", None),
        ("FR", "2026-12-02T19:00:00Z", Some("2026-12-03T07:00:00Z")),
        // From Saturday evening over the Sunday to Monday.
        ("FR", "2026-12-05T19:00:00Z", Some("2026-12-07T07:00:00Z")),
        ("GB", "2026-12-06T12:00:00Z", None),
        // Nine in Hawaii is fourteen in New York; twenty in New York is fifteen in Hawaii.
        ("US", "2026-12-02T14:00:00Z", Some("2026-12-02T19:00:00Z")),
        ("US", "2026-12-02T19:00:00Z", None),
        ("US", "2026-12-03T01:00:00Z", Some("2026-12-03T19:00:00Z")),
        ("IN", "2026-12-02T04:29:59Z", Some("2026-12-02T04:30:00Z")),
        // Eight in Kaliningrad is eighteen in Kamchatka: two hours are left of the day.
        ("RU", "2026-12-02T06:00:00Z", None),
        ("RU", "2026-12-02T08:00:00Z", Some("2026-12-03T06:00:00Z")),
    ];
    for (country, now, until) in rows {
        let number = NUMBERS.iter().find(|(of, _)| *of == country).unwrap().1;
        let found = match quiet().quiet(&marketing(number), at(now)) {
            Quiet::Open { until: Some(ends) } => {
                assert!(ends > at(now));
                None
            }
            Quiet::Until(until) => Some(until),
            other => panic!("{other:?}"),
        };
        assert_eq!(found, until.map(at), "{country} at {now}");
        let open = Quiet::Open { until: None };
        for category in [Category::Otp, Category::Transactional] {
            assert_eq!(quiet().quiet(&job(number, category), at(now)), open);
        }
        assert_eq!(TenantRules::default().quiet(&marketing(number), at(now)), open, "off by default");
    }
}

#[test]
fn the_clocks_change_and_eight_in_the_morning_moves_with_them() {
    let (before, after) = ("2026-03-28T19:00:00Z", "2026-10-24T18:00:00Z");
    let wait = |now| quiet().quiet(&marketing("+33612345678"), at(now));
    assert_eq!(wait(before), Quiet::Until(at("2026-03-30T06:00:00Z")), "summer time begins on the Sunday");
    assert_eq!(wait(after), Quiet::Until(at("2026-10-26T07:00:00Z")), "and ends on one");
    let us = |now| quiet().quiet(&marketing("+12125550123"), at(now));
    // Hawaii keeps its time: when New York has summer time, one hour less is day in both.
    assert_eq!(us("2026-07-01T23:59:59Z"), Quiet::Open { until: Some(at("2026-07-02T00:00:00Z")) });
    assert_eq!(us("2026-07-02T00:00:00Z"), Quiet::Until(at("2026-07-02T19:00:00Z")));
}

#[test]
fn a_number_of_no_country_has_no_night() {
    let found = quiet().quiet(&marketing("+881612345678"), at("2026-12-02T02:00:00Z"));
    assert_eq!(found, Quiet::Open { until: None });
}

proptest! {
    #[test]
    fn no_marketing_is_admitted_while_it_is_quiet_in_any_zone_of_its_recipient(
        seconds in 1_767_225_600_i64..2_240_000_000,
        nth in 0..NUMBERS.len(),
    ) {
        let (code, number) = NUMBERS[nth];
        let (country, now) = (Country::parse(code).unwrap(), Timestamp::from_second(seconds).unwrap());
        match quiet().quiet(&marketing(number), now) {
            Quiet::Open { until } => {
                let until = until.unwrap();
                prop_assert!(is_day_everywhere(country, now));
                let last = Timestamp::from_second(until.as_second() - 1).unwrap();
                prop_assert!(is_day_everywhere(country, last), "{code} is still open at {last}");
                prop_assert!(!is_day_everywhere(country, until), "{code} ends at {until}");
            }
            Quiet::Until(at) => {
                prop_assert!(!is_day_everywhere(country, now), "{code} could leave at {now}");
                prop_assert!(at > now && is_day_everywhere(country, at));
                let last = Timestamp::from_second(at.as_second() - 1).unwrap();
                prop_assert!(!is_day_everywhere(country, last), "{code} could leave before {at}");
            }
            Quiet::Always => prop_assert!(false, "{code} is never open"),
        }
    }
}

#[test]
fn countries_and_budgets_refuse_with_their_codes() {
    let france = Country::FRANCE;
    let only_france = TenantRules { countries_allowed: Some(vec![france]), ..TenantRules::default() };
    let small = TenantRules { segments_per_day: Some(2), ..TenantRules::default() };
    let to = |number| job(number, Category::Otp);
    let rows = [
        (&only_france, "+33612345678", 1, None),
        (&only_france, "+12125550123", 1, Some(Code::CountryNotAllowed)),
        // Réunion has numbers of its own, and so has a satellite.
        (&only_france, "+262692123456", 1, Some(Code::CountryNotAllowed)),
        (&only_france, "+881612345678", 1, Some(Code::CountryNotAllowed)),
        (&small, "+12125550123", 2, None),
        (&small, "+12125550123", 3, Some(Code::BudgetExceeded)),
    ];
    for (rules, number, segments, expected) in rows {
        let found = rules.refusal(&to(number), segments);
        assert_eq!(found.as_ref().map(|(_, reason)| reason.code), expected, "{number} {segments}");
        assert!(
            found.is_none_or(|(status, reason)| {
                status == Status::Dead && !reason.sentence.contains(number)
            })
        );
    }
}

#[test]
fn free_text_on_whatsapp_needs_a_window_that_is_open_or_unknown() {
    let whatsapp = |channel| {
        let mut job = job("+33612345678", Category::Transactional);
        job.recipient.channel = channel;
        job
    };
    let text = CallContent::Message { text: "x".to_owned(), media_urls: Vec::new() };
    let template =
        CallContent::Template { content_sid: "HX0".to_owned(), variables: std::collections::BTreeMap::new() };
    let (now, day) = (at("2026-12-02T12:00:00Z"), at("2026-12-01T12:00:00Z"));
    let just_open = at("2026-12-01T12:00:01Z");
    let rows = [
        (Channel::Whatsapp, &text, Some(day), true),
        (Channel::Whatsapp, &text, Some(just_open), false),
        (Channel::Whatsapp, &text, None, false),
        (Channel::Whatsapp, &template, Some(day), false),
        (Channel::Sms, &text, Some(day), false),
    ];
    for (channel, content, heard_at, is_closed) in rows {
        let found = window_closed(&whatsapp(channel), content, heard_at, now);
        assert_eq!(found.map(|reason| reason.code), is_closed.then_some(Code::WindowClosed));
    }
}

#[test]
fn a_time_zone_is_found_in_any_case_and_nothing_else_is_one() {
    assert_eq!(time_zone("europe/paris").as_deref(), Ok("Europe/Paris"));
    assert_eq!(time_zone("UTC").as_deref(), Ok("UTC"));
    for bad in ["", "Paris", "+01:00", "Etc/Unknown", "Europe/Paris; DROP TABLE"] {
        assert!(time_zone(bad).is_err(), "{bad}");
    }
}

use proptest::prelude::*;

use super::*;
use crate::segments::{Encoding, count};

fn written(value: &str, language: &str, zone_name: &str) -> String {
    let mut variables = BTreeMap::from([("date".to_owned(), value.to_owned())]);
    write_out(&mut variables, &BTreeSet::from(["date"]), language, &zone(zone_name));
    variables.remove("date").unwrap()
}

#[test]
fn dates_are_written_out_by_this_table() {
    let rows = [
        ("2026-01-15", "fr", "jeudi 15 janvier 2026"),
        ("2026-01-15", "en", "Thursday 15 January 2026"),
        ("2026-08-01", "fr", "samedi 1er aout 2026"),
        ("2026-02-01", "en", "Sunday 1 February 2026"),
        ("2026-01-15T14:00", "fr", "jeudi 15 janvier 2026 à 14:00"),
        ("2026-01-15 14:00:30", "en", "Thursday 15 January 2026 at 14:00"),
        // What names an offset is told in the tenant's zone, in summer and in winter.
        ("2026-01-15T13:00:00Z", "fr", "jeudi 15 janvier 2026 à 14:00"),
        ("2026-07-15T12:00:00.000Z", "fr", "mercredi 15 juillet 2026 à 14:00"),
        ("2026-01-15T23:30:00Z", "fr", "vendredi 16 janvier 2026 à 00:30"),
        ("2026-01-15T14:00:00+01:00", "en-GB", "Thursday 15 January 2026 at 14:00"),
        ("2026-01-15T05:00:00-08:00", "fr_FR", "jeudi 15 janvier 2026 à 14:00"),
        (" 2026-01-15 ", "FR", "jeudi 15 janvier 2026"),
        ("14:30:00", "fr", "14:30"),
        // What is written already, or is no date, stays.
        ("14:30", "fr", "14:30"),
        ("lundi 15 janvier 2026", "fr", "lundi 15 janvier 2026"),
        ("15/01/2026", "fr", "15/01/2026"),
        ("2026-02-30", "fr", "2026-02-30"),
        ("2026-01-15T25:00", "fr", "2026-01-15T25:00"),
        ("2026-01-15 au matin", "fr", "2026-01-15 au matin"),
        ("20260115", "fr", "20260115"),
        ("2026-01-15", "de", "2026-01-15"),
        ("", "fr", ""),
    ];
    for (value, language, expected) in rows {
        assert_eq!(written(value, language, "Europe/Paris"), expected, "{value:?} {language}");
    }
}

#[test]
fn a_zone_that_does_not_exist_is_utc() {
    assert_eq!(written("2026-01-15T13:00:00Z", "fr", "Mars/Olympus"), "jeudi 15 janvier 2026 à 13:00");
    assert_eq!(written("2026-01-15T13:00:00Z", "fr", "Africa/Dakar"), "jeudi 15 janvier 2026 à 13:00");
}

#[test]
fn day_and_time_of_day_go_apart_where_the_template_asks_for_both() {
    let both = BTreeSet::from(["date", "name", "time"]);
    let told = |pairs: &[(&str, &str)]| {
        let mut variables: BTreeMap<String, String> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        write_out(&mut variables, &both, "fr", &zone("Europe/Paris"));
        (variables["date"].clone(), variables.get("time").cloned())
    };
    let thursday = || "jeudi 15 janvier 2026".to_owned();
    assert_eq!(told(&[("date", "2026-01-15T13:00:00Z")]), (thursday(), Some("14:00".to_owned())));
    assert_eq!(
        told(&[("date", "2026-01-15"), ("time", "2026-01-15T15:30")]),
        (thursday(), Some("15:30".to_owned()))
    );
    assert_eq!(told(&[("date", "2026-01-15"), ("time", "9h")]), (thursday(), Some("9h".to_owned())));
    assert_eq!(told(&[("date", "2026-01-15")]), (thursday(), None));
}

#[test]
fn no_day_of_a_year_leaves_the_gsm_alphabet() {
    let first: Date = "2026-01-01".parse().unwrap();
    for day in (0..365).map(|days| first.checked_add(jiff::Span::new().days(days)).unwrap()) {
        for language in ["fr", "en"] {
            let text = written(&format!("{day}T08:00"), language, "UTC");
            assert_eq!(count(&text).encoding, Encoding::Gsm7, "{text}");
        }
    }
}

proptest! {
    #[test]
    fn any_value_is_written_out_or_left_alone(value in ".{0,40}") {
        let told = written(&value, "fr", "Europe/Paris");
        prop_assert!(told == value || value.trim().contains(['-', ':']));
    }
}

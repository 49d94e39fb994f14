use super::*;

#[test]
fn the_table_is_sorted_and_complete() {
    let codes: Vec<u32> = entries().map(|entry| entry.code).collect();
    assert!(codes.is_sorted_by(|a, b| a < b), "codes are distinct and rise");
    assert_eq!(codes.len(), EXPECTED_CODES);
    for code in codes {
        assert_eq!(lookup(code).map(|entry| entry.code), Some(code));
    }
    assert_eq!(lookup(0), None);
    assert_eq!(lookup(21_213), None);
}

/// Codes of Twilio's dictionary that concern messages: raised with the table.
const EXPECTED_CODES: usize = 197;

#[test]
fn every_entry_speaks_in_sentences() {
    for entry in entries() {
        for text in [entry.meaning, entry.advice] {
            assert!(text.ends_with('.') && text.len() >= 8 && text.len() <= 140, "{}: {text}", entry.code);
            assert!(
                text.starts_with(|first: char| first.is_ascii_uppercase() || first.is_ascii_digit()),
                "{text}"
            );
        }
    }
}

#[test]
fn every_class_has_its_name_and_its_codes() {
    for class in ErrorClass::ALL {
        assert!(entries().any(|entry| entry.class == class), "{class:?}");
        assert_eq!(ErrorClass::ALL.iter().filter(|other| other.as_str() == class.as_str()).count(), 1);
    }
}

#[test]
fn answers_are_classified_by_this_table() {
    use ErrorClass::{
        Account, Ambiguous, Content, Destination, NotFound, Recipient, Sender, Throttled, Transient,
    };
    let rows = [
        (Some(21_211), 400, Recipient),
        (Some(21_610), 400, Recipient),
        (Some(21_614), 400, Recipient),
        (Some(21_617), 400, Content),
        (Some(21_408), 400, Destination),
        (Some(21_608), 400, Destination),
        (Some(21_606), 400, Sender),
        (Some(20_003), 401, Account),
        (Some(20_003), 403, Account),
        (Some(20_404), 404, NotFound),
        (Some(20_429), 429, Throttled),
        (Some(21_611), 429, Throttled),
        (Some(21_611), 400, Throttled),
        // The status is more certain than the code.
        (Some(21_211), 429, Throttled),
        (Some(21_211), 500, Ambiguous),
        (Some(21_211), 408, Ambiguous),
        (Some(20_003), 503, Ambiguous),
        (Some(20_429), 503, Ambiguous),
        (Some(20_500), 500, Ambiguous),
        (Some(20_503), 503, Ambiguous),
        (Some(21_730), 503, Transient),
        // Unknown codes, and codes that say nothing about a send.
        (None, 400, Content),
        (Some(99_999), 400, Content),
        (Some(11_200), 400, Content),
        (None, 401, Account),
        (Some(99_999), 403, Account),
        (None, 404, NotFound),
        (None, 408, Ambiguous),
        (None, 409, Content),
        (None, 429, Throttled),
        (None, 500, Ambiguous),
        (None, 502, Ambiguous),
        (Some(99_999), 504, Ambiguous),
        (None, 302, Ambiguous),
        (None, 0, Ambiguous),
    ];
    for (code, http_status, expected) in rows {
        assert_eq!(classify(code, http_status), expected, "{code:?} {http_status}");
    }
}

#[test]
fn no_server_error_is_ever_certain_but_for_the_named_codes() {
    for entry in entries().filter(|entry| !NOT_CREATED_ON_5XX.contains(&entry.code)) {
        for http_status in 500..=599 {
            assert_eq!(classify(Some(entry.code), http_status), ErrorClass::Ambiguous, "{}", entry.code);
        }
    }
}

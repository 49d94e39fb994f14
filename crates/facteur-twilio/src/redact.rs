//! Texts that may leave this crate: bounded, on one line, without numbers.

use std::error::Error as _;

/// Longest sentence that is kept, in characters.
const SENTENCE_CHARS_MAX: usize = 300;
/// So many digits in a row may be a phone number; Twilio's error codes have five.
const NUMBER_DIGITS_MIN: usize = 7;
/// A number may be written with so many separators between two digits: `(415) 555`.
const SEPARATORS_MAX: usize = 2;
const SEPARATORS: [char; 7] = [' ', '\u{a0}', '.', '-', '/', '(', ')'];

/// A sentence of Twilio's, with everything masked that could be a phone number.
pub(crate) fn sentence(text: &str) -> String {
    let mut clean = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (bytes, digits) = digit_run(rest);
        if digits >= NUMBER_DIGITS_MIN {
            clean.push_str("***");
        } else {
            clean.push_str(&rest[..bytes.max(first.len_utf8())]);
        }
        rest = &rest[bytes.max(first.len_utf8())..];
    }
    bounded(clean.chars())
}

/// The bytes that a run of digits at the start of `text` takes, separators within it included, and its digits.
fn digit_run(text: &str) -> (usize, usize) {
    let (mut bytes, mut digits, mut separators) = (0, 0, 0);
    for (at, char) in text.char_indices() {
        if char.is_numeric() {
            (bytes, digits, separators) = (at + char.len_utf8(), digits + 1, 0);
        } else if digits > 0 && separators < SEPARATORS_MAX && SEPARATORS.contains(&char) {
            separators += 1;
        } else {
            break;
        }
    }
    (bytes, digits)
}

/// What went wrong in the HTTP client, down to the system's own words. Its texts name hosts and ports, never
/// contents; the URL, which holds the account, is taken out.
pub(crate) fn cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    bounded(text.chars())
}

/// On one line and of bounded length; a NUL, which Postgres refuses, is a control character too.
fn bounded(chars: impl Iterator<Item = char>) -> String {
    chars.take(SENTENCE_CHARS_MAX).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn numbers_are_masked_however_they_are_written() {
        let cases = [
            ("The 'To' number +33612345678 is not valid.", "The 'To' number +*** is not valid."),
            ("whatsapp:+33612345678", "whatsapp:+***"),
            ("06 12 34 56 78", "***"),
            ("call (415) 555-0100 now", "call (*** now"),
            ("06.12.34.56.78, 06-12-34-56-78", "***, ***"),
            ("33\u{a0}612\u{a0}345\u{a0}678", "***"),
            ("٠٦١٢٣٤٥٦٧٨", "***"),
            ("1234567", "***"),
            ("123456", "123456"),
            ("error 21211, see 30003", "error 21211, see 30003"),
            ("", ""),
            ("é👋 1", "é👋 1"),
        ];
        for (text, clean) in cases {
            assert_eq!(sentence(text), clean);
        }
    }

    #[test]
    fn sentences_are_short_and_on_one_line() {
        assert_eq!(sentence("a\r\nb\0c"), "a  b c");
        assert_eq!(sentence(&"é".repeat(1_000)).chars().count(), 300);
        assert_eq!(sentence(&format!("{}+33612345678", "x".repeat(295))), format!("{}+***", "x".repeat(295)));
    }
}

//! Addresses as Twilio reads them: numbers in E.164, short codes, alphanumeric senders, channel addresses.

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Sms,
    Whatsapp,
    /// RCS, Messenger and whatever comes.
    Other,
}

impl Channel {
    /// Splits `whatsapp:+33…` into its channel and the rest.
    pub(crate) fn split(address: &str) -> (Self, &str) {
        match address.split_once(':') {
            Some(("whatsapp", rest)) => (Self::Whatsapp, rest),
            Some((_, rest)) => (Self::Other, rest),
            None => (Self::Sms, address),
        }
    }
}

/// A recipient in the form in which Twilio echoes it; `None` if it is not a possible number.
///
/// Spaces, dots, dashes and brackets are ignored; without a plus, ten digits (or eleven that begin with 1)
/// are American, as Twilio takes them.
pub(crate) fn normalised_recipient(address: &str) -> Option<String> {
    let (channel, number) = Channel::split(address);
    if channel == Channel::Other {
        return (!number.is_empty() && number.len() <= 128).then(|| address.to_owned());
    }
    let digits: String = number.chars().filter(|c| !matches!(c, ' ' | '.' | '-' | '(' | ')')).collect();
    let e164 = match digits.strip_prefix('+') {
        Some(_) => digits,
        None if digits.len() == 10 => format!("+1{digits}"),
        None if digits.len() == 11 && digits.starts_with('1') => format!("+{digits}"),
        None => return None,
    };
    let prefix = &address[..address.len() - number.len()];
    is_possible_e164(&e164).then(|| format!("{prefix}{e164}"))
}

/// Whether this is an E.164 number of a possible length: 8 to 15 digits; exact for the United States and
/// Canada (with an area code from 2 up) and for France.
pub(crate) fn is_possible_e164(number: &str) -> bool {
    let Some(digits) = number.strip_prefix('+') else { return false };
    if !digits.bytes().all(|b| b.is_ascii_digit()) || digits.starts_with('0') {
        return false;
    }
    match digits.as_bytes() {
        [b'1', area, ..] => digits.len() == 11 && *area >= b'2',
        [b'3', b'3', first, ..] => digits.len() == 11 && *first != b'0',
        _ => (8..=15).contains(&digits.len()),
    }
}

/// Three to six digits without a plus.
pub(crate) fn is_short_code(address: &str) -> bool {
    (3..=6).contains(&address.len()) && address.bytes().all(|b| b.is_ascii_digit())
}

/// Up to eleven of letters, digits, space and `+ - _ &`, at least one letter.
fn is_alphanumeric_sender(address: &str) -> bool {
    address.len() <= 11
        && address.bytes().any(|b| b.is_ascii_alphabetic())
        && address.bytes().all(|b| b.is_ascii_alphanumeric() || b" +-_&".contains(&b))
}

/// Whether this could be a sender at all.
pub(crate) fn is_possible_sender(address: &str) -> bool {
    match Channel::split(address) {
        (Channel::Sms, sender) => {
            is_possible_e164(sender) || is_short_code(sender) || is_alphanumeric_sender(sender)
        }
        (Channel::Whatsapp, number) => is_possible_e164(number),
        (Channel::Other, rest) => !rest.is_empty() && rest.len() <= 128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_normalised_as_twilio_does() {
        for (given, expected) in [
            ("+33612345678", Some("+33612345678")),
            ("+33 6 12 34 56 78", Some("+33612345678")),
            ("(415) 599-9999", Some("+14155999999")),
            ("14155999999", Some("+14155999999")),
            ("whatsapp:+33612345678", Some("whatsapp:+33612345678")),
            ("+15005550006", Some("+15005550006")),
            ("123", None),
            ("+123", None),
            ("+3361234567", None),
            ("+330612345678", None),
            ("+11234567890", None),
            ("+44770090012345678", None),
            ("+3361234567é", None),
            ("whatsapp:", None),
            ("", None),
        ] {
            assert_eq!(normalised_recipient(given).as_deref(), expected, "{given:?}");
        }
    }

    #[test]
    fn senders_are_numbers_short_codes_words_or_channel_addresses() {
        for good in ["+15005550006", "38383", "Facteur", "Labo 7", "whatsapp:+14155238886", "rcs:agent"] {
            assert!(is_possible_sender(good), "{good}");
        }
        for bad in ["", "+123", "TwelveLetters", "été", "1234567", "whatsapp:Facteur"] {
            assert!(!is_possible_sender(bad), "{bad}");
        }
    }
}

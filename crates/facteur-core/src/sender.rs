//! From addresses.

use std::fmt;

use crate::job::Channel;

/// A From address: a number (`+…`), a short code, an alphanumeric id, a WhatsApp address or a Messaging
/// Service (`MG…`). Each has its own rate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender(String);

impl Sender {
    /// Parses a From address.
    ///
    /// # Errors
    /// A sentence that names the forms that are taken.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let number = text.strip_prefix("whatsapp:").unwrap_or(text);
        let is_number = number.strip_prefix('+').is_some_and(|digits| {
            (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        });
        let is_short_code = (3..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let is_service = text
            .strip_prefix("MG")
            .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
        // Carriers take 11 characters, at least one of them a letter.
        let is_alphanumeric = (1..=11).contains(&text.len())
            && text.bytes().any(|b| b.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b" +-_&".contains(&b));
        if is_number || is_short_code || is_service || is_alphanumeric {
            Ok(Self(text.to_owned()))
        } else {
            Err("a sender is a number (+33…), a short code, an alphanumeric id of up to 11 characters, \
                 whatsapp:+…, or a Messaging Service (MG and 32 hexadecimal digits)"
                .to_owned())
        }
    }

    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a Messaging Service, which chooses among its own senders.
    #[must_use]
    pub fn is_messaging_service(&self) -> bool {
        self.0.len() == 34 && self.0.starts_with("MG")
    }

    /// Whether messages of this channel can leave from here.
    #[must_use]
    pub fn carries(&self, channel: Channel) -> bool {
        let is_whatsapp = self.0.starts_with("whatsapp:");
        self.is_messaging_service() || is_whatsapp == (channel == Channel::Whatsapp)
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Sender;
    use crate::job::Channel;

    #[test]
    fn senders_are_recognised() {
        let service = format!("MG{}", "a1".repeat(16));
        for good in
            ["+33612345678", "38383", "FACTEUR", "Ma Mairie", "whatsapp:+14155238886", service.as_str()]
        {
            assert!(Sender::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "+33", "33612345678901234567", "TooLongAName", "whatsapp:FACTEUR", "é", "MG12"] {
            // "MG12" is a fine alphanumeric id.
            assert_eq!(Sender::parse(bad).is_ok(), bad == "MG12", "{bad}");
        }
    }

    #[test]
    fn a_sender_carries_its_own_channel() {
        let sms = Sender::parse("+33612345678").unwrap();
        let whatsapp = Sender::parse("whatsapp:+33612345678").unwrap();
        assert!(sms.carries(Channel::Sms) && sms.carries(Channel::Mms) && !sms.carries(Channel::Whatsapp));
        assert!(whatsapp.carries(Channel::Whatsapp) && !whatsapp.carries(Channel::Sms));
    }
}

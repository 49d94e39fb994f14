//! What Twilio tells of a message after it took it, by a callback or when it is asked: what that means for the attempt,
//! for the job and for the sender.

use std::time::Duration;

use crate::ids::{AttemptNumber, JobId, MessageSid};
use crate::reason::{Reason, ReasonCode};
use crate::status::{Status, TwilioStatus, status_of};
use crate::twilio_errors;

/// Twilio's code for a recipient who opted out.
const OPTED_OUT: u32 = 21_610;

/// Throttles that come after the acceptance, and how long the sender rests for each. Twilio names no time. A
/// Messaging Service's overflow and a campaign's rate pass within a minute; a channel's limit lasts longer. The
/// limits of a brand at one carrier (30023, 30027) are not here: they say nothing about other recipients.
const THROTTLES: [(u32, Duration); 3] =
    [(30_001, Duration::from_mins(1)), (30_022, Duration::from_mins(1)), (63_018, Duration::from_mins(15))];

/// Longest word that is kept of a status that Twilio invented later, in characters.
const STATUS_WORD_CHARS_MAX: usize = 40;

/// How we learnt it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptSource {
    /// A verified callback.
    Callback,
    /// We asked for this one message.
    Poll,
    /// It stood in the account's list of messages.
    List,
}

impl ReceiptSource {
    /// The source's name, as stored.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Callback => "callback",
            Self::Poll => "poll",
            Self::List => "list",
        }
    }
}

/// One thing that Twilio told about one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The account at Twilio that told, by its SID.
    pub account: String,
    /// The job.
    pub job_id: JobId,
    /// Which of its attempts; at least 1.
    pub attempt: AttemptNumber,
    /// Twilio's id of the message.
    pub sid: MessageSid,
    /// Twilio's status.
    pub status: ReceiptStatus,
    /// Twilio's error code, if it named one.
    pub code: Option<u32>,
    /// How we learnt it.
    pub source: ReceiptSource,
}

/// Twilio's status, or the word for one that Twilio invented after this release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptStatus {
    /// A status of the table.
    Known(TwilioStatus),
    /// Another word, of at most 40 characters of `a-z`, `0-9`, `_` and `-`: proof that Twilio has the message, and no
    /// more than that.
    Unknown(String),
}

impl ReceiptStatus {
    /// Reads Twilio's word.
    ///
    /// # Errors
    /// A sentence, if it is no word at all.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(status) = TwilioStatus::parse(text) {
            return Ok(Self::Known(status));
        }
        let is_word = (1..=STATUS_WORD_CHARS_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if is_word {
            Ok(Self::Unknown(text.to_owned()))
        } else {
            Err(format!("a status is a word of at most {STATUS_WORD_CHARS_MAX} letters"))
        }
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(status) => status.as_str(),
            Self::Unknown(word) => word,
        }
    }

    /// The status, if it is one of the table.
    #[must_use]
    pub fn known(&self) -> Option<TwilioStatus> {
        match self {
            Self::Known(status) => Some(*status),
            Self::Unknown(_) => None,
        }
    }

    /// The statuses that this one replaces: [`TwilioStatus::merge`], asked for each.
    pub fn replaces(&self) -> impl Iterator<Item = TwilioStatus> {
        let new = self.known();
        TwilioStatus::ALL.into_iter().filter(move |old| {
            new.is_some_and(|new| new != *old && TwilioStatus::merge(Some(*old), new) == new)
        })
    }

    /// Where the job stands once this is the attempt's status.
    #[must_use]
    pub fn job_status(&self) -> Status {
        self.known().map_or(Status::Sent, status_of)
    }
}

impl Receipt {
    /// Why the job stands where [`ReceiptStatus::job_status`] puts it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        let sid = self.sid.as_str();
        match self.status.job_status() {
            Status::Delivered => Reason::new(ReasonCode::Delivered, format!("delivered as {sid}")),
            Status::Read => Reason::new(ReasonCode::Delivered, format!("delivered as {sid}, and read")),
            Status::Undelivered | Status::Failed => {
                let word = self.status.as_str();
                let sentence = match (self.code, self.code.and_then(twilio_errors::lookup)) {
                    (Some(code), Some(entry)) => format!("{} ({code})", entry.meaning),
                    (Some(code), None) => format!("Twilio says {word}, with code {code}"),
                    (None, _) => format!("Twilio says {word}, without a code"),
                };
                Reason::new(ReasonCode::NotDelivered, sentence)
            }
            _ => Reason::new(ReasonCode::Accepted, format!("Twilio took it as {sid}")),
        }
    }

    /// Whether the recipient is to be suppressed.
    #[must_use]
    pub fn suppresses(&self) -> bool {
        self.code == Some(OPTED_OUT)
    }

    /// How long the sender rests, if this says that it is throttled.
    #[must_use]
    pub fn throttle(&self) -> Option<Duration> {
        let code = self.code?;
        THROTTLES.iter().find(|(known, _)| *known == code).map(|(_, rest)| *rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::twilio_errors::{ErrorClass, When, lookup};

    fn receipt(word: &str, code: Option<u32>) -> Receipt {
        Receipt {
            account: "AC1".to_owned(),
            job_id: JobId(Uuid::nil()),
            attempt: AttemptNumber(1),
            sid: MessageSid::parse("SM00000000000000000000000000000001").unwrap(),
            status: ReceiptStatus::parse(word).unwrap(),
            code,
            source: ReceiptSource::Callback,
        }
    }

    #[test]
    fn every_throttle_is_one_in_the_table_of_codes_and_comes_after_the_acceptance() {
        for (code, rest) in THROTTLES {
            let entry = lookup(code).unwrap();
            assert_eq!((entry.class, entry.when), (ErrorClass::Throttled, When::Async), "{code}");
            assert_eq!(receipt("failed", Some(code)).throttle(), Some(rest));
        }
        assert_eq!(receipt("failed", Some(30_003)).throttle(), None);
        assert_eq!(receipt("sent", None).throttle(), None);
    }

    #[test]
    fn the_reason_names_what_happened_and_never_the_recipient() {
        let rows = [
            ("queued", None, ReasonCode::Accepted, "Twilio took it as SM"),
            ("delivered", None, ReasonCode::Delivered, "delivered as SM"),
            ("read", None, ReasonCode::Delivered, "and read"),
            ("undelivered", Some(30_005), ReasonCode::NotDelivered, "not in service any more. (30005)"),
            ("failed", Some(39_999), ReasonCode::NotDelivered, "with code 39999"),
            ("failed", None, ReasonCode::NotDelivered, "without a code"),
            ("teleported", None, ReasonCode::Accepted, "Twilio took it as SM"),
        ];
        for (word, code, expected, part) in rows {
            let reason = receipt(word, code).reason();
            assert_eq!(reason.code, expected, "{word}");
            assert!(reason.sentence.contains(part), "{word}: {}", reason.sentence);
        }
    }

    #[test]
    fn an_opt_out_that_comes_by_callback_suppresses() {
        assert!(receipt("failed", Some(21_610)).suppresses());
        assert!(!receipt("failed", Some(30_007)).suppresses());
    }

    #[test]
    fn a_word_that_twilio_invents_later_is_proof_of_acceptance_and_replaces_nothing() {
        let status = ReceiptStatus::parse("teleported").unwrap();
        assert_eq!((status.job_status(), status.replaces().count()), (Status::Sent, 0));
        for nonsense in ["", "two words", "<b>", &"x".repeat(41)] {
            assert!(ReceiptStatus::parse(nonsense).is_err(), "{nonsense}");
        }
    }

    proptest! {
        /// The list of what is replaced, which the database goes by, is the same rule as the merge.
        #[test]
        fn what_is_replaced_is_what_merging_replaces(words in proptest::collection::vec(0..TwilioStatus::ALL.len(), 1..12)) {
            let mut merged = None;
            let mut replaced = None;
            for status in words.into_iter().map(|index| TwilioStatus::ALL[index]) {
                merged = Some(TwilioStatus::merge(merged, status));
                let replaces: Vec<_> = ReceiptStatus::Known(status).replaces().collect();
                if replaced.is_none_or(|old| replaces.contains(&old)) {
                    replaced = Some(status);
                }
            }
            prop_assert_eq!(merged, replaced);
        }

        /// An honest history ends the same in any order, whatever comes twice.
        #[test]
        fn any_order_of_one_history_ends_the_same(
            history in prop_oneof![
                Just(vec!["queued", "sending", "sent", "delivered", "read"]),
                Just(vec!["accepted", "queued", "sent", "undelivered"]),
                Just(vec!["queued", "sending", "failed"]),
            ].prop_flat_map(|history| {
                let twice: Vec<_> = history.iter().chain(&history).copied().collect();
                (Just(history), Just(twice).prop_shuffle())
            })
        ) {
            let (history, shuffled) = history;
            let end = |words: &[&str]| words.iter().fold(None, |merged, word| {
                TwilioStatus::parse(word).map(|status| TwilioStatus::merge(merged, status))
            });
            prop_assert_eq!(end(&shuffled), end(&history));
        }
    }
}

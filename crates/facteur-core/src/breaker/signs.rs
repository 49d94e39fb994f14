//! The table: what an outcome says about the account, about the sender, and about how many calls may be made at once.

use std::time::Duration;

use super::{Cause, Fault};
use crate::outcome::Outcome;
use crate::twilio_errors::{self, ErrorClass};

/// Twilio's code for a sender whose queue is full: it is answered with HTTP 429, but it is not the account's.
const SENDER_QUEUE_FULL: u32 = 21_611;

/// What a call says about what a breaker protects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// It works.
    Alive,
    /// It may be failing: one such call is an accident, several open the breaker. Why, without personal data.
    Failing(String),
    /// It can't work now: the breaker opens at once.
    Fault(Fault),
    /// Nothing.
    Nothing,
}

/// All that a call says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signs {
    /// About the account.
    pub integration: Sign,
    /// About the sender.
    pub sender: Sign,
    /// Whether fewer calls should be made at once.
    pub is_crowded: bool,
}

/// Reads the signs of an outcome.
#[must_use]
pub fn signs(outcome: &Outcome) -> Signs {
    match outcome {
        Outcome::Accepted { .. } => about(Sign::Alive, Sign::Alive),
        Outcome::Throttled { code, retry_after } => throttled(*code, *retry_after),
        Outcome::Unreachable { cause } | Outcome::Uncertain { cause, .. } => {
            about(Sign::Failing(cause.clone()), Sign::Nothing)
        }
        Outcome::Refused { code, http_status, message } => refused(*code, *http_status, message),
    }
}

fn about(integration: Sign, sender: Sign) -> Signs {
    Signs { integration, sender, is_crowded: false }
}

fn throttled(code: Option<u32>, retry_after: Option<Duration>) -> Signs {
    if code == Some(SENDER_QUEUE_FULL) {
        let fault = Fault { retry_after, ..Fault::new(Cause::Throttled, meaning(code, "too much at once")) };
        return about(Sign::Alive, Sign::Fault(fault));
    }
    Signs { is_crowded: true, ..about(Sign::Alive, Sign::Nothing) }
}

fn refused(code: Option<u32>, http_status: u16, message: &str) -> Signs {
    let sentence = || meaning(code, message);
    let fault = |cause| Sign::Fault(Fault::new(cause, sentence()));
    match twilio_errors::classify(code, http_status) {
        // A refusal for another reason may have come before the sender was looked at.
        ErrorClass::Recipient
        | ErrorClass::Content
        | ErrorClass::Destination
        | ErrorClass::RecipientTemporary
        | ErrorClass::Notice => about(Sign::Alive, Sign::Nothing),
        ErrorClass::Sender => about(Sign::Alive, fault(Cause::SenderAtFault)),
        // 401 and 403 without a code of Twilio's may be a gateway's word on one message.
        ErrorClass::Account if code.and_then(twilio_errors::lookup).is_some() => {
            about(fault(Cause::AccountAtFault), Sign::Nothing)
        }
        ErrorClass::Account | ErrorClass::NotFound | ErrorClass::Transient | ErrorClass::Ambiguous => {
            about(Sign::Failing(sentence()), Sign::Nothing)
        }
        ErrorClass::Throttled => throttled(code, None),
    }
}

fn meaning(code: Option<u32>, otherwise: &str) -> String {
    match code.and_then(twilio_errors::lookup) {
        Some(entry) => format!("{} ({})", entry.meaning.trim_end_matches('.'), entry.code),
        None => otherwise.to_owned(),
    }
}

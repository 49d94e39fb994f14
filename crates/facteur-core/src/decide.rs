//! Outcome → decision: the one place that says what an answer of Twilio means for the job.

use std::time::Duration;

use crate::Timestamp;
use crate::ladder::{self, Route};
use crate::ledger::{Next, Wait};
use crate::outcome::Outcome;
use crate::reason::{Reason, ReasonCode as Code};
use crate::schedule::{Draw, RetrySchedule};
use crate::status::Status;
use crate::twilio_errors::{self, ErrorClass};

/// What happened to the job before this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Counted failures.
    pub failures: u32,
    /// Waits in a row that were not counted.
    pub parks: u32,
    /// Worthless after this instant.
    pub deadline: Timestamp,
}

/// What we do next, with the reason. The row, the log line, the metric and the publish all read this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is over: `sent`, `failed` or `expired`.
    Finish {
        /// The final status.
        status: Status,
        /// Why.
        reason: Reason,
        /// Whether the recipient is to be suppressed.
        suppress: bool,
    },
    /// Another attempt after one that failed.
    Retry {
        /// How long to wait.
        delay: Duration,
        /// Why.
        reason: Reason,
        /// Whether it counts as a failure. What Twilio certainly never took does not: an outage costs no tries.
        is_counted: bool,
    },
    /// Another attempt after a wait that is nobody's failure.
    Park {
        /// How long to wait.
        delay: Duration,
        /// Why.
        reason: Reason,
    },
    /// Nobody knows whether Twilio took it: evidence is looked for.
    Reconcile(Reason),
    /// Stop: a person must look at it.
    Bury(Reason),
}

impl Decision {
    /// The decision's name, as counted.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Finish { .. } => "finish",
            Self::Retry { .. } => "retry",
            Self::Park { .. } => "park",
            Self::Reconcile(_) => "reconcile",
            Self::Bury(_) => "bury",
        }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Finish { reason, .. }
            | Self::Retry { reason, .. }
            | Self::Park { reason, .. }
            | Self::Reconcile(reason)
            | Self::Bury(reason) => reason,
        }
    }

    /// The decision as the database writes it; `ladder_unit` is how long one unit of the ladder lasts.
    #[must_use]
    pub fn into_next(self, ladder_unit: Duration) -> Next {
        let wait = |delay, is_counted| {
            let in_ladder = ladder::route(delay, ladder_unit) != Route::WaitingRoom;
            Some(Wait { delay, in_ladder, is_counted })
        };
        match self {
            Self::Finish { status, reason, suppress } => {
                Next { status, reason, wait: None, suppress, hold: None }
            }
            Self::Retry { delay, reason, is_counted } => Next {
                status: Status::Retrying,
                reason,
                wait: wait(delay, is_counted),
                suppress: false,
                hold: None,
            },
            Self::Park { delay, reason } => Next {
                status: Status::Waiting,
                reason,
                wait: wait(delay, false),
                suppress: false,
                hold: None,
            },
            Self::Reconcile(reason) => {
                Next { status: Status::Uncertain, reason, wait: None, suppress: false, hold: None }
            }
            Self::Bury(reason) => {
                Next { status: Status::Dead, reason, wait: None, suppress: false, hold: None }
            }
        }
    }
}

/// Twilio's code for a recipient who opted out.
const OPTED_OUT: u32 = 21_610;

/// Decides. Total: every outcome has a decision. Another try that would come after the deadline is none: the
/// job expires instead.
#[must_use]
pub fn decide(
    schedule: &RetrySchedule,
    history: History,
    outcome: &Outcome,
    now: Timestamp,
    draw: Draw,
) -> Decision {
    let again = Again { schedule, history, now, draw };
    match outcome {
        Outcome::Accepted { sid, .. } => Decision::Finish {
            status: Status::Sent,
            reason: Reason::new(Code::Accepted, format!("Twilio took it as {}", sid.as_str())),
            suppress: false,
        },
        Outcome::Throttled { code, retry_after } => {
            let sentence = format!("Twilio asked to slow down{}", with_code(*code));
            again.park(Reason::new(Code::Throttled, sentence), *retry_after)
        }
        Outcome::Unreachable { cause } => again.park(Reason::new(Code::Unreachable, cause.as_str()), None),
        Outcome::Uncertain { cause, .. } => Decision::Reconcile(Reason::new(
            Code::Uncertain,
            format!("{cause}: Twilio may have taken the message; evidence is looked for"),
        )),
        Outcome::Refused { code, http_status, message } => {
            let meaning =
                code.and_then(twilio_errors::lookup).map_or(message.as_str(), |entry| entry.meaning);
            let sentence = format!("{meaning}{}", with_code(*code));
            refused(*code, *http_status, sentence, &again)
        }
    }
}

/// Decides on another attempt after a failure that no answer told: the end of a search for evidence. Out of tries or
/// out of time, it is a dead letter or expires.
#[must_use]
pub fn retry(
    schedule: &RetrySchedule,
    history: History,
    reason: Reason,
    now: Timestamp,
    draw: Draw,
) -> Decision {
    Again { schedule, history, now, draw }.retry(reason)
}

/// Decides on another attempt after one that Twilio certainly did not take: not counted, so that only its age ends it.
#[must_use]
pub fn try_again(
    schedule: &RetrySchedule,
    history: History,
    reason: Reason,
    now: Timestamp,
    draw: Draw,
) -> Decision {
    let again = Again { schedule, history, now, draw };
    again.wait(reason, None, |delay, reason| Decision::Retry { delay, reason, is_counted: false })
}

fn refused(code: Option<u32>, http_status: u16, sentence: String, again: &Again<'_>) -> Decision {
    match twilio_errors::classify(code, http_status) {
        // A code that is no answer to a send says at least that nothing was created.
        ErrorClass::Recipient | ErrorClass::Content | ErrorClass::Notice => Decision::Finish {
            status: Status::Failed,
            reason: Reason::new(Code::Refused, sentence),
            suppress: code == Some(OPTED_OUT),
        },
        ErrorClass::Destination => Decision::Bury(Reason::new(Code::DestinationDisabled, sentence)),
        ErrorClass::Account => again.park(Reason::new(Code::AccountAtFault, sentence), None),
        ErrorClass::Sender => again.park(Reason::new(Code::SenderAtFault, sentence), None),
        ErrorClass::Throttled => again.park(Reason::new(Code::Throttled, sentence), None),
        // Twilio is known to answer so on valid calls now and then; the second time it is meant.
        ErrorClass::NotFound if again.history.failures > 0 => {
            again.park(Reason::new(Code::AccountAtFault, sentence), None)
        }
        ErrorClass::NotFound | ErrorClass::Transient | ErrorClass::RecipientTemporary => {
            again.retry(Reason::new(Code::Temporary, sentence))
        }
        ErrorClass::Ambiguous => Decision::Reconcile(Reason::new(Code::Uncertain, sentence)),
    }
}

fn with_code(code: Option<u32>) -> String {
    code.map_or_else(String::new, |code| format!(" ({code})"))
}

/// Another try, if its time is within the deadline and the number of failures allows it.
struct Again<'a> {
    schedule: &'a RetrySchedule,
    history: History,
    now: Timestamp,
    draw: Draw,
}

impl Again<'_> {
    fn retry(&self, reason: Reason) -> Decision {
        let failures = self.history.failures.saturating_add(1);
        if failures >= self.schedule.failures_max {
            let sentence = format!("failed {failures} times, at last: {}", reason.sentence);
            return Decision::Bury(Reason::new(Code::RetriesExhausted, sentence));
        }
        let delay = self.schedule.delay(failures, self.draw, None);
        self.expire_unless_before_deadline(delay, reason, |delay, reason| Decision::Retry {
            delay,
            reason,
            is_counted: true,
        })
    }

    fn park(&self, reason: Reason, at_least: Option<Duration>) -> Decision {
        self.wait(reason, at_least, |delay, reason| Decision::Park { delay, reason })
    }

    /// A wait that is not counted: it grows with those in a row before it.
    fn wait(
        &self,
        reason: Reason,
        at_least: Option<Duration>,
        decide: impl FnOnce(Duration, Reason) -> Decision,
    ) -> Decision {
        let delay = self.schedule.delay(self.history.parks.saturating_add(1), self.draw, at_least);
        self.expire_unless_before_deadline(delay, reason, decide)
    }

    fn expire_unless_before_deadline(
        &self,
        delay: Duration,
        reason: Reason,
        decide: impl FnOnce(Duration, Reason) -> Decision,
    ) -> Decision {
        let deadline = self.history.deadline;
        if self.now.checked_add(delay).is_ok_and(|at| at < deadline) {
            return decide(delay, reason);
        }
        let sentence = format!("was wanted until {deadline}; it waited because: {}", reason.sentence);
        Decision::Finish {
            status: Status::Expired,
            reason: Reason::new(Code::Expired, sentence),
            suppress: false,
        }
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;

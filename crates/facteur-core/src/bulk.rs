//! Bulks: one content, many recipients. What of a bulk is decided without a database.

use std::time::Duration;

use uuid::Uuid;

use crate::ids::JobId;
use crate::reason::ReasonCode;
use crate::status::Status;
use crate::twilio_errors::{self, ErrorClass};

/// Most recipients of one bulk.
pub const RECIPIENTS_MAX: u32 = 100_000;
/// A bulk is not judged by its failures before so many of its messages have ended.
pub const JUDGED_FROM: i64 = 20;
/// What a bulk may catch up on its rate, at most: the time between two looks of the dripper, with room.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

/// Where a bulk stands. A pause is no state of it: it stands with the other pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BulkState {
    /// Its recipients are being taken; none is written to.
    Accepting,
    /// Its messages leave.
    Processing,
    /// All of them have ended.
    Completed,
    /// Somebody cancelled it; what had left before still ends.
    Canceled,
    /// It was never whole, and nobody was written to.
    Failed,
}

impl BulkState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Accepting, Self::Processing, Self::Completed, Self::Canceled, Self::Failed];

    /// The state's name, as stored and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepting => "accepting",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }
}

/// The job of a recipient: known from the start, another one in each round.
#[must_use]
pub fn job_id(bulk_id: Uuid, line: u32, round: u32) -> JobId {
    JobId(Uuid::new_v5(&bulk_id, format!("{line}:{round}").as_bytes()))
}

/// What is known of a job that ended, when somebody wants to try its recipient anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub status: Status,
    /// Why; `None` if a newer release wrote the code.
    pub reason: Option<ReasonCode>,
    /// What became of its calls.
    pub trace: Trace,
    /// How often its recipient was tried anew before.
    pub round: u32,
}

/// What became of the calls of a job that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trace {
    /// Twilio took none of them.
    NothingTaken,
    /// Of each that Twilio took, Twilio's last word is `undelivered` or `failed`, with this code.
    NotDelivered(Vec<u32>),
    /// One of them has, or may have, left: its reply was lost, it left no record, no last word has come, or another one.
    Perhaps,
}

/// Whether a message that Twilio took and did not deliver, with this code, can succeed when it is sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anew {
    /// The same message can't succeed, or the recipient may have it.
    Never,
    /// Nobody knows why it was not delivered: one more try, and no second one.
    Once,
    /// What stood in its way passes, or can be mended.
    Always,
}

/// The carrier reported that it was not delivered, and gave no reason. Twilio's advice is to try it once more.
const NO_REASON_GIVEN: u32 = 30_008;

/// What may be done about a message that Twilio took and then called undelivered or failed, by the class of its code.
#[must_use]
pub fn anew_after(code: u32) -> Anew {
    match twilio_errors::lookup(code).map(|entry| entry.class) {
        Some(
            ErrorClass::Throttled
            | ErrorClass::Transient
            | ErrorClass::RecipientTemporary
            | ErrorClass::Account
            | ErrorClass::Sender
            | ErrorClass::Destination,
        ) => Anew::Always,
        Some(ErrorClass::Ambiguous) if code == NO_REASON_GIVEN => Anew::Once,
        Some(
            ErrorClass::Ambiguous
            | ErrorClass::Recipient
            | ErrorClass::Content
            | ErrorClass::NotFound
            | ErrorClass::Notice,
        )
        | None => Anew::Never,
    }
}

/// How a recipient's message may have ended who may be tried anew, for those who look for them.
pub const TRIED_ANEW: [Status; 4] = [Status::Undelivered, Status::Failed, Status::Expired, Status::Dead];

/// Whether its recipient may be written to anew: only if nothing of the job can have reached them, and the same message
/// could succeed now. Who opted out, a number that Twilio refused and what a person withdrew are left alone. What Twilio
/// took is tried anew only on Twilio's own word that it was not delivered, by the code that it gave.
#[must_use]
pub fn may_be_tried_anew(ended: &Ended) -> bool {
    match (ended.status, &ended.trace) {
        (Status::Expired, Trace::NothingTaken) => true,
        (Status::Dead, Trace::NothingTaken) => {
            ended.reason.is_some_and(|reason| reason != ReasonCode::Uncertain)
        }
        (Status::Undelivered | Status::Failed, Trace::NotDelivered(codes)) => {
            let may = |code: &u32| match anew_after(*code) {
                Anew::Always => true,
                Anew::Once => ended.round == 0,
                Anew::Never => false,
            };
            ended.reason == Some(ReasonCode::NotDelivered) && !codes.is_empty() && codes.iter().all(may)
        }
        (
            Status::Scheduled
            | Status::Waiting
            | Status::Sending
            | Status::Retrying
            | Status::Uncertain
            | Status::Sent
            | Status::Delivered
            | Status::Read
            | Status::Undelivered
            | Status::Failed
            | Status::Expired
            | Status::Canceled
            | Status::Suppressed
            | Status::Dead,
            _,
        ) => false,
    }
}

/// Whether an end says that something is wrong with the bulk. An opt-out, a cancellation and an expiry do not.
#[must_use]
pub const fn is_failure(status: Status) -> bool {
    matches!(status, Status::Failed | Status::Undelivered | Status::Dead)
}

/// Whether a bulk of which so many have ended, and so many of them failed, must not go on by itself.
#[must_use]
pub fn fails_too_often(ended: i64, failed: i64, error_ratio_max: f64) -> bool {
    ended >= JUDGED_FROM && failed as f64 > error_ratio_max * ended as f64
}

/// How many messages are due at a rate (messages a second) whose clock stands `idle` behind now, and how far it stands
/// behind once they are released.
#[must_use]
pub fn due(rate: f64, idle: Duration) -> (i64, Duration) {
    let behind_max = CATCH_UP_MAX.as_secs_f64().max(1.0 / rate);
    let behind = idle.as_secs_f64().min(behind_max);
    // A hair more than a whole message, lest rounding holds one back for a turn.
    let count = (behind * rate + 1e-9).floor();
    let left = Duration::try_from_secs_f64(behind - count / rate).unwrap_or_default();
    (count as i64, left)
}

#[cfg(test)]
#[path = "bulk_tests.rs"]
mod tests;

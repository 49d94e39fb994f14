//! Bulks: one content, many recipients. What of a bulk is decided without a database.

use std::time::Duration;

use uuid::Uuid;

use crate::ids::JobId;
use crate::reason::ReasonCode;
use crate::status::Status;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How it ended.
    pub status: Status,
    /// Why; `None` if a newer release wrote the code.
    pub reason: Option<ReasonCode>,
    /// Whether a call of it has, or may have, reached Twilio without a clear "no": it has a SID, its reply was lost, or
    /// it left no record.
    pub may_have_left: bool,
}

/// Whether its recipient may be written to anew: only if nothing of the job can have left, and the same message could
/// succeed now. Who opted out, a number that Twilio refused and what a person withdrew are left alone.
#[must_use]
pub fn may_be_tried_anew(ended: Ended) -> bool {
    let could_succeed = match ended.status {
        Status::Expired => true,
        Status::Dead => ended.reason.is_some_and(|reason| reason != ReasonCode::Uncertain),
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
        | Status::Canceled
        | Status::Suppressed => false,
    };
    could_succeed && !ended.may_have_left
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

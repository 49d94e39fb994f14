//! Twilio in memory: it does what the script says with each call, and remembers what it took.

use std::collections::VecDeque;
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::call::Call;
use facteur_core::ids::{JobId, MessageSid};
use facteur_core::limits::CALL_DURATION_MAX;
use facteur_core::outcome::Outcome;
use facteur_core::status::TwilioStatus;

/// Twilio's code for a service that is away for a while, and has not taken the message.
pub(crate) const PASSING_FAULT: u32 = 21_730;

/// What Twilio does with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Takes it.
    Accept,
    /// Says no.
    Refuse { code: u32, http_status: u16 },
    /// Asks to slow down.
    Throttle { retry_after_s: Option<u64> },
    /// Can't be reached.
    Unreachable,
    /// Takes it, but the reply is lost.
    ReplyLost,
    /// Answers 5xx, and has not taken it.
    Failing,
    /// Takes it, and answers late.
    Slow { ms: u64 },
}

/// One call that arrived, or would have.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) job: JobId,
    pub(crate) attempt: i32,
    /// When the worker called.
    pub(crate) at: Timestamp,
    pub(crate) call: Call,
    pub(crate) behaviour: Behaviour,
}

impl Seen {
    /// Whether Twilio made a message of it.
    pub(crate) fn is_taken(&self) -> bool {
        matches!(self.behaviour, Behaviour::Accept | Behaviour::ReplyLost | Behaviour::Slow { .. })
    }

    /// Whether nobody but Twilio knows.
    pub(crate) fn is_uncertain(&self) -> bool {
        match self.behaviour {
            Behaviour::ReplyLost | Behaviour::Failing => true,
            Behaviour::Slow { ms } => Duration::from_millis(ms) > CALL_DURATION_MAX,
            _ => false,
        }
    }

    /// Whether it counts as a failure: a passing fault does, and the first 404 of a job.
    pub(crate) fn is_failure(&self, failures_before: usize) -> bool {
        match self.behaviour {
            Behaviour::Refuse { http_status: 404, .. } => failures_before == 0,
            Behaviour::Refuse { code, .. } => code == PASSING_FAULT,
            _ => false,
        }
    }
}

/// The SID of the `number`th call, if it was taken.
pub(crate) fn sid(number: usize) -> MessageSid {
    MessageSid::parse(&format!("SM{number:032x}")).unwrap()
}

#[derive(Default)]
pub(crate) struct Twilio {
    pub(crate) script: VecDeque<Behaviour>,
    pub(crate) seen: Vec<Seen>,
}

impl Twilio {
    /// What the caller is told, and after how long.
    pub(crate) fn call(&mut self, call: &Call, at: Timestamp) -> (Outcome, Duration) {
        let behaviour = self.script.pop_front().unwrap_or(Behaviour::Accept);
        let number = self.seen.len();
        self.seen.push(Seen { job: call.job_id, attempt: call.attempt.0, at, call: call.clone(), behaviour });
        let accepted = || Outcome::Accepted { sid: sid(number), twilio_status: TwilioStatus::Queued };
        let uncertain =
            |cause: &str, http_status| Outcome::Uncertain { cause: cause.to_owned(), http_status };
        let soon = Duration::from_millis(5);
        match behaviour {
            Behaviour::Accept => (accepted(), soon),
            Behaviour::Refuse { code, http_status } => {
                (Outcome::Refused { code: Some(code), http_status, message: "no".to_owned() }, soon)
            }
            Behaviour::Throttle { retry_after_s } => {
                let retry_after = retry_after_s.map(Duration::from_secs);
                (Outcome::Throttled { code: Some(20_429), retry_after }, soon)
            }
            Behaviour::Unreachable => (Outcome::Unreachable { cause: "connect failed".to_owned() }, soon),
            Behaviour::ReplyLost => (uncertain("the connection was reset", None), soon),
            Behaviour::Failing => (uncertain("Twilio answered 503", Some(503)), soon),
            Behaviour::Slow { ms } if Duration::from_millis(ms) > CALL_DURATION_MAX => {
                (uncertain("no answer in time", None), CALL_DURATION_MAX)
            }
            Behaviour::Slow { ms } => (accepted(), Duration::from_millis(ms)),
        }
    }

    pub(crate) fn calls_of(&self, job: JobId) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.job == job)
    }
}

//! Receipts that don't come by themselves: when Twilio is asked, how fast, and when nobody waits any more.

use std::time::Duration;

use crate::reason::{Reason, ReasonCode};
use crate::status::TwilioStatus;

/// A message whose receipt has not come this long after its acceptance is asked for.
pub const FIRST_POLL_AGE: Duration = Duration::from_mins(10);
/// How often a worker asks Twilio in a second, at most.
pub const POLLS_PER_SECOND_MAX: f64 = 10.0;
/// A throttled worker goes on asking this often.
const POLLS_PER_SECOND_MIN: f64 = 0.1;
/// What each answer adds to a pace that was halved: from 5 to 10 a second in 250 answers.
const POLLS_PER_SECOND_STEP: f64 = 0.02;
/// Shortest silence after a 429, which in Twilio's v2010 API carries no `Retry-After`.
const THROTTLE_PAUSE_MIN: Duration = Duration::from_secs(10);

/// Ages at which Twilio is asked, in ages of the first poll: 10 min, 30 min, 1 h, 3 h, 6 h, 12 h, 24 h, 48 h, 72 h.
const POLL_AGES: [u32; 9] = [1, 3, 6, 18, 36, 72, 144, 288, 432];
/// So much older than the last poll (a third: a day), a message of which Twilio tells nothing is given up.
const GIVE_UP_AGE: u32 = 576;

/// Attempts that one step of the walk looks at, about.
const STEP_ATTEMPTS: f64 = 10_000.0;
/// Shortest and longest stretch of time of one step of the walk.
const STEP_SPANS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_hours(6));

/// When a message is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PollSchedule {
    first: Duration,
    is_asking: bool,
}

impl PollSchedule {
    /// A schedule whose first poll comes at that age, more than zero; the others keep their ratio to it. If
    /// `is_asking` is false, Twilio is never asked, and a message is only looked at when its time is over.
    #[must_use]
    pub fn new(first: Duration, is_asking: bool) -> Self {
        Self { first, is_asking }
    }

    /// Whether Twilio is asked at all.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.is_asking
    }

    /// How long a receipt may take before anybody misses it.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.first
    }

    /// The age at which the next look comes; `None` after the last. Looks that were missed (no worker ran) are not made
    /// up for.
    #[must_use]
    pub fn next_age(&self, age: Duration) -> Option<Duration> {
        let ages = if self.is_asking { &POLL_AGES[..] } else { &POLL_AGES[POLL_AGES.len() - 1..] };
        ages.iter().map(|multiple| self.first.saturating_mul(*multiple)).find(|next| *next > age)
    }

    /// The age after which nobody waits for a receipt any more.
    #[must_use]
    pub fn last_age(&self) -> Duration {
        self.first.saturating_mul(POLL_AGES[POLL_AGES.len() - 1])
    }

    /// What follows from a look at a message of that age.
    #[must_use]
    pub fn after(&self, age: Duration, polled: Polled) -> Verdict {
        let missing = |why: String| Verdict::Close(Reason::new(ReasonCode::ReceiptMissing, why));
        let last = spoken(self.last_age());
        match polled {
            Polled::Says(Some(status)) if status.is_end() => Verdict::Ended,
            Polled::Says(status) => match self.next_age(age) {
                Some(age) => Verdict::AskAt { age },
                None => {
                    let says = status.map_or("a status of its own", TwilioStatus::as_str);
                    missing(format!("no receipt came within {last}; Twilio says `{says}`"))
                }
            },
            Polled::Gone => Verdict::Close(Reason::new(
                ReasonCode::DeletedAtTwilio,
                "Twilio has the message no more: it was deleted there before its receipt came",
            )),
            Polled::Unanswered if age < self.first.saturating_mul(GIVE_UP_AGE) => {
                Verdict::AskAt { age: age.saturating_add(self.first / 2) }
            }
            Polled::Unanswered => {
                missing(format!("no receipt came within {last}, and Twilio gave no answer"))
            }
            Polled::NotAsked => {
                missing(format!("no receipt came within {last}, and asking for it is switched off"))
            }
        }
    }
}

/// What a look at one message told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polled {
    /// Twilio's status; `None` for one that it invented later.
    Says(Option<TwilioStatus>),
    /// Twilio has no such message any more.
    Gone,
    /// No answer that says anything about the message.
    Unanswered,
    /// Twilio is not asked.
    NotAsked,
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The receipt is there.
    Ended,
    /// The next look comes when the message has this age.
    AskAt {
        /// Since its acceptance.
        age: Duration,
    },
    /// Nobody waits any more, for this reason.
    Close(Reason),
}

fn spoken(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > 0 && seconds.is_multiple_of(3_600) => format!("{} h", seconds / 3_600),
        seconds => format!("{seconds} s"),
    }
}

/// How fast one worker asks: as fast as it may, half as fast after each throttle, and slowly faster again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PollPace {
    per_second: f64,
}

impl Default for PollPace {
    fn default() -> Self {
        Self { per_second: POLLS_PER_SECOND_MAX }
    }
}

impl PollPace {
    /// The time from one question to the next.
    #[must_use]
    pub fn interval(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }

    /// Twilio answered.
    pub fn answered(&mut self) {
        self.per_second = (self.per_second + POLLS_PER_SECOND_STEP).min(POLLS_PER_SECOND_MAX);
    }

    /// Twilio asked to slow down; returns how long nothing is asked at all.
    pub fn throttled(&mut self, retry_after: Option<Duration>) -> Duration {
        self.per_second = (self.per_second / 2.0).max(POLLS_PER_SECOND_MIN);
        retry_after.unwrap_or_default().max(THROTTLE_PAUSE_MIN)
    }
}

/// How long a stretch of time the next step of the walk covers, after one of `span` that met `seen` attempts: so long
/// that it meets about 10,000.
#[must_use]
pub fn next_span(span: Duration, seen: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a ratio that is cut to a few values")]
    let ratio = if seen == 0 { 8.0 } else { (STEP_ATTEMPTS / seen as f64).clamp(0.125, 8.0) };
    span.clamp(STEP_SPANS.0, STEP_SPANS.1).mul_f64(ratio).clamp(STEP_SPANS.0, STEP_SPANS.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hours(hours: u64) -> Duration {
        Duration::from_hours(hours)
    }

    fn usual() -> PollSchedule {
        PollSchedule::new(FIRST_POLL_AGE, true)
    }

    #[test]
    fn the_whole_schedule_is_this() {
        let mut ages = Vec::new();
        let mut age = Duration::ZERO;
        while let Some(next) = usual().next_age(age) {
            ages.push(next.as_secs() / 60);
            age = next;
        }
        assert_eq!(ages, [10, 30, 60, 180, 360, 720, 1_440, 2_880, 4_320]);
        assert_eq!(usual().last_age(), hours(72));
    }

    #[test]
    fn what_follows_from_each_look_is_this() {
        let silent = PollSchedule::new(FIRST_POLL_AGE, false);
        let says = |status| Polled::Says(Some(status));
        let at = |age: Duration| Verdict::AskAt { age };
        let minutes = Duration::from_mins;
        let missing = |text: &str| Verdict::Close(Reason::new(ReasonCode::ReceiptMissing, text));
        let rows = [
            (usual(), minutes(10), says(TwilioStatus::Delivered), Verdict::Ended),
            (usual(), hours(72), says(TwilioStatus::Failed), Verdict::Ended),
            (usual(), minutes(10), says(TwilioStatus::Sent), at(minutes(30))),
            (usual(), minutes(11), says(TwilioStatus::Queued), at(minutes(30))),
            // Two days without any worker: what was missed is not made up for.
            (usual(), hours(47), says(TwilioStatus::Sent), at(hours(48))),
            (usual(), hours(50), Polled::Says(None), at(hours(72))),
            (
                usual(),
                hours(72),
                says(TwilioStatus::Sent),
                missing("no receipt came within 72 h; Twilio says `sent`"),
            ),
            (
                usual(),
                hours(80),
                Polled::Says(None),
                missing("no receipt came within 72 h; Twilio says `a status of its own`"),
            ),
            (usual(), minutes(10), Polled::Unanswered, at(minutes(15))),
            (usual(), hours(95), Polled::Unanswered, at(hours(95) + minutes(5))),
            (
                usual(),
                hours(96),
                Polled::Unanswered,
                missing("no receipt came within 72 h, and Twilio gave no answer"),
            ),
            (
                silent,
                hours(72),
                Polled::NotAsked,
                missing("no receipt came within 72 h, and asking for it is switched off"),
            ),
        ];
        for (schedule, age, polled, verdict) in rows {
            assert_eq!(schedule.after(age, polled), verdict, "{age:?} {polled:?}");
        }
        let Verdict::Close(gone) = usual().after(minutes(10), Polled::Gone) else {
            panic!("a deleted message is closed")
        };
        assert_eq!(gone.code, ReasonCode::DeletedAtTwilio);
        assert_eq!(silent.next_age(Duration::ZERO), Some(hours(72)), "nobody is asked before");
    }

    #[test]
    fn a_throttle_halves_the_pace_and_answers_bring_it_back_slowly() {
        let mut pace = PollPace::default();
        assert_eq!(pace.interval(), Duration::from_millis(100));
        assert_eq!(pace.throttled(None), THROTTLE_PAUSE_MIN);
        assert_eq!(pace.interval(), Duration::from_millis(200));
        assert_eq!(pace.throttled(Some(Duration::from_secs(90))), Duration::from_secs(90));
        assert_eq!(pace.interval(), Duration::from_millis(400));
        (0..50).for_each(|_| pace.answered());
        assert!(pace.interval() > Duration::from_millis(250), "{:?}", pace.interval());
        (0..1_000).for_each(|_| pace.answered());
        assert_eq!(pace, PollPace::default());
        (0..100).for_each(|_| {
            pace.throttled(None);
        });
        assert_eq!(pace.interval(), Duration::from_secs(10));
    }

    #[test]
    fn steps_of_the_walk_follow_the_traffic() {
        let second = Duration::from_secs(1);
        assert_eq!(next_span(second, 10_000), second);
        assert_eq!(next_span(second, 40_000), second / 4);
        assert_eq!(next_span(second, 5_000), second * 2);
        assert_eq!(next_span(second, 0), second * 8);
        assert_eq!(next_span(second, u64::MAX), second / 8);
        assert_eq!(next_span(STEP_SPANS.1, 0), STEP_SPANS.1);
    }

    proptest! {
        /// Whatever is heard and however late each look comes: after so many looks it is closed.
        #[test]
        fn every_message_is_closed_in_the_end(lateness_s in proptest::collection::vec(0u64..100_000, 2_000)) {
            let mut age = FIRST_POLL_AGE;
            let mut is_closed = false;
            for late_s in lateness_s {
                match usual().after(age, Polled::Unanswered) {
                    Verdict::AskAt { age: next } => {
                        prop_assert!(next > age);
                        age = next + Duration::from_secs(late_s);
                    }
                    Verdict::Close(_) => { is_closed = true; break; }
                    Verdict::Ended => prop_assert!(false, "nothing was heard"),
                }
            }
            prop_assert!(is_closed);
        }
    }
}

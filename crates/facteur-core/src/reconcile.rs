//! Uncertain attempts: what evidence says about a call of which nobody knows whether Twilio took it.
//!
//! Evidence *for* is one single message in the account's list that can be nobody else's. Evidence *against* needs more
//! than silence, for lists lag and callbacks get lost: see [`judge`]. Whatever is left ends in the policy.

use std::fmt;
use std::time::Duration;

use crate::Timestamp;
use crate::decide::{Decision, History, retry, try_again};
use crate::ids::MessageSid;
use crate::job::{Category, Recipient};
use crate::reason::{Reason, ReasonCode};
use crate::schedule::{Draw, RetrySchedule};
use crate::status::{TwilioStatus, status_of};

/// Shortest grace outside of tests and demonstrations: lists were seen to trail by ten to fifteen minutes.
pub const GRACE_MIN: Duration = Duration::from_secs(30 * 60);
/// How long after an uncertain outcome it is looked for first.
pub const FIRST_LOOK: Duration = Duration::from_secs(5);
/// Nobody is kept waiting for longer than so many graces, also if the grace never got to run.
pub const AGE_MAX_GRACES: u32 = 4;
/// Twilio's dates have a resolution of one second, and its clock is not ours.
pub const CREATED_BEFORE_MAX: Duration = Duration::from_secs(2);
/// A call that we gave up may still be carried out for a while.
pub const CREATED_AFTER_MAX: Duration = Duration::from_secs(30);
/// A clock that is wrong, ours or Twilio's, is rarely wrong by more: the same text that near is no proof of absence.
pub const CLOCKS_APART_MAX: Duration = Duration::from_secs(15 * 60);

/// Pauses after the first looks; the last one repeats itself.
const LOOK_AGAIN_S: [u64; 5] = [15, 30, 60, 120, 300];

/// What becomes of an uncertain message when evidence fails to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// It is kept for a person to look at: at most one text goes out.
    #[default]
    Hold,
    /// It is sent again: at least one text goes out, perhaps two.
    Resend,
}

impl Policy {
    /// The policy's name, as configured and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Resend => "resend",
        }
    }
}

/// The policy of each category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policies {
    /// For one-time passwords.
    pub otp: Policy,
    /// For what the recipient waits for.
    pub transactional: Policy,
    /// For advertising.
    pub marketing: Policy,
}

impl Policies {
    /// The policy of a category.
    #[must_use]
    pub fn of(self, category: Category) -> Policy {
        match category {
            Category::Otp => self.otp,
            Category::Transactional => self.transactional,
            Category::Marketing => self.marketing,
        }
    }
}

/// How the evidence about uncertain messages is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvidenceRules {
    /// How long is searched before the policy decides.
    pub grace: Duration,
    /// What is done when nobody knows.
    pub policies: Policies,
}

/// When the call was under way: from its start to its end or, after a lost lease, as far as it may have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its start.
    pub started_at: Timestamp,
    /// Its end.
    pub ended_at: Timestamp,
}

impl Window {
    /// Whether a message that Twilio created then can be this call's.
    #[must_use]
    pub fn admits(&self, created_at: Timestamp) -> bool {
        self.reaches(created_at, CREATED_BEFORE_MAX, CREATED_AFTER_MAX)
    }

    /// Whether it can be this call's if a clock is wrong.
    #[must_use]
    pub fn is_near(&self, created_at: Timestamp) -> bool {
        self.reaches(created_at, CLOCKS_APART_MAX, CLOCKS_APART_MAX)
    }

    /// How far back a list must be read: the earliest instant that is near.
    #[must_use]
    pub fn opens_at(&self) -> Timestamp {
        self.started_at.checked_sub(CLOCKS_APART_MAX).unwrap_or(Timestamp::MIN)
    }

    fn reaches(&self, instant: Timestamp, before: Duration, after: Duration) -> bool {
        let since = self.started_at.checked_sub(before).unwrap_or(Timestamp::MIN);
        let until = self.ended_at.checked_add(after).unwrap_or(Timestamp::MAX);
        (since..=until).contains(&instant)
    }
}

/// A message in the account's list.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedMessage {
    /// Twilio's id of it.
    pub sid: MessageSid,
    /// Twilio's `To`.
    pub to: String,
    /// Its text.
    pub body: String,
    /// Whether it went out from the account.
    pub is_outbound: bool,
    /// When Twilio created it, to the second.
    pub created_at: Timestamp,
    /// Its status.
    pub twilio_status: TwilioStatus,
    /// Twilio's error code, if it failed.
    pub code: Option<u32>,
}

impl fmt::Debug for ListedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedMessage")
            .field("sid", &self.sid)
            .field("created_at", &self.created_at)
            .field("twilio_status", &self.twilio_status)
            .finish_non_exhaustive()
    }
}

/// What a readable list holds for one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sifted {
    /// Messages that can be this attempt's, with the same text.
    pub candidates: Vec<ListedMessage>,
    /// Messages that are nobody else's and may be this attempt's all the same: those of the window with another text,
    /// or one that can't be compared (Twilio's own templates, texts that Twilio changed), and those with its text that
    /// are only near the window, for clocks can be wrong.
    pub unexplained: usize,
}

/// Sifts a list for one attempt. `text` is `None` if the text is Twilio's to render; `is_known` says whether a SID
/// belongs to another attempt of ours, and must know whatever was recorded before it is asked.
#[must_use]
pub fn sift(
    listed: &[ListedMessage],
    window: Window,
    to: &Recipient,
    text: Option<&str>,
    is_known: impl Fn(&MessageSid) -> bool,
) -> Sifted {
    let address = to.twilio_address();
    let mut sifted = Sifted::default();
    for message in listed {
        if !message.is_outbound || message.to != address || is_known(&message.sid) {
            continue;
        }
        let has_its_text = text == Some(message.body.as_str());
        match (window.admits(message.created_at), has_its_text) {
            (true, true) => sifted.candidates.push(message.clone()),
            (true, false) => sifted.unexplained += 1,
            (false, _) => {
                sifted.unexplained += usize::from(has_its_text && window.is_near(message.created_at))
            }
        }
    }
    sifted
}

/// All that is known of one uncertain attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The list, sifted; `None` if it could not be read, all pages of it.
    pub list: Option<Sifted>,
    /// Whether another attempt with the same account, recipient and text was under way at the same time, and it is not
    /// known what became of that one either.
    pub has_twin: bool,
    /// Whether callbacks can reach us and be verified at all.
    pub can_receive_callbacks: bool,
    /// Whether the list has shown a message of ours that was accepted after this attempt.
    pub is_later_listed: bool,
    /// Whether a verified callback of a later attempt has arrived.
    pub is_later_called_back: bool,
    /// How long the search has gone on with the list readable and callbacks arriving.
    pub searched: Duration,
    /// How long it has been uncertain.
    pub age: Duration,
    /// How long to search.
    pub grace: Duration,
    /// What to do if nothing is found out.
    pub policy: Policy,
    /// Whether the message is worth nothing any more.
    pub is_expired: bool,
}

/// What follows from the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Twilio has it.
    Found(ListedMessage),
    /// Twilio never took it.
    NotTaken,
    /// Nobody knows, and the policy is to send again.
    Resend,
    /// Nobody knows: a person must look.
    Hold,
    /// Too early to say.
    KeepLooking,
}

impl Verdict {
    /// The verdicts that end a search, as stored and counted.
    pub const ENDS: [&'static str; 4] = ["found", "not_taken", "resent", "held"];

    /// The verdict's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Found(_) => "found",
            Self::NotTaken => "not_taken",
            Self::Resend => "resent",
            Self::Hold => "held",
            Self::KeepLooking => "open",
        }
    }
}

/// A verdict, and what it rests on, for a person; without personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What follows.
    pub verdict: Verdict,
    /// What was found.
    pub finding: String,
}

/// Judges. A message is `Found` by one candidate that can be nobody else's. It was `NotTaken` only if, through the
/// whole grace, the list could be read and held nothing like it, the list has shown a message of ours that came later,
/// *and* a callback of a later attempt has arrived. Texts that can't be told apart are never sent again, and neither is
/// anything on a look that could not read the list.
#[must_use]
pub fn judge(evidence: &Evidence) -> Judgement {
    let over = is_over(evidence);
    let said = |verdict, finding: &str| Judgement { verdict, finding: finding.to_owned() };
    let unless_over = |finding| said(if over { Verdict::Hold } else { Verdict::KeepLooking }, finding);
    let Some(list) = &evidence.list else {
        let verdict = if is_too_old(evidence) { Verdict::Hold } else { Verdict::KeepLooking };
        return said(verdict, "Twilio's list of messages can't be read");
    };
    match list.candidates.as_slice() {
        [] if evidence.has_twin => unless_over(
            "not in Twilio's list; the same text was on its way to this recipient twice at that time",
        ),
        [] if list.unexplained > 0 => unless_over(
            "Twilio's list holds a message to this recipient from about that time, whose text or instant does not fit",
        ),
        [] => absent(evidence, over),
        [_] if evidence.has_twin => unless_over(
            "in Twilio's list once, while the same text was on its way to this recipient twice at that time",
        ),
        [found] => said(Verdict::Found(found.clone()), "found in Twilio's list of messages"),
        [_, _, ..] => unless_over("in Twilio's list several times: which one is this can't be told"),
    }
}

/// The list can be read and holds nothing that could be it.
fn absent(evidence: &Evidence, over: bool) -> Judgement {
    let finding =
        match (evidence.can_receive_callbacks, evidence.is_later_listed, evidence.is_later_called_back) {
            (false, ..) => {
                "not in Twilio's list, which lags at times; callbacks, which would tell, can't be received"
            }
            (true, false, _) => "not in Twilio's list, which has not shown a later message of ours yet",
            (true, true, false) => {
                "not in Twilio's list, which shows later ones; no callback of a later message came yet"
            }
            (true, true, true) => {
                "not in Twilio's list, which shows later ones; callbacks of later messages came"
            }
        };
    let is_proven =
        evidence.can_receive_callbacks && evidence.is_later_listed && evidence.is_later_called_back;
    let verdict = if !over {
        Verdict::KeepLooking
    } else if is_proven && evidence.searched >= evidence.grace {
        Verdict::NotTaken
    } else if evidence.policy == Policy::Resend && !evidence.is_expired {
        Verdict::Resend
    } else {
        Verdict::Hold
    };
    Judgement { verdict, finding: finding.to_owned() }
}

fn is_over(evidence: &Evidence) -> bool {
    evidence.searched >= evidence.grace || is_too_old(evidence)
}

fn is_too_old(evidence: &Evidence) -> bool {
    evidence.age >= evidence.grace * AGE_MAX_GRACES
}

/// How long to wait after so many looks, at least 1. A grace that was shortened (for tests and demonstrations) shortens
/// the pauses too.
#[must_use]
pub fn look_again_after(looks: u32, grace: Duration) -> Duration {
    let index = usize::try_from(looks.saturating_sub(1)).unwrap_or(usize::MAX).min(LOOK_AGAIN_S.len() - 1);
    let longest = (grace / 4).max(Duration::from_secs(1));
    Duration::from_secs(LOOK_AGAIN_S[index]).min(longest)
}

/// What is to be done, if the search is over. Sending again follows the lane's schedule; after evidence that
/// Twilio did not take it, that is nobody's failure.
#[must_use]
pub fn decision(
    judgement: &Judgement,
    looks: u32,
    schedule: &RetrySchedule,
    history: History,
    now: Timestamp,
    draw: Draw,
) -> Option<Decision> {
    let finding = &judgement.finding;
    let looked = format!("looked for {looks} times: {finding}");
    let hold = || {
        let sentence = format!("{looked}; Twilio may have taken it, so it is not sent again by itself");
        Decision::Bury(Reason::new(ReasonCode::Uncertain, sentence))
    };
    match &judgement.verdict {
        Verdict::KeepLooking => None,
        Verdict::Hold => Some(hold()),
        Verdict::Found(found) => {
            let sentence = format!("{finding}, as {} ({})", found.sid.as_str(), found.twilio_status);
            Some(Decision::Finish {
                status: status_of(found.twilio_status),
                reason: Reason::new(ReasonCode::Accepted, sentence),
                suppress: false,
            })
        }
        Verdict::NotTaken => {
            let reason = Reason::new(ReasonCode::NotTaken, format!("{looked}: Twilio did not take it"));
            Some(try_again(schedule, history, reason, now, draw))
        }
        Verdict::Resend => {
            let sentence = format!("{looked}; the policy of its category is to send again");
            let again =
                retry(schedule, history, Reason::new(ReasonCode::ResentByPolicy, sentence), now, draw);
            // No time or no try is left: it stays unknown, which no other end may hide.
            Some(if matches!(again, Decision::Retry { .. }) { again } else { hold() })
        }
    }
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;

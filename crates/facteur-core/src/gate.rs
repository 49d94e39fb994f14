//! The gate: may this job leave, and as what? Each refusal has a stable code and costs no call.
//! What other transactions may change meanwhile (suppression, expiry, pause, cancellation, the day's budget) is tested
//! again by the claim.

use std::sync::Arc;

use crate::Timestamp;
use crate::call::CallContent;
use crate::envelope::is_showable;
use crate::hold::Hold;
use crate::integration::Via;
use crate::job::{Content, Job};
use crate::limits::TEXT_CHARS_MAX;
use crate::reason::{Reason, ReasonCode as Code};
use crate::rules::{self, Quiet, TenantRules};
use crate::schedule::RetrySchedule;
use crate::segments;
use crate::sender::Sender;
use crate::status::Status;
use crate::template::Template;

/// The sentence of a job whose bulk was cancelled; by whom and why stands with the bulk.
pub const BULK_CANCELED: &str = "its bulk was cancelled";

/// What the gate must know beside the job.
#[derive(Clone, PartialEq, Eq)]
pub struct Facts {
    /// The sender: the one of an earlier turn, the one that the job names, or the configured default of its channel.
    pub sender: Option<Sender>,
    /// The slug of the tenant that owns that sender, if it has an owner.
    pub sender_owner: Option<String>,
    /// Over which account it leaves, if its tenant has one.
    pub via: Option<Via>,
    /// The text of the template that the job names, if it exists.
    pub template: Option<String>,
    /// The text that an earlier turn rendered: it is what is sent, whatever the template says now.
    pub stored_text: Option<String>,
    /// What keeps jobs like this one back now: a pause or an open breaker.
    pub hold: Option<Hold>,
    /// Whether the job's bulk was cancelled.
    pub is_canceled: bool,
    /// What the job's tenant set.
    pub rules: Arc<TenantRules>,
    /// On WhatsApp: when the recipient last wrote to the sender, if that is known.
    pub last_inbound_at: Option<Timestamp>,
}

/// A job that may leave: everything that the call needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// From which sender.
    pub sender: Sender,
    /// Over which account.
    pub via: Via,
    /// What, rendered.
    pub content: CallContent,
    /// What it costs at the limiter, in segments.
    pub segments: u32,
    /// When quiet hours begin for it: from then on it is to be judged again.
    pub quiet_from: Option<Timestamp>,
    /// Whether its tenant has a budget, which the claim counts.
    pub is_budgeted: bool,
}

impl Ready {
    /// The rendered text, unless Twilio renders it.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            CallContent::Message { text, .. } => Some(text),
            CallContent::Template { .. } => None,
        }
    }
}

/// What the gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Pass(Ready),
    /// Not before its `send_at`; what will be sent is settled now, so that its producer hears of a fault now.
    Later(Timestamp, Ready),
    /// Not before this instant, for a reason that is no failure (quiet hours).
    Wait(Timestamp, Reason, Ready),
    /// Not while this keeps it back.
    Hold(Hold, Ready),
    /// Never: the final status and the reason.
    Refuse(Status, Reason),
}

impl Verdict {
    /// What will be sent, unless it was refused.
    #[must_use]
    pub fn ready(&self) -> Option<&Ready> {
        match self {
            Self::Pass(ready) | Self::Later(_, ready) | Self::Wait(_, _, ready) | Self::Hold(_, ready) => {
                Some(ready)
            }
            Self::Refuse(..) => None,
        }
    }
}

/// When the job becomes worthless: at its own `expires_at`, or when it reaches the lane's age limit, counted
/// from when it was published or is to be sent.
#[must_use]
pub fn deadline(
    job: &Job,
    enqueued_at: Option<Timestamp>,
    schedule: &RetrySchedule,
    now: Timestamp,
) -> Timestamp {
    // A producer's clock may run ahead: a job is never younger than now.
    let born = enqueued_at.map_or(now, |at| at.min(now));
    let counted_from = job.send_at.map_or(born, |at| at.max(born));
    let by_age = counted_from.checked_add(schedule.age_max).unwrap_or(Timestamp::MAX);
    job.expires_at.map_or(by_age, |at| at.min(by_age))
}

/// Judges a job.
#[must_use]
pub fn admit(job: &Job, facts: Facts, deadline: Timestamp, now: Timestamp) -> Verdict {
    if deadline <= now {
        return Verdict::Refuse(
            Status::Expired,
            Reason::new(Code::Expired, format!("was wanted until {deadline}")),
        );
    }
    if facts.is_canceled {
        return Verdict::Refuse(Status::Canceled, Reason::new(Code::Canceled, BULK_CANCELED));
    }
    let (hold, rules, last_inbound_at) =
        (facts.hold.clone(), Arc::clone(&facts.rules), facts.last_inbound_at);
    let ready = match ready(job, facts) {
        Ok(ready) => ready,
        Err(reason) => return Verdict::Refuse(Status::Dead, reason),
    };
    if let Some((status, reason)) = rules.refusal(job, ready.segments) {
        return Verdict::Refuse(status, reason);
    }
    // What depends on the hour is judged when the hour has come.
    if let Some(at) = job.send_at.filter(|at| *at > now) {
        return Verdict::Later(at, ready);
    }
    if let Some(reason) = rules::window_closed(job, &ready.content, last_inbound_at, now) {
        return Verdict::Refuse(Status::Failed, reason);
    }
    let quiet_from = match rules.quiet(job, now) {
        Quiet::Open { until } => until,
        closed => return wait_for_day(closed, deadline, ready),
    };
    match hold {
        Some(hold) => Verdict::Hold(hold, ready),
        None => Verdict::Pass(Ready { quiet_from, ..ready }),
    }
}

/// Quiet hours that outlast the message end it now rather than later: its producer hears of it while that is of use.
fn wait_for_day(quiet: Quiet, deadline: Timestamp, ready: Ready) -> Verdict {
    match quiet {
        Quiet::Until(at) if at < deadline => {
            let sentence = format!("it is night or a day of rest where the recipient may be, until {at:.0}");
            Verdict::Wait(at, Reason::new(Code::QuietHours, sentence), ready)
        }
        Quiet::Until(at) => {
            let sentence = format!("was wanted until {deadline:.0}, and quiet hours last until {at:.0}");
            Verdict::Refuse(Status::Expired, Reason::new(Code::Expired, sentence))
        }
        Quiet::Open { .. } | Quiet::Always => {
            let sentence = "no hour of the week is day in every time zone of the recipient's country";
            Verdict::Refuse(Status::Dead, Reason::new(Code::QuietHours, sentence))
        }
    }
}

fn ready(job: &Job, facts: Facts) -> Result<Ready, Reason> {
    let channel = job.recipient.channel;
    let Some(via) = facts.via else {
        let sentence = format!("{} has no integration for {}", job.tenant, channel.as_str());
        return Err(Reason::field(Code::IntegrationMissing, "tenant", sentence));
    };
    let Some(sender) = facts.sender else {
        let sentence = format!("no default sender is configured for {}", channel.as_str());
        return Err(Reason::field(Code::SenderMissing, "from", sentence));
    };
    if !sender.carries(channel) {
        let sentence = format!("this sender carries no {} messages", channel.as_str());
        return Err(Reason::field(Code::SenderChannel, "from", sentence));
    }
    if facts.sender_owner.is_some_and(|owner| owner != job.tenant.as_str()) {
        return Err(Reason::field(Code::SenderForeign, "from", format!("is not a sender of {}", job.tenant)));
    }
    let content = match (&job.content, facts.stored_text) {
        (Content::Message { media_urls, .. } | Content::Template { media_urls, .. }, Some(text)) => {
            CallContent::Message { text, media_urls: media_urls.clone() }
        }
        (Content::Message { text, media_urls }, None) => {
            CallContent::Message { text: text.clone(), media_urls: media_urls.clone() }
        }
        (Content::Template { name, language, variables, media_urls }, None) => {
            let template = facts.template.ok_or_else(|| {
                let named = |text: &str| if is_showable(text) { format!("`{text}` ") } else { String::new() };
                let language =
                    language.as_deref().map_or(String::new(), |text| format!(" in {}", named(text).trim()));
                Reason::field(
                    Code::TemplateUnknown,
                    "template",
                    format!("{}does not exist{language}", named(name)),
                )
            })?;
            CallContent::Message { text: render(&template, variables)?, media_urls: media_urls.clone() }
        }
        (Content::ContentSid { sid, variables }, _) => {
            CallContent::Template { content_sid: sid.clone(), variables: variables.clone() }
        }
    };
    let segments = match &content {
        CallContent::Message { text, .. } => segments::cost(channel, text),
        CallContent::Template { .. } => 1,
    };
    let is_budgeted = facts.rules.segments_per_day.is_some();
    Ok(Ready { sender, via, content, segments, quiet_from: None, is_budgeted })
}

fn render(template: &str, variables: &std::collections::BTreeMap<String, String>) -> Result<String, Reason> {
    let template = Template::parse(template)
        .map_err(|error| Reason::field(Code::TemplateUnknown, "template", error.to_string()))?;
    let text = template
        .render(variables)
        .map_err(|error| Reason::field(Code::VariableMissing, "variables", error.to_string()))?;
    // An optional value at the end leaves the space before it.
    let text = text.trim_end().to_owned();
    if text.is_empty() {
        return Err(Reason::field(Code::ContentMissing, "template", "renders to an empty text"));
    }
    let chars = text.chars().count();
    if chars > TEXT_CHARS_MAX {
        let sentence = format!("renders to {chars} characters; at most {TEXT_CHARS_MAX}");
        return Err(Reason::field(Code::TextTooLong, "template", sentence));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;

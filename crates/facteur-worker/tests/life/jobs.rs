//! The envelopes that producers publish here.

use facteur_core::Timestamp;
use facteur_core::envelope::{EnvelopeContent, decode};
use facteur_core::job::{Job, JobDefaults};
use facteur_core::phone::Country;
use facteur_core::reason::ReasonCode;
use jiff::ToSpan;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::limiter::LIMITED_SENDER;

/// The sender that belongs to another tenant.
pub(crate) const FOREIGN_SENDER: &str = "+15005550002";

/// What a producer publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A text in the normal lane.
    Plain,
    /// A one-time password, urgent.
    Otp,
    /// Marketing, in the bulk lane.
    Bulk,
    /// One of our templates.
    Template,
    /// Two segments from the sender that has a rate.
    Limited,
    /// A template, to be sent at a later time to the recipient that all of these share.
    Scheduled { in_s: i64 },
    /// Wanted for so long; from the sender that has a rate.
    Expiring { in_s: i64 },
    /// To the recipient that the scheduled ones share.
    SameRecipient,
    /// A template that does not exist.
    UnknownTemplate,
    /// From a sender of another tenant.
    ForeignSender,
    /// No JSON.
    Malformed,
    /// No id.
    Nameless,
    /// The id of the first job, for another text.
    Conflicting,
}

/// What was published, and how it is understood.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) content: EnvelopeContent,
    pub(crate) meaning: Result<Job, ReasonCode>,
}

/// What jobs take where they are silent.
pub(crate) fn defaults() -> JobDefaults {
    JobDefaults { country: Country::FRANCE }
}

/// The id of the `nth` job.
fn id(nth: usize) -> Uuid {
    Uuid::from_u128(0x0197_c1de_0000_7000_8000_0000_0000_0000 + nth as u128)
}

fn from_template(name: &str, document: &mut Value) {
    document["body"] = Value::Null;
    document["template"] = json!(name);
    document["variables"] = json!({ "name": "Jean" });
}

/// The `nth` envelope.
pub(crate) fn published(kind: Kind, nth: usize, now: Timestamp) -> Published {
    let at = |in_s: i64| now.checked_add(in_s.seconds()).unwrap().to_string();
    let mut document =
        json!({ "to": format!("+336123{:05}", 10_000 + nth), "body": format!("Bonjour {nth}") });
    let mut lane = "normal";
    let mut message_id = Some(id(nth).to_string());
    match kind {
        Kind::Plain | Kind::Malformed => {}
        Kind::Otp => {
            lane = "urgent";
            document["category"] = json!("otp");
        }
        Kind::Bulk => {
            lane = "bulk";
            document["category"] = json!("marketing");
        }
        Kind::Template => from_template("hello", &mut document),
        Kind::UnknownTemplate => from_template("nowhere", &mut document),
        Kind::Limited => {
            document["from"] = json!(LIMITED_SENDER);
            document["body"] = json!("B".repeat(200));
        }
        Kind::Expiring { in_s } => {
            document["from"] = json!(LIMITED_SENDER);
            document["expires_at"] = json!(at(in_s));
        }
        Kind::Scheduled { in_s } => {
            from_template("hello", &mut document);
            document["to"] = json!("+33698765432");
            document["send_at"] = json!(at(in_s));
        }
        Kind::SameRecipient => document["to"] = json!("+33698765432"),
        Kind::ForeignSender => document["from"] = json!(FOREIGN_SENDER),
        Kind::Nameless => message_id = None,
        Kind::Conflicting => message_id = Some(id(0).to_string()),
    }
    let body = if kind == Kind::Malformed { "{\"to\": ".to_owned() } else { document.to_string() };
    let content = EnvelopeContent {
        body: body.into(),
        routing_key: format!("send.{lane}"),
        message_id,
        content_type: Some("application/json".to_owned()),
        // Half of the producers say when they published.
        timestamp_s: if nth.is_multiple_of(2) { u64::try_from(now.as_second()).ok() } else { None },
        ..EnvelopeContent::default()
    };
    let meaning = decode(&content, &defaults(), now)
        .map(|wake_up| wake_up.job)
        .map_err(|undecodable| undecodable.reason.code);
    Published { content, meaning }
}

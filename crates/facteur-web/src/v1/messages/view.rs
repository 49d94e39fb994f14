//! Messages as the canonical API reads and writes them.

use std::collections::BTreeMap;

use facteur_core::Timestamp;
use facteur_core::document::{DocumentChannel, JobDocument, Scalar};
use facteur_core::job::Category;
use facteur_core::lane::Lane;
use facteur_core::twilio_errors;
use facteur_postgres::listing::{MessageSummary, StatusEvent};
use facteur_postgres::messages::AttemptFacts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::judge::Wish;
use crate::shape::ScalarShape;

/// One message that is to be sent: one recipient, one content (`body`, `template`, `media_urls` with or without
/// `body`, or `content_sid`).
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageRequest {
    /// An id of your own: the same message under the same id is accepted once. Drawn if absent.
    #[serde(default)]
    id: Option<Uuid>,
    /// Whose message it is; the key's own tenant if absent.
    #[serde(default)]
    tenant: Option<String>,
    /// `whatsapp` if `to` starts with `whatsapp:`, `mms` if there are media, else `sms`.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(sms|mms|whatsapp)$")]
    channel: Option<DocumentChannel>,
    /// The recipient's number, in any spelling that the default country makes valid.
    #[schema(example = "+33612345678")]
    to: String,
    /// From address; the tenant's default sender if absent.
    #[serde(default)]
    from: Option<String>,
    /// The text, at most 1,600 characters.
    #[serde(default)]
    #[schema(example = "Bonjour Jean")]
    body: Option<String>,
    /// Name of a template.
    #[serde(default)]
    template: Option<String>,
    /// Language of the template (`fr`, `en`).
    #[serde(default)]
    language: Option<String>,
    /// Values for the template's placeholders: texts, numbers or booleans.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, ScalarShape>>)]
    variables: Option<BTreeMap<String, Scalar>>,
    /// Up to ten http(s) URLs.
    #[serde(default)]
    media_urls: Option<Vec<String>>,
    /// A template of Twilio's Content API (`HX` and 32 hexadecimal digits).
    #[serde(default)]
    content_sid: Option<String>,
    /// Its variables.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, ScalarShape>>)]
    content_variables: Option<BTreeMap<String, Scalar>>,
    /// What it is for: `otp`, `transactional` or `marketing`. The template's, or else `transactional`, if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(otp|transactional|marketing)$")]
    category: Option<Category>,
    /// The lane that it should travel in: `urgent`, `normal` or `bulk`. Its category's if absent.
    #[serde(default)]
    #[schema(value_type = Option<String>, pattern = "^(urgent|normal|bulk)$")]
    lane: Option<Lane>,
    /// Not before this instant (RFC 3339), at most 366 days ahead.
    #[serde(default)]
    #[schema(example = "2026-12-01T08:00:00Z")]
    send_at: Option<String>,
    /// Worthless after this instant (RFC 3339): never sent later.
    #[serde(default)]
    expires_at: Option<String>,
    /// The bulk that it belongs to.
    #[serde(default)]
    bulk_id: Option<Uuid>,
    /// Free key-values, kept with the message.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, ScalarShape>>)]
    metadata: Option<BTreeMap<String, Scalar>>,
}

impl From<MessageRequest> for Wish {
    fn from(request: MessageRequest) -> Self {
        let lane = request.lane;
        let document = JobDocument {
            id: request.id,
            tenant: request.tenant,
            channel: request.channel,
            to: Some(request.to),
            from: request.from,
            body: request.body,
            template: request.template,
            language: request.language,
            variables: request.variables,
            media_urls: request.media_urls,
            content_sid: request.content_sid,
            content_variables: request.content_variables,
            category: request.category,
            send_at: request.send_at,
            expires_at: request.expires_at,
            bulk_id: request.bulk_id,
            metadata: request.metadata,
        };
        Self { lane, ..Self::of(document) }
    }
}

/// A message and where it stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Message {
    id: Uuid,
    tenant: String,
    /// `scheduled`, `waiting`, `sending`, `retrying`, `uncertain`, `sent`, `delivered`, `read`, `undelivered`, `failed`,
    /// `expired`, `canceled`, `suppressed` or `dead`.
    #[schema(example = "waiting")]
    status: &'static str,
    /// Why it stands there: a stable code.
    #[schema(example = "enqueued")]
    reason: String,
    /// `sms`, `mms` or `whatsapp`.
    channel: String,
    /// The recipient in E.164; null if it was erased.
    to: Option<String>,
    from: Option<String>,
    /// The text as it is sent; null if Twilio renders it, or if it was redacted.
    body: Option<String>,
    /// `otp`, `transactional` or `marketing`.
    category: String,
    /// `urgent`, `normal` or `bulk`.
    lane: Option<String>,
    segments: i32,
    bulk_id: Option<Uuid>,
    /// Twilio's id of it, once Twilio took it.
    sid: Option<String>,
    /// Twilio's error code of its latest attempt.
    error_code: Option<i32>,
    /// What went wrong, for a person.
    error: Option<String>,
    attempts: i32,
    /// Nothing happens before this instant.
    #[schema(value_type = Option<String>)]
    not_before: Option<Timestamp>,
    #[schema(value_type = String)]
    created_at: Timestamp,
    #[schema(value_type = String)]
    updated_at: Timestamp,
}

impl Message {
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }
}

impl From<MessageSummary> for Message {
    fn from(summary: MessageSummary) -> Self {
        let error = summary.error();
        Self {
            id: summary.id,
            tenant: summary.tenant,
            status: summary.status.as_str(),
            reason: summary.reason,
            channel: summary.channel,
            to: summary.to.map(|number| number.reveal().to_owned()),
            from: summary.from,
            body: summary.text,
            category: summary.category,
            lane: summary.lane,
            segments: summary.segments,
            bulk_id: summary.bulk_id,
            sid: summary.sid,
            error_code: summary.error_code,
            error,
            attempts: summary.attempts,
            not_before: summary.not_before,
            created_at: summary.created_at,
            updated_at: summary.updated_at,
        }
    }
}

/// What Twilio's code means, or else what happened.
fn meaning(code: Option<i32>, cause: Option<String>) -> Option<String> {
    let entry = code.and_then(|code| twilio_errors::lookup(u32::try_from(code).ok()?));
    entry.map(|entry| entry.meaning.to_owned()).or(cause)
}

/// One call to Twilio.
#[derive(Serialize, ToSchema)]
pub(crate) struct Attempt {
    number: i32,
    #[schema(value_type = String)]
    started_at: Timestamp,
    duration_ms: u64,
    /// `accepted`, `refused`, `throttled`, `unreachable` or `uncertain`.
    #[schema(example = "accepted")]
    outcome: String,
    /// Twilio's error code.
    code: Option<i32>,
    /// What the code means, or else what happened.
    meaning: Option<String>,
    http_status: Option<i32>,
    sid: Option<String>,
    twilio_status: Option<String>,
    /// The status that was decided.
    next_status: String,
    /// Why: a stable code.
    reason: String,
}

impl From<AttemptFacts> for Attempt {
    fn from(facts: AttemptFacts) -> Self {
        Self {
            number: facts.number,
            started_at: facts.started_at,
            duration_ms: u64::try_from(facts.duration.as_millis()).unwrap_or(u64::MAX),
            outcome: facts.outcome,
            code: facts.code,
            meaning: meaning(facts.code, facts.cause),
            http_status: facts.http_status,
            sid: facts.sid,
            twilio_status: facts.twilio_status,
            next_status: facts.next_status,
            reason: facts.reason,
        }
    }
}

/// What Twilio told after it had taken the message.
#[derive(Serialize, ToSchema)]
pub(crate) struct Event {
    attempt: i32,
    sid: String,
    #[schema(example = "delivered")]
    twilio_status: String,
    /// Twilio's error code.
    code: Option<i32>,
    /// What the code means.
    meaning: Option<String>,
    /// How it was heard: `callback`, `poll` or `list`.
    source: String,
    #[schema(value_type = String)]
    received_at: Timestamp,
}

impl From<StatusEvent> for Event {
    fn from(event: StatusEvent) -> Self {
        Self {
            attempt: event.attempt,
            sid: event.sid,
            twilio_status: event.twilio_status,
            code: event.code,
            meaning: meaning(event.code, None),
            source: event.source,
            received_at: event.received_at,
        }
    }
}

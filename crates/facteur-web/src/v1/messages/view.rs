//! Messages as the canonical API reads and writes them.

use std::collections::BTreeMap;

use facteur_core::Timestamp;
use facteur_core::document::{DocumentChannel, JobDocument, Scalar};
use facteur_core::job::Category;
use facteur_core::lane::Lane;
use facteur_postgres::listing::MessageSummary;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::judge::Wish;

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
    #[schema(value_type = Option<BTreeMap<String, String>>)]
    variables: Option<BTreeMap<String, Scalar>>,
    /// Up to ten http(s) URLs.
    #[serde(default)]
    media_urls: Option<Vec<String>>,
    /// A template of Twilio's Content API (`HX` and 32 hexadecimal digits).
    #[serde(default)]
    content_sid: Option<String>,
    /// Its variables.
    #[serde(default)]
    #[schema(value_type = Option<BTreeMap<String, String>>)]
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
    #[schema(value_type = Option<BTreeMap<String, String>>)]
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
        Self { document, lane }
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

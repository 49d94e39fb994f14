//! The job as it stands on the wire (v1): the JSON that AMQP, HTTP and SQL producers write.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::job::Category;

/// One send job: one recipient, one content. Only `to` and one content are required; unknown fields are
/// refused, so that a misspelt option is never silently ignored.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "facteur.job.v1")]
pub struct JobDocument {
    /// Idempotency key. Required here or as the AMQP property `message_id`; where both stand, they agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Uuid>,
    /// Tenant slug; `default` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Defaults to `whatsapp` if `to` starts with `whatsapp:`, to `mms` if there are media, else to `sms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<DocumentChannel>,
    /// The recipient's number, in any spelling that the default country makes valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// From address; the default sender of the tenant if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The text, at most 1,600 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Name of one of our templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Language of the template (`fr`, `en`); the tenant's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Values for the template's placeholders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<BTreeMap<String, Scalar>>,
    /// Up to ten http(s) URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_urls: Option<Vec<String>>,
    /// A template of Twilio's Content API (`HX` and 32 hexadecimal digits).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sid: Option<String>,
    /// Its variables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_variables: Option<BTreeMap<String, Scalar>>,
    /// What the message is for; decides lane and gate rules. `transactional` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Not before this instant (RFC 3339). A past one means now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// Worthless after this instant (RFC 3339): never sent later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The bulk that this job belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bulk_id: Option<Uuid>,
    /// Free key-values of the producer, kept with the message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, Scalar>>,
}

/// `sms`, `mms` or `whatsapp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DocumentChannel {
    /// A text message.
    Sms,
    /// A text message with media.
    Mms,
    /// A WhatsApp message.
    Whatsapp,
}

/// A value that can stand in a text: a string, a number or a boolean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    /// Text.
    Text(String),
    /// A number, kept as the producer wrote it.
    Number(serde_json::Number),
    /// `true` or `false`.
    Bool(bool),
}

impl Scalar {
    /// The value as it stands in a text.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
        }
    }
}

/// The JSON Schema (Draft 2020-12) of [`JobDocument`], as checked in under `docs/`.
#[must_use]
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(JobDocument).to_value()
}

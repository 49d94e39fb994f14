//! What the messages of a bulk share.

use facteur_core::job::Category;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::error::ApiError;

/// Longest name of a bulk, in characters.
const NAME_CHARS_MAX: usize = 200;

/// What the messages of a bulk share: one content and how it leaves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkHead {
    /// Whose; the key's own tenant if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Invitations, June", min_length = 1, max_length = 200)]
    pub name: Option<String>,
    /// `sms` (the default), `mms` or `whatsapp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "sms")]
    pub channel: Option<String>,
    /// The text; `{{name}}` is replaced by the recipient's variable of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Bonjour {{name}}, vous êtes invité le {{date}}")]
    pub body: Option<String>,
    /// The name of a template, in the place of a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The template's language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The URL of a picture or another medium, for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_url: Option<String>,
    /// A template of Twilio's Content API, in the place of a text; the variables are its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sid: Option<String>,
    /// The sender; the configured one of the channel if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What the messages are for; the template's, or else `transactional`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "marketing")]
    pub category: Option<Category>,
    /// None leaves before this instant (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// None leaves after this instant (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Messages a second, from 0.001; as fast as the senders allow if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 20.0, minimum = 0.001, maximum = 100_000)]
    pub rate: Option<f64>,
    /// The bulk pauses itself when more than this share of what has ended has failed: between 0 and 1. It is judged
    /// once 20 messages have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.2, exclusive_minimum = 0, exclusive_maximum = 1)]
    pub error_ratio_max: Option<f64>,
}

impl BulkHead {
    /// What tells it from another one.
    pub(super) fn digest(&self) -> [u8; 32] {
        // A struct of texts and numbers can always be written.
        Sha256::digest(serde_json::to_vec(self).unwrap_or_default()).into()
    }

    /// Whether the numbers and the name are within their limits.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        // A struct of texts and numbers can always be written.
        if facteur_core::envelope::has_nul(&serde_json::to_string(self).unwrap_or_default()) {
            return Err(ApiError::invalid("nul_byte", "a NUL character can't be stored or sent"));
        }
        check_rate(self.rate)?;
        let is_ratio = |ratio: f64| ratio > 0.0 && ratio < 1.0;
        if self.error_ratio_max.is_some_and(|ratio| !is_ratio(ratio)) {
            let sentence = "`error_ratio_max` is a share between 0 and 1, such as 0.2";
            return Err(ApiError::invalid("invalid_field", sentence).field("error_ratio_max"));
        }
        if self.name.as_ref().is_some_and(|name| name.is_empty() || name.chars().count() > NAME_CHARS_MAX) {
            return Err(ApiError::invalid("invalid_field", "`name` has 1 to 200 characters").field("name"));
        }
        Ok(())
    }
}

/// Whether a rate (messages a second) can be kept.
pub(crate) fn check_rate(rate: Option<f64>) -> Result<(), ApiError> {
    if rate.is_none_or(|rate| (0.001..=100_000.0).contains(&rate)) {
        return Ok(());
    }
    Err(ApiError::invalid("invalid_field", "`rate` is messages a second, from 0.001 to 100000").field("rate"))
}

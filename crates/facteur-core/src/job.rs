//! A job: parsed once, valid for ever.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::Timestamp;
use crate::document::{DocumentChannel, JobDocument, Scalar};
use crate::ids::{JobId, Tenant};
use crate::limits::{
    MEDIA_COUNT_MAX, MEDIA_URL_BYTES_MAX, SCHEDULE_AHEAD_MAX, TEMPLATE_NAME_CHARS_MAX, TEXT_CHARS_MAX,
    VARIABLE_NAME_CHARS_MAX, VARIABLE_VALUE_CHARS_MAX, VARIABLES_COUNT_MAX,
};
use crate::phone::{Country, PhoneNumber};
use crate::reason::{Reason, ReasonCode as Code};
use crate::sender::Sender;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Text.
    Sms,
    /// Text with media.
    Mms,
    /// WhatsApp.
    Whatsapp,
}

impl Channel {
    /// The channel's name, as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Mms => "mms",
            Self::Whatsapp => "whatsapp",
        }
    }

    /// The channel of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Sms, Self::Mms, Self::Whatsapp].into_iter().find(|channel| channel.as_str() == name)
    }
}

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// A one-time password.
    Otp,
    /// Something that the recipient waits for or must know.
    #[default]
    Transactional,
    /// Advertising.
    Marketing,
}

impl Category {
    /// The category's name, as stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Otp => "otp",
            Self::Transactional => "transactional",
            Self::Marketing => "marketing",
        }
    }

    /// The category of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Otp, Self::Transactional, Self::Marketing]
            .into_iter()
            .find(|category| category.as_str() == name)
    }
}

/// To whom, and how.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Recipient {
    /// How.
    pub channel: Channel,
    /// To whom; masks itself in logs.
    pub number: PhoneNumber,
}

impl Recipient {
    /// Twilio's `To`: the number, after `whatsapp:` on that channel.
    #[must_use]
    pub fn twilio_address(&self) -> String {
        match self.channel {
            Channel::Whatsapp => format!("whatsapp:{}", self.number.reveal()),
            Channel::Sms | Channel::Mms => self.number.reveal().to_owned(),
        }
    }
}

/// What is to be sent, before templates are rendered.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// Text, with or without media.
    Message {
        /// The text; may be empty if there are media.
        text: String,
        /// Media URLs.
        media_urls: Vec<String>,
    },
    /// One of our templates.
    Template {
        /// Its name.
        name: String,
        /// Its language; the default one if absent.
        language: Option<String>,
        /// Values of its placeholders.
        variables: BTreeMap<String, String>,
        /// Media URLs.
        media_urls: Vec<String>,
    },
    /// A template of Twilio's own.
    ContentSid {
        /// `HX…`.
        sid: String,
        /// Values of its placeholders.
        variables: BTreeMap<String, String>,
    },
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { text, media_urls } => {
                write!(f, "Message({} chars, {} media)", text.chars().count(), media_urls.len())
            }
            Self::Template { name, variables, .. } => {
                write!(f, "Template({name}, {} variables)", variables.len())
            }
            Self::ContentSid { sid, variables } => {
                write!(f, "ContentSid({sid}, {} variables)", variables.len())
            }
        }
    }
}

/// One recipient, one content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Identity.
    pub id: JobId,
    /// For whom we send.
    pub tenant: Tenant,
    /// To whom we send.
    pub recipient: Recipient,
    /// From which sender, if the producer named one.
    pub sender: Option<Sender>,
    /// What.
    pub content: Content,
    /// What for.
    pub category: Category,
    /// Not before.
    pub send_at: Option<Timestamp>,
    /// Not after.
    pub expires_at: Option<Timestamp>,
    /// Part of which bulk.
    pub bulk_id: Option<Uuid>,
}

/// What a job takes from the configuration where it is silent.
#[derive(Debug, Clone)]
pub struct JobDefaults {
    /// Country of numbers without a country code.
    pub country: Country,
}

/// SHA-256 of tenant and content: tells a repeated job from another one under the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Job {
    /// Validates a document.
    ///
    /// # Errors
    /// The first fault found, with the field at fault.
    pub fn from_document(
        id: JobId,
        document: JobDocument,
        defaults: &JobDefaults,
        now: Timestamp,
    ) -> Result<Self, Reason> {
        let tenant = match document.tenant.as_deref() {
            None => Tenant::default_tenant(),
            Some(slug) => {
                Tenant::parse(slug).map_err(|why| Reason::field(Code::InvalidField, "tenant", why))?
            }
        };
        let sender = document
            .from
            .as_deref()
            .map(Sender::parse)
            .transpose()
            .map_err(|why| Reason::field(Code::InvalidField, "from", why))?;
        let has_media = document.media_urls.as_ref().is_some_and(|urls| !urls.is_empty());
        let recipient = recipient(document.to.as_deref(), document.channel, has_media, defaults.country)?;
        let send_at = instant("send_at", document.send_at.as_deref(), now)?;
        let expires_at = instant("expires_at", document.expires_at.as_deref(), now)?;
        if let (Some(send_at), Some(expires_at)) = (send_at, expires_at)
            && expires_at <= send_at
        {
            return Err(Reason::field(Code::DatesContradict, "expires_at", "is not after send_at"));
        }
        bounded_map("metadata", document.metadata.as_ref())?;
        let (category, bulk_id) = (document.category.unwrap_or_default(), document.bulk_id);
        let content = content(document)?;
        Ok(Self { id, tenant, recipient, sender, content, category, send_at, expires_at, bulk_id })
    }

    /// The fingerprint: equal for the same tenant, recipient, sender and content, in any JSON spelling.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        // Lengths go before parts, so that no two lists of parts read the same.
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        part(self.tenant.as_str().as_bytes());
        part(self.recipient.channel.as_str().as_bytes());
        part(self.recipient.number.reveal().as_bytes());
        part(self.sender.as_ref().map_or("", Sender::as_str).as_bytes());
        let (kind, name, language, variables, media) = match &self.content {
            Content::Message { text, media_urls } => {
                ("message", text.as_str(), None, None, media_urls.as_slice())
            }
            Content::Template { name, language, variables, media_urls } => {
                ("template", name.as_str(), language.as_deref(), Some(variables), media_urls.as_slice())
            }
            Content::ContentSid { sid, variables } => {
                ("content", sid.as_str(), None, Some(variables), &[][..])
            }
        };
        for text in [kind, name, language.unwrap_or_default()] {
            part(text.as_bytes());
        }
        part(&variables.map_or(0, |variables| variables.len() as u64).to_be_bytes());
        for (name, value) in variables.into_iter().flatten() {
            part(name.as_bytes());
            part(value.as_bytes());
        }
        for url in media {
            part(url.as_bytes());
        }
        Fingerprint(hash.finalize().into())
    }
}

fn recipient(
    to: Option<&str>,
    channel: Option<DocumentChannel>,
    has_media: bool,
    country: Country,
) -> Result<Recipient, Reason> {
    let to = to
        .map(str::trim)
        .filter(|to| !to.is_empty())
        .ok_or_else(|| Reason::field(Code::RecipientMissing, "to", "is missing"))?;
    let (is_whatsapp, number) = match to.strip_prefix("whatsapp:") {
        Some(number) => (true, number),
        None => (false, to),
    };
    let channel = match channel {
        None if is_whatsapp => Channel::Whatsapp,
        None if has_media => Channel::Mms,
        None => Channel::Sms,
        Some(DocumentChannel::Whatsapp) => Channel::Whatsapp,
        Some(_) if is_whatsapp => {
            return Err(Reason::field(Code::InvalidField, "channel", "is not whatsapp, while `to` is"));
        }
        Some(DocumentChannel::Mms) => Channel::Mms,
        // Twilio sends an SMS with media as MMS, and carriers count it as one.
        Some(DocumentChannel::Sms) if has_media => Channel::Mms,
        Some(DocumentChannel::Sms) => Channel::Sms,
    };
    let number = PhoneNumber::parse(number, country)
        .map_err(|why| Reason::field(Code::NumberInvalid, "to", why.to_string()))?;
    Ok(Recipient { channel, number })
}

fn instant(field: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, Reason> {
    let Some(text) = text else { return Ok(None) };
    let at: Timestamp = text.parse().map_err(|_| {
        Reason::field(Code::InvalidField, field, "is not an RFC 3339 instant such as 2026-12-01T08:00:00Z")
    })?;
    let furthest = now.checked_add(SCHEDULE_AHEAD_MAX).unwrap_or(Timestamp::MAX);
    if at > furthest {
        return Err(Reason::field(Code::InvalidField, field, "is more than 366 days ahead"));
    }
    Ok(Some(at))
}

fn content(document: JobDocument) -> Result<Content, Reason> {
    let media_urls = document.media_urls.unwrap_or_default();
    check_media(&media_urls)?;
    let text = document.body.filter(|text| !text.trim().is_empty());
    if let Some(text) = &text {
        let chars = text.chars().count();
        if chars > TEXT_CHARS_MAX {
            return Err(Reason::field(
                Code::TextTooLong,
                "body",
                format!("has {chars} characters; at most 1600"),
            ));
        }
    }
    if document.template.is_none() && (document.variables.is_some() || document.language.is_some()) {
        return Err(Reason::field(Code::InvalidField, "variables", "and `language` need a template"));
    }
    if document.content_sid.is_none() && document.content_variables.is_some() {
        return Err(Reason::field(Code::InvalidField, "content_variables", "need a content_sid"));
    }
    match (text, document.template, document.content_sid) {
        (None, Some(name), None) => {
            check_name("template", Some(&name))?;
            check_name("language", document.language.as_deref())?;
            let variables = bounded_map("variables", document.variables.as_ref())?;
            Ok(Content::Template { name, language: document.language, variables, media_urls })
        }
        (None, None, Some(sid)) if media_urls.is_empty() => {
            let is_sid = sid
                .strip_prefix("HX")
                .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|b| b.is_ascii_hexdigit()));
            if !is_sid {
                return Err(Reason::field(
                    Code::InvalidField,
                    "content_sid",
                    "is not HX and 32 hexadecimal digits",
                ));
            }
            let variables = bounded_map("content_variables", document.content_variables.as_ref())?;
            Ok(Content::ContentSid { sid, variables })
        }
        (None, None, None) if media_urls.is_empty() => {
            Err(Reason::field(Code::ContentMissing, "body", "and every other content are missing"))
        }
        (text, None, None) => Ok(Content::Message { text: text.unwrap_or_default(), media_urls }),
        _ => Err(Reason::field(Code::ContentAmbiguous, "body", "stands beside another content")),
    }
}

fn check_name(field: &str, name: Option<&str>) -> Result<(), Reason> {
    if name.is_none_or(|name| (1..=TEMPLATE_NAME_CHARS_MAX).contains(&name.chars().count())) {
        return Ok(());
    }
    Err(Reason::field(Code::InvalidField, field, "is not a name of 1 to 64 characters"))
}

fn check_media(urls: &[String]) -> Result<(), Reason> {
    if urls.len() > MEDIA_COUNT_MAX {
        let sentence = format!("has {} entries; at most {MEDIA_COUNT_MAX}", urls.len());
        return Err(Reason::field(Code::TooManyMedia, "media_urls", sentence));
    }
    for (index, url) in urls.iter().enumerate() {
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        let is_fine =
            !host.is_empty() && !url.contains(char::is_whitespace) && url.len() <= MEDIA_URL_BYTES_MAX;
        if !is_fine {
            let field = format!("media_urls[{index}]");
            let sentence = "is not an http(s) URL of up to 2048 bytes";
            return Err(Reason::field(Code::MediaUrlInvalid, field, sentence));
        }
    }
    Ok(())
}

fn bounded_map(
    field: &str,
    values: Option<&BTreeMap<String, Scalar>>,
) -> Result<BTreeMap<String, String>, Reason> {
    let Some(values) = values else { return Ok(BTreeMap::new()) };
    let fits = values.len() <= VARIABLES_COUNT_MAX
        && values.iter().all(|(name, value)| {
            name.chars().count() <= VARIABLE_NAME_CHARS_MAX
                && value.to_text().chars().count() <= VARIABLE_VALUE_CHARS_MAX
        });
    if !fits {
        let sentence = "holds more than 64 entries, a name over 64 or a value over 1600 characters";
        return Err(Reason::field(Code::InvalidField, field, sentence));
    }
    Ok(values.iter().map(|(name, value)| (name.clone(), value.to_text())).collect())
}

#[cfg(test)]
#[path = "job_tests.rs"]
mod tests;

//! An envelope: the AMQP delivery that carries a job, and how it is read.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Timestamp;
use crate::document::JobDocument;
use crate::ids::{JobId, Tenant, Turn};
use crate::job::{Job, JobDefaults};
use crate::lane::{self, Lane};
use crate::limits::{ENVELOPE_BODY_BYTES_MAX, TURN_MAX, VARIABLE_NAME_CHARS_MAX};
use crate::phone::Country;
use crate::reason::{Reason, ReasonCode};

/// The turn that an envelope was published for; absent on a producer's own envelope.
pub const HEADER_TURN: &str = "facteur-turn";
/// When the job was first published, in milliseconds since the epoch.
pub const HEADER_ENQUEUED_AT_MS: &str = "facteur-enqueued-at-ms";
/// The country of a number that has no country code, by its two letters: a job means the same number on every turn,
/// whatever is configured by then.
pub const HEADER_COUNTRY: &str = "facteur-country";
/// Says that text and variables hold a password: they are forgotten once the job has ended. Producers may set it.
pub const HEADER_SECRET: &str = "facteur-secret";
/// Why an envelope was buried: the stable code.
pub const HEADER_REASON: &str = "facteur-reason";
/// Why an envelope was buried: the sentence.
pub const HEADER_REASON_SENTENCE: &str = "facteur-reason-sentence";
/// The JSON field at fault, if there is one.
pub const HEADER_REASON_FIELD: &str = "facteur-reason-field";
/// The routing key with which a buried envelope had been published.
pub const HEADER_ORIGINAL_ROUTING_KEY: &str = "facteur-original-routing-key";

/// Header values that we read or write; anything else (tables, arrays, times) is kept as its JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderValue {
    /// An integer of any AMQP width.
    Int(i64),
    /// A boolean.
    Bool(bool),
    /// A short or long string.
    Text(String),
    /// Another AMQP type, as JSON.
    Other(serde_json::Value),
}

/// Headers by name.
pub type Headers = BTreeMap<String, HeaderValue>;

/// An envelope's content, free of any AMQP library.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EnvelopeContent {
    /// The body, byte for byte.
    pub body: Bytes,
    /// Exchange that it was published to.
    pub exchange: String,
    /// Routing key that it was published with.
    pub routing_key: String,
    /// AMQP `message_id`.
    pub message_id: Option<String>,
    /// AMQP `content_type`.
    pub content_type: Option<String>,
    /// AMQP `type`.
    pub kind: Option<String>,
    /// AMQP `app_id`.
    pub app_id: Option<String>,
    /// AMQP `timestamp`, in seconds since the epoch.
    pub timestamp_s: Option<u64>,
    /// Headers.
    pub headers: Headers,
    /// Whether the broker handed it out before.
    pub redelivered: bool,
}

impl std::fmt::Debug for EnvelopeContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnvelopeContent")
            .field("body_bytes", &self.body.len())
            .field("routing_key", &self.routing_key)
            .field("message_id", &self.message_id)
            .field("redelivered", &self.redelivered)
            .finish_non_exhaustive()
    }
}

/// What an envelope says, once it is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WakeUp {
    /// The job.
    pub job: Job,
    /// The turn that the envelope was published for.
    pub turn: Turn,
    /// The lane of the job.
    pub lane: Lane,
    /// When the job was first published, as far as the envelope tells.
    pub enqueued_at: Option<Timestamp>,
    /// The country by which its number was read.
    pub country: Country,
}

/// An envelope that can't become a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecodable {
    /// The id, if that much could be read.
    pub job_id: Option<JobId>,
    /// Why.
    pub reason: Reason,
}

/// Reads an envelope. The body is parsed once; every rule that needs nothing but the envelope is tested here.
///
/// # Errors
/// [`Undecodable`] with the first fault found; the caller keeps the bytes.
pub fn decode(
    content: &EnvelopeContent,
    defaults: &JobDefaults,
    now: Timestamp,
) -> Result<WakeUp, Undecodable> {
    decode_for(content, |_| defaults.clone(), now)
}

/// Reads an envelope whose tenant (its slug, as the document spells it) has defaults of its own.
///
/// # Errors
/// As [`decode`].
pub fn decode_for(
    content: &EnvelopeContent,
    defaults_of: impl FnOnce(&str) -> JobDefaults,
    now: Timestamp,
) -> Result<WakeUp, Undecodable> {
    let message_id = content.message_id.as_deref().and_then(|text| Uuid::parse_str(text.trim()).ok());
    let refuse = |job_id: Option<Uuid>, reason| Undecodable { job_id: job_id.map(JobId), reason };
    let document = parse(content).map_err(|reason| refuse(message_id, reason))?;
    let id = agree_on_id(content.message_id.as_deref(), message_id, document.id)
        .map_err(|reason| refuse(message_id.or(document.id), reason))?;
    let defaults = match content.headers.get(HEADER_COUNTRY) {
        None => defaults_of(document.tenant.as_deref().unwrap_or(Tenant::DEFAULT)),
        Some(header) => JobDefaults { country: country(header).map_err(|reason| refuse(Some(id), reason))? },
    };
    let job =
        Job::from_document(JobId(id), document, &defaults, now).map_err(|reason| refuse(Some(id), reason))?;
    let turn = turn(content).map_err(|reason| refuse(Some(id), reason))?;
    let asked = Lane::from_routing_key(&content.routing_key);
    let lane = lane::choose(asked, job.category, None);
    Ok(WakeUp { job, turn, lane, enqueued_at: enqueued_at(content), country: defaults.country })
}

fn country(header: &HeaderValue) -> Result<Country, Reason> {
    let country = match header {
        HeaderValue::Text(code) => Country::parse(code).ok(),
        HeaderValue::Int(_) | HeaderValue::Bool(_) | HeaderValue::Other(_) => None,
    };
    let sentence = "is not a country's two-letter code such as FR";
    country.ok_or_else(|| Reason::field(ReasonCode::InvalidField, HEADER_COUNTRY, sentence))
}

/// Whose job an envelope holds, as far as can be told before it is read: for turns, not for rights.
#[must_use]
pub fn tenant_of(content: &EnvelopeContent) -> String {
    #[derive(serde::Deserialize)]
    struct Named {
        tenant: Option<String>,
    }
    let named = || serde_json::from_slice::<Named>(&content.body).ok()?.tenant;
    let is_small = content.body.len() <= ENVELOPE_BODY_BYTES_MAX;
    is_small.then(named).flatten().unwrap_or_default()
}

/// A producer's own envelope has no turn. One that we never wrote is no turn of ours.
fn turn(content: &EnvelopeContent) -> Result<Turn, Reason> {
    let turn = match content.headers.get(HEADER_TURN) {
        None => Some(0),
        Some(HeaderValue::Int(turn)) => {
            i32::try_from(*turn).ok().filter(|turn| (0..=TURN_MAX).contains(turn))
        }
        Some(_) => None,
    };
    let sentence = "is not a turn: producers leave this header out";
    turn.map(Turn).ok_or_else(|| Reason::field(ReasonCode::InvalidField, HEADER_TURN, sentence))
}

fn parse(content: &EnvelopeContent) -> Result<JobDocument, Reason> {
    use ReasonCode as Code;
    let bytes = content.body.len();
    if bytes > ENVELOPE_BODY_BYTES_MAX {
        return Err(Reason::new(
            Code::BodyTooLarge,
            format!("the body has {bytes} bytes; at most 262144 are read"),
        ));
    }
    if content.headers.contains_key("task") {
        return Err(Reason::new(Code::CeleryUnsupported, "the envelope carries a Celery task, not a job"));
    }
    if let Some(kind) = content.content_type.as_deref().filter(|kind| !is_json(kind)) {
        return Err(Reason::new(
            Code::ContentTypeUnsupported,
            if is_showable_type(kind) {
                format!("content_type is `{kind}`")
            } else {
                "content_type is another".to_owned()
            },
        ));
    }
    let text = std::str::from_utf8(&content.body)
        .map_err(|e| Reason::new(Code::InvalidUtf8, format!("not UTF-8 after {} bytes", e.valid_up_to())))?;
    if has_nul(text) {
        return Err(Reason::new(Code::NulByte, "the body holds a NUL character"));
    }
    // A derived struct may also be read from an array, field by field; a job may not.
    if !text.trim_start().starts_with('{') {
        return Err(Reason::new(Code::MalformedJson, "the body is not a JSON object"));
    }
    serde_json::from_str(text).map_err(|error| json_reason(text, &error))
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// serde_json's sentence may quote a value, which may be personal: only the names of fields are passed on.
fn json_reason(text: &str, error: &serde_json::Error) -> Reason {
    let at = format!("line {} column {}", error.line(), error.column());
    if error.classify() != serde_json::error::Category::Data {
        return Reason::new(ReasonCode::MalformedJson, format!("not a JSON object ({at})"));
    }
    let says = error.to_string();
    let quoted = says.split('`').nth(1).map(str::to_owned);
    let (code, field, what) = if says.starts_with("unknown field") {
        (ReasonCode::UnknownField, quoted, "is not a field of a job")
    } else if says.starts_with("duplicate field") {
        (ReasonCode::InvalidField, quoted, "stands there twice")
    } else {
        (ReasonCode::InvalidField, field_at_fault(text), "is not of the type or form that the schema gives")
    };
    Reason { code, field: field.filter(|name| is_showable(name)), sentence: format!("{what} ({at})") }
}

/// The first field that can't be read when it stands alone.
fn field_at_fault(text: &str) -> Option<String> {
    let fields: serde_json::Map<_, _> = serde_json::from_str(text).ok()?;
    fields.into_iter().find_map(|(name, value)| {
        let alone = serde_json::Map::from_iter([(name.clone(), value)]);
        serde_json::from_value::<JobDocument>(alone.into()).is_err().then_some(name)
    })
}

/// Whether a producer's name for a field looks like one: it could be a phone number, or a megabyte.
#[must_use]
pub fn is_showable(name: &str) -> bool {
    name.len() <= VARIABLE_NAME_CHARS_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// Whether a JSON text holds a NUL, or the escape of one: Postgres stores none. A backslash that is escaped itself
/// begins none.
#[must_use]
pub fn has_nul(text: &str) -> bool {
    if text.contains('\0') {
        return true;
    }
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        rest = &rest[at + 1..];
        if rest.starts_with("u0000") {
            return true;
        }
        let escaped = rest.chars().next().map_or(0, char::len_utf8);
        rest = &rest[escaped..];
    }
    false
}

/// Whether a content type looks like one: anything may stand there.
fn is_showable_type(kind: &str) -> bool {
    kind.len() <= VARIABLE_NAME_CHARS_MAX
        && kind.bytes().all(|b| b.is_ascii_lowercase() || b"/+.-".contains(&b))
}

fn agree_on_id(raw: Option<&str>, property: Option<Uuid>, field: Option<Uuid>) -> Result<Uuid, Reason> {
    match (raw, property, field) {
        (Some(_), Some(property), Some(field)) if property != field => {
            Err(Reason::field(ReasonCode::IdMismatch, "id", "differs from the property message_id"))
        }
        (Some(_), None, Some(_)) => {
            Err(Reason::field(ReasonCode::IdMismatch, "message_id", "is not a UUID, while `id` is one"))
        }
        (_, Some(id), _) | (_, None, Some(id)) => Ok(id),
        (Some(_), None, None) => Err(Reason::field(ReasonCode::IdMissing, "message_id", "is not a UUID")),
        (None, None, None) => {
            Err(Reason::field(ReasonCode::IdMissing, "id", "neither `id` nor message_id is there"))
        }
    }
}

fn enqueued_at(content: &EnvelopeContent) -> Option<Timestamp> {
    match content.headers.get(HEADER_ENQUEUED_AT_MS) {
        Some(HeaderValue::Int(millis)) => Timestamp::from_millisecond(*millis).ok(),
        _ => content.timestamp_s.and_then(|s| Timestamp::from_second(i64::try_from(s).ok()?).ok()),
    }
}

/// Headers that a republished envelope keeps: the producer's own, without what the broker wrote (`x-…`: a
/// copied `x-death` is silently fatal in a ladder on RabbitMQ up to 3.13) and without `CC` and `BCC`.
#[must_use]
pub fn headers_to_keep(headers: &Headers) -> Headers {
    let is_dropped = |name: &str| {
        name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
            || name.eq_ignore_ascii_case("cc")
            || name.eq_ignore_ascii_case("bcc")
            || name.starts_with("facteur-reason")
    };
    headers
        .iter()
        .filter(|(name, _)| !is_dropped(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
#[path = "envelope_tests.rs"]
mod tests;

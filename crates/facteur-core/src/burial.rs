//! What stands in the dead-letter queue, read as a dead letter: who put it there, and why.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::envelope::{
    EnvelopeContent, HEADER_ORIGINAL_ROUTING_KEY, HEADER_REASON, HEADER_REASON_FIELD, HEADER_REASON_SENTENCE,
    HeaderValue,
};
use crate::ids::JobId;
use crate::ledger::DeadEnvelope;
use crate::reason::ReasonCode;

/// Reads an envelope of the dead-letter queue. A worker's burial says its reason in headers; the broker says
/// in `x-first-death-reason` why it gave an envelope up; what has neither came over the alternate exchange,
/// because no queue was bound to its routing key.
#[must_use]
pub fn dead_envelope(content: &EnvelopeContent) -> DeadEnvelope {
    let text = |name: &str| match content.headers.get(name) {
        Some(HeaderValue::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let (code, sentence) = match (text(HEADER_REASON), text("x-first-death-reason")) {
        (Some(code), _) => (
            ReasonCode::from_name(code).unwrap_or(ReasonCode::ForeignDeadLetter),
            text(HEADER_REASON_SENTENCE).unwrap_or("no reason was given").to_owned(),
        ),
        (None, Some("delivery_limit")) => {
            (ReasonCode::DeliveryLimit, "the broker handed it out too often without an answer".to_owned())
        }
        (None, Some(reason)) => (ReasonCode::ForeignDeadLetter, format!("the broker gave it up: {reason}")),
        (None, None) if content.headers.contains_key("x-death") => {
            (ReasonCode::ForeignDeadLetter, "the broker gave it up".to_owned())
        }
        (None, None) => {
            let sentence = format!("no queue is bound to the routing key `{}`", content.routing_key);
            (ReasonCode::Unroutable, sentence)
        }
    };
    let routing_key = text(HEADER_ORIGINAL_ROUTING_KEY).unwrap_or(&content.routing_key).to_owned();
    let job_id = content.message_id.as_deref().and_then(|id| Uuid::parse_str(id.trim()).ok()).map(JobId);
    DeadEnvelope {
        job_id,
        code,
        field: text(HEADER_REASON_FIELD).map(str::to_owned),
        sentence,
        body: content.body.clone(),
        headers: headers(content),
        digest: digest(content, code, &routing_key),
        routing_key,
    }
}

/// Headers and properties, as JSON.
fn headers(content: &EnvelopeContent) -> serde_json::Value {
    let mut all = serde_json::Map::new();
    for (name, value) in &content.headers {
        // A header value holds nothing that JSON can't.
        all.insert(name.clone(), serde_json::to_value(value).unwrap_or_default());
    }
    let properties = [
        ("message_id", content.message_id.as_deref()),
        ("content_type", content.content_type.as_deref()),
        ("type", content.kind.as_deref()),
        ("app_id", content.app_id.as_deref()),
    ];
    for (name, value) in properties {
        if let Some(value) = value {
            all.insert(format!("property:{name}"), value.into());
        }
    }
    all.into()
}

fn digest(content: &EnvelopeContent, code: ReasonCode, routing_key: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    let message_id = content.message_id.as_deref().unwrap_or_default();
    for part in [message_id.as_bytes(), code.as_str().as_bytes(), routing_key.as_bytes(), &content.body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(headers: &[(&str, &str)]) -> DeadEnvelope {
        let headers =
            headers.iter().map(|(n, v)| ((*n).to_owned(), HeaderValue::Text((*v).to_owned()))).collect();
        let content =
            EnvelopeContent { routing_key: "send.slow".into(), headers, ..EnvelopeContent::default() };
        dead_envelope(&content)
    }

    #[test]
    fn each_way_into_the_queue_has_its_reason() {
        let rows: [(&[(&str, &str)], ReasonCode); 5] = [
            (&[(HEADER_REASON, "nul_byte"), (HEADER_REASON_SENTENCE, "holds one")], ReasonCode::NulByte),
            (&[(HEADER_REASON, "of_a_newer_release")], ReasonCode::ForeignDeadLetter),
            (&[("x-first-death-reason", "delivery_limit")], ReasonCode::DeliveryLimit),
            (&[("x-first-death-reason", "maxlen")], ReasonCode::ForeignDeadLetter),
            (&[], ReasonCode::Unroutable),
        ];
        for (headers, code) in rows {
            assert_eq!(with(headers).code, code, "{headers:?}");
        }
    }

    #[test]
    fn a_burial_remembers_the_key_that_it_was_published_with() {
        assert_eq!(
            with(&[(HEADER_REASON, "nul_byte"), (HEADER_ORIGINAL_ROUTING_KEY, "send.bulk")]).routing_key,
            "send.bulk"
        );
        assert_eq!(with(&[]).routing_key, "send.slow");
    }

    #[test]
    fn the_same_envelope_has_the_same_digest_and_another_one_has_not() {
        let content = EnvelopeContent { body: "{}".into(), ..EnvelopeContent::default() };
        let other = EnvelopeContent { body: "{ }".into(), ..EnvelopeContent::default() };
        assert_eq!(dead_envelope(&content).digest, dead_envelope(&content).digest);
        assert_ne!(dead_envelope(&content).digest, dead_envelope(&other).digest);
    }
}

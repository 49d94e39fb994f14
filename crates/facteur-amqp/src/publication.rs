//! What is published: built new each time, from what may be carried on.

use facteur_core::envelope::{self, EnvelopeContent, HeaderValue, Headers};
use facteur_core::ladder;
use facteur_core::lane::Lane;
use facteur_core::reason::Reason;

use crate::topology::Names;
use crate::wire;

/// Headers share one frame (128 KiB by default) with the other properties; a longer frame closes the
/// connection for everybody.
const HEADER_BYTES_MAX: usize = 96 * 1024;
/// Longest sentence of a reason in a header.
const SENTENCE_CHARS_MAX: usize = 1_000;

/// An exchange of the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exchange {
    /// Work, now.
    Jobs,
    /// The delay ladder.
    Retry,
    /// Dead letters.
    Dead,
    /// Events for apps.
    Events,
}

impl Exchange {
    pub(crate) fn name(self, names: &Names) -> String {
        match self {
            Self::Jobs => names.jobs(),
            Self::Retry => names.retry(),
            Self::Dead => names.dead(),
            Self::Events => names.events(),
        }
    }

    /// Whether somebody must get it. An event that no app has bound is nobody's loss.
    pub(crate) fn must_be_routed(self) -> bool {
        self != Self::Events
    }
}

/// One thing to publish.
#[derive(Clone, PartialEq, Eq)]
pub struct Publication {
    /// Where to.
    pub exchange: Exchange,
    /// With which key, at most 255 bytes.
    pub routing_key: String,
    /// Body, properties and headers. Its own exchange, key and `redelivered` are where it came from, and are
    /// not published.
    pub content: EnvelopeContent,
}

impl Publication {
    /// A job for a lane, now.
    #[must_use]
    pub fn job(lane: Lane, content: &EnvelopeContent) -> Self {
        Self::new(Exchange::Jobs, lane.routing_key().to_owned(), content, Headers::new())
    }

    /// A job for a lane after so many units of the ladder (more than 1,023 are cut to 1,023).
    #[must_use]
    pub fn delayed(units: u32, lane: Lane, content: &EnvelopeContent) -> Self {
        Self::new(Exchange::Retry, ladder::routing_key(units, lane), content, Headers::new())
    }

    /// An envelope for the dead queue, with the reason in its headers and its bytes as they were.
    #[must_use]
    pub fn buried(content: &EnvelopeContent, reason: &Reason) -> Self {
        let sentence = reason.sentence.chars().take(SENTENCE_CHARS_MAX).collect();
        let mut headers = Headers::from([
            (envelope::HEADER_REASON.to_owned(), HeaderValue::Text(reason.code.as_str().to_owned())),
            (envelope::HEADER_REASON_SENTENCE.to_owned(), HeaderValue::Text(sentence)),
        ]);
        if let Some(field) = &reason.field {
            let field = field.chars().take(SENTENCE_CHARS_MAX).collect();
            headers.insert(envelope::HEADER_REASON_FIELD.to_owned(), HeaderValue::Text(field));
        }
        if !content.headers.contains_key(envelope::HEADER_ORIGINAL_ROUTING_KEY) {
            let key = HeaderValue::Text(content.routing_key.clone());
            headers.insert(envelope::HEADER_ORIGINAL_ROUTING_KEY.to_owned(), key);
        }
        Self::new(Exchange::Dead, content.routing_key.clone(), content, headers)
    }

    /// What a transaction left in the outbox, as it asks to be published.
    #[must_use]
    pub fn of_outbox(exchange: Exchange, routing_key: impl Into<String>, content: &EnvelopeContent) -> Self {
        Self::new(exchange, routing_key.into(), content, Headers::new())
    }

    fn new(exchange: Exchange, routing_key: String, content: &EnvelopeContent, ours: Headers) -> Self {
        let headers = within_a_frame(envelope::headers_to_keep(&content.headers), ours);
        let content = EnvelopeContent {
            headers,
            exchange: String::new(),
            routing_key: String::new(),
            redelivered: false,
            ..content.clone()
        };
        Self { exchange, routing_key, content }
    }
}

/// Adds what is ours, then the smallest headers as long as there is room: who wrote a huge one loses that one.
fn within_a_frame(theirs: Headers, ours: Headers) -> Headers {
    let is_ours = |name: &str| name.starts_with("facteur-") || name.starts_with("trace");
    let size = |(name, value): &(String, HeaderValue)| wire::header_bytes(name, value);
    let mut candidates: Vec<_> =
        theirs.into_iter().map(|header| (!is_ours(&header.0), size(&header), header)).collect();
    candidates.sort_by_key(|(is_theirs, bytes, _)| (*is_theirs, *bytes));
    let mut room = HEADER_BYTES_MAX;
    let mut kept = ours;
    for (_, bytes, (name, value)) in candidates {
        let Some(rest) = room.checked_sub(bytes) else { break };
        room = rest;
        kept.entry(name).or_insert(value);
    }
    kept
}

#[cfg(test)]
mod tests {
    use facteur_core::reason::ReasonCode;

    use super::*;

    fn arrived() -> EnvelopeContent {
        let headers =
            ["x-death", "X-First-Death-Queue", "CC", "BCC", "facteur-reason", "shop-order", "traceparent"];
        EnvelopeContent {
            body: "{}".into(),
            exchange: "facteur.jobs".into(),
            routing_key: "send.bulk".into(),
            message_id: Some("m".into()),
            headers: headers.map(|name| (name.to_owned(), HeaderValue::Int(1))).into(),
            redelivered: true,
            ..EnvelopeContent::default()
        }
    }

    fn names(headers: &Headers) -> Vec<&str> {
        headers.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_republished_envelope_carries_nothing_that_the_broker_wrote() {
        let publication = Publication::delayed(5, Lane::Normal, &arrived());
        assert_eq!(names(&publication.content.headers), ["shop-order", "traceparent"]);
        assert_eq!(publication.routing_key, "0.0.0.0.0.0.0.1.0.1.send.normal");
        assert_eq!(publication.content.message_id.as_deref(), Some("m"));
    }

    #[test]
    fn a_buried_envelope_says_why_and_where_it_came_from() {
        let reason = Reason::field(ReasonCode::InvalidField, "to", "is no number");
        let buried = Publication::buried(&arrived(), &reason);
        let text = |name: &str| match buried.content.headers.get(name) {
            Some(HeaderValue::Text(text)) => text.as_str(),
            _ => "",
        };
        assert_eq!(text("facteur-reason"), "invalid_field");
        assert_eq!(text("facteur-reason-sentence"), "is no number");
        assert_eq!(text("facteur-reason-field"), "to");
        assert_eq!(text("facteur-original-routing-key"), "send.bulk");
        assert_eq!(buried.content.body, "{}");
    }

    #[test]
    fn a_header_that_grows_on_its_way_is_measured_as_it_is_published() {
        let mut content = arrived();
        let bytes = serde_json::json!(vec![255; 60_000]);
        content.headers.insert("blob".into(), HeaderValue::Other(bytes));
        let relayed = Publication::of_outbox(Exchange::Jobs, "send.bulk", &content);
        assert_eq!(names(&relayed.content.headers), ["shop-order", "traceparent"]);
    }

    #[test]
    fn headers_that_fill_a_frame_lose_the_largest_and_never_ours() {
        let mut content = arrived();
        content.headers.insert("a-huge-one".into(), HeaderValue::Text("x".repeat(HEADER_BYTES_MAX)));
        content.headers.insert("facteur-turn".into(), HeaderValue::Int(2));
        let job = Publication::job(Lane::Bulk, &content);
        assert_eq!(names(&job.content.headers), ["facteur-turn", "shop-order", "traceparent"]);
    }
}

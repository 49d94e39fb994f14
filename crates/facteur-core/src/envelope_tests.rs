use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ids::Tenant;
use crate::job::{Category, Channel, Content};
use crate::limits::ENVELOPE_BODY_BYTES_MAX;
use crate::phone::Country;
use crate::reason::ReasonCode as Code;

const ID: &str = "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11";
const OTHER_ID: &str = "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f12";
const NOW: &str = "2026-11-20T12:00:00Z";

fn envelope(body: impl Into<Bytes>) -> EnvelopeContent {
    EnvelopeContent {
        body: body.into(),
        exchange: "facteur.jobs".to_owned(),
        routing_key: "send.normal".to_owned(),
        message_id: Some(ID.to_owned()),
        content_type: Some("application/json".to_owned()),
        ..EnvelopeContent::default()
    }
}

fn read(content: &EnvelopeContent) -> Result<WakeUp, Undecodable> {
    decode(content, &JobDefaults { country: Country::FRANCE }, NOW.parse().unwrap())
}

/// A good job with some fields set otherwise, or removed where the value is `null`.
fn job_with(changes: Value) -> String {
    let mut job = json!({"to": "0612345678", "body": "Bonjour"});
    for (field, value) in changes.as_object().unwrap() {
        if value.is_null() {
            job.as_object_mut().unwrap().remove(field);
        } else {
            job[field] = value.clone();
        }
    }
    job.to_string()
}

#[track_caller]
fn assert_refused(content: &EnvelopeContent, code: Code, field: Option<&str>, what: &str) {
    let refused = read(content).expect_err(what);
    assert_eq!((refused.reason.code, refused.reason.field.as_deref()), (code, field), "{what}");
    for text in [refused.reason.sentence.as_str(), refused.reason.field.as_deref().unwrap_or_default()] {
        assert!(!text.contains("612345") && text.len() <= 300, "{what}: {text}");
    }
}

#[test]
fn the_tenant_is_told_without_reading_the_job() {
    let content = |body: &'static [u8]| EnvelopeContent { body: body.into(), ..EnvelopeContent::default() };
    assert_eq!(tenant_of(&content(br#"{"to": 7, "tenant": "acme", "x": []}"#)), "acme");
    for nobody in [&br#"{"to": "+336"}"#[..], b"\xff", b"[]", br#"{"tenant": 7}"#, b""] {
        assert_eq!(tenant_of(&content(nobody)), "");
    }
}

#[test]
fn bodies_that_are_no_json_job_are_refused() {
    let rows: [(&[u8], Code); 16] = [
        (b"", Code::MalformedJson),
        (b"{", Code::MalformedJson),
        (b"Bonjour", Code::MalformedJson),
        (b"{\"to\": \"0612345678\", \"body\": \"Bonjour\"} {}", Code::MalformedJson),
        (b"{\"to\": \"0612345678\", \"body\": \"Bonjour\",}", Code::MalformedJson),
        (b"{'to': '0612345678'}", Code::MalformedJson),
        (b"{\"to\": \"0612345678\", \"body\": \"\\ud83d\"}", Code::MalformedJson),
        (b"{\"to\": \"0612345678\", \"body\": \"a\nb\"}", Code::MalformedJson),
        // A struct may be read from an array, field by field: not ours.
        (b"[]", Code::MalformedJson),
        (
            b"[\"0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11\", null, null, \"0612345678\", null, \"Bonjour\"]",
            Code::MalformedJson,
        ),
        (b"null", Code::MalformedJson),
        (b"\"0612345678\"", Code::MalformedJson),
        (b"612345678", Code::MalformedJson),
        (b"{\"to\": \"0612345678\", \"body\": \"Bonjour \xff\"}", Code::InvalidUtf8),
        (b"{\"to\": \"0612345678\", \"body\": \"Bonjour \0\"}", Code::NulByte),
        (b"{\"to\": \"0612345678\", \"body\": \"Bonjour \\u0000\"}", Code::NulByte),
    ];
    for (body, code) in rows {
        assert_refused(&envelope(body), code, None, &String::from_utf8_lossy(body));
    }
    let deep = format!("{{\"metadata\": {{\"a\": {}", "[".repeat(100_000));
    assert_refused(&envelope(deep), Code::MalformedJson, None, "deeply nested");
}

#[track_caller]
fn assert_all_refused(rows: impl IntoIterator<Item = (Value, Code, Option<&'static str>)>) {
    for (changes, code, field) in rows {
        let body = job_with(changes);
        assert_refused(&envelope(body.clone()), code, field, &body);
    }
}

#[test]
fn unknown_fields_and_wrong_types_are_refused_by_their_name() {
    assert_all_refused([
        (json!({"colour": "red"}), Code::UnknownField, Some("colour")),
        (json!({"To": "0612345678"}), Code::UnknownField, Some("To")),
        (json!({"+33612345678": "Bonjour"}), Code::UnknownField, None),
        (json!({"x".repeat(65): 1}), Code::UnknownField, None),
        (json!({"to": 612_345_678}), Code::InvalidField, Some("to")),
        (json!({"to": ["0612345678"]}), Code::InvalidField, Some("to")),
        (json!({"body": {"text": "Bonjour"}}), Code::InvalidField, Some("body")),
        (json!({"id": "1"}), Code::InvalidField, Some("id")),
        (json!({"channel": "fax"}), Code::InvalidField, Some("channel")),
        (json!({"category": "spam"}), Code::InvalidField, Some("category")),
        (json!({"bulk_id": 7}), Code::InvalidField, Some("bulk_id")),
        (json!({"media_urls": "https://a.fr/b.png"}), Code::InvalidField, Some("media_urls")),
        (json!({"metadata": {"a": {"b": 1}}}), Code::InvalidField, Some("metadata")),
    ]);
}

#[test]
fn recipients_senders_texts_and_media_are_checked() {
    assert_all_refused([
        (json!({"to": null}), Code::RecipientMissing, Some("to")),
        (json!({"to": ""}), Code::RecipientMissing, Some("to")),
        (json!({"to": "  "}), Code::RecipientMissing, Some("to")),
        (json!({"to": "061234567"}), Code::NumberInvalid, Some("to")),
        (json!({"to": "+9996123456"}), Code::NumberInvalid, Some("to")),
        (json!({"to": "whatsapp:"}), Code::NumberInvalid, Some("to")),
        (json!({"to": "rcs:+33612345678"}), Code::NumberInvalid, Some("to")),
        (json!({"to": "6".repeat(1_000)}), Code::NumberInvalid, Some("to")),
        (json!({"to": "whatsapp:+33612345678", "channel": "sms"}), Code::InvalidField, Some("channel")),
        (json!({"from": "TooLongAName"}), Code::InvalidField, Some("from")),
        (json!({"tenant": "Mairie de Paris"}), Code::InvalidField, Some("tenant")),
        (json!({"body": null}), Code::ContentMissing, Some("body")),
        (json!({"body": ""}), Code::ContentMissing, Some("body")),
        (json!({"template": "t"}), Code::ContentAmbiguous, Some("body")),
        (json!({"body": "é".repeat(1_601)}), Code::TextTooLong, Some("body")),
        (json!({"media_urls": vec!["https://a.fr/b.png"; 11]}), Code::TooManyMedia, Some("media_urls")),
        (
            json!({"media_urls": ["https://a.fr/b", "ftp://a.fr"]}),
            Code::MediaUrlInvalid,
            Some("media_urls[1]"),
        ),
        (json!({"media_urls": ["https://"]}), Code::MediaUrlInvalid, Some("media_urls[0]")),
        (json!({"media_urls": ["https://a.fr/ b"]}), Code::MediaUrlInvalid, Some("media_urls[0]")),
    ]);
}

#[test]
fn templates_and_dates_are_checked() {
    let many: serde_json::Map<_, _> = (0..65).map(|n| (format!("v{n}"), json!(n))).collect();
    let with_template = |changes: Value| {
        let mut all = json!({"body": null, "template": "t"});
        all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        all
    };
    assert_all_refused([
        (json!({"variables": {"a": 1}}), Code::InvalidField, Some("variables")),
        (with_template(json!({"content_sid": "HX1"})), Code::ContentAmbiguous, Some("body")),
        (with_template(json!({"template": ""})), Code::InvalidField, Some("template")),
        (with_template(json!({"template": "t".repeat(65)})), Code::InvalidField, Some("template")),
        (with_template(json!({"language": "f".repeat(65)})), Code::InvalidField, Some("language")),
        (with_template(json!({"variables": many})), Code::InvalidField, Some("variables")),
        (
            with_template(json!({"variables": {"a": "b".repeat(1_601)}})),
            Code::InvalidField,
            Some("variables"),
        ),
        (json!({"body": null, "content_sid": "HX12"}), Code::InvalidField, Some("content_sid")),
        (json!({"content_variables": {"1": "a"}}), Code::InvalidField, Some("content_variables")),
        (json!({"metadata": {"n".repeat(65): 1}}), Code::InvalidField, Some("metadata")),
        (json!({"send_at": "tomorrow"}), Code::InvalidField, Some("send_at")),
        (json!({"send_at": "2026-12-01T08:00:00"}), Code::InvalidField, Some("send_at")),
        (json!({"send_at": "2028-01-01T00:00:00Z"}), Code::InvalidField, Some("send_at")),
        (json!({"expires_at": "2026-13-01T08:00:00Z"}), Code::InvalidField, Some("expires_at")),
        (
            json!({"send_at": "2026-12-01T08:00:00Z", "expires_at": "2026-12-01T08:00:00Z"}),
            Code::DatesContradict,
            Some("expires_at"),
        ),
    ]);
}

#[test]
fn a_field_given_twice_is_refused_by_its_name() {
    let body = r#"{"to": "0612345678", "body": "Bonjour", "to": "0712345678"}"#;
    assert_refused(&envelope(body), Code::InvalidField, Some("to"), "to twice");
}

#[test]
fn envelopes_of_another_kind_are_refused() {
    let good = job_with(json!({}));
    for kind in ["text/plain", "application/x-python-serialize", "application/jsonl", ""] {
        let content = EnvelopeContent { content_type: Some(kind.to_owned()), ..envelope(good.clone()) };
        assert_refused(&content, Code::ContentTypeUnsupported, None, kind);
    }
    let mut celery = envelope(r#"[["0612345678"], {}, {"callbacks": null}]"#);
    celery.headers.insert("task".to_owned(), HeaderValue::Text("app.tasks.send_sms".to_owned()));
    assert_refused(&celery, Code::CeleryUnsupported, None, "Celery");

    let fits = format!("{good}{}", " ".repeat(ENVELOPE_BODY_BYTES_MAX - good.len()));
    assert!(read(&envelope(fits.clone())).is_ok());
    assert_refused(&envelope(fits + " "), Code::BodyTooLarge, None, "one byte too many");
    assert_refused(&envelope(vec![b' '; 20_000_000]), Code::BodyTooLarge, None, "20 MB");
}

#[test]
fn the_id_stands_in_the_property_or_in_the_body_and_both_agree() {
    let of = |property: Option<&str>, field: Option<&str>| EnvelopeContent {
        message_id: property.map(str::to_owned),
        ..envelope(job_with(json!({ "id": field })))
    };
    for (property, field) in [
        (Some(ID), None),
        (None, Some(ID)),
        (Some(ID), Some(ID)),
        (Some(" 0197C1DE6B1C7C3E9A535A3F0A5F2F11 "), None),
    ] {
        assert_eq!(read(&of(property, field)).unwrap().job.id.to_string(), ID, "{property:?} {field:?}");
    }
    assert_refused(&of(None, None), Code::IdMissing, Some("id"), "no id");
    assert_refused(&of(Some("42"), None), Code::IdMissing, Some("message_id"), "no UUID");
    assert_refused(&of(Some(OTHER_ID), Some(ID)), Code::IdMismatch, Some("id"), "two ids");
    assert_refused(&of(Some("42"), Some(ID)), Code::IdMismatch, Some("message_id"), "no UUID beside one");
}

#[test]
fn what_can_be_read_of_the_id_is_kept_with_the_refusal() {
    let of_property =
        |body: &str| read(&envelope(body.to_owned())).unwrap_err().job_id.map(|id| id.to_string());
    assert_eq!(of_property("{").as_deref(), Some(ID));
    assert_eq!(of_property(r#"{"to": 1}"#).as_deref(), Some(ID));
    let mut of_field = envelope(job_with(json!({"id": ID, "to": "1"})));
    of_field.message_id = None;
    assert_eq!(read(&of_field).unwrap_err().job_id.map(|id| id.to_string()).as_deref(), Some(ID));
}

#[test]
fn a_full_job_is_understood() {
    let body = json!({
        "id": ID, "tenant": "mairie", "channel": "sms", "to": "06 12 34 56 78", "from": "+15005550006",
        "template": "appointment_confirmed", "language": "fr",
        "variables": {"name": "Jean", "count": 3, "paid": true, "price": 12.50},
        "media_urls": ["https://exemple.fr/plan.png"], "category": "otp",
        "send_at": "2020-01-01T00:00:00Z", "expires_at": "2026-11-20T13:00:00+01:00",
        "bulk_id": OTHER_ID, "metadata": {"source": "crm"},
    });
    let mut content = envelope(body.to_string());
    content.content_type = Some("Application/JSON; charset=utf-8".to_owned());
    content.timestamp_s = Some(1_700_000_000);
    let WakeUp { job, turn, lane, enqueued_at, .. } = read(&content).unwrap();
    assert_eq!((turn, lane), (Turn(0), Lane::Normal));
    assert_eq!(enqueued_at, Timestamp::from_second(1_700_000_000).ok());
    assert_eq!(job.tenant, Tenant::parse("mairie").unwrap());
    // Media make it an MMS, whatever the producer calls it.
    assert_eq!((job.recipient.channel, job.recipient.number.reveal()), (Channel::Mms, "+33612345678"));
    assert_eq!(job.category, Category::Otp);
    assert_eq!(job.expires_at, "2026-11-20T12:00:00Z".parse().ok());
    let Content::Template { variables, .. } = &job.content else { panic!("{:?}", job.content) };
    let values: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(values, [("count", "3"), ("name", "Jean"), ("paid", "true"), ("price", "12.5")]);
}

#[test]
fn a_null_is_an_absent_field() {
    let body = format!(
        r#"{{"id": null, "from": null, "media_urls": null, "variables": null, "send_at": null, {}"#,
        &job_with(json!({}))[1..]
    );
    assert_eq!(read(&envelope(body)).unwrap().job, read(&envelope(job_with(json!({})))).unwrap().job);
}

#[test]
fn turn_lane_and_first_publication_come_from_the_envelope() {
    let mut content = envelope(job_with(json!({})));
    content.routing_key = "0.0.0.0.0.0.0.0.1.1.send.urgent".to_owned();
    content.timestamp_s = Some(1);
    content.headers.insert(HEADER_TURN.to_owned(), HeaderValue::Int(7));
    content.headers.insert(HEADER_ENQUEUED_AT_MS.to_owned(), HeaderValue::Int(1_500));
    let wake_up = read(&content).unwrap();
    assert_eq!((wake_up.turn, wake_up.lane), (Turn(7), Lane::Urgent));
    assert_eq!(wake_up.enqueued_at, Timestamp::from_millisecond(1_500).ok());
    // An instant that no publisher of ours writes changes nothing.
    content.headers.insert(HEADER_ENQUEUED_AT_MS.to_owned(), HeaderValue::Int(i64::MAX));
    content.timestamp_s = Some(u64::MAX);
    let wake_up = read(&content).unwrap();
    assert_eq!(wake_up.enqueued_at, None);
}

#[test]
fn a_turn_that_we_never_wrote_is_refused() {
    for turn in [HeaderValue::Int(-1), HeaderValue::Int(i64::MAX), HeaderValue::Text("7".to_owned())] {
        let mut content = envelope(job_with(json!({})));
        content.headers.insert(HEADER_TURN.to_owned(), turn);
        let reason = read(&content).unwrap_err().reason;
        assert_eq!((reason.code, reason.field.as_deref()), (ReasonCode::InvalidField, Some(HEADER_TURN)));
    }
}

#[test]
fn a_republished_envelope_keeps_only_what_the_producer_wrote() {
    let names = [
        "traceparent",
        "facteur-turn",
        "facteur-enqueued-at-ms",
        "tenant-note",
        "x",
        "é",
        "x-death",
        "X-Delay",
        "x-first-death-queue",
        "CC",
        "BCC",
        "cc",
        "facteur-reason",
        "facteur-reason-sentence",
        "facteur-reason-field",
    ];
    let headers: Headers = names.iter().map(|name| ((*name).to_owned(), HeaderValue::Bool(true))).collect();
    let kept: Vec<_> = headers_to_keep(&headers).into_keys().collect();
    assert_eq!(kept, ["facteur-enqueued-at-ms", "facteur-turn", "tenant-note", "traceparent", "x", "é"]);
}

/// JSON objects made of a job's fields and values of every kind.
fn job_like() -> impl Strategy<Value = String> {
    let field = proptest::sample::select(vec![
        "id",
        "tenant",
        "channel",
        "to",
        "from",
        "body",
        "template",
        "language",
        "variables",
        "media_urls",
        "content_sid",
        "content_variables",
        "category",
        "send_at",
        "expires_at",
        "bulk_id",
        "metadata",
        "other",
    ]);
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "\\+?[0-9 ]{5,15}".prop_map(Value::from),
        proptest::collection::vec(any::<String>(), 0..3).prop_map(Value::from),
        proptest::collection::btree_map(any::<String>(), any::<i32>(), 0..3).prop_map(|map| json!(map)),
    ];
    proptest::collection::btree_map(field, value, 0..8).prop_map(|map| json!(map).to_string())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes_become_a_job_or_a_reason(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from),
            any::<String>().prop_map(Bytes::from),
            job_like().prop_map(Bytes::from),
        ],
    ) {
        if let Err(refused) = read(&envelope(body)) {
            prop_assert!(!refused.reason.sentence.is_empty() && refused.reason.sentence.len() <= 300);
            prop_assert!(refused.reason.field.is_none_or(|field| field.len() <= 80));
        }
    }
}

#[test]
fn an_escaped_backslash_before_u0000_is_no_nul() {
    let with = |body: &str| envelope(format!(r#"{{"to": "+33612345678", "body": "{body}"}}"#));
    assert!(read(&with(r"C:\\u0000x")).is_ok());
    for nul in [r"a\u0000b", r"a\\\u0000b"] {
        assert_eq!(read(&with(nul)).unwrap_err().reason.code, ReasonCode::NulByte, "{nul}");
    }
}

#[test]
fn a_national_number_is_read_by_its_tenants_country_once_and_by_the_envelopes_ever_after() {
    let body =
        r#"{"id":"0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11","tenant":"acme","to":"0612345678","body":"x"}"#;
    let mut content = EnvelopeContent {
        body: body.into(),
        routing_key: "send.normal".to_owned(),
        ..EnvelopeContent::default()
    };
    let belgium = Country::parse("BE").unwrap();
    let number = |content: &EnvelopeContent, of: Country| {
        let asked = |tenant: &str| {
            assert_eq!(tenant, "acme");
            JobDefaults { country: of }
        };
        decode_for(content, asked, NOW.parse().unwrap())
            .map(|wake_up| wake_up.job.recipient.number.reveal()[..3].to_owned())
            .map_err(|undecodable| undecodable.reason.field)
    };
    assert_eq!(number(&content, Country::FRANCE), Ok("+33".to_owned()));
    let header = |value| (HEADER_COUNTRY.to_owned(), value);
    content.headers.extend([header(HeaderValue::Text("FR".to_owned()))]);
    assert_eq!(number(&content, belgium), Ok("+33".to_owned()), "what it meant once it means for ever");
    content.headers.extend([header(HeaderValue::Int(33))]);
    assert_eq!(number(&content, belgium), Err(Some(HEADER_COUNTRY.to_owned())));
}

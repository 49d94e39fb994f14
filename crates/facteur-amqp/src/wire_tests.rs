use lapin::types::{DecimalValue, FieldArray};
use serde_json::json;

use super::*;

fn array(values: Vec<AMQPValue>) -> AMQPValue {
    AMQPValue::FieldArray(values.into())
}

#[test]
fn every_amqp_type_of_a_header_is_read() {
    use AMQPValue as A;
    let nested = array(vec![A::Void, A::LongInt(1), array(vec![A::Void])]);
    let rows = [
        (A::Boolean(true), HeaderValue::Bool(true)),
        (A::ShortShortInt(-1), HeaderValue::Int(-1)),
        (A::ShortShortUInt(255), HeaderValue::Int(255)),
        (A::ShortInt(-2), HeaderValue::Int(-2)),
        (A::ShortUInt(65_535), HeaderValue::Int(65_535)),
        (A::LongInt(-3), HeaderValue::Int(-3)),
        (A::LongUInt(u32::MAX), HeaderValue::Int(4_294_967_295)),
        (A::LongLongInt(i64::MIN), HeaderValue::Int(i64::MIN)),
        (A::ShortString("a".into()), HeaderValue::Text("a".into())),
        (A::LongString("é".into()), HeaderValue::Text("é".into())),
        (A::LongString(vec![0xff, 1].into()), HeaderValue::Other(json!([255, 1]))),
        (A::ByteArray(vec![1, 2].into()), HeaderValue::Other(json!([1, 2]))),
        (A::Timestamp(7), HeaderValue::Other(json!(7))),
        (A::Double(0.5), HeaderValue::Other(json!(0.5))),
        (A::Float(f32::NAN), HeaderValue::Other(json!(null))),
        (A::DecimalValue(DecimalValue { scale: 2, value: 314 }), HeaderValue::Text("314e-2".into())),
        (A::Void, HeaderValue::Other(json!(null))),
        (nested, HeaderValue::Other(json!([null, 1, [null]]))),
    ];
    for (field, expected) in rows {
        assert_eq!(header_of(&field), expected, "{field:?}");
    }
}

#[test]
fn what_is_written_is_read_back_the_same() {
    let headers: Headers = [
        ("count", HeaderValue::Int(3)),
        ("flag", HeaderValue::Bool(false)),
        ("text", HeaderValue::Text("déjà vu".into())),
        ("list", HeaderValue::Other(json!([1, null, "x", {"deep": [true, 0.25]}]))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    assert_eq!(headers_of(&table_of(&headers)), headers);
}

#[test]
fn values_nested_without_end_are_cut_off() {
    let mut value = AMQPValue::Boolean(true);
    for _ in 0..1_000 {
        value = AMQPValue::FieldArray(FieldArray::from(vec![value]));
    }
    let HeaderValue::Other(mut json) = header_of(&value) else { panic!("an array became something else") };
    let mut depth = 0;
    while let Value::Array(mut inner) = json {
        json = inner.pop().unwrap();
        depth += 1;
    }
    assert_eq!((depth, json), (NESTING_MAX + 1, Value::Null));
}

#[test]
fn a_publication_carries_the_whitelist_and_nothing_else() {
    let content = EnvelopeContent {
        message_id: Some("m".into()),
        content_type: Some("application/json".into()),
        kind: Some("facteur.job.v1".into()),
        app_id: Some("shop".into()),
        timestamp_s: Some(1_700_000_000),
        ..EnvelopeContent::default()
    };
    let expected = BasicProperties::default()
        .with_delivery_mode(2)
        .with_headers(FieldTable::default())
        .with_message_id("m".into())
        .with_content_type("application/json".into())
        .with_type("facteur.job.v1".into())
        .with_app_id("shop".into())
        .with_timestamp(1_700_000_000);
    assert_eq!(properties_of(&content), expected);
    let too_long = EnvelopeContent { message_id: Some("m".repeat(256)), ..EnvelopeContent::default() };
    assert_eq!(properties_of(&too_long).message_id(), &None);
}

//! lapin's types ⇄ ours. Nothing that a producer may legally send is refused here: a header of any AMQP type
//! is kept, what we don't read as JSON.

use bytes::Bytes;
use facteur_core::envelope::{EnvelopeContent, HeaderValue, Headers};
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::Value;

/// Deeper header values are cut off: they are bounded by a frame, but not what walks them later.
const NESTING_MAX: u32 = 32;
const DELIVERY_MODE_PERSISTENT: u8 = 2;

/// The content of a delivery.
pub(crate) fn content_of(delivery: Delivery) -> EnvelopeContent {
    let properties = &delivery.properties;
    let owned = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    EnvelopeContent {
        exchange: delivery.exchange.into(),
        routing_key: delivery.routing_key.into(),
        message_id: owned(properties.message_id()),
        content_type: owned(properties.content_type()),
        kind: owned(properties.kind()),
        app_id: owned(properties.app_id()),
        timestamp_s: *properties.timestamp(),
        headers: properties.headers().as_ref().map(headers_of).unwrap_or_default(),
        redelivered: delivery.redelivered,
        body: Bytes::from(delivery.data),
    }
}

/// Properties of a publication, always persistent. What is not named here is dropped on purpose: a copied
/// `user_id` kills the channel, `expiration` and `priority` mean another thing in another queue, and nobody
/// waits for a reply.
pub(crate) fn properties_of(content: &EnvelopeContent) -> BasicProperties {
    let mut properties = BasicProperties::default()
        .with_delivery_mode(DELIVERY_MODE_PERSISTENT)
        .with_headers(table_of(&content.headers));
    if let Some(message_id) = short(content.message_id.as_deref()) {
        properties = properties.with_message_id(message_id);
    }
    if let Some(content_type) = short(content.content_type.as_deref()) {
        properties = properties.with_content_type(content_type);
    }
    if let Some(kind) = short(content.kind.as_deref()) {
        properties = properties.with_type(kind);
    }
    if let Some(app_id) = short(content.app_id.as_deref()) {
        properties = properties.with_app_id(app_id);
    }
    if let Some(timestamp_s) = content.timestamp_s {
        properties = properties.with_timestamp(timestamp_s);
    }
    properties
}

/// AMQP's short strings end at 255 bytes; a longer one can't come from a broker and is left out.
fn short(text: Option<&str>) -> Option<ShortString> {
    text.and_then(|text| ShortString::try_new(text).ok())
}

fn headers_of(table: &FieldTable) -> Headers {
    table.inner().iter().map(|(name, value)| (name.to_string(), header_of(value))).collect()
}

fn header_of(value: &AMQPValue) -> HeaderValue {
    match json_of(value, 0) {
        // A time is no number that somebody counted.
        json if matches!(value, AMQPValue::Timestamp(_)) => HeaderValue::Other(json),
        Value::Bool(value) => HeaderValue::Bool(value),
        Value::String(value) => HeaderValue::Text(value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => HeaderValue::Int(value),
            None => HeaderValue::Other(Value::Number(number)),
        },
        other => HeaderValue::Other(other),
    }
}

fn json_of(value: &AMQPValue, depth: u32) -> Value {
    if depth > NESTING_MAX {
        return Value::Null;
    }
    match value {
        AMQPValue::Boolean(value) => Value::from(*value),
        AMQPValue::ShortShortInt(value) => Value::from(*value),
        AMQPValue::ShortShortUInt(value) => Value::from(*value),
        AMQPValue::ShortInt(value) => Value::from(*value),
        AMQPValue::ShortUInt(value) => Value::from(*value),
        AMQPValue::LongInt(value) => Value::from(*value),
        AMQPValue::LongUInt(value) => Value::from(*value),
        AMQPValue::LongLongInt(value) => Value::from(*value),
        AMQPValue::Timestamp(value) => Value::from(*value),
        AMQPValue::Float(value) => Value::from(*value),
        AMQPValue::Double(value) => Value::from(*value),
        AMQPValue::DecimalValue(value) => Value::from(format!("{}e-{}", value.value, value.scale)),
        AMQPValue::ShortString(text) => Value::from(text.as_str()),
        AMQPValue::LongString(text) => text_or_bytes(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => Value::from(bytes.as_slice()),
        AMQPValue::FieldArray(values) => {
            values.as_slice().iter().map(|value| json_of(value, depth + 1)).collect()
        }
        AMQPValue::FieldTable(table) => {
            table.inner().iter().map(|(name, value)| (name.to_string(), json_of(value, depth + 1))).collect()
        }
        AMQPValue::Void => Value::Null,
    }
}

/// A long string may hold any bytes; what is not UTF-8 is kept as numbers, so that nothing is lost.
fn text_or_bytes(bytes: &[u8]) -> Value {
    std::str::from_utf8(bytes).map_or_else(|_| Value::from(bytes), Value::from)
}

pub(crate) fn table_of(headers: &Headers) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in headers {
        if let Some(name) = short(Some(name)) {
            table.insert(name, field_of(value));
        }
    }
    table
}

fn field_of(value: &HeaderValue) -> AMQPValue {
    match value {
        HeaderValue::Int(value) => AMQPValue::LongLongInt(*value),
        HeaderValue::Bool(value) => AMQPValue::Boolean(*value),
        HeaderValue::Text(text) => AMQPValue::LongString(text.as_str().into()),
        HeaderValue::Other(json) => field_of_json(json),
    }
}

fn field_of_json(json: &Value) -> AMQPValue {
    match json {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => AMQPValue::LongLongInt(value),
            (None, Some(value)) => AMQPValue::Double(value),
            (None, None) => AMQPValue::Void,
        },
        Value::Array(values) => {
            AMQPValue::FieldArray(values.iter().map(field_of_json).collect::<Vec<_>>().into())
        }
        Value::Object(entries) => {
            let mut table = FieldTable::default();
            for (name, value) in entries {
                if let Some(name) = short(Some(name)) {
                    table.insert(name, field_of_json(value));
                }
            }
            AMQPValue::FieldTable(table)
        }
    }
}

/// Bytes that a header takes on the wire, about: name, type, length, value.
pub(crate) fn header_bytes(name: &str, value: &HeaderValue) -> usize {
    name.len() + 6 + field_bytes(&field_of(value))
}

fn field_bytes(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::LongString(text) => text.len(),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(|value| 5 + field_bytes(value)).sum(),
        AMQPValue::FieldTable(table) => {
            table.inner().iter().map(|(name, value)| name.as_str().len() + 6 + field_bytes(value)).sum()
        }
        _ => 8,
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;

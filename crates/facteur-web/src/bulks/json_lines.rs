//! A bulk as a JSON object, read piece by piece: its recipients are handed over as they come.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::Read;

use facteur_core::bulk::RECIPIENTS_MAX;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Names;
use super::gauge::{Gauge, Gauged, LINE_BYTES_MAX, line_too_long};
use super::head::BulkHead;
use super::lines::{Gone, Outlet, Recipient, too_many};
use crate::error::ApiError;
use crate::json;

/// A body up to so many bytes may have its fields in any order: its recipients are kept until its end.
const ANY_ORDER_BYTES_MAX: usize = 1024 * 1024;
/// Recipients of a longer one that come before the content are kept until it comes, up to so many bytes of body; and no more than that
/// may come before the recipients.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most fields beside the recipients that are kept to be named; a bulk has fewer.
const FIELDS_MAX: usize = 64;

/// Reads a body to its end, and returns how many lines it had; `None` if nobody waits for them any more.
pub(super) fn read(
    source: &mut impl Read,
    outlet: &mut Outlet,
    names: Names,
) -> Result<Option<u32>, ApiError> {
    let gauge = Gauge::new(KEPT_BYTES_MAX);
    let parse = Parse {
        outlet: RefCell::new(outlet),
        names,
        gauge: &gauge,
        line: Cell::new(None),
        fault: RefCell::new(None),
        is_gone: Cell::new(false),
    };
    let mut reader = serde_json::Deserializer::from_reader(Gauged { source, gauge: &gauge });
    let mut track = serde_path_to_error::Track::new();
    let result = (&parse).deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    let path = track.path().to_string();
    let result = result.and_then(|count| reader.end().map(|()| count));
    match result {
        _ if parse.is_gone.get() => Ok(None),
        Ok(count) => Ok(Some(count)),
        Err(_) if gauge.is_over() => Err(parse.line.get().map_or_else(too_much_before, line_too_long)),
        Err(error) => Err(parse.fault.into_inner().unwrap_or_else(|| json::explained(&path, &error))),
    }
}

/// serde knows no errors of ours: the real one waits beside it.
struct Parse<'a> {
    outlet: RefCell<&'a mut Outlet>,
    names: Names,
    gauge: &'a Gauge,
    /// The line that is being read, from 1.
    line: Cell<Option<u32>>,
    fault: RefCell<Option<ApiError>>,
    is_gone: Cell<bool>,
}

impl Parse<'_> {
    fn fail<E: serde::de::Error>(&self, fault: ApiError) -> E {
        self.fault.replace(Some(fault));
        E::custom("a fault of the request")
    }

    fn gone<E: serde::de::Error>(&self, _: Gone) -> E {
        self.is_gone.set(true);
        E::custom("nobody waits for it")
    }

    fn hand_over<E: serde::de::Error>(&self, line: Recipient) -> Result<(), E> {
        let taken = self.outlet.borrow_mut().line(line).map_err(|gone| self.gone(gone))?;
        taken.map_err(|fault| self.fail(fault))
    }

    fn hand_over_head<E: serde::de::Error>(&self, fields: Map<String, Value>) -> Result<(), E> {
        let head: BulkHead = serde_path_to_error::deserialize(Value::Object(fields))
            .map_err(|error| self.fail(json::explained(&error.path().to_string(), error.inner())))?;
        self.outlet.borrow_mut().head(head).map_err(|gone| self.gone(gone))
    }

    fn within<E: serde::de::Error>(&self) -> Result<(), E> {
        if self.gauge.bytes() <= KEPT_BYTES_MAX { Ok(()) } else { Err(self.fail(too_much_before())) }
    }

    /// Begins a line; no more of it is read than a line may have.
    fn begin_line(&self, line: usize) {
        self.line.set(Some(u32::try_from(line).unwrap_or(u32::MAX)));
        self.gauge.allow(LINE_BYTES_MAX);
    }

    fn end_lines(&self) {
        self.line.set(None);
        self.gauge.allow(KEPT_BYTES_MAX);
    }
}

fn too_much_before() -> ApiError {
    let sentence = "more than 8 MiB stand before the content (`body`, `template`, `content_sid` or `media_url`): let \
                    `recipients` be the last field";
    ApiError::invalid("recipients_first", sentence).field("recipients")
}

/// A value of which nothing is kept but that it is a list or an object: no field of a bulk beside its recipients is one.
struct Flat(Value);

impl<'de> serde::Deserialize<'de> for Flat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FlatVisitor).map(Self)
    }
}

struct FlatVisitor;

impl<'de> Visitor<'de> for FlatVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        while values.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object(Map::new()))
    }
}

impl<'de> DeserializeSeed<'de> for &Parse<'_> {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &Parse<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a bulk")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<u32, A::Error> {
        let (mut fields, mut kept, mut has_recipients) = (Some(Map::new()), Vec::new(), false);
        while let Some(key) = map.next_key::<String>()? {
            let key =
                self.names.iter().find(|(theirs, _)| *theirs == key).map_or(key, |(_, ours)| (*ours).into());
            let is_known = |fields: &Map<String, Value>| fields.contains_key(&key);
            if key == "recipients" && has_recipients || fields.as_ref().is_some_and(is_known) {
                return Err(A::Error::custom(format!("duplicate field `{key}`")));
            }
            match &mut fields {
                fields if key == "recipients" => {
                    has_recipients = true;
                    map.next_value_seed(Lines { parse: self, fields, kept: &mut kept })?;
                    self.end_lines();
                }
                None => {
                    let sentence =
                        format!("`{key}` stands behind many `recipients`: let them be the last field");
                    return Err(
                        self.fail(ApiError::invalid("recipients_first", sentence).field("recipients"))
                    );
                }
                Some(fields) => {
                    // The first that is unknown is told; more than that need not be known.
                    if fields.len() < FIELDS_MAX {
                        fields.insert(key, map.next_value::<Flat>()?.0);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                    self.within()?;
                }
            }
        }
        if let Some(fields) = fields {
            self.hand_over_head(fields)?;
        }
        kept.into_iter().try_for_each(|line| self.hand_over(line))?;
        if !has_recipients {
            return Err(A::Error::missing_field("recipients"));
        }
        let mut outlet = self.outlet.borrow_mut();
        outlet.flush().map_err(|gone| self.gone(gone))?;
        Ok(outlet.count())
    }
}

fn has_content(fields: &Map<String, Value>) -> bool {
    ["body", "template", "content_sid", "media_url"]
        .iter()
        .any(|name| fields.get(*name).is_some_and(|value| !value.is_null()))
}

/// The array of recipients.
struct Lines<'p, 'a, 'k> {
    parse: &'p Parse<'a>,
    /// All other fields so far; `None` once they were handed over.
    fields: &'k mut Option<Map<String, Value>>,
    /// Lines that wait until it is known what is sent.
    kept: &'k mut Vec<Recipient>,
}

impl<'de> DeserializeSeed<'de> for Lines<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Lines<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("recipients")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut lines: A) -> Result<(), A::Error> {
        for number in 1.. {
            self.parse.begin_line(number);
            let Some(line) = lines.next_element::<Recipient>()? else { break };
            if self.fields.is_none() {
                self.parse.hand_over(line)?;
                continue;
            }
            if self.kept.len() >= RECIPIENTS_MAX as usize {
                return Err(self.parse.fail(too_many()));
            }
            self.kept.push(line);
            if self.parse.gauge.bytes() <= ANY_ORDER_BYTES_MAX {
                continue;
            }
            match self.fields.take_if(|fields| has_content(fields)) {
                Some(fields) => {
                    self.parse.hand_over_head(fields)?;
                    self.kept.drain(..).try_for_each(|line| self.parse.hand_over(line))?;
                }
                None => self.parse.within()?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "json_lines_tests.rs"]
mod tests;

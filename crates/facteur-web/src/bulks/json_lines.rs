//! A bulk as a JSON object, read piece by piece: its recipients are handed over as they come.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::Names;
use super::head::BulkHead;
use super::lines::{Gone, Outlet, Recipient};
use crate::error::ApiError;
use crate::json;

/// A body up to so many bytes may have its fields in any order: its recipients are kept until its end.
const ANY_ORDER_BYTES_MAX: usize = 1024 * 1024;
/// Recipients of a longer one that come before the content are kept until it comes, up to so many bytes of body; and no more than that
/// may come before the recipients.
const KEPT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Reads a body to its end, and returns how many lines it had; `None` if nobody waits for them any more.
pub(super) fn read(
    source: &mut impl Read,
    outlet: &mut Outlet,
    names: Names,
) -> Result<Option<u32>, ApiError> {
    let bytes = Cell::new(0);
    let parse = Parse {
        outlet: RefCell::new(outlet),
        names,
        bytes: &bytes,
        fault: RefCell::new(None),
        is_gone: Cell::new(false),
    };
    let mut reader = serde_json::Deserializer::from_reader(Counted { source, bytes: &bytes });
    let mut track = serde_path_to_error::Track::new();
    let result = (&parse).deserialize(serde_path_to_error::Deserializer::new(&mut reader, &mut track));
    let path = track.path().to_string();
    let result = result.and_then(|count| reader.end().map(|()| count));
    match result {
        _ if parse.is_gone.get() => Ok(None),
        Ok(count) => Ok(Some(count)),
        Err(error) => Err(parse.fault.into_inner().unwrap_or_else(|| json::explained(&path, &error))),
    }
}

struct Counted<'a, R> {
    source: &'a mut R,
    bytes: &'a Cell<usize>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(into)?;
        self.bytes.set(self.bytes.get() + count);
        Ok(count)
    }
}

/// serde knows no errors of ours: the real one waits beside it.
struct Parse<'a> {
    outlet: RefCell<&'a mut Outlet>,
    names: Names,
    bytes: &'a Cell<usize>,
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
        if self.bytes.get() <= KEPT_BYTES_MAX {
            return Ok(());
        }
        let sentence = "more than 8 MiB stand before the content (`body`, `template`, `content_sid` or `media_url`): let \
                        `recipients` be the last field";
        Err(self.fail(ApiError::invalid("recipients_first", sentence).field("recipients")))
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
                }
                None => {
                    let sentence =
                        format!("`{key}` stands behind many `recipients`: let them be the last field");
                    return Err(
                        self.fail(ApiError::invalid("recipients_first", sentence).field("recipients"))
                    );
                }
                Some(fields) => {
                    fields.insert(key, map.next_value()?);
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
        while let Some(line) = lines.next_element::<Recipient>()? {
            if self.fields.is_none() {
                self.parse.hand_over(line)?;
                continue;
            }
            self.kept.push(line);
            if self.parse.bytes.get() <= ANY_ORDER_BYTES_MAX {
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

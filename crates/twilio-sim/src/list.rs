//! The list of messages: filters, pages, and the lag that Twilio's lists have.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::address::normalised_recipient;
use crate::clock::Moment;
use crate::message::Message;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::sim::{Simulator, Tenant};
use crate::validate::{Form, field};

const PAGE_SIZE_DEFAULT: usize = 50;
const PAGE_SIZE_MAX: usize = 1_000;

/// From a moment on, and before another.
type Span = (Moment, Moment);

#[derive(Debug, Default)]
struct Filter {
    to: Option<String>,
    from: Option<String>,
    sent_in: Option<Span>,
    sent_from: Option<Moment>,
    sent_before: Option<Moment>,
}

impl Filter {
    fn read(query: &Form) -> Result<Self, Refusal> {
        let address = |name| field(query, name).map(|a| normalised_recipient(a).unwrap_or(a.to_owned()));
        let date = |name| field(query, name).map(|text| span(name, text)).transpose();
        Ok(Self {
            to: address("To"),
            from: address("From"),
            sent_in: date("DateSent")?,
            sent_from: date("DateSent>")?.map(|(from, _)| from),
            sent_before: date("DateSent<")?.map(|(_, before)| before),
        })
    }

    fn matches(&self, message: &Message, now: Moment) -> bool {
        if self.to.as_ref().is_some_and(|to| *to != message.to)
            || self.from.as_ref().is_some_and(|from| *from != message.from)
        {
            return false;
        }
        if self.sent_in.is_none() && self.sent_from.is_none() && self.sent_before.is_none() {
            return true;
        }
        message.timeline.sent_at(now).is_some_and(|sent| {
            self.sent_in.is_none_or(|(from, before)| sent >= from && sent < before)
                && self.sent_from.is_none_or(|from| sent >= from)
                && self.sent_before.is_none_or(|before| sent < before)
        })
    }
}

/// A day in UTC, or a second.
fn span(name: &str, text: &str) -> Result<Span, Refusal> {
    let day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        let from = Moment::at(instant);
        return Ok((from, from.plus(Duration::from_secs(1))));
    }
    let Some(day) = day().filter(|_| text.len() == "2026-01-02".len()) else {
        return Err(Refusal::bad(20001, format!("{name} is not a valid date (YYYY-MM-DD).")));
    };
    let from = Moment::at(day.timestamp());
    Ok((from, from.plus(Duration::from_secs(24 * 3_600))))
}

/// Which page.
#[derive(Debug)]
struct Window {
    size: usize,
    number: usize,
    anchor: Anchor,
}

#[derive(Debug, Clone, Copy)]
enum Anchor {
    /// By the number alone.
    Number,
    /// What is older than this ordinal.
    After(u64),
    /// What is next newer than this ordinal.
    Before(u64),
}

impl Window {
    fn read(query: &Form, sim: &Simulator) -> Result<Self, Refusal> {
        let number = |name: &str, default: usize| match field(query, name).map(str::parse) {
            None => Ok(default),
            Some(Ok(number)) => Ok(number),
            Some(Err(_)) => Err(Refusal::bad(20001, format!("{name} is not a number."))),
        };
        let size = number("PageSize", PAGE_SIZE_DEFAULT)?;
        if size > PAGE_SIZE_MAX {
            return Err(Refusal::bad(20007, format!("PageSize must be at most {PAGE_SIZE_MAX}.")));
        }
        let anchor = match field(query, "PageToken") {
            None => Anchor::Number,
            Some(token) => {
                let ordinal = token.get(2..).and_then(|sid| sim.store.ordinal(sid));
                match (token.get(..2), ordinal) {
                    (Some("PA"), Some(ordinal)) => Anchor::After(ordinal),
                    (Some("PB"), Some(ordinal)) => Anchor::Before(ordinal),
                    _ => return Err(Refusal::bad(20001, "PageToken is not valid.")),
                }
            }
        };
        Ok(Self { size: size.max(1), number: number("Page", 0)?, anchor })
    }

    /// Where the page begins in a list of ordinals, newest first.
    fn start(&self, found: &[u64]) -> usize {
        let start = match self.anchor {
            Anchor::Number => self.number.saturating_mul(self.size),
            Anchor::After(anchor) => found.partition_point(|ordinal| *ordinal >= anchor),
            Anchor::Before(anchor) => {
                found.partition_point(|ordinal| *ordinal > anchor).saturating_sub(self.size)
            }
        };
        start.min(found.len())
    }
}

/// Lists an account's messages, newest first.
pub(crate) fn list(
    sim: &Simulator,
    tenant: &Tenant,
    path: &str,
    query: &Form,
    now: Moment,
) -> Result<Reply, Refusal> {
    let filter = Filter::read(query)?;
    let window = Window::read(query, sim)?;
    let lag = sim.injector.list_lag(now);
    let found = sim.store.find(|message| {
        message.account_sid == tenant.sid
            && (lag.is_zero() || now.since(message.created_at) >= lag)
            && filter.matches(message, now)
    });
    let start = window.start(&found);
    let shown = &found[start..found.len().min(start.saturating_add(window.size))];
    let view = |message: &Message| (message.sid.clone(), serde_json::to_value(message.view(now)).ok());
    let messages = sim.store.pick(shown, view);
    let sid = |message: Option<&(String, Option<serde_json::Value>)>| message.map(|(sid, _)| sid.clone());
    let next = sid(messages.last()).filter(|_| start + shown.len() < found.len());
    let previous = sid(messages.first()).filter(|_| start > 0);
    let uri = |number: usize, token: Option<String>| page_uri(path, query, window.size, number, token);
    let first = window.number.saturating_mul(window.size);
    let page = json!({
        "messages": messages.iter().map(|(_, view)| view).collect::<Vec<_>>(),
        "page": window.number,
        "page_size": window.size,
        "start": first,
        "end": first + shown.len().saturating_sub(1),
        "uri": uri(window.number, field(query, "PageToken").map(str::to_owned)),
        "first_page_uri": uri(0, None),
        "next_page_uri": next.map(|sid| uri(window.number + 1, Some(format!("PA{sid}")))),
        "previous_page_uri":
            previous.map(|sid| uri(window.number.saturating_sub(1), Some(format!("PB{sid}")))),
    });
    Ok(Reply::json(200, &page))
}

fn page_uri(path: &str, query: &Form, size: usize, number: usize, token: Option<String>) -> String {
    let is_filter = |name: &str| !matches!(name, "PageSize" | "Page" | "PageToken");
    let mut uri = form_urlencoded::Serializer::new(String::new());
    uri.extend_pairs(query.iter().filter(|(name, _)| is_filter(name)));
    uri.append_pair("PageSize", &size.to_string()).append_pair("Page", &number.to_string());
    if let Some(token) = token {
        uri.append_pair("PageToken", &token);
    }
    format!("{path}?{}", uri.finish())
}

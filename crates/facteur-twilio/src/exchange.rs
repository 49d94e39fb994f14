//! One HTTP exchange: a request, and what is certain about its answer.

use std::time::Duration;

use reqwest::RequestBuilder;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::redact;

/// Longer answers are not read; Twilio's are a few kilobytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// A longer `Retry-After` is cut: nobody wants a sender to stand still for a day.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// What came of a request.
pub(crate) type Exchange = Result<Answer, NoAnswer>;

/// An answer whose status line and headers are here.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http_status: u16,
    pub(crate) retry_after: Option<Duration>,
    /// Twilio's id of the request, for a question to its support.
    pub(crate) request_id: Option<String>,
    pub(crate) body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Vec<u8>),
    TooLong,
    /// The connection was lost, or time was up, in the middle of it.
    Broken(String),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// Certain: no byte of the request left.
    NotSent(String),
    /// The request may have been processed.
    Lost(String),
}

pub(crate) async fn exchange(request: RequestBuilder) -> Exchange {
    match request.send().await {
        Ok(response) => Ok(read(response).await),
        // `is_connect` covers name lookup, connection and TLS handshake, and their time-out.
        Err(error) if error.is_builder() || error.is_connect() => {
            Err(NoAnswer::NotSent(redact::cause(error)))
        }
        Err(error) => Err(NoAnswer::Lost(redact::cause(error))),
    }
}

async fn read(mut response: reqwest::Response) -> Answer {
    let http_status = response.status().as_u16();
    let retry_after = retry_after(response.headers());
    let request_id = request_id(response.headers());
    let mut bytes = Vec::new();
    let body = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => break Body::TooLong,
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => break Body::Whole(bytes),
            Err(error) => break Body::Broken(redact::cause(error)),
        }
    };
    Answer { http_status, retry_after, request_id, body }
}

/// `Retry-After` in seconds, or as a date, which is read against the answer's own `Date`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(text).ok()?;
        let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
        until.duration_since(now).unwrap_or_default()
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// `Twilio-Request-Id`, if it is one (`RQ` and 32 hexadecimal digits).
fn request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("twilio-request-id")?.to_str().ok()?;
    let digits = text.strip_prefix("RQ")?;
    (digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

    use super::{request_id, retry_after};

    fn headers(retry_after: &'static str, date: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(retry_after));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        headers
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_capped_at_an_hour() {
        let now = Some("Fri, 20 Nov 2026 10:00:00 GMT");
        let cases = [
            ("7", None, Some(7)),
            ("0", None, Some(0)),
            ("86400", None, Some(3_600)),
            ("99999999999999999999999", None, Some(3_600)),
            ("Fri, 20 Nov 2026 10:00:30 GMT", now, Some(30)),
            ("Fri, 20 Nov 2026 09:59:30 GMT", now, Some(0)),
            ("Sat, 21 Nov 2026 10:00:00 GMT", now, Some(3_600)),
            ("Fri, 20 Nov 2026 10:00:30 GMT", None, None),
            ("Fri, 20 Nov 2026 10:00:30 GMT", Some("yesterday"), None),
            ("-3", now, None),
            ("1.5", now, None),
            ("soon", now, None),
            ("", now, None),
        ];
        for (text, date, seconds) in cases {
            assert_eq!(
                retry_after(&headers(text, date)),
                seconds.map(Duration::from_secs),
                "{text} {date:?}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn only_a_request_id_passes_for_one() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("Twilio-Request-Id", HeaderValue::from_static(text));
            request_id(&headers)
        };
        assert!(read("RQ0123456789abcdef0123456789abcdef").is_some());
        for text in ["", "RQ", "+33612345678", "RQ0123456789abcdef0123456789abcdeg"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

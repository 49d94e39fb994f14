//! What an exchange tells about a message, by what is certain.

use facteur_core::ids::MessageSid;
use facteur_core::outcome::Outcome;
use facteur_core::status::TwilioStatus;
use serde_json::Value;

use crate::exchange::{Answer, Body, Exchange, NoAnswer};
use crate::redact;

/// The outcome of a call to create a message.
pub(crate) fn classify(exchange: Exchange) -> Outcome {
    let answer = match exchange {
        Ok(answer) => answer,
        Err(NoAnswer::NotSent(cause)) => return Outcome::Unreachable { cause },
        Err(NoAnswer::Lost(cause)) => return Outcome::Uncertain { cause, http_status: None },
    };
    match (answer.http_status, &answer.body) {
        (200..=299, _) => created(&answer),
        // Twilio says of 429 that the request was never processed; the status line is enough to know it.
        (429, _) => Outcome::Throttled { code: error(&answer).code, retry_after: answer.retry_after },
        (408, _) => uncertain(&answer, "Twilio gave up waiting for the request"),
        // The code that tells what to do about it did not arrive.
        (400..=499, Body::Broken(why)) => uncertain(&answer, &format!("the answer broke off: {why}")),
        (400..=499, _) => {
            let Fault { code, message } = error(&answer);
            Outcome::Refused { code, http_status: answer.http_status, message }
        }
        (300..=399, _) => uncertain(&answer, "the answer is a redirect, which Twilio does not send"),
        _ => uncertain(&answer, &failure(&answer)),
    }
}

fn failure(answer: &Answer) -> String {
    let status = answer.http_status;
    match error(answer).code {
        Some(code) => format!("Twilio answered HTTP {status} with error {code}"),
        None => format!("Twilio answered HTTP {status}"),
    }
}

fn created(answer: &Answer) -> Outcome {
    let message = match document(answer) {
        Ok(message) => message,
        Err(why) => return uncertain(answer, &why),
    };
    match MessageSid::parse(message["sid"].as_str().unwrap_or_default()) {
        // An unknown first status counts as queued: the message exists, and callbacks will tell the rest.
        Ok(sid) => {
            let status = message["status"].as_str().and_then(TwilioStatus::parse);
            Outcome::Accepted { sid, twilio_status: status.unwrap_or(TwilioStatus::Queued) }
        }
        Err(_) => uncertain(answer, "the answer names no message SID"),
    }
}

fn uncertain(answer: &Answer, cause: &str) -> Outcome {
    let cause = match &answer.request_id {
        Some(request_id) => format!("{cause} (Twilio-Request-Id {request_id})"),
        None => cause.to_owned(),
    };
    Outcome::Uncertain { cause, http_status: Some(answer.http_status) }
}

/// What Twilio says is wrong.
struct Fault {
    code: Option<u32>,
    message: String,
}

/// Reads both of Twilio's error documents: `code` and `message`, and RFC 9457's `title` and `detail`.
fn error(answer: &Answer) -> Fault {
    let document = document(answer).unwrap_or_default();
    let code = document["code"].as_u64().and_then(|code| u32::try_from(code).ok());
    let sentence = ["message", "detail", "title"].into_iter().find_map(|field| document[field].as_str());
    let message = match sentence {
        Some(sentence) => redact::sentence(sentence),
        None => format!("HTTP {} without an explanation", answer.http_status),
    };
    Fault { code, message }
}

/// The answer's JSON, or why there is none. Bytes that are no UTF-8 don't hide the rest of it.
pub(crate) fn document(answer: &Answer) -> Result<Value, String> {
    match &answer.body {
        Body::Whole(bytes) => serde_json::from_str(&String::from_utf8_lossy(bytes))
            .map_err(|_| "the answer is not JSON".to_owned()),
        Body::TooLong => Err("the answer is too long to be Twilio's".to_owned()),
        Body::Broken(why) => Err(format!("the answer broke off: {why}")),
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;

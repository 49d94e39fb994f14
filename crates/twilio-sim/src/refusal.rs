//! Twilio's errors: HTTP status, code and the sentence that Twilio writes (recorded where known).

use serde::Serialize;

/// An error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: u32,
    pub(crate) message: String,
    pub(crate) detail: Option<&'static str>,
    pub(crate) retry_after_s: Option<u32>,
}

#[derive(Serialize)]
struct Body<'a> {
    code: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    message: &'a str,
    more_info: String,
    status: u16,
}

impl Refusal {
    pub(crate) fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), detail: None, retry_after_s: None }
    }

    /// 400, as most refusals are.
    pub(crate) fn bad(code: u32, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    pub(crate) fn unauthorized() -> Self {
        let detail = Some("Your AccountSid or AuthToken was incorrect.");
        Self { detail, ..Self::new(401, 20003, "Authenticate") }
    }

    pub(crate) fn not_found(path: &str) -> Self {
        let path: String = path.chars().take(300).collect();
        Self::new(404, 20404, format!("The requested resource {path} was not found"))
    }

    pub(crate) fn too_many_requests(retry_after_s: Option<u32>) -> Self {
        Self { retry_after_s, ..Self::new(429, 20429, "Too Many Requests") }
    }

    pub(crate) fn queue_full(retry_after_s: Option<u32>) -> Self {
        Self { retry_after_s, ..Self::new(429, 21611, "SMS queue is full.") }
    }

    pub(crate) fn internal_error() -> Self {
        Self::new(500, 20500, "An internal server error has occurred")
    }

    pub(crate) fn unavailable(retry_after_s: Option<u32>) -> Self {
        Self { retry_after_s, ..Self::new(503, 20503, "Service is unavailable. Please try again.") }
    }

    /// The answer's body.
    pub(crate) fn json(&self) -> Vec<u8> {
        let body = Body {
            code: self.code,
            detail: self.detail,
            message: &self.message,
            more_info: format!("https://www.twilio.com/docs/errors/{}", self.code),
            status: self.status,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

/// What Twilio writes into a message's `error_message`; `None` for codes without a known text.
pub(crate) fn error_message(code: u32) -> Option<&'static str> {
    match code {
        21610 => Some("Attempt to send to unsubscribed recipient"),
        30001 => Some("Queue overflow"),
        30002 => Some("Account suspended"),
        30003 => Some("Unreachable destination handset"),
        30004 => Some("Message blocked"),
        30005 => Some("Unknown destination handset"),
        30006 => Some("Landline or unreachable carrier"),
        30007 => Some("Message filtered"),
        30008 => Some("Unknown error"),
        30036 => Some("Validity Period Expired"),
        _ => None,
    }
}

//! The one shape of an error: `{"error": sentence, "code": stable code, "field": name}`.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// What a caller is told. Its sentence holds nothing that the caller sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// For programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) sentence: &'static str,
    /// The parameter at fault, where there is one.
    pub(crate) field: Option<&'static str>,
    /// When to come again, in seconds.
    pub(crate) retry_after_s: Option<u16>,
}

#[derive(Serialize)]
struct Body {
    error: &'static str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
}

impl ApiError {
    pub(crate) const fn new(status: StatusCode, code: &'static str, sentence: &'static str) -> Self {
        Self { status, code, sentence, field: None, retry_after_s: None }
    }

    pub(crate) const fn field(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    pub(crate) const fn retry_after_s(self, seconds: u16) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Body { error: self.sentence, code: self.code, field: self.field };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

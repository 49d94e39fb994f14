//! The one shape of an error: `{"error": sentence, "code": stable code, "field": name}`.

use std::borrow::Cow;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use facteur_core::reason::Reason;
use facteur_postgres::BatchFailure;
use serde::Serialize;
use utoipa::ToSchema;

/// What a caller is told. Its sentence holds nothing personal, masked values at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// For programs.
    pub(crate) code: &'static str,
    /// For people.
    pub(crate) sentence: Cow<'static, str>,
    /// The field or parameter at fault, where there is one.
    pub(crate) field: Option<Cow<'static, str>>,
    /// When to come again, in seconds.
    pub(crate) retry_after_s: Option<u16>,
}

/// An error, as every route answers it.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody<'a> {
    /// What is wrong and what would be right, for a person.
    #[schema(example = "there is no such message")]
    error: &'a str,
    /// A stable code, for programs.
    #[schema(example = "not_found")]
    code: &'a str,
    /// The field or parameter at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl ApiError {
    pub(crate) const fn new(status: StatusCode, code: &'static str, sentence: &'static str) -> Self {
        Self { status, code, sentence: Cow::Borrowed(sentence), field: None, retry_after_s: None }
    }

    /// A parameter is at fault.
    pub(crate) const fn at(
        status: StatusCode,
        code: &'static str,
        field: &'static str,
        sentence: &'static str,
    ) -> Self {
        let field = Some(Cow::Borrowed(field));
        Self { status, code, sentence: Cow::Borrowed(sentence), field, retry_after_s: None }
    }

    /// Not now: 503, to be tried again after so many seconds.
    pub(crate) const fn busy(code: &'static str, sentence: &'static str, retry_after_s: u16) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let retry_after_s = Some(retry_after_s);
        Self { status, code, sentence: Cow::Borrowed(sentence), field: None, retry_after_s }
    }

    /// What the caller sent can't be taken: 422.
    pub(crate) fn invalid(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self { status, code, sentence: sentence.into(), field: None, retry_after_s: None }
    }

    /// What was asked for is not there, or not the caller's: nobody learns which.
    pub(crate) const fn not_found(sentence: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", sentence)
    }

    /// What was asked for can't be done any more: 409.
    pub(crate) fn conflict(code: &'static str, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self { sentence: sentence.into(), ..Self::new(StatusCode::CONFLICT, code, "") }
    }

    /// The database can't be reached: 503, to be tried again.
    pub(crate) const UNAVAILABLE: Self =
        Self::busy("database_unavailable", "the database gives no answer now: come again", 2);

    pub(crate) fn field(self, field: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), ..self }
    }
}

impl From<Reason> for ApiError {
    fn from(reason: Reason) -> Self {
        let field = reason.field.map(Cow::Owned);
        let sentence = match &field {
            Some(field) => format!("{field} {}", reason.sentence),
            None => reason.sentence,
        };
        Self { field, ..Self::invalid(reason.code.as_str(), sentence) }
    }
}

impl From<BatchFailure> for ApiError {
    fn from(failure: BatchFailure) -> Self {
        match failure {
            BatchFailure::Unavailable(why) => {
                tracing::warn!(error = why, "a request can't be answered: the database gives no answer");
                Self::UNAVAILABLE
            }
            BatchFailure::Data(sentence) => Self::invalid("invalid_value", sentence),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: &self.sentence, code: self.code, field: self.field.as_deref() };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"facteur\""));
        }
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // A family that has a shape of its own makes it out of this.
        response.extensions_mut().insert(self);
        response
    }
}

//! Bodies and query strings, read strictly: the error names the field at fault.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::error::ApiError;

/// Longest JSON body of a route that sets no other limit, in bytes.
pub(crate) const JSON_BYTES_MAX: usize = 256 * 1024;

pub(crate) const NOT_JSON: ApiError = ApiError::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "content_type_unsupported",
    "the body must be JSON, with content-type: application/json",
);
pub(crate) const TOO_LARGE: ApiError = ApiError::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "body_too_large",
    "the body has more bytes than this route takes",
);
pub(crate) const BROKEN: ApiError =
    ApiError::new(StatusCode::BAD_REQUEST, "body_broken", "the body did not arrive");

/// A JSON body of which the route itself finds out what it is.
pub(crate) struct JsonBytes(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(NOT_JSON);
        }
        Bytes::from_request(request, state).await.map(Self).map_err(|rejection| broken(&rejection))
    }
}

/// A JSON body, or answer.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let JsonBytes(bytes) = JsonBytes::from_request(request, state).await?;
        parse(&bytes).map(Self)
    }
}

/// No body at all is `None`; one that is there must be right.
impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        let has_type = request.headers().contains_key(header::CONTENT_TYPE);
        let is_right = is_json(request.headers());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| broken(&rejection))?;
        match (bytes.is_empty(), is_right || !has_type) {
            (true, _) => Ok(None),
            (false, true) => parse(&bytes).map(|body| Some(Self(body))),
            (false, false) => Err(NOT_JSON),
        }
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// Tells null from absent.
pub(crate) fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A query string.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Reads a query string.
///
/// # Errors
/// Which parameter is at fault.
pub(crate) fn parse_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    if query.contains("%00") {
        return Err(nul());
    }
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let field = error.path().to_string();
        described(StatusCode::BAD_REQUEST, &field, &error.into_inner().to_string(), "a parameter")
    })
}

/// Reads one JSON value out of bytes.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "invalid_utf8", "the body is not UTF-8"))?;
    if facteur_core::envelope::has_nul(text) {
        return Err(nul());
    }
    // A derived struct may also be read from an array, field by field; a request may not.
    if text.trim_start().starts_with('[') {
        return Err(ApiError::invalid("invalid_field", "the body is a JSON array where an object is wanted"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| explained(&error.path().to_string(), error.inner()))?;
    reader.end().map_err(|_| {
        ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", "something stands behind the JSON value")
    })?;
    Ok(value)
}

/// What is wrong with a JSON text, and where.
pub(crate) fn explained(path: &str, error: &serde_json::Error) -> ApiError {
    if error.classify() == serde_json::error::Category::Data {
        return described(StatusCode::UNPROCESSABLE_ENTITY, path, &error.to_string(), "a field");
    }
    let sentence = format!("the body is not JSON (line {} column {})", error.line(), error.column());
    ApiError { sentence: sentence.into(), ..ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", "") }
}

/// serde's sentence may quote a value, which may be personal: only the names of fields are passed on.
fn described(status: StatusCode, path: &str, says: &str, what: &'static str) -> ApiError {
    let quoted = says.split('`').nth(1).filter(|name| facteur_core::envelope::is_showable(name));
    let field = |name: &str| if path == "." || path.is_empty() { name.to_owned() } else { path.to_owned() };
    let (code, field, sentence) = match quoted {
        Some(name) if says.starts_with("unknown field") => {
            ("unknown_field", field(name), format!("`{name}` is not {what} of this route"))
        }
        Some(name) if says.starts_with("missing field") => {
            let inside = if path == "." { name.to_owned() } else { format!("{path}.{name}") };
            ("field_missing", inside, format!("`{name}` is missing"))
        }
        Some(name) if says.starts_with("duplicate field") => {
            ("invalid_field", field(name), format!("`{name}` stands there twice"))
        }
        _ => {
            let named = field("");
            let shown = if named.is_empty() { "the body".to_owned() } else { format!("`{named}`") };
            (
                "invalid_field",
                named,
                format!("{shown} is not of the type or form that the documentation gives"),
            )
        }
    };
    let error = ApiError { sentence: sentence.into(), ..ApiError::new(status, code, "") };
    if field.is_empty() { error } else { error.field(field) }
}

fn nul() -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "nul_byte", "a NUL character can't be stored or sent")
}

fn broken(rejection: &BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE { TOO_LARGE } else { BROKEN }
}

/// Whether the request says that its body is JSON.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;

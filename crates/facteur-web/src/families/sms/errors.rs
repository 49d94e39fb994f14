//! The family's shape of an error.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::json::Json;

/// Where its routes begin.
const PREFIX: &str = "/api/sms";

/// An error, as the back office reads it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Failure {
    /// Always false.
    #[schema(example = false)]
    success: bool,
    /// What is wrong and what would be right, for a person.
    #[schema(example = "to holds no digits")]
    error: String,
    /// A stable code, for programs.
    #[schema(example = "number_invalid")]
    code: String,
    /// The field at fault, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// Gives errors of the family's routes its shape, wherever they come from.
pub(crate) async fn in_its_shape(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_ours = path.strip_prefix(PREFIX).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let response = next.run(request).await;
    match response.extensions().get::<ApiError>().filter(|_| is_ours).cloned() {
        Some(error) => reshaped(response, error),
        None => response,
    }
}

/// The same status and headers, another body.
fn reshaped(response: Response, error: ApiError) -> Response {
    let failure = Failure {
        success: false,
        error: error.sentence.into_owned(),
        code: error.code.to_owned(),
        field: error.field.map(std::borrow::Cow::into_owned),
    };
    let mut shaped = (response.status(), Json(failure)).into_response();
    for (name, value) in response.headers() {
        if !shaped.headers().contains_key(name) && name != axum::http::header::CONTENT_LENGTH {
            shaped.headers_mut().append(name, value.clone());
        }
    }
    shaped
}

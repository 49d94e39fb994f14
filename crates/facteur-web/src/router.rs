//! The routes, and what holds for all of them.

use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use crate::error::ApiError;
use crate::state::App;
use crate::status_webhook;

/// Longest request, body and answer together. Twilio gives up after as long.
const REQUEST_MAX: Duration = Duration::from_secs(15);

const NOT_FOUND: ApiError = ApiError::new(StatusCode::NOT_FOUND, "not_found", "there is no such route");
const METHOD: ApiError = ApiError::new(
    StatusCode::METHOD_NOT_ALLOWED,
    "method_not_allowed",
    "this route does not take this method",
);
const TIMEOUT: ApiError =
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took longer than 15 s");

pub(crate) fn routes(app: App) -> Router {
    let status =
        || post(status_webhook::receive).layer(DefaultBodyLimit::max(status_webhook::BODY_BYTES_MAX));
    Router::new()
        .route(status_webhook::ROUTE, status())
        .route(&format!("{}/", status_webhook::ROUTE), status())
        .fallback(async || NOT_FOUND)
        .method_not_allowed_fallback(async || METHOD)
        .with_state(app)
        .layer(middleware::from_fn(in_time))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
}

async fn in_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(REQUEST_MAX, next.run(request)).await.unwrap_or_else(|_| TIMEOUT.into_response())
}

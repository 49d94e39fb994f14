//! What every answer says to browsers, and how a request is named.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::openapi;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest name that a client may give its request.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// Answers of the API are no pages, and nobody shows them in a frame.
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// The page of the document loads what is beside it, and nothing from elsewhere.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                           img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
                           form-action 'none'; frame-ancestors 'none'";
const TRANSPORT: &str = "max-age=31536000";

/// Adds what browsers are to be told.
pub(crate) async fn secure(State(is_https): State<bool>, request: Request, next: Next) -> Response {
    let is_page = request.uri().path().starts_with(openapi::PAGE);
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // A route that passes on what others made has said more of it (`v1/media`).
    let mut say = |name, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(header::REFERRER_POLICY, "no-referrer");
    say(header::CONTENT_SECURITY_POLICY, if is_page { PAGE_POLICY } else { API_POLICY });
    if !is_page {
        say(header::CACHE_CONTROL, "no-store");
    }
    if is_https {
        say(header::STRICT_TRANSPORT_SECURITY, TRANSPORT);
    }
    response
}

/// A name that a log or a record could not show is not taken: the request gets one of ours.
pub(crate) async fn without_odd_request_id(mut request: Request, next: Next) -> Response {
    if request_id(request.headers()).is_none() {
        request.headers_mut().remove(REQUEST_ID);
    }
    next.run(request).await
}

/// How the request is named: 1 to 64 letters, digits, `.`, `_` and `-`.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(REQUEST_ID).iter();
    let (id, None) = (all.next()?.to_str().ok()?, all.next()) else { return None };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_fine = (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(is_plain);
    is_fine.then(|| id.to_owned())
}

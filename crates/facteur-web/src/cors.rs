//! Pages of other origins: those that are configured may call us, and no other is told anything.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::{AccessSettings, DefaultKey};

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE";
const HEADERS: &str = "authorization, content-type, idempotency-key, prefer, x-request-id, last-event-id";
/// What a page may read of an answer besides its body.
const EXPOSED: &str = "link, location, retry-after, x-request-id, preference-applied";
/// How long a browser need not ask again, in seconds.
const PREFLIGHT_HOLDS_S: &str = "600";

/// The origins whose pages may call us.
pub(crate) struct Cors(HashSet<String>);

impl Cors {
    /// Those that are listed, and those that have a default key.
    pub(crate) fn new(settings: &AccessSettings) -> Self {
        let with_keys = settings.default_keys.iter().flat_map(DefaultKey::origins);
        Self(settings.origins.iter().chain(with_keys).cloned().collect())
    }

    fn known(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.0.contains(origin.to_str().ok()?).then(|| origin.clone())
    }
}

/// Answers a browser that asks whether a page may call us, and tells it that the page may read what it gets.
pub(crate) async fn answer(State(cors): State<Arc<Cors>>, request: Request, next: Next) -> Response {
    let known = cors.known(request.headers());
    let is_preflight = request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if known.is_some() && is_preflight {
        StatusCode::NO_CONTENT.into_response()
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    if !cors.0.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    let Some(origin) = known else { return response };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let mut say = |name, value| headers.insert(name, HeaderValue::from_static(value));
    say(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true");
    if is_preflight {
        say(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        say(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        say(header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_HOLDS_S);
    } else {
        say(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

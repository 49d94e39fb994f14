//! A webhook's request as it came, for whoever verifies it and for the quarantine.

use std::net::SocketAddr;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::IntoResponse;
use facteur_postgres::quarantine::Quarantined;

use crate::error::ApiError;
use crate::state::AppState;

/// Longest body; Twilio's have a few KiB at most.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;
const SIGNATURE_HEADER: &str = "x-twilio-signature";

const TOO_LARGE: ApiError =
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body has more than 64 KiB");
const BROKEN: ApiError = ApiError::new(StatusCode::BAD_REQUEST, "body_broken", "the body did not arrive");
pub(crate) const TOO_MANY: ApiError =
    ApiError::new(StatusCode::BAD_REQUEST, "too_many_parameters", "the form has more than 200 parameters");
pub(crate) const NO_SID: ApiError = ApiError::at(
    StatusCode::BAD_REQUEST,
    "sid_invalid",
    "MessageSid",
    "MessageSid is not SM or MM and 32 hexadecimal digits",
);

/// A request without its body.
pub(crate) struct Came {
    /// Our name of the route.
    pub(crate) route: &'static str,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) remote: Option<SocketAddr>,
}

impl Came {
    pub(crate) fn signature(&self) -> Option<&str> {
        self.headers.get(SIGNATURE_HEADER).and_then(|value| value.to_str().ok())
    }

    /// As Twilio signed it.
    pub(crate) fn path_and_query(&self) -> &str {
        self.uri.path_and_query().map_or("", |path_and_query| path_and_query.as_str())
    }

    /// The body; one that is too large or did not arrive is told to the quarantine.
    pub(crate) fn body(
        &self,
        app: &AppState,
        body: Result<Bytes, BytesRejection>,
    ) -> Result<Bytes, ApiError> {
        body.map_err(|rejection| {
            let is_too_large = rejection.into_response().status() == StatusCode::PAYLOAD_TOO_LARGE;
            let error = if is_too_large { TOO_LARGE } else { BROKEN };
            app.quarantine.put(self.quarantined(error.code, None, &[]));
            error
        })
    }

    pub(crate) fn quarantined(&self, why: &'static str, account: Option<&str>, body: &[u8]) -> Quarantined {
        Quarantined {
            route: self.route,
            why,
            account: account.map(str::to_owned),
            query: self.uri.query().unwrap_or_default().to_owned(),
            body: body.to_vec(),
            signature: self.signature().map(str::to_owned),
            remote: self.remote.map(|remote| remote.to_string()),
        }
    }
}

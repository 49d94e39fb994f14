//! Whether a webhook is Twilio's: it names an account that is ours, and that account's auth token signed it.

use axum::http::StatusCode;

use crate::error::ApiError;
use crate::state::AppState;

const OTHER_ACCOUNT: ApiError = ApiError::at(
    StatusCode::FORBIDDEN,
    "other_account",
    "AccountSid",
    "the account is not the configured one",
);
const UNSIGNED: ApiError =
    ApiError::new(StatusCode::FORBIDDEN, "signature_missing", "X-Twilio-Signature is missing");
const FORGED: ApiError = ApiError::new(
    StatusCode::FORBIDDEN,
    "signature_wrong",
    "X-Twilio-Signature is not that of this URL, these parameters and the configured auth token",
);
pub(crate) const UNAVAILABLE: ApiError = ApiError::busy("unavailable", "the database is away: come again", 5);

/// Verifies a form that came to this path and query. The account goes first: it is cheap, and says whose token is to be
/// tried.
///
/// # Errors
/// Why it is not Twilio's, or can't be proven to be.
pub(crate) fn verify(
    app: &AppState,
    account: Option<&str>,
    path_and_query: &str,
    form: &[(String, String)],
    signature: Option<&str>,
) -> Result<(), ApiError> {
    if let Some(why) = app.twilio.missing() {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "not_verifiable", why));
    }
    if account != Some(app.twilio.account_sid.as_str()) {
        return Err(OTHER_ACCOUNT);
    }
    let signature = signature.ok_or(UNSIGNED)?;
    if app.twilio.has_signed(path_and_query, form, signature) { Ok(()) } else { Err(FORGED) }
}

//! Whether a webhook is Twilio's: it names an account that is ours or a tenant's, and that account's auth token signed
//! it.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use facteur_postgres::Account;
use tokio::time::timeout;

use crate::error::ApiError;
use crate::state::{AppState, NO_TOKEN};

/// How long the first load of accounts may take before Twilio is asked to come again.
const LOAD_MAX: Duration = Duration::from_secs(5);

const OTHER_ACCOUNT: ApiError = ApiError::at(
    StatusCode::FORBIDDEN,
    "other_account",
    "AccountSid",
    "the account is neither the configured one nor that of an integration",
);
const UNSIGNED: ApiError =
    ApiError::new(StatusCode::FORBIDDEN, "signature_missing", "X-Twilio-Signature is missing");
const FORGED: ApiError = ApiError::new(
    StatusCode::FORBIDDEN,
    "signature_wrong",
    "X-Twilio-Signature is not that of this URL, these parameters and an auth token of the account",
);
pub(crate) const UNAVAILABLE: ApiError = ApiError::busy("unavailable", "the database is away: come again", 5);

/// Verifies a form that came to this path and query.
///
/// # Errors
/// Why it is not Twilio's, or can't be proven to be; 503 if that is not known yet.
pub(crate) async fn verify(
    app: &AppState,
    account: Option<&str>,
    path_and_query: &str,
    form: &[(String, String)],
    signature: Option<&str>,
) -> Result<(), ApiError> {
    if let Some(why) = app.twilio.unasked() {
        return Err(unverifiable(why));
    }
    let account = account.ok_or(OTHER_ACCOUNT)?;
    let stored = stored(app, account).await?;
    let tokens = app.twilio.tokens_of(account, stored.as_deref()).ok_or(OTHER_ACCOUNT)?;
    if tokens.is_empty() {
        return Err(unverifiable(NO_TOKEN));
    }
    let signature = signature.ok_or(UNSIGNED)?;
    if app.twilio.has_signed(&tokens, path_and_query, form, signature) { Ok(()) } else { Err(FORGED) }
}

/// The account of the environment is known without the database.
async fn stored(app: &AppState, account: &str) -> Result<Option<Arc<Account>>, ApiError> {
    if app.twilio.is_home(account) {
        return Ok(app.directory.account_now(account));
    }
    timeout(LOAD_MAX, app.directory.account(account)).await.map_err(|_| UNAVAILABLE)
}

fn unverifiable(why: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "not_verifiable", why)
}

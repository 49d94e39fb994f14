//! The fields of integrations, checked; and what is said when one can't be read or changed.

use axum::http::StatusCode;
use facteur_core::integration::Secrets;
use facteur_core::sender::Sender;
use facteur_postgres::integrations::IntegrationError;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::ApiError;

/// Longest secret that is taken, in characters.
const SECRET_CHARS_MAX: usize = 200;

impl From<IntegrationError> for ApiError {
    fn from(error: IntegrationError) -> Self {
        let sentence = error.to_string();
        let told = |status, code| Self { sentence: sentence.clone().into(), ..Self::new(status, code, "") };
        match error {
            IntegrationError::Missing => Self::not_found("there is no such integration"),
            IntegrationError::AccountTaken => {
                told(StatusCode::CONFLICT, "account_taken").field("account_sid")
            }
            IntegrationError::NameTaken => told(StatusCode::CONFLICT, "name_taken").field("name"),
            IntegrationError::SecretMissing => {
                told(StatusCode::UNPROCESSABLE_ENTITY, "credentials_missing").field("auth_token")
            }
            IntegrationError::Vault(why) => {
                tracing::error!(%why, "credentials can't be sealed or opened");
                told(StatusCode::SERVICE_UNAVAILABLE, "secret_key_missing")
            }
            IntegrationError::Database(failure) => failure.into(),
        }
    }
}

/// A SID: two letters and 32 hexadecimal digits.
pub(crate) fn sid(field: &'static str, text: &str, letters: &str) -> Result<String, ApiError> {
    let text = text.trim();
    let digits = text.strip_prefix(letters).unwrap_or_default();
    let is_sid = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let refused = || {
        ApiError::invalid("invalid_field", format!("`{field}` is {letters} and 32 hexadecimal digits"))
            .field(field)
    };
    is_sid.then(|| text.to_owned()).ok_or_else(refused)
}

/// From what an integration sends: a number, a short code or an alphanumeric id.
pub(super) fn number(text: &str) -> Result<String, ApiError> {
    let number: String = match text.trim().strip_prefix("whatsapp:").unwrap_or(text.trim()) {
        spaced if spaced.starts_with('+') => spaced.split_whitespace().collect(),
        other => other.to_owned(),
    };
    let is_service = number.starts_with("MG") && number.len() == 34;
    let sender = Sender::parse(&number).ok().filter(|_| !is_service);
    sender.map(|sender| sender.as_str().to_owned()).ok_or_else(|| {
        let sentence =
            "`phone_number` is a number with its country code (+33…), a short code or an alphanumeric id";
        ApiError::invalid("invalid_field", sentence).field("phone_number")
    })
}

/// Credentials, if any are given.
pub(super) fn secrets(
    auth_token: Option<SecretString>,
    api_secret: Option<SecretString>,
) -> Result<Option<Secrets>, ApiError> {
    for (field, secret) in [("auth_token", &auth_token), ("api_secret", &api_secret)] {
        let is_fine = |text: &str| {
            (1..=SECRET_CHARS_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        };
        if secret.as_ref().is_some_and(|secret| !is_fine(secret.expose_secret())) {
            let sentence = format!("`{field}` is 1 to {SECRET_CHARS_MAX} visible ASCII characters");
            return Err(ApiError::invalid("invalid_field", sentence).field(field));
        }
    }
    let is_any = auth_token.is_some() || api_secret.is_some();
    Ok(is_any.then(|| Secrets { auth_token, api_secret, ..Secrets::default() }))
}

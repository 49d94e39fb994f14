//! `POST /api/sms/format-phone`: a number in any spelling, as it is sent to.

use axum::extract::State;
use facteur_core::phone::{Country, PhoneNumber};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::Failure;
use crate::access::Principal;
use crate::error::ApiError;
use crate::families::twice::Twice;
use crate::json::Json;
use crate::state::App;

/// A number that is to be formatted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FormatPhone {
    /// In any spelling.
    phone: String,
    /// The country of a number that names none, by its two letters; the tenant's if absent.
    country: Option<String>,
}

/// A number, formatted.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FormattedPhone {
    /// Always true: the question was answered.
    #[schema(example = true)]
    success: bool,
    /// In E.164; null if it is no number.
    #[schema(example = "+33612345678")]
    formatted: Option<String>,
    /// Whether a message to it would be taken.
    valid: bool,
    /// The country of its range; null if it has none.
    #[schema(example = "FR")]
    country: Option<String>,
    /// `mobile`, `fixed_line`, …; `unknown` for a range that is not assigned.
    #[serde(rename = "type")]
    #[schema(example = "mobile")]
    kind: Option<&'static str>,
    /// Why it is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Formats a number.
#[utoipa::path(
    post,
    path = "/api/sms/format-phone",
    tag = "family: back office",
    request_body(content = FormatPhone, example = json!({"phone": "0612345678", "country": "FR"})),
    responses(
        (status = 200, body = Twice<FormattedPhone>),
        (status = 401, body = Failure),
        (status = 422, body = Failure)
    )
)]
pub(crate) async fn format(
    principal: Principal,
    State(app): State<App>,
    Json(body): Json<FormatPhone>,
) -> Result<Json<Twice<FormattedPhone>>, ApiError> {
    let country = match body.country.as_deref().filter(|code| !code.trim().is_empty()) {
        None => {
            let rules = app.directory.rules_of(&principal.tenant_for(None)?).await;
            rules.default_country.unwrap_or(app.jobs.defaults.country)
        }
        Some(code) => Country::parse(code)
            .map_err(|why| ApiError::invalid("invalid_field", format!("`country` {why}")).field("country"))?,
    };
    let bare = body.phone.trim();
    let number = PhoneNumber::parse(bare.strip_prefix("whatsapp:").unwrap_or(bare), country);
    let formatted = match number {
        Ok(number) => FormattedPhone {
            success: true,
            formatted: Some(number.reveal().to_owned()),
            valid: true,
            country: number.country().map(|country| country.as_str().to_owned()),
            kind: Some(number.line_type()),
            reason: None,
        },
        Err(why) => FormattedPhone {
            success: true,
            formatted: None,
            valid: false,
            country: None,
            kind: None,
            reason: Some(format!("the number {why}")),
        },
    };
    Ok(Json(Twice::of(formatted)))
}

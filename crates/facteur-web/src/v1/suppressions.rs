//! `/v1/suppressions`: who must not be written to. Every path respects it: each claim reads the table.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::phone::PhoneNumber;
use facteur_core::reason::ReasonCode;
use facteur_core::sender::Sender;
use facteur_postgres::suppressions::{self, Suppression};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::state::App;

const NOT_FOUND: ApiError = ApiError::not_found("there is no such suppression");
const CURSOR: ApiError =
    ApiError::at(StatusCode::BAD_REQUEST, "cursor_invalid", "cursor", "`cursor` is not one that a page gave");

/// Somebody who must not be written to.
#[derive(Serialize, ToSchema)]
pub(crate) struct SuppressionView {
    #[schema(example = "+33612345678")]
    number: String,
    /// By which sender or Messaging Service; null: by none of the tenant's.
    sender: Option<String>,
    /// Why: a stable code, or words of whoever added it.
    #[schema(example = "asked by phone")]
    reason: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<Suppression> for SuppressionView {
    fn from(suppression: Suppression) -> Self {
        Self {
            number: suppression.recipient.reveal().to_owned(),
            sender: suppression.sender,
            reason: suppression.reason,
            created_at: suppression.created_at,
        }
    }
}

/// Which ones.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only those of this number, in any spelling (`+` is written `%2B` in a query).
    number: Option<String>,
    /// Whose; a superadmin's key names it, others have their own.
    tenant: Option<String>,
    /// `next_cursor` of the page before; without it, the first page.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// Who is to be suppressed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"number": "06 12 34 56 78", "reason": "asked by phone"}))]
pub(crate) struct NewSuppression {
    /// In any spelling; without a country code the tenant's country counts.
    number: String,
    /// By which sender or Messaging Service; absent: by none of the tenant's.
    sender: Option<String>,
    /// Why: 1 to 200 characters.
    reason: String,
    /// Whose; a superadmin's key names it, others have their own.
    tenant: Option<String>,
}

/// Which one is to be lifted, and why.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RemoveQuery {
    /// The sender that it was made for; absent: the one for all senders.
    sender: Option<String>,
    /// Why, for the audit log: 1 to 200 characters.
    #[param(example = "asked to be written to again")]
    reason: String,
    /// Whose; a superadmin's key names it, others have their own.
    tenant: Option<String>,
}

async fn number(app: &App, tenant: &Tenant, text: &str) -> Result<PhoneNumber, ApiError> {
    let own = app.directory.rules_of(tenant).await.default_country;
    // A plus sign that was not escaped arrives in a query as a space.
    let text = match text.strip_prefix(' ') {
        Some(digits) if digits.starts_with(|first: char| first.is_ascii_digit()) => format!("+{digits}"),
        _ => text.to_owned(),
    };
    PhoneNumber::parse(&text, own.unwrap_or(app.jobs.defaults.country)).map_err(|why| {
        ApiError::invalid(ReasonCode::NumberInvalid.as_str(), format!("`number` {why}")).field("number")
    })
}

fn sender(text: Option<&str>) -> Result<Option<Sender>, ApiError> {
    let parsed = text.map(Sender::parse).transpose();
    parsed.map_err(|why| ApiError::invalid("invalid_field", why).field("sender"))
}

fn reason(text: &str) -> Result<&str, ApiError> {
    let is_fine = !text.trim().is_empty() && text.chars().count() <= suppressions::REASON_CHARS_MAX;
    let sentence = "`reason` has 1 to 200 characters";
    is_fine.then_some(text).ok_or_else(|| ApiError::invalid("invalid_field", sentence).field("reason"))
}

/// Who must not be written to, in the order of numbers.
#[utoipa::path(
    get,
    path = "/v1/suppressions",
    tag = "suppressions",
    params(ListQuery),
    responses((status = 200, body = Page<SuppressionView>), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<SuppressionView>>, ApiError> {
    let tenant = principal.tenant_for(query.tenant.as_deref())?;
    let limit = PageQuery { cursor: None, limit: query.limit }.limit()?;
    if let Some(text) = &query.number {
        let number = number(&app, &tenant, text).await?;
        let found = suppressions::of_number(&app.database, &tenant, &number).await?;
        return Ok(Json(Page { data: found.into_iter().map(Into::into).collect(), next_cursor: None }));
    }
    let after = query.cursor.as_deref().map(position).transpose()?;
    let after = after.as_ref().map(|(number, sender)| (number.as_str(), sender.as_str()));
    let mut rows = suppressions::list(&app.database, &tenant, after, i64::from(limit) + 1).await?;
    let has_more = rows.len() > usize::from(limit);
    rows.truncate(usize::from(limit));
    let next_cursor = rows.last().filter(|_| has_more).map(cursor);
    Ok(Json(Page { data: rows.into_iter().map(Into::into).collect(), next_cursor }))
}

fn cursor(last: &Suppression) -> String {
    URL_SAFE_NO_PAD.encode(format!(
        "{}\n{}",
        last.recipient.reveal(),
        last.sender.as_deref().unwrap_or_default()
    ))
}

fn position(cursor: &str) -> Result<(String, String), ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| CURSOR)?;
    let text = String::from_utf8(bytes).map_err(|_| CURSOR)?;
    let (number, sender) = text.split_once('\n').ok_or(CURSOR)?;
    let is_ours = PhoneNumber::from_e164(number).is_ok() && !sender.contains('\0');
    is_ours.then(|| (number.to_owned(), sender.to_owned())).ok_or(CURSOR)
}

/// Suppresses a number: nothing is sent to it any more, by no path. 201 if that is new, 200 if it was so already.
#[utoipa::path(
    post,
    path = "/v1/suppressions",
    tag = "suppressions",
    request_body = NewSuppression,
    responses(
        (status = 201, body = SuppressionView),
        (status = 200, body = SuppressionView),
        (status = 422, body = inline(ErrorBody<'_>))
    )
)]
pub(crate) async fn add(
    State(app): State<App>,
    principal: Principal,
    Json(new): Json<NewSuppression>,
) -> Result<Response, ApiError> {
    let tenant = principal.tenant_for(new.tenant.as_deref())?;
    let (number, sender) = (number(&app, &tenant, &new.number).await?, sender(new.sender.as_deref())?);
    let whom = (&tenant, &number, sender.as_ref());
    let is_new = suppressions::add_by(&app.database, whom, reason(&new.reason)?, principal.by()).await?;
    let found = suppressions::of_number(&app.database, &tenant, &number).await?;
    let is_it = |found: &Suppression| found.sender.as_deref() == sender.as_ref().map(Sender::as_str);
    // Gone again already: somebody lifted it meanwhile.
    let stored = found.into_iter().find(is_it).ok_or(NOT_FOUND)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(SuppressionView::from(stored))).into_response())
}

/// Lifts a suppression. Who wrote STOP to Twilio is still refused by Twilio (21610) until they write START.
#[utoipa::path(
    delete,
    path = "/v1/suppressions/{number}",
    tag = "suppressions",
    params(("number" = String, Path, description = "The number, in any spelling.", example = "+33612345678"), RemoveQuery),
    responses((status = 204), (status = 404, body = inline(ErrorBody<'_>)), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn remove(
    State(app): State<App>,
    principal: Principal,
    Path(text): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, ApiError> {
    let tenant = principal.tenant_for(query.tenant.as_deref())?;
    let (number, sender) = (number(&app, &tenant, &text).await?, sender(query.sender.as_deref())?);
    let whom = (&tenant, &number, sender.as_ref());
    let was_there =
        suppressions::remove_by(&app.database, whom, reason(&query.reason)?, principal.by()).await?;
    if was_there { Ok(StatusCode::NO_CONTENT) } else { Err(NOT_FOUND) }
}

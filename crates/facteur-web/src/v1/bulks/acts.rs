//! What is done to a bulk while it runs.

use axum::extract::State;
use axum::http::StatusCode;
use facteur_core::Timestamp;
use facteur_core::hold::Scope;
use facteur_postgres::bulks::{self, Acted};
use facteur_postgres::pauses::{self, PauseEnd};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::read::{UNKNOWN, parse, seen, view};
use super::view::BulkView;
use crate::access::Principal;
use crate::bulks::check_rate;
use crate::error::{ApiError, ErrorBody};
use crate::json::Json;
use crate::path::Path;
use crate::state::{App, AppState};

/// The reason where nobody gives one.
const UNSAID: &str = "no reason was given";

/// Why, and until when.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkPauseRequest {
    /// Why, for whoever wonders: up to 500 characters.
    reason: Option<String>,
    /// Ends by itself at this instant (RFC 3339).
    until: Option<String>,
}

/// Why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonRequest {
    /// Why, for whoever wonders: up to 500 characters.
    reason: Option<String>,
}

/// What is to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeRequest {
    /// Messages a second, from 0.001; null for as fast as the senders allow.
    #[serde(deserialize_with = "present")]
    rate: Option<f64>,
}

/// A field that may be null and must be there.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Option::deserialize(deserializer)
}

/// The bulk after it was done.
#[derive(Serialize, ToSchema)]
pub(crate) struct ActedView {
    /// Recipients that it was done to.
    recipients: i64,
    bulk: BulkView,
}

/// Pauses a bulk: nothing of it leaves any more but what is being sent.
#[utoipa::path(
    post,
    path = "/v1/bulks/{id}/pause",
    tag = "bulks",
    params(("id" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe13")),
    request_body(content = Option<BulkPauseRequest>, example = json!({"reason": "the text is being checked"})),
    responses((status = 200, body = BulkView), (status = 409, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn pause(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
    body: Option<Json<BulkPauseRequest>>,
) -> Result<Json<BulkView>, ApiError> {
    let id = seen(&app, &principal, parse(&id)?).await?;
    let BulkPauseRequest { reason, until } = body.map(|Json(body)| body).unwrap_or_default();
    let end = until.as_deref().map(|text| {
        let at = text.parse::<Timestamp>().map(PauseEnd::At);
        at.map_err(|_| ApiError::invalid("invalid_field", "`until` is no RFC 3339 instant").field("until"))
    });
    let end = end.transpose()?.unwrap_or(PauseEnd::Open);
    if view(&app, Some(&principal), id).await?.is_over() {
        return Err(over());
    }
    let reason = reason.as_deref().unwrap_or(UNSAID);
    pauses::pause(&app.database, &Scope::Bulk(id), reason, principal.by(), end).await?;
    answer(&app, &principal, id).await.map(Json)
}

/// Ends the pause of a bulk; one that had paused itself is judged anew by what is released from now on.
#[utoipa::path(
    post,
    path = "/v1/bulks/{id}/resume",
    tag = "bulks",
    params(("id" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe14")),
    request_body(content = Option<ReasonRequest>, example = json!({"reason": "the text is right"})),
    responses((status = 200, body = BulkView), (status = 409, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn resume(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
    body: Option<Json<ReasonRequest>>,
) -> Result<Json<BulkView>, ApiError> {
    let id = seen(&app, &principal, parse(&id)?).await?;
    let reason = body.and_then(|Json(body)| body.reason);
    let ended = pauses::resume(&app.database, &Scope::Bulk(id), reason.as_deref(), principal.by()).await?;
    ended.ok_or(ApiError::new(StatusCode::CONFLICT, "not_paused", "the bulk is not paused"))?;
    answer(&app, &principal, id).await.map(Json)
}

/// Cancels a bulk: what has not left will not leave. What is being sent can't be called back.
#[utoipa::path(
    post,
    path = "/v1/bulks/{id}/cancel",
    tag = "bulks",
    params(("id" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe12")),
    request_body(content = Option<ReasonRequest>, example = json!({"reason": "the wrong text"})),
    responses((status = 200, body = ActedView), (status = 409, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
    body: Option<Json<ReasonRequest>>,
) -> Result<Json<ActedView>, ApiError> {
    let id = seen(&app, &principal, parse(&id)?).await?;
    let reason = body.and_then(|Json(body)| body.reason);
    let reason = reason.as_deref().unwrap_or(UNSAID);
    let recipients = acted(bulks::cancel(&app.database, id, reason, principal.by()).await?)?;
    Ok(Json(ActedView { recipients, bulk: answer(&app, &principal, id).await? }))
}

/// Tries anew those that failed and can succeed: not who opted out, no impossible number, and nobody who has the message
/// or may have it. Each gets a new message, with an id of its own.
#[utoipa::path(
    post,
    path = "/v1/bulks/{id}/retry",
    tag = "bulks",
    params(("id" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe02")),
    responses((status = 200, body = ActedView), (status = 409, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn retry(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<ActedView>, ApiError> {
    let id = parse(&id)?;
    let recipients = retried(&app, &principal, id).await?;
    Ok(Json(ActedView { recipients, bulk: answer(&app, &principal, id).await? }))
}

/// Tries anew those that failed and can succeed, and returns how many they are.
///
/// # Errors
/// If the bearer knows of no such bulk, or it can't be done now.
pub(crate) async fn retried(app: &AppState, principal: &Principal, id: Uuid) -> Result<i64, ApiError> {
    let id = seen(app, principal, id).await?;
    let recipients = acted(bulks::retry(&app.database, id, principal.by()).await?)?;
    app.bulks.forget(id);
    Ok(recipients)
}

/// Changes the rate of a bulk, while it runs too.
#[utoipa::path(
    patch,
    path = "/v1/bulks/{id}",
    tag = "bulks",
    params(("id" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe02")),
    request_body(content = ChangeRequest, example = json!({"rate": 50.0})),
    responses((status = 200, body = BulkView), (status = 409, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn change(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
    Json(body): Json<ChangeRequest>,
) -> Result<Json<BulkView>, ApiError> {
    let id = seen(&app, &principal, parse(&id)?).await?;
    check_rate(body.rate)?;
    acted(bulks::set_rate(&app.database, id, body.rate, principal.by()).await?)?;
    answer(&app, &principal, id).await.map(Json)
}

/// The bulk as it stands after the act.
async fn answer(app: &AppState, principal: &Principal, id: Uuid) -> Result<BulkView, ApiError> {
    app.bulks.forget(id);
    view(app, Some(principal), id).await
}

fn acted(acted: Acted) -> Result<i64, ApiError> {
    match acted {
        Acted::Done(recipients) => Ok(recipients),
        Acted::Unknown => Err(UNKNOWN),
        Acted::NotNow(state) => {
            let sentence = format!("the bulk is {}", state.as_str());
            Err(ApiError { sentence: sentence.into(), ..over() })
        }
        Acted::Over => {
            Err(ApiError { sentence: "its `expires_at` has passed: nothing would be sent".into(), ..over() })
        }
    }
}

fn over() -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "bulk_state", "the bulk is over")
}

//! Cancelling a message that has not left.

use axum::extract::State;
use facteur_core::ids::{JobId, Tenant};
use facteur_postgres::cancels::{self, Cancel};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{named, owner};
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::Json;
use crate::path::Path;
use crate::state::{App, AppState};

/// Why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelRequest {
    /// For the history: 1 to 500 characters.
    #[schema(example = "the appointment was moved")]
    reason: String,
}

/// What a cancellation came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct Canceled {
    id: Uuid,
    #[schema(example = "canceled")]
    status: &'static str,
    /// Whether it had been seen; if not, it will not leave when it comes.
    was_seen: bool,
}

/// Cancels a message: it will not leave. 409 if it is being sent already, or has ended.
#[utoipa::path(
    post,
    path = "/v1/messages/{id}/cancel",
    tag = "messages",
    params(("id" = String, Path, description = "The message's id", example = "0197c1de-0000-7000-8000-00000000fe04")),
    request_body(content = Option<CancelRequest>, example = json!({"reason": "the appointment was moved"})),
    responses((status = 200, body = Canceled), (status = 404, body = inline(ErrorBody<'_>)), (status = 409, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    principal: Principal,
    Path(name): Path<String>,
    body: Option<Json<CancelRequest>>,
) -> Result<Json<Canceled>, ApiError> {
    let reason = body.map_or_else(|| "over the API".to_owned(), |Json(request)| request.reason);
    run(&app, &principal, &name, &reason).await
}

/// Cancels a message: the same as `POST /v1/messages/{id}/cancel` without a reason.
#[utoipa::path(
    delete,
    path = "/v1/messages/{id}",
    tag = "messages",
    params(("id" = String, Path, description = "The message's id", example = "0197c1de-0000-7000-8000-00000000fe05")),
    responses((status = 200, body = Canceled), (status = 404, body = inline(ErrorBody<'_>)), (status = 409, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn delete(
    State(app): State<App>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<Json<Canceled>, ApiError> {
    run(&app, &principal, &name, "over the API").await
}

async fn run(
    app: &AppState,
    principal: &Principal,
    name: &str,
    reason: &str,
) -> Result<Json<Canceled>, ApiError> {
    let id: JobId = named(app, name).await?;
    let owner = owner(app, principal, id).await?;
    let tenant = match owner.as_deref().map(Tenant::parse) {
        Some(Ok(tenant)) => tenant,
        Some(Err(_)) | None => principal.tenant_for(None)?,
    };
    let canceled = cancels::cancel(&app.database, id, &tenant, reason, principal.by()).await?;
    let done = |was_seen| Ok(Json(Canceled { id: id.0, status: "canceled", was_seen }));
    match canceled {
        Cancel::Canceled => done(true),
        Cancel::Unseen => done(false),
        Cancel::TooLate(status) => {
            let sentence = format!("it is {status}: it is being sent, or may have been");
            Err(ApiError::conflict("too_late", sentence))
        }
        Cancel::Ended(status) => {
            Err(ApiError::conflict("already_ended", format!("it has ended before: it is {status}")))
        }
    }
}

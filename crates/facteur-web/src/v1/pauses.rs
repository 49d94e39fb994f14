//! `/v1/pauses`: what is kept back by a person.

use axum::extract::State;
use axum::http::StatusCode;
use facteur_core::Timestamp;
use facteur_core::hold::Scope;
use facteur_postgres::listing;
use facteur_postgres::pauses::{self, Pause, PauseEnd};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::Json;
use crate::path::Path;
use crate::state::{App, AppState};

const NOT_YOURS: ApiError = ApiError::at(
    StatusCode::FORBIDDEN,
    "forbidden",
    "key",
    "a tenant's key pauses that tenant, its own senders and its bulks; lanes, integrations and shared senders are a \
     superadmin's",
);
const NO_PAUSE: ApiError = ApiError::not_found("nothing is paused there");

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, pause)).routes(routes!(resume))
}

/// What is to be paused, and until when.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PauseRequest {
    /// `lane`, `tenant`, `sender`, `integration` or `bulk`.
    #[schema(example = "tenant")]
    scope: String,
    /// The lane's name, the tenant's slug, the sender's address, the account's SID, or the bulk's id.
    #[schema(example = "default")]
    key: String,
    /// Why: 1 to 500 characters.
    #[schema(example = "the campaign has a wrong date")]
    reason: String,
    /// When it ends by itself (RFC 3339), within a year; only when it is resumed if absent.
    #[serde(default)]
    until: Option<String>,
}

/// A pause.
#[derive(Serialize, ToSchema)]
pub(crate) struct PauseShown {
    scope: &'static str,
    key: String,
    reason: String,
    by: String,
    #[schema(value_type = String)]
    since: Timestamp,
    #[schema(value_type = Option<String>)]
    until: Option<Timestamp>,
}

/// Every pause that stands, the oldest first.
#[derive(Serialize, ToSchema)]
pub(crate) struct PauseList {
    data: Vec<PauseShown>,
}

impl From<Pause> for PauseShown {
    fn from(pause: Pause) -> Self {
        Self {
            scope: pause.scope.kind(),
            key: pause.scope.key(),
            reason: pause.reason,
            by: pause.actor,
            since: pause.created_at,
            until: pause.until,
        }
    }
}

/// The pauses that stand and that the bearer may end.
#[utoipa::path(get, path = "/v1/pauses", tag = "operations", responses((status = 200, body = PauseList)))]
pub(crate) async fn list(State(app): State<App>, principal: Principal) -> Result<Json<PauseList>, ApiError> {
    let mut data = Vec::new();
    for pause in pauses::open_to(&app.database, principal.scope()).await? {
        let is_seen = match &pause.scope {
            Scope::Sender(_) => is_of(&app, &principal, &pause.scope).await?,
            _ => true,
        };
        if is_seen {
            data.push(PauseShown::from(pause));
        }
    }
    Ok(Json(PauseList { data }))
}

/// Pauses: nothing of it leaves any more until somebody resumes it. Pausing again changes reason and end.
#[utoipa::path(
    post,
    path = "/v1/pauses",
    tag = "operations",
    request_body(content = PauseRequest, example = json!({"scope": "tenant", "key": "default", "reason": "the campaign has a wrong date"})),
    responses((status = 200, body = PauseShown), (status = 403, body = inline(ErrorBody<'_>)), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn pause(
    State(app): State<App>,
    principal: Principal,
    Json(request): Json<PauseRequest>,
) -> Result<Json<PauseShown>, ApiError> {
    let scope = Scope::parse(&request.scope, &request.key).ok_or_else(|| {
        let sentence = "`scope` and `key` name a lane, a tenant, a sender, an integration or a bulk";
        ApiError::invalid("invalid_field", sentence).field("scope")
    })?;
    if !is_of(&app, &principal, &scope).await? {
        return Err(NOT_YOURS);
    }
    let end = match request.until.as_deref().map(str::parse::<Timestamp>) {
        None => PauseEnd::Open,
        Some(Ok(at)) => PauseEnd::At(at),
        Some(Err(_)) => {
            let sentence = "`until` is not an RFC 3339 instant such as 2026-12-01T08:00:00Z";
            return Err(ApiError::invalid("invalid_field", sentence).field("until"));
        }
    };
    let (pause, _) = pauses::pause(&app.database, &scope, &request.reason, principal.by(), end).await?;
    Ok(Json(pause.into()))
}

/// Ends a pause; what it held back leaves.
#[utoipa::path(
    delete,
    path = "/v1/pauses/{scope}/{key}",
    tag = "operations",
    params(
        ("scope" = String, Path, description = "`lane`, `tenant`, `sender`, `integration` or `bulk`", example = "tenant"),
        ("key" = String, Path, description = "Which one", example = "default"),
    ),
    responses((status = 200, body = PauseShown), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn resume(
    State(app): State<App>,
    principal: Principal,
    Path((scope, key)): Path<(String, String)>,
) -> Result<Json<PauseShown>, ApiError> {
    let scope = Scope::parse(&scope, &key).ok_or(NO_PAUSE)?;
    if !is_of(&app, &principal, &scope).await? {
        return Err(NO_PAUSE);
    }
    let ended = pauses::resume(&app.database, &scope, None, principal.by()).await?;
    ended.map(|pause| Json(pause.into())).ok_or(NO_PAUSE)
}

/// Whether the bearer may pause this: what concerns nobody but its tenant.
async fn is_of(app: &AppState, principal: &Principal, scope: &Scope) -> Result<bool, ApiError> {
    let Some(own) = principal.scope() else { return Ok(true) };
    Ok(match scope {
        Scope::Tenant(tenant) => tenant.as_str() == own,
        Scope::Sender(sender) => app.directory.tenant_of(sender.as_str()).await.as_deref() == Some(own),
        Scope::Bulk(id) => listing::tenant_of_bulk(&app.database, *id).await?.as_deref() == Some(own),
        Scope::Lane(_) | Scope::Integration(_) => false,
    })
}

//! `/v1/keys`: API keys are made, listed and revoked.

use axum::extract::State;
use axum::http::StatusCode;
use facteur_core::Timestamp;
use facteur_postgres::api_keys::{self, KeyRow, NewKey};
use facteur_postgres::page::Position;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::{Principal, Role};
use crate::error::ApiError;
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::state::App;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 100;

const STRONGER: ApiError = ApiError::at(
    StatusCode::FORBIDDEN,
    "role_too_strong",
    "role",
    "nobody makes a key that may more than its maker",
);
const ALL_TENANTS: ApiError = ApiError::at(
    StatusCode::UNPROCESSABLE_ENTITY,
    "invalid_field",
    "tenant",
    "a superadmin's key belongs to no tenant: leave `tenant` out",
);

/// What a new key is to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "back office", "role": "sender"}))]
pub(crate) struct KeyRequest {
    /// What it is for: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Not stronger than the maker's own.
    role: Role,
    /// Whose data it sees; without it, the maker's tenant. A superadmin's key has none.
    tenant: Option<String>,
    /// Worthless from then on; without it, it is good until it is revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A key, without the key itself.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyBody {
    id: Uuid,
    /// Its first characters, by which people tell keys apart.
    #[schema(example = "fk_2sV9qWxY")]
    prefix: String,
    #[schema(example = "back office")]
    name: String,
    #[schema(example = "sender")]
    role: String,
    /// Null for all tenants.
    #[schema(example = "default")]
    tenant: Option<String>,
    /// Who made it.
    #[schema(example = "cli:ops")]
    created_by: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Timestamp>,
    /// To a minute or two.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used_at: Option<Timestamp>,
}

/// A key that was just made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedKeyBody {
    /// The key. It is told this once: only its digest is kept.
    #[schema(example = "fk_2sV9qWxYbT0Rk4mZ8cJ1nH5pL7dF3gS6aQwErTyUiOp0aBcDeF")]
    key: String,
    #[serde(flatten)]
    told: KeyBody,
}

impl From<KeyRow> for KeyBody {
    fn from(row: KeyRow) -> Self {
        let KeyRow {
            id,
            prefix,
            name,
            tenant,
            role,
            created_by,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
        } = row;
        Self { id, prefix, name, role, tenant, created_by, created_at, expires_at, revoked_at, last_used_at }
    }
}

/// Makes an API key, and tells it this once.
#[utoipa::path(
    post,
    path = "/v1/keys",
    tag = "access",
    request_body = KeyRequest,
    responses((status = 201, body = CreatedKeyBody))
)]
pub(crate) async fn create(
    State(app): State<App>,
    principal: Principal,
    Json(asked): Json<KeyRequest>,
) -> Result<(StatusCode, Json<CreatedKeyBody>), ApiError> {
    if asked.role > principal.role {
        return Err(STRONGER);
    }
    let is_for_all = asked.role == Role::Superadmin;
    if is_for_all && asked.tenant.is_some() {
        return Err(ALL_TENANTS);
    }
    let tenant = principal.tenant_for(asked.tenant.as_deref())?;
    let name = asked.name.trim();
    let is_fine = !name.is_empty()
        && asked.name.chars().count() <= NAME_CHARS_MAX
        && !name.chars().any(char::is_control);
    if !is_fine {
        let sentence = "`name` has 1 to 100 characters, all of which can be shown";
        return Err(ApiError::invalid("invalid_field", sentence).field("name"));
    }
    if asked.expires_at.is_some_and(|at| at <= (app.now)()) {
        return Err(ApiError::invalid("invalid_field", "`expires_at` lies in the future").field("expires_at"));
    }
    let new = NewKey {
        name,
        tenant: (!is_for_all).then_some(tenant.as_str()),
        role: asked.role.as_str(),
        created_by: &principal.actor,
        expires_at: asked.expires_at,
        request_id: principal.request_id.as_deref(),
    };
    let created = api_keys::create(&app.database, &new).await?;
    Ok((StatusCode::CREATED, Json(CreatedKeyBody { key: created.key, told: created.row.into() })))
}

/// The API keys of the tenant, the newest first; revoked and expired ones, too.
#[utoipa::path(
    get,
    path = "/v1/keys",
    tag = "access",
    params(PageQuery),
    responses((status = 200, body = Page<KeyBody>))
)]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<KeyBody>>, ApiError> {
    let (limit, after) = (page.limit()?, page.after()?);
    let rows = api_keys::list(&app.database, principal.scope(), after, limit + 1).await?;
    let rows = rows.into_iter().map(KeyBody::from).collect();
    Ok(Json(Page::of(rows, limit, |key| Position { at: key.created_at, id: key.id })))
}

/// Revokes an API key, for good: within a second nobody gets in with it.
#[utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    tag = "access",
    params(("id" = Uuid, Path, description = "The key's id.", example = "0197c1de-0000-7000-8000-00000000fa01")),
    responses((status = 204, description = "It is revoked, now or before."))
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    let request_id = principal.request_id.as_deref();
    let revoked =
        api_keys::revoke(&app.database, id, principal.scope(), &principal.actor, request_id).await?;
    app.access.keys.forget();
    revoked.map(|_| StatusCode::NO_CONTENT).ok_or(ApiError::not_found("there is no such key"))
}

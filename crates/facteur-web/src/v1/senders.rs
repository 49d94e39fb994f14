//! `/v1/senders` and `/v1/sender-pools`: rates and owners of senders, and the sets from which messages leave that name
//! none.

use axum::extract::State;
use axum::http::StatusCode;
use facteur_core::Timestamp;
use facteur_core::gcra::Rate;
use facteur_core::ids::Tenant;
use facteur_core::sender::Sender;
use facteur_postgres::senders::{self, SenderError, SenderLimit, SenderPatch, SenderPool};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::integrations::{TypeName, scope};
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::Json;
use crate::page::Page;
use crate::path::Path;
use crate::state::App;

const TAG: &str = "senders";

/// A From address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "sender": "+33612345678", "tenant": "acme", "rate_per_s": 10.0, "integration_id": null, "pool": "main",
    "waiting": 0, "changed_by": "key:fk_2sV9qWxY", "changed_at": "2026-12-01T08:00:00Z"
}))]
pub(crate) struct SenderView {
    sender: String,
    /// Whose it is; null for everybody's.
    tenant: Option<String>,
    /// Segments a second, over all workers; null if the configured default counts.
    rate_per_s: Option<f64>,
    /// Over which integration it sends; null for its tenant's default.
    integration_id: Option<Uuid>,
    pool: Option<String>,
    /// Messages that wait for its rate, counted up to 100,000.
    waiting: i64,
    changed_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    changed_at: Option<Timestamp>,
}

impl From<SenderLimit> for SenderView {
    fn from(limit: SenderLimit) -> Self {
        Self {
            sender: limit.address,
            tenant: limit.tenant,
            rate_per_s: limit.rate.map(Rate::as_per_second),
            integration_id: limit.integration,
            pool: limit.pool,
            waiting: limit.waiting,
            changed_by: limit.changed_by,
            changed_at: limit.changed_at,
        }
    }
}

/// What is to be changed of a sender; what is absent stays, null takes away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rate_per_s": 10.0, "pool": "main"}))]
pub(crate) struct SenderBody {
    /// 0.00001 to 100,000.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>)]
    rate_per_s: Option<Option<f64>>,
    /// Only a superadmin gives senders to tenants.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    tenant: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Uuid>)]
    integration_id: Option<Option<Uuid>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pool: Option<Option<String>>,
}

/// Tells null from absent.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A tenant's set of senders. Who is written to from it always sees the same one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "tenant": "acme", "name": "main", "channel": "sms", "is_default": true, "senders": ["+33612345678"]
}))]
pub(crate) struct PoolView {
    tenant: String,
    name: String,
    /// `sms` (SMS and MMS) or `whatsapp`.
    channel: &'static str,
    /// Whether messages leave from it that name no sender.
    is_default: bool,
    senders: Vec<String>,
}

impl From<SenderPool> for PoolView {
    fn from(pool: SenderPool) -> Self {
        let SenderPool { tenant, name, kind, is_default, senders } = pool;
        Self { tenant, name, channel: kind.as_str(), is_default, senders }
    }
}

/// A pool to be made or changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"channel": "sms", "is_default": true}))]
pub(crate) struct PoolBody {
    /// Whose; the key's tenant if absent.
    tenant: Option<String>,
    channel: TypeName,
    /// False if absent.
    #[serde(default)]
    is_default: bool,
}

/// Lists senders by address; at most 1,000, in one page.
#[utoipa::path(get, path = "/v1/senders", tag = TAG,
    responses((status = 200, body = Page<SenderView>), (status = 401, body = inline(ErrorBody<'_>))))]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
) -> Result<Json<Page<SenderView>>, ApiError> {
    let listed = senders::list(&app.database, scope(&principal).as_ref()).await?;
    let data = listed.into_iter().map(SenderView::from).collect();
    Ok(Json(Page { data, next_cursor: None }))
}

/// Changes a sender; every worker knows within a second.
#[utoipa::path(put, path = "/v1/senders/{sender}", tag = TAG, params(("sender" = String, Path, description = "Its address.", example = "+33612345678")),
    request_body = SenderBody,
    responses((status = 204), (status = 403, body = inline(ErrorBody<'_>)), (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn put(
    State(app): State<App>,
    principal: Principal,
    Path(sender): Path<String>,
    Json(body): Json<SenderBody>,
) -> Result<StatusCode, ApiError> {
    let invalid = |field: &'static str, why: String| ApiError::invalid("invalid_field", why).field(field);
    let sender = Sender::parse(&sender).map_err(|why| invalid("sender", why))?;
    let rate = |rate: f64| {
        let why = "`rate_per_s` is between 0.00001 and 100,000; to stop a sender, pause it".to_owned();
        Rate::per_second(rate).map_err(|_| invalid("rate_per_s", why))
    };
    let tenant = |slug: String| Tenant::parse(&slug).map_err(|why| invalid("tenant", why));
    let patch = SenderPatch {
        rate: body.rate_per_s.map(|given| given.map(rate).transpose()).transpose()?,
        tenant: body.tenant.map(|given| given.map(tenant).transpose()).transpose()?,
        integration: body.integration_id,
        pool: body.pool,
    };
    senders::put(&app.database, scope(&principal).as_ref(), &sender, &patch, principal.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists pools by tenant and name; at most 1,000, in one page.
#[utoipa::path(get, path = "/v1/sender-pools", tag = TAG,
    responses((status = 200, body = Page<PoolView>), (status = 401, body = inline(ErrorBody<'_>))))]
pub(crate) async fn pools(
    State(app): State<App>,
    principal: Principal,
) -> Result<Json<Page<PoolView>>, ApiError> {
    let listed = senders::pools(&app.database, scope(&principal).as_ref()).await?;
    Ok(Json(Page { data: listed.into_iter().map(PoolView::from).collect(), next_cursor: None }))
}

/// Makes a pool, or changes whether it is the default.
#[utoipa::path(put, path = "/v1/sender-pools/{name}", tag = TAG,
    params(("name" = String, Path, description = "The pool's name.", example = "main")),
    request_body = PoolBody,
    responses((status = 204), (status = 409, body = inline(ErrorBody<'_>)), (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn put_pool(
    State(app): State<App>,
    principal: Principal,
    Path(name): Path<String>,
    Json(body): Json<PoolBody>,
) -> Result<StatusCode, ApiError> {
    // A pool is named as a tenant is.
    if Tenant::parse(&name).is_err() {
        let sentence = "a pool's name is 1 to 64 characters of a-z, 0-9, - and _";
        return Err(ApiError::invalid("invalid_field", sentence).field("name"));
    }
    let tenant = principal.tenant_for(body.tenant.as_deref())?;
    let (kind, is_default) = (body.channel.into(), body.is_default);
    senders::put_pool(&app.database, &tenant, &name, kind, is_default, principal.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a pool of the key's tenant; its senders stay.
#[utoipa::path(delete, path = "/v1/sender-pools/{name}", tag = TAG,
    params(("name" = String, Path, description = "The pool's name.", example = "old")),
    responses((status = 204), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn delete_pool(
    State(app): State<App>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    senders::delete_pool(&app.database, &principal.tenant_for(None)?, &name, principal.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<SenderError> for ApiError {
    fn from(error: SenderError) -> Self {
        let sentence = error.to_string();
        let told = |status, code, field: &'static str| {
            Self { sentence: sentence.clone().into(), ..Self::new(status, code, "") }.field(field)
        };
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        match error {
            SenderError::Foreign => told(StatusCode::FORBIDDEN, "sender_foreign", "sender"),
            SenderError::IntegrationMissing => told(unprocessable, "integration_missing", "integration_id"),
            SenderError::PoolMissing => Self::not_found("the tenant has no such pool").field("pool"),
            SenderError::Channel => told(unprocessable, "sender_channel", "sender"),
            SenderError::PoolChannel => told(StatusCode::CONFLICT, "pool_channel", "channel"),
            SenderError::PoolOfNobody => told(unprocessable, "pool_of_nobody", "pool"),
            SenderError::Database(failure) => failure.into(),
        }
    }
}

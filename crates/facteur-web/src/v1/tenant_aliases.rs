//! `/v1/tenant-aliases`: what other applications call tenants.

use axum::extract::State;
use axum::http::StatusCode;
use facteur_core::ids::Tenant;
use facteur_postgres::tenant_names;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::Json;
use crate::path::Path;
use crate::state::App;

/// Who goes by an alias.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tenant": "acme"}))]
pub(crate) struct AliasBody {
    /// The tenant's slug.
    tenant: String,
}

/// Lets a tenant go by another name: the `company_id` of the shared inbox, for one.
#[utoipa::path(put, path = "/v1/tenant-aliases/{alias}", tag = "integrations", params(("alias" = String, Path, description = "The other name.", example = "42")),
    request_body = AliasBody, responses((status = 204), (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn put(
    State(app): State<App>,
    principal: Principal,
    Path(alias): Path<String>,
    Json(body): Json<AliasBody>,
) -> Result<StatusCode, ApiError> {
    let tenant =
        Tenant::parse(&body.tenant).map_err(|why| ApiError::invalid("invalid_field", why).field("tenant"))?;
    tenant_names::put_alias(&app.database, &alias, &tenant, principal.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

//! `GET /v1/whoami`: what the bearer of a key is known as.

use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{Principal, Role};
use crate::json::Json;

/// Who asks.
#[derive(Serialize, ToSchema)]
pub(crate) struct WhoAmI {
    /// As the audit log names it.
    #[schema(example = "key:fk_2sV9qWxY")]
    actor: String,
    role: Role,
    /// The tenant whose data it sees; null for all.
    #[schema(example = "default")]
    tenant: Option<String>,
}

/// Who the bearer is.
#[utoipa::path(
    get,
    path = "/v1/whoami",
    tag = "access",
    responses((status = 200, body = WhoAmI))
)]
pub(crate) async fn read(principal: Principal) -> Json<WhoAmI> {
    let tenant = principal.scope().map(str::to_owned);
    Json(WhoAmI { tenant, role: principal.role, actor: principal.actor })
}

//! The canonical API.

mod audit;
pub(crate) mod contacts;
pub(crate) mod conversations;
mod keys;
mod messages;
mod suppressions;
mod tenants;
mod whoami;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Its routes that answer within seconds.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(audit::list))
        .routes(routes!(contacts::list))
        .routes(routes!(contacts::one))
        .merge(conversations::routes())
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(suppressions::list, suppressions::add))
        .routes(routes!(suppressions::remove))
        .routes(routes!(tenants::read, tenants::change))
        .routes(routes!(tenants::usage))
        .routes(routes!(whoami::read))
}

/// Its routes that upload or listen for long: they bring limits of their own.
pub(crate) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(messages::long_routes())
}

//! The canonical API.

mod audit;
mod bulks;
mod keys;
mod messages;
mod suppressions;
pub(crate) mod templates;
mod tenants;
mod whoami;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Its routes that answer within seconds.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(audit::list))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(suppressions::list, suppressions::add))
        .routes(routes!(suppressions::remove))
        .routes(routes!(tenants::read, tenants::change))
        .routes(routes!(tenants::usage))
        .routes(routes!(whoami::read))
        .merge(bulks::routes())
        .merge(templates::routes())
}

/// Its routes that upload or listen for long: they bring limits of their own.
pub(crate) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(messages::long_routes()).merge(bulks::long_routes())
}

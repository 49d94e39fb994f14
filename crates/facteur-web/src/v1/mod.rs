//! The canonical API.

mod whoami;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Its routes that answer within seconds.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(whoami::read))
}

/// Its routes that upload or listen for long: they bring limits of their own.
pub(crate) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
}

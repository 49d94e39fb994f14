//! Family 2, `/api/sms`: what a back office calls. Errors are `{"success": false, "error": …}`.

mod bulk;
mod errors;
mod phone;
mod send;

pub(crate) use errors::in_its_shape;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Its routes that answer within seconds.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(send::send))
        .routes(routes!(send::notification))
        .routes(routes!(send::test))
        .routes(routes!(phone::format))
}

/// Its routes that take much.
pub(super) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(bulk::send))
}

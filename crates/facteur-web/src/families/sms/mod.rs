//! Family 2, `/api/sms`: what a back office calls. Errors are `{"success": false, "error": …}`.

mod bulk;
mod errors;
mod phone;
mod send;

pub(crate) use errors::in_its_shape;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Longest bulk, in bytes: 100,000 recipients with long names.
const BULK_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Its routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(send::send))
        .routes(routes!(send::notification))
        .routes(routes!(send::test))
        .routes(routes!(phone::format))
}

/// The route that takes a bulk.
pub(crate) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(bulk::bulk)).layer(DefaultBodyLimit::max(BULK_BYTES_MAX))
}

//! `/v1/messages`: what is to be sent, and what became of it.

mod send;
mod view;

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use crate::state::App;

pub(crate) use view::Message;

/// Routes that may wait for an outcome.
pub(super) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(send::send).layer(DefaultBodyLimit::max(send::BODY_BYTES_MAX)))
}

//! Family 1, `/twilio`: what a campaign front end calls.

mod bulk;
mod history;
mod send;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Routes that answer within seconds.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(send::sms))
        .routes(routes!(send::mms))
        .routes(routes!(send::whatsapp))
        .routes(routes!(send::status))
        .routes(routes!(bulk::status))
        .routes(routes!(history::list))
}

/// Routes that take much, or do something to every recipient.
pub(super) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(bulk::send)).routes(routes!(bulk::retry))
}

//! The route families that existing apps call: thin translations onto the canonical API.

mod bulk;
mod inbox_integrations;
mod linked;
mod notice;
mod notifications;
mod one;
mod saved_templates;
pub(crate) mod sms;
mod tenant;
mod twice;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Their routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(saved_templates::routes())
        .merge(sms::routes())
        .merge(notifications::routes())
        .routes(routes!(inbox_integrations::list, inbox_integrations::create))
        .routes(routes!(inbox_integrations::read, inbox_integrations::update, inbox_integrations::deactivate))
        .routes(routes!(inbox_integrations::make_default))
        .routes(routes!(inbox_integrations::test))
}

/// Their routes that take much: they bring limits of their own.
pub(crate) fn long_routes() -> OpenApiRouter<App> {
    sms::long_routes()
}

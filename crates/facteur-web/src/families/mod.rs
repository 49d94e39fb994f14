//! The route families that existing apps call: thin translations onto the canonical API.

mod bulk;
mod campaigns;
mod history;
mod inbox;
mod inbox_integrations;
mod linked;
mod notice;
mod notifications;
pub(crate) mod one;
mod saved_templates;
pub(crate) mod sms;
mod tenant;
mod twice;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Their routes that answer within seconds.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(campaigns::routes())
        .merge(saved_templates::routes())
        .merge(sms::routes())
        .merge(notifications::routes())
        .merge(inbox::routes())
        .routes(routes!(inbox_integrations::list, inbox_integrations::create))
        .routes(routes!(inbox_integrations::read, inbox_integrations::update, inbox_integrations::deactivate))
        .routes(routes!(inbox_integrations::make_default))
        .routes(routes!(inbox_integrations::test))
}

/// Their routes that take much, or do something to many.
pub(crate) fn long_routes() -> OpenApiRouter<App> {
    campaigns::long_routes().merge(sms::long_routes())
}

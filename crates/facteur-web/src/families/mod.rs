//! The route families that existing apps call: thin translations onto the canonical API.

mod bulk;
mod linked;
mod notice;
mod notifications;
mod one;
mod saved_templates;
pub(crate) mod sms;
mod tenant;
mod twice;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

/// Their routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(saved_templates::routes()).merge(sms::routes()).merge(notifications::routes())
}

/// Their routes that take much: they bring limits of their own.
pub(crate) fn long_routes() -> OpenApiRouter<App> {
    sms::long_routes()
}

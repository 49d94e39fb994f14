//! Family 4, `/api/v1`: templates, notifications and events of a queue-management system with many tenants.

mod events;
mod messages;
mod templates;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Its routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(templates::list, templates::create))
        .routes(routes!(templates::read, templates::update, templates::delete))
        .routes(routes!(templates::preview))
        .routes(routes!(messages::list, messages::send))
        .routes(routes!(messages::read))
        .routes(routes!(events::happened))
}

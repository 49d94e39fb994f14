//! The route families that existing apps call: thin translations onto the canonical API.

mod inbox_integrations;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Their routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(inbox_integrations::list, inbox_integrations::create))
        .routes(routes!(inbox_integrations::read, inbox_integrations::update, inbox_integrations::deactivate))
        .routes(routes!(inbox_integrations::make_default))
        .routes(routes!(inbox_integrations::test))
}

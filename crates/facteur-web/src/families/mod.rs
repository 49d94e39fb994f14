//! The route families that existing apps call: thin translations onto the canonical API.

mod inbox;
mod linked;
pub(crate) mod one;
mod twice;

use utoipa_axum::router::OpenApiRouter;

use crate::state::App;

/// Their routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(inbox::routes())
}

//! `/v1/bulks`: one content for many recipients, and how far it has come.

mod acts;
mod create;
mod events;
mod failed;
mod read;
mod view;

pub(crate) use acts::retried;
pub(crate) use create::take;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Routes that answer within seconds.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(read::list))
        .routes(routes!(read::read, acts::change))
        .routes(routes!(read::recipients))
        .routes(routes!(acts::pause))
        .routes(routes!(acts::resume))
}

/// Routes that take or give much, listen, or do something to every recipient.
pub(super) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create::create))
        .routes(routes!(events::listen))
        .routes(routes!(failed::export))
        .routes(routes!(acts::cancel))
        .routes(routes!(acts::retry))
}

//! The canonical API.

mod audit;
pub(crate) mod bulks;
pub(crate) mod contacts;
pub(crate) mod conversations;
mod dead_letters;
pub(crate) mod integrations;
mod keys;
pub(crate) mod media;
pub(crate) mod messages;
mod pauses;
mod senders;
mod status;
mod suppressions;
pub(crate) mod templates;
mod tenant_aliases;
mod tenants;
mod whoami;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::App;

/// Its routes that answer within seconds.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(audit::list))
        .routes(routes!(contacts::list))
        .routes(routes!(contacts::one, contacts::erase))
        .routes(routes!(contacts::set_consent))
        .merge(conversations::routes())
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(media::read))
        .routes(routes!(status::read))
        .routes(routes!(suppressions::list, suppressions::add))
        .routes(routes!(suppressions::remove))
        .routes(routes!(tenants::read, tenants::change))
        .routes(routes!(tenants::usage))
        .routes(routes!(whoami::read))
        .merge(bulks::routes())
        .merge(dead_letters::routes())
        .merge(messages::routes())
        .merge(pauses::routes())
        .merge(templates::routes())
        .routes(routes!(integrations::list, integrations::create))
        .routes(routes!(integrations::read, integrations::update, integrations::deactivate))
        .routes(routes!(integrations::make_default))
        .routes(routes!(integrations::test))
        .routes(routes!(senders::list))
        .routes(routes!(senders::put))
        .routes(routes!(senders::pools))
        .routes(routes!(senders::put_pool, senders::delete_pool))
        .routes(routes!(tenant_aliases::put))
}

/// Its routes that upload or listen for long: they bring limits of their own.
pub(crate) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(messages::long_routes()).merge(bulks::long_routes())
}

//! `/v1/messages`: what is to be sent, and what became of it.

mod cancel;
mod explain;
mod list;
mod read;
mod send;
mod view;

use axum::extract::DefaultBodyLimit;
use facteur_core::ids::{JobId, MessageSid};
use facteur_postgres::listing;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Principal;
use crate::error::ApiError;
use crate::state::{App, AppState};

pub(crate) const NO_MESSAGE: ApiError = ApiError::not_found("there is no such message");

/// Routes that answer at once.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(read::read, cancel::delete))
        .routes(routes!(explain::explain))
        .routes(routes!(cancel::cancel))
}

pub(crate) use view::Message;

/// Routes that may wait for an outcome.
pub(super) fn long_routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(send::send).layer(DefaultBodyLimit::max(send::BODY_BYTES_MAX)))
}

/// The message that a path names: by our id or by Twilio's SID.
pub(crate) async fn named(app: &AppState, name: &str) -> Result<JobId, ApiError> {
    if let Ok(id) = Uuid::parse_str(name) {
        return Ok(JobId(id));
    }
    let sid = MessageSid::parse(name).map_err(|_| NO_MESSAGE)?;
    listing::of_sid(&app.database, &sid).await?.map(JobId).ok_or(NO_MESSAGE)
}

/// Whose message it is, if the bearer may see it; `None` if nobody has seen it.
async fn owner(app: &AppState, principal: &Principal, id: JobId) -> Result<Option<String>, ApiError> {
    match listing::tenant_of(&app.database, id.0).await? {
        Some(tenant) if !principal.sees(&tenant) => Err(NO_MESSAGE),
        owner => Ok(owner),
    }
}

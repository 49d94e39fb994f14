//! `GET /v1/messages/{id}`: one message, every call to Twilio, and what Twilio told later.

use axum::extract::State;
use facteur_postgres::{listing, messages};
use serde::Serialize;
use utoipa::ToSchema;

use super::view::{Attempt, Event, Message};
use super::{NO_MESSAGE, named};
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::Json;
use crate::path::Path;
use crate::state::App;

/// A message with its history.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageDetail {
    #[serde(flatten)]
    message: Message,
    /// Every call that left for Twilio, the first first.
    tried: Vec<Attempt>,
    /// What Twilio told later, the first first.
    events: Vec<Event>,
}

/// One message, by our id or by Twilio's SID, with its attempts and status events.
#[utoipa::path(
    get,
    path = "/v1/messages/{id}",
    tag = "messages",
    params(("id" = String, Path, description = "The message's id, or Twilio's SID (`SM…`)", example = "0197c1de-0000-7000-8000-00000000fe01")),
    responses((status = 200, body = MessageDetail), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn read(
    State(app): State<App>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<Json<MessageDetail>, ApiError> {
    let id = named(&app, &name).await?;
    let summary = listing::by_ids(&app.database, &[id.0]).await?.pop();
    let summary = summary.filter(|message| principal.sees(&message.tenant)).ok_or(NO_MESSAGE)?;
    let attempts = messages::attempts_of(&app.database, id).await?;
    let events = listing::events(&app.database, id.0).await?;
    Ok(Json(MessageDetail {
        message: summary.into(),
        tried: attempts.into_iter().map(Attempt::from).collect(),
        events: events.into_iter().map(Event::from).collect(),
    }))
}

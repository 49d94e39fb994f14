//! `GET /twilio/history`: what was sent.

use axum::extract::State;
use axum::response::Response;
use facteur_core::Timestamp;
use facteur_postgres::listing::MessageSummary;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::Principal;
use crate::error::ApiError;
use crate::families::history;
use crate::families::linked::{linked, path_with};
use crate::json::Query;
use crate::page::PageQuery;
use crate::state::App;
use crate::v1::templates::shapes::ChannelName;

/// Which messages.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct HistoryQuery {
    /// Only those of this channel.
    channel: Option<ChannelName>,
    /// Where the page begins: out of the `Link` header of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// A message that was sent, or is to be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistoryEntry {
    id: Uuid,
    /// `pending`, `sent`, `delivered` or `failed`.
    #[schema(example = "delivered")]
    status: &'static str,
    #[schema(example = "+33612345678")]
    phone_number: String,
    /// Null until Twilio has it.
    message_sid: Option<String>,
    #[schema(example = "sms")]
    channel: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<MessageSummary> for HistoryEntry {
    fn from(message: MessageSummary) -> Self {
        Self {
            id: message.id,
            status: message.status.public_word(),
            phone_number: message.to.as_ref().map(|to| to.reveal().to_owned()).unwrap_or_default(),
            message_sid: message.sid,
            channel: message.channel,
            created_at: message.created_at,
        }
    }
}

/// What was sent, the newest first; the next page stands in a `Link` header.
#[utoipa::path(
    get,
    path = "/twilio/history",
    tag = "family: campaigns",
    params(HistoryQuery),
    responses((status = 200, body = Vec<HistoryEntry>))
)]
pub(crate) async fn list(
    principal: Principal,
    State(app): State<App>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, ApiError> {
    let tenant = principal.tenant_for(None)?;
    let asked = PageQuery { cursor: query.cursor, limit: query.limit };
    let limit = asked.limit()?;
    let channel = query.channel.map(|channel| channel.channel().as_str());
    let page = history::page(&app, &tenant, channel, &asked).await?;
    let filters = [("channel", channel.map(str::to_owned)), ("limit", Some(limit.to_string()))];
    Ok(linked(page.map(HistoryEntry::from), &path_with("/twilio/history", &filters)))
}

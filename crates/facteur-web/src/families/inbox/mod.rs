//! `/inbox/conversations` and `/inbox/contacts`: the shared inbox's routes, in that app's words.

mod view;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::linked::{linked, path_with};
use super::one::Fields;
use super::twice::Twice;
use crate::accept::Options;
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::inbox::{self, First, Text};
use crate::json::{Json, Query, given};
use crate::page::PageQuery;
use crate::path::Path;
use crate::state::App;
use crate::v1::contacts::{self, ContactQuery};
use crate::v1::conversations::{self, ConversationPatch, ConversationQuery};
use view::{InboxContact, InboxConversation, InboxMessage, WithMessages};

const TAG: &str = "inbox";
const FIELDS: Fields = &[("phone_number", "to"), ("content", "body"), ("source", "channel")];

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change))
        .routes(routes!(reply))
        .routes(routes!(list_contacts))
}

/// Which conversations.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InboxQuery {
    /// `new`, `open`, `waiting_for_us`, `waiting_for_them` or `closed`.
    status: Option<String>,
    /// Over which integration: its id.
    integration: Option<Uuid>,
    /// With which contact: its id.
    contact: Option<Uuid>,
    /// Whether something in it is unread.
    unread: Option<bool>,
    /// Where the page begins, as the `Link` header of the page before says.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// Over what somebody is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// SMS and MMS.
    Sms,
    /// WhatsApp.
    Whatsapp,
}

/// A first message from the company.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "source": "sms", "phone_number": "+33612345678",
    "message": {"content": "Bonjour Jean", "is_from_client": false}
}))]
pub(crate) struct InboxConversationNew {
    source: Source,
    phone_number: String,
    message: InboxFirst,
}

/// Its text.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InboxFirst {
    content: Option<String>,
    media_urls: Option<Vec<String>>,
    /// false: what clients write comes in through Twilio.
    #[serde(default)]
    is_from_client: bool,
}

/// A reply.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"content": "Nous vous attendons à 14 h.", "media_urls": []}))]
pub(crate) struct InboxReply {
    content: Option<String>,
    media_urls: Option<Vec<String>>,
}

/// What is to be changed; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "open", "assignee": "marie"}))]
pub(crate) struct InboxConversationPatch {
    /// `new`, `open`, `waiting_for_us`, `waiting_for_them` or `closed`.
    status: Option<String>,
    /// Who takes care of it; null is nobody.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    assignee: Option<Option<String>>,
    /// true: everything in it was seen.
    is_read: Option<bool>,
}

/// Conversations, what was written to last first; the next page is in the `Link` header.
#[utoipa::path(get, path = "/inbox/conversations", tag = TAG, params(InboxQuery),
    responses((status = 200, body = Vec<InboxConversation>), (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<InboxQuery>,
) -> Result<Response, ApiError> {
    let InboxQuery { status, integration, contact, unread, cursor, limit } = query;
    let link = path_with(
        "/inbox/conversations",
        &[
            ("status", status.clone()),
            ("integration", integration.map(|id| id.to_string())),
            ("contact", contact.map(|id| id.to_string())),
            ("unread", unread.map(|unread| unread.to_string())),
            ("limit", limit.map(|limit| limit.to_string())),
        ],
    );
    let query = ConversationQuery { status, integration, contact, unread, tenant: None, cursor, limit };
    let page = conversations::found(&app, &principal, query).await?;
    Ok(linked(page.map(InboxConversation::from), &link))
}

/// Sends a first message, and makes the conversation if there is none.
#[utoipa::path(post, path = "/inbox/conversations", tag = TAG, request_body = InboxConversationNew,
    responses((status = 200, body = Twice<WithMessages>), (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn create(
    State(app): State<App>,
    principal: Principal,
    headers: HeaderMap,
    Json(new): Json<InboxConversationNew>,
) -> Result<Json<Twice<WithMessages>>, ApiError> {
    let InboxConversationNew { source, phone_number, message } = new;
    if message.is_from_client {
        let sentence = "`message.is_from_client` is false: what clients write comes in through Twilio";
        return Err(ApiError::invalid("invalid_field", sentence).field("message.is_from_client"));
    }
    let first = First {
        tenant: principal.tenant_for(None)?,
        to: phone_number,
        from: None,
        is_whatsapp: source == Source::Whatsapp,
    };
    let text = Text { body: message.content, media_urls: message.media_urls };
    let options = Options::of("send_message", &headers)?;
    let (id, _) = inbox::begin(&app, &principal, first, text, (options, FIELDS)).await?;
    read(State(app), principal, Path(id), Query(PageQuery::default())).await
}

/// Reads a conversation with its latest messages, the oldest of them first.
#[utoipa::path(get, path = "/inbox/conversations/{id}", tag = TAG,
    params(("id" = Uuid, Path, description = "The conversation's id.", example = "0197c1de-0000-7000-8000-00000000ab01"), PageQuery),
    responses((status = 200, body = Twice<WithMessages>), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn read(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Twice<WithMessages>>, ApiError> {
    let conversation = inbox::conversation(&app, &principal, id).await?;
    let page = conversations::written(&app, &conversation, &page).await?;
    Ok(Json(Twice::of(WithMessages::of(conversation, page))))
}

/// Changes where a conversation stands and who takes care of it, and marks it as read.
#[utoipa::path(patch, path = "/inbox/conversations/{id}", tag = TAG,
    params(("id" = Uuid, Path, description = "The conversation's id.", example = "0197c1de-0000-7000-8000-00000000ab01")),
    request_body = InboxConversationPatch,
    responses((status = 200, body = Twice<InboxConversation>), (status = 404, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn change(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
    Json(patch): Json<InboxConversationPatch>,
) -> Result<Json<Twice<InboxConversation>>, ApiError> {
    let InboxConversationPatch { status, assignee, is_read } = patch;
    let patch = ConversationPatch { status, assignee, is_read };
    Ok(Json(Twice::of(conversations::changed(&app, &principal, id, patch).await?.into())))
}

/// Replies; `external_id` is Twilio's SID as soon as there is one, and `status` follows what Twilio tells.
#[utoipa::path(post, path = "/inbox/conversations/{id}/messages", tag = TAG,
    params(("id" = Uuid, Path, description = "The conversation's id.", example = "0197c1de-0000-7000-8000-00000000ab01")),
    request_body = InboxReply,
    responses((status = 200, body = Twice<InboxMessage>), (status = 404, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn reply(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    Json(reply): Json<InboxReply>,
) -> Result<Json<Twice<InboxMessage>>, ApiError> {
    let conversation = inbox::conversation(&app, &principal, id).await?;
    let media_urls = reply.media_urls.clone().unwrap_or_default();
    let text = Text { body: reply.content, media_urls: reply.media_urls };
    let options = Options::of("send_message", &headers)?;
    let message = inbox::reply(&app, &principal, &conversation, text, (options, FIELDS)).await?;
    Ok(Json(Twice::of(InboxMessage::accepted(id, message, media_urls))))
}

/// Contacts, those that appeared last first; the next page is in the `Link` header.
#[utoipa::path(get, path = "/inbox/contacts", tag = TAG, params(PageQuery),
    responses((status = 200, body = Vec<InboxContact>), (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn list_contacts(
    State(app): State<App>,
    principal: Principal,
    Query(page): Query<PageQuery>,
) -> Result<Response, ApiError> {
    let PageQuery { cursor, limit } = page;
    let link = path_with("/inbox/contacts", &[("limit", limit.map(|limit| limit.to_string()))]);
    let query = ContactQuery { number: None, tenant: None, cursor, limit };
    let page = contacts::found(&app, &principal, query).await?;
    Ok(linked(page.map(InboxContact::from), &link))
}

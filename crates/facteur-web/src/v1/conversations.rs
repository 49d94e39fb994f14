//! `/v1/conversations`: what contacts and our senders write to each other.

mod view;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use facteur_core::conversation::ConversationStatus;
use facteur_postgres::conversations::{
    self, Conversation, ConversationChange, ConversationFilter, ConversationMessage,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::accept::Options;
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::inbox::{self, First, Text};
use crate::json::{Json, Query, given};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::state::{App, AppState};
use crate::v1::messages::Message;
use view::{ConversationView, MessageView};

/// Their routes.
pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, change))
        .routes(routes!(messages, reply))
}

/// Which ones.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ConversationQuery {
    /// `new`, `open`, `waiting_for_us`, `waiting_for_them` or `closed`.
    pub(crate) status: Option<String>,
    /// Over which integration: its id.
    pub(crate) integration: Option<Uuid>,
    /// With which contact: its id.
    pub(crate) contact: Option<Uuid>,
    /// Whether something in it is unread.
    pub(crate) unread: Option<bool>,
    /// Whose; a superadmin's key names it, others have their own.
    pub(crate) tenant: Option<String>,
    /// `next_cursor` of the page before; without it, the first page.
    pub(crate) cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<u16>,
}

/// A message to somebody with whom there may be no conversation yet.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "+33612345678", "body": "Bonjour Jean"}))]
pub(crate) struct NewConversation {
    /// Their number, in any spelling; with `whatsapp:` before it over WhatsApp.
    to: String,
    /// From which sender; the tenant's default if absent.
    from: Option<String>,
    body: Option<String>,
    /// Up to ten http(s) URLs.
    media_urls: Option<Vec<String>>,
    /// Whose; a superadmin's key names it, others have their own.
    tenant: Option<String>,
}

/// A reply.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"body": "Nous vous attendons à 14 h."}))]
pub(crate) struct Reply {
    body: Option<String>,
    /// Up to ten http(s) URLs.
    media_urls: Option<Vec<String>>,
}

/// What is to be changed; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"assignee": "marie", "is_read": true}))]
pub(crate) struct ConversationPatch {
    /// `new`, `open`, `waiting_for_us`, `waiting_for_them` or `closed`.
    pub(crate) status: Option<String>,
    /// Who takes care of it: 1 to 200 characters; null is nobody.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(crate) assignee: Option<Option<String>>,
    /// true: everything in it was seen.
    pub(crate) is_read: Option<bool>,
}

/// A conversation that was begun, and its message.
#[derive(Serialize, ToSchema)]
pub(crate) struct Begun {
    conversation: ConversationView,
    message: Message,
}

/// Conversations, what was written to last first. With `integration`, `unread=false` or several conditions, a page may be
/// short or empty and still have a `next_cursor`.
#[utoipa::path(
    get,
    path = "/v1/conversations",
    tag = "inbox",
    params(ConversationQuery),
    responses((status = 200, body = Page<ConversationView>), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<ConversationQuery>,
) -> Result<Json<Page<ConversationView>>, ApiError> {
    let page = found(&app, &principal, query).await?;
    Ok(Json(page.map(ConversationView::from)))
}

/// A page of conversations.
pub(crate) async fn found(
    app: &AppState,
    principal: &Principal,
    query: ConversationQuery,
) -> Result<Page<Conversation>, ApiError> {
    let ConversationQuery { status, integration, contact, unread, tenant, cursor, limit } = query;
    let tenant = principal.tenant_for(tenant.as_deref())?;
    let page = PageQuery { cursor, limit };
    let (limit, after) = (page.limit()?, page.after()?);
    let filter = ConversationFilter {
        status: status.as_deref().map(known_status).transpose()?,
        integration_id: integration,
        contact_id: contact,
        is_unread: unread,
    };
    Ok(conversations::list(&app.database, &tenant, &filter, after, i64::from(limit)).await?.into())
}

fn known_status(name: &str) -> Result<ConversationStatus, ApiError> {
    let sentence = "`status` is new, open, waiting_for_us, waiting_for_them or closed";
    let known = ConversationStatus::from_name(name);
    known.ok_or_else(|| ApiError::invalid("invalid_field", sentence).field("status"))
}

/// Writes to somebody, and makes the conversation if there is none. 202: the message is committed.
#[utoipa::path(
    post,
    path = "/v1/conversations",
    tag = "inbox",
    request_body = NewConversation,
    responses((status = 202, body = Begun), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn create(
    State(app): State<App>,
    principal: Principal,
    headers: HeaderMap,
    Json(new): Json<NewConversation>,
) -> Result<Response, ApiError> {
    let NewConversation { to, from, body, media_urls, tenant } = new;
    let tenant = principal.tenant_for(tenant.as_deref())?;
    let is_whatsapp = to.starts_with("whatsapp:");
    let first = First { tenant, to, from, is_whatsapp };
    let options = Options::of("send_message", &headers)?;
    let (id, message) =
        inbox::begin(&app, &principal, first, Text { body, media_urls }, (options, &[])).await?;
    let conversation = inbox::conversation(&app, &principal, id).await?.into();
    let location = [(header::LOCATION, format!("/v1/conversations/{id}"))];
    Ok((StatusCode::ACCEPTED, location, Json(Begun { conversation, message: message.into() }))
        .into_response())
}

/// Reads one conversation.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}",
    tag = "inbox",
    params(("id" = Uuid, Path, description = "The conversation's id.", example = "0197c1de-0000-7000-8000-00000000ab01")),
    responses((status = 200, body = ConversationView), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn one(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<Json<ConversationView>, ApiError> {
    Ok(Json(inbox::conversation(&app, &principal, id).await?.into()))
}

/// Changes where a conversation stands and who takes care of it, and marks it as read.
#[utoipa::path(
    patch,
    path = "/v1/conversations/{id}",
    tag = "inbox",
    params(("id" = Uuid, Path, description = "The conversation's id.", example = "0197c1de-0000-7000-8000-00000000ab01")),
    request_body = ConversationPatch,
    responses((status = 200, body = ConversationView), (status = 404, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn change(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
    Json(patch): Json<ConversationPatch>,
) -> Result<Json<ConversationView>, ApiError> {
    Ok(Json(changed(&app, &principal, id, patch).await?.into()))
}

/// Changes a conversation of the bearer's.
pub(crate) async fn changed(
    app: &AppState,
    principal: &Principal,
    id: Uuid,
    patch: ConversationPatch,
) -> Result<Conversation, ApiError> {
    let ConversationPatch { status, assignee, is_read } = patch;
    inbox::conversation(app, principal, id).await?;
    let change = ConversationChange {
        status: status.as_deref().map(known_status).transpose()?,
        assignee: assignee.map(|name| name.map(inbox::assignee).transpose()).transpose()?,
        is_seen: is_read.unwrap_or(false),
    };
    conversations::change(&app.database, id, &change, principal.by()).await?;
    inbox::conversation(app, principal, id).await
}

/// What was written in a conversation by both sides, the newest first.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/messages",
    tag = "inbox",
    params(("id" = Uuid, Path, description = "The conversation's id.", example = "0197c1de-0000-7000-8000-00000000ab01"), PageQuery),
    responses((status = 200, body = Page<MessageView>), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn messages(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<MessageView>>, ApiError> {
    let conversation = inbox::conversation(&app, &principal, id).await?;
    let page = written(&app, &conversation, &page).await?;
    Ok(Json(page.map(MessageView::from)))
}

/// A page of what was written.
pub(crate) async fn written(
    app: &AppState,
    conversation: &Conversation,
    page: &PageQuery,
) -> Result<Page<ConversationMessage>, ApiError> {
    let (limit, after) = (page.limit()?, page.after()?);
    let rows = conversations::messages(&app.database, conversation, after, i64::from(limit) + 1).await?;
    Ok(Page::of(rows, limit, ConversationMessage::position))
}

/// Replies, from the sender that the contact wrote to. 202: the message is committed.
#[utoipa::path(
    post,
    path = "/v1/conversations/{id}/messages",
    tag = "inbox",
    params(("id" = Uuid, Path, description = "The conversation's id.", example = "0197c1de-0000-7000-8000-00000000ab01")),
    request_body = Reply,
    responses((status = 202, body = Message), (status = 404, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn reply(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
    Json(reply): Json<Reply>,
) -> Result<Response, ApiError> {
    let conversation = inbox::conversation(&app, &principal, id).await?;
    let Reply { body, media_urls } = reply;
    let options = Options::of("send_message", &headers)?;
    let message =
        inbox::reply(&app, &principal, &conversation, Text { body, media_urls }, (options, &[])).await?;
    Ok((StatusCode::ACCEPTED, Json(Message::from(message))).into_response())
}

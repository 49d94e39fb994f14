//! What the canonical routes and the shared inbox's have in common: finding a conversation, and writing in it.

use axum::http::HeaderMap;
use facteur_core::document::{DocumentChannel, JobDocument};
use facteur_core::ids::Tenant;
use facteur_postgres::contacts::{self, Contact};
use facteur_postgres::conversations::{self, Conversation};
use facteur_postgres::listing::MessageSummary;
use uuid::Uuid;

use crate::accept::Options;
use crate::access::Principal;
use crate::error::ApiError;
use crate::families::one::{self, Fields};
use crate::judge::Wish;
use crate::state::AppState;

const NO_CONVERSATION: ApiError = ApiError::not_found("there is no such conversation");
pub(crate) const NO_CONTACT: ApiError = ApiError::not_found("there is no such contact");

/// Longest name of whoever takes care of a conversation, in characters.
const ASSIGNEE_CHARS_MAX: usize = 200;

/// What is written.
#[derive(Default)]
pub(crate) struct Text {
    pub(crate) body: Option<String>,
    pub(crate) media_urls: Option<Vec<String>>,
}

/// To whom, if there is no conversation yet.
pub(crate) struct First {
    pub(crate) tenant: Tenant,
    /// In any spelling.
    pub(crate) to: String,
    /// From which sender; the tenant's default if `None`.
    pub(crate) from: Option<String>,
    pub(crate) is_whatsapp: bool,
}

/// The conversation of that id, if the bearer may see it.
///
/// # Errors
/// If there is none that the bearer may see.
pub(crate) async fn conversation(
    app: &AppState,
    principal: &Principal,
    id: Uuid,
) -> Result<Conversation, ApiError> {
    let found = conversations::find(&app.database, id).await?;
    found.filter(|found| principal.sees(&found.tenant)).ok_or(NO_CONVERSATION)
}

/// The contact of that id, if the bearer may see it.
///
/// # Errors
/// If there is none that the bearer may see.
pub(crate) async fn contact(app: &AppState, principal: &Principal, id: Uuid) -> Result<Contact, ApiError> {
    let found = contacts::find(&app.database, id).await?;
    found.filter(|found| principal.sees(&found.tenant)).ok_or(NO_CONTACT)
}

/// Accepts a reply, from the sender that the contact wrote to.
///
/// # Errors
/// Why it is refused, with the field's name out of `fields`.
pub(crate) async fn reply(
    app: &AppState,
    principal: &Principal,
    conversation: &Conversation,
    text: Text,
    (options, fields): (Options, Fields),
) -> Result<MessageSummary, ApiError> {
    let to = First {
        tenant: principal.tenant_for(Some(&conversation.tenant))?,
        to: conversation.number.clone(),
        from: Some(conversation.sender.clone()),
        is_whatsapp: conversation.channel == "whatsapp",
    };
    let (_, message) = begin(app, principal, to, text, (options, fields)).await?;
    Ok(message)
}

/// Accepts a message to somebody, and makes the conversation if there is none. Returns the conversation's id too.
///
/// # Errors
/// Why it is refused, with the field's name out of `fields`.
pub(crate) async fn begin(
    app: &AppState,
    principal: &Principal,
    first: First,
    text: Text,
    (options, fields): (Options, Fields),
) -> Result<(Uuid, MessageSummary), ApiError> {
    let First { tenant, to, from, is_whatsapp } = first;
    let document = JobDocument {
        tenant: Some(tenant.as_str().to_owned()),
        channel: is_whatsapp.then_some(DocumentChannel::Whatsapp),
        to: Some(to),
        from,
        body: text.body,
        media_urls: text.media_urls.filter(|urls| !urls.is_empty()),
        ..JobDocument::default()
    };
    // Nobody waits here for an outcome: the conversation shows it.
    let options = (options, &HeaderMap::new());
    let message = one::send(app, principal, Wish::of(document), options, fields).await?;
    // What was accepted has passed the gate, which leaves nothing without a number and a sender.
    let (Some(number), Some(sender)) = (&message.to, &message.from) else {
        return Err(ApiError::UNAVAILABLE);
    };
    let channel = if message.channel == "whatsapp" { "whatsapp" } else { "sms" };
    let id = conversations::wrote(&app.database, tenant.as_str(), number, (sender, channel)).await?;
    Ok((id, message))
}

/// The name of whoever takes care of a conversation.
///
/// # Errors
/// If it is empty or too long.
pub(crate) fn assignee(name: String) -> Result<String, ApiError> {
    let is_fine = !name.trim().is_empty() && name.chars().count() <= ASSIGNEE_CHARS_MAX;
    let sentence = "`assignee` has 1 to 200 characters, or is null";
    is_fine.then_some(name).ok_or_else(|| ApiError::invalid("invalid_field", sentence).field("assignee"))
}

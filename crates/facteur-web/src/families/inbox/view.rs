//! The shared inbox's shapes.

use facteur_postgres::contacts::Contact;
use facteur_postgres::conversations::{Conversation, ConversationMessage};
use facteur_postgres::listing::MessageSummary;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::page::Page;
use crate::v1::media;

/// A conversation, as this app knows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct InboxConversation {
    id: Uuid,
    /// The tenant.
    company_id: String,
    /// `sms` or `whatsapp`.
    source: String,
    /// `new`, `open`, `waiting_for_us`, `waiting_for_them` or `closed`.
    status: &'static str,
    phone_number: String,
    contact_id: Option<Uuid>,
    contact_name: Option<String>,
    integration_id: Option<Uuid>,
    assignee: Option<String>,
    unread_count: i32,
    is_opted_out: bool,
    last_message_at: String,
    created_at: String,
    updated_at: String,
}

impl From<Conversation> for InboxConversation {
    fn from(conversation: Conversation) -> Self {
        Self {
            id: conversation.id,
            company_id: conversation.tenant,
            source: conversation.channel,
            status: conversation.status.as_str(),
            phone_number: conversation.number,
            contact_id: conversation.contact_id,
            contact_name: conversation.name,
            integration_id: conversation.integration_id,
            assignee: conversation.assignee,
            unread_count: conversation.unread,
            is_opted_out: conversation.is_opted_out,
            last_message_at: conversation.last_message_at.to_string(),
            created_at: conversation.created_at.to_string(),
            updated_at: conversation.updated_at.to_string(),
        }
    }
}

/// A conversation with its messages.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct WithMessages {
    #[serde(flatten)]
    conversation: InboxConversation,
    /// The oldest first.
    messages: Vec<InboxMessage>,
    /// Leads to the messages before these; null if there are none.
    next_cursor: Option<String>,
}

impl WithMessages {
    pub(super) fn of(conversation: Conversation, page: Page<ConversationMessage>) -> Self {
        let id = conversation.id;
        let messages = page.data.into_iter().rev().map(|message| InboxMessage::of(id, message)).collect();
        Self { conversation: conversation.into(), messages, next_cursor: page.next_cursor }
    }
}

/// A message, as this app knows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct InboxMessage {
    id: Uuid,
    conversation_id: Uuid,
    content: Option<String>,
    is_from_client: bool,
    /// `received`, `pending`, `sent`, `delivered` or `failed`.
    status: &'static str,
    /// Twilio's SID, once there is one.
    external_id: Option<String>,
    /// What came along; what a client sent is below the API's own address (`/v1/media/{id}`), and takes the same key.
    media_urls: Vec<String>,
    error: Option<String>,
    created_at: String,
}

impl InboxMessage {
    fn of(conversation_id: Uuid, message: ConversationMessage) -> Self {
        let theirs = message.media.into_iter().map(|medium| media::path(medium.id));
        Self {
            id: message.id,
            conversation_id,
            media_urls: theirs.chain(message.media_urls).collect(),
            content: message.text,
            is_from_client: message.is_inbound,
            status: message.status.map_or("received", |status| status.public_word()),
            external_id: message.sid,
            error: message.error,
            created_at: message.at.to_string(),
        }
    }

    /// One that was accepted just now, or found under its idempotency key.
    pub(super) fn accepted(conversation_id: Uuid, message: MessageSummary, media_urls: Vec<String>) -> Self {
        let error = message.error();
        Self {
            id: message.id,
            conversation_id,
            content: message.text,
            is_from_client: false,
            status: message.status.public_word(),
            external_id: message.sid,
            media_urls,
            error,
            created_at: message.created_at.to_string(),
        }
    }
}

/// A contact, as this app knows it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct InboxContact {
    id: Uuid,
    /// The tenant.
    company_id: String,
    phone_number: String,
    name: Option<String>,
    is_opted_out: bool,
    created_at: String,
    last_seen_at: String,
}

impl From<Contact> for InboxContact {
    fn from(contact: Contact) -> Self {
        Self {
            id: contact.id,
            company_id: contact.tenant,
            phone_number: contact.number,
            name: contact.name,
            is_opted_out: contact.is_opted_out,
            created_at: contact.first_seen_at.to_string(),
            last_seen_at: contact.last_seen_at.to_string(),
        }
    }
}

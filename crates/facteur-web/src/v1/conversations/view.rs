//! Conversations and their messages as the canonical API shows them.

use facteur_core::Timestamp;
use facteur_core::status::Status;
use facteur_postgres::conversations::{Conversation, ConversationMessage, MediumRef};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A conversation of a contact with one of our senders.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConversationView {
    id: Uuid,
    tenant: String,
    /// Null if the contact was erased.
    contact_id: Option<Uuid>,
    #[schema(example = "+33612345678")]
    number: String,
    name: Option<String>,
    /// Our sender: a number or a Messaging Service.
    #[schema(example = "+15005550006")]
    sender: String,
    /// `sms` (MMS too) or `whatsapp`.
    #[schema(example = "sms")]
    channel: String,
    /// Null: over the account of the environment.
    integration_id: Option<Uuid>,
    /// `new`, `open`, `waiting_for_us`, `waiting_for_them` or `closed`.
    #[schema(example = "waiting_for_us")]
    status: &'static str,
    /// Who takes care of it.
    assignee: Option<String>,
    /// Messages of the contact that nobody has seen.
    unread: i32,
    /// Whether this sender must not write to the contact.
    is_opted_out: bool,
    #[schema(value_type = String, format = DateTime)]
    last_message_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<Conversation> for ConversationView {
    fn from(conversation: Conversation) -> Self {
        Self {
            id: conversation.id,
            tenant: conversation.tenant,
            contact_id: conversation.contact_id,
            number: conversation.number,
            name: conversation.name,
            sender: conversation.sender,
            channel: conversation.channel,
            integration_id: conversation.integration_id,
            status: conversation.status.as_str(),
            assignee: conversation.assignee,
            unread: conversation.unread,
            is_opted_out: conversation.is_opted_out,
            last_message_at: conversation.last_message_at,
            created_at: conversation.created_at,
            updated_at: conversation.updated_at,
        }
    }
}

/// A medium that a contact sent.
#[derive(Serialize, ToSchema)]
pub(crate) struct MediumView {
    id: Uuid,
    /// As Twilio announced it.
    #[schema(example = "image/jpeg")]
    content_type: String,
    /// Where it is, below the API's own address; it takes the same key.
    #[schema(example = "/v1/media/0197c1de-0000-7000-8000-00000000ab04")]
    url: String,
}

impl From<MediumRef> for MediumView {
    fn from(medium: MediumRef) -> Self {
        let MediumRef { id, content_type } = medium;
        Self { id, content_type, url: super::super::media::path(id) }
    }
}

/// A message of a conversation.
#[derive(Serialize, ToSchema)]
pub(crate) struct MessageView {
    id: Uuid,
    /// `inbound` or `outbound`.
    #[schema(example = "inbound")]
    direction: &'static str,
    /// `received`, or where an outbound message stands.
    #[schema(example = "received")]
    status: &'static str,
    /// `sms`, `mms` or `whatsapp`.
    channel: String,
    /// Null if Twilio renders it, or if it was redacted.
    body: Option<String>,
    /// Twilio's id of it, once there is one.
    sid: Option<String>,
    /// Twilio's error code of the latest attempt.
    error_code: Option<i32>,
    /// What went wrong, for a person.
    error: Option<String>,
    /// `stop`, `start` or `help`, if the contact wrote such a word.
    keyword: Option<String>,
    /// What the contact sent along.
    media: Vec<MediumView>,
    /// What we sent along.
    media_urls: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl From<ConversationMessage> for MessageView {
    fn from(message: ConversationMessage) -> Self {
        Self {
            id: message.id,
            direction: if message.is_inbound { "inbound" } else { "outbound" },
            status: message.status.map_or("received", Status::as_str),
            channel: message.channel,
            body: message.text,
            sid: message.sid,
            error_code: message.error_code,
            error: message.error,
            keyword: message.keyword,
            media: message.media.into_iter().map(MediumView::from).collect(),
            media_urls: message.media_urls,
            created_at: message.at,
        }
    }
}

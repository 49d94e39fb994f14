//! Inbound messages: each is kept once, with its contact, its conversation, its media, WhatsApp's window, what its
//! text says about being written to, and the event that tells of it, in one statement.

use std::fmt;

use facteur_core::conversation::{ConversationEvent, ConversationStatus};
use facteur_core::ids::{MessageSid, Tenant};
use facteur_core::keyword::Keyword;
use serde_json::Value;
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// Why somebody is suppressed who wrote STOP.
const OPTED_OUT: &str = "opted_out";
/// Suppressions that START lifts: those by STOP, and those that Twilio told of (21610), in a reply or by a callback. What
/// a person entered stays.
const LIFTED: [&str; 3] = [OPTED_OUT, "refused", "not_delivered"];

/// Everything hangs on `fresh`: a message that is known already changes nothing. `$17` and `$18` say what becomes of each
/// status. As for every event, connections that set `facteur.events` to anything but `on` tell nothing.
const STORE: &str = "WITH fresh AS (INSERT INTO facteur.inbound_messages \
         (sid, account, tenant, number, sender, written_to, channel, text, segments, keyword, parameters) \
         VALUES ($1::text, $2::text, $3::text, $4::text, $5::text, $6, $7::text, $8::text, $9, $10::text, $11) \
         ON CONFLICT (sid) DO NOTHING RETURNING id, received_at), \
     contact AS (INSERT INTO facteur.contacts AS c (tenant, number, name) SELECT $3, $4, $12::text FROM fresh \
         ON CONFLICT (tenant, number) DO UPDATE SET name = coalesce(c.name, excluded.name), \
             last_seen_at = clock_timestamp() RETURNING id), \
     conversation AS (INSERT INTO facteur.conversations AS c \
         (tenant, number, sender, channel, integration_id, status, unread) \
         SELECT $3, $4, $5, $13::text, $14::uuid, $15::text, $16::int4 FROM fresh \
         ON CONFLICT (tenant, number, sender) DO UPDATE SET unread = c.unread + excluded.unread, \
             status = coalesce((SELECT m.after FROM unnest($17::text[], $18::text[]) AS m(before, after) \
                                WHERE m.before = c.status), c.status), \
             integration_id = coalesce(excluded.integration_id, c.integration_id), \
             last_message_at = clock_timestamp(), updated_at = clock_timestamp() RETURNING id), \
     kept AS (INSERT INTO facteur.media (message_id, place, tenant, account, url, content_type) \
         SELECT f.id, m.place, $3, $2, m.url, m.content_type \
         FROM fresh f CROSS JOIN unnest($19::int2[], $20::text[], $21::text[]) AS m(place, url, content_type) \
         RETURNING id, place), \
     suppressed AS (INSERT INTO facteur.suppressions (tenant, recipient, sender, reason) \
         SELECT $3, $4, s.sender, $23::text FROM fresh CROSS JOIN unnest($22::text[]) AS s(sender) \
         WHERE $10 = 'stop' ORDER BY s.sender ON CONFLICT DO NOTHING RETURNING sender), \
     lifted AS (DELETE FROM facteur.suppressions WHERE tenant = $3 AND recipient = $4 AND sender = ANY ($22) \
         AND $10 = 'start' AND reason = ANY ($24::text[]) AND EXISTS (SELECT FROM fresh) RETURNING sender), \
     heard AS (INSERT INTO facteur.conversation_windows AS w (sender, contact, last_inbound_at) \
         SELECT s.sender, $4, clock_timestamp() FROM fresh CROSS JOIN unnest($22::text[]) AS s(sender) \
         WHERE $7 = 'whatsapp' ORDER BY s.sender ON CONFLICT (sender, contact) DO UPDATE \
         SET last_inbound_at = greatest(w.last_inbound_at, excluded.last_inbound_at)), \
     audited AS (INSERT INTO facteur.audit_log (tenant, actor, action, subject, details) \
         SELECT $3, 'contact', w.action, $1, jsonb_build_object('number', $4, 'senders', jsonb_agg(w.sender)) \
         FROM (SELECT 'opted_out' AS action, sender FROM suppressed UNION ALL SELECT 'opted_in', sender FROM lifted) w \
         GROUP BY w.action), \
     told AS (INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, body) \
         SELECT 'events', 'events', 'message.received', gen_random_uuid(), 'facteur.event.v1', \
                convert_to(json_build_object('event', 'message.received', 'id', f.id, 'tenant', $3, 'sid', $1, \
                    'channel', $7, 'from', $4, 'to', $6, 'body', $8, 'keyword', $10, 'contact_id', c.id, \
                    'conversation_id', v.id, 'media', coalesce((SELECT json_agg(id ORDER BY place) FROM kept), '[]'), \
                    'at', f.received_at)::text, 'UTF8') \
         FROM fresh f CROSS JOIN contact c CROSS JOIN conversation v \
         WHERE current_setting('facteur.events', true) = 'on') \
     SELECT count(*) = 1 FROM fresh";

/// A message that a contact sent to us. It holds a number and a text, so `Debug` shows neither.
#[derive(Clone, PartialEq)]
pub struct InboundMessage {
    /// Twilio's id of it.
    pub sid: MessageSid,
    /// The account at Twilio that it came to, by its SID.
    pub account: String,
    /// Whose contact wrote.
    pub tenant: Tenant,
    /// Over which integration; `None` for the account of the environment.
    pub integration_id: Option<Uuid>,
    /// Who wrote, without a channel's prefix: a number in E.164, or whatever else Twilio names.
    pub number: String,
    /// The contact's name, as it is known to the channel.
    pub name: Option<String>,
    /// Our address that was written to.
    pub written_to: String,
    /// The Messaging Service that the address belongs to.
    pub service: Option<String>,
    /// `sms`, `mms` or `whatsapp`.
    pub channel: &'static str,
    /// The text; may be empty.
    pub text: String,
    /// How many segments Twilio counted.
    pub segments: i32,
    /// What the text asks for, if it is one of the words.
    pub keyword: Option<Keyword>,
    /// An object of what else Twilio sent.
    pub parameters: Value,
    /// Its media: URL and announced content type.
    pub media: Vec<(String, String)>,
}

impl InboundMessage {
    /// From which sender of ours its conversation is answered: the Messaging Service, or else the address.
    #[must_use]
    pub fn sender(&self) -> &str {
        self.service.as_deref().unwrap_or(&self.written_to)
    }

    /// Whom STOP and START are about: the address, and the whole service behind it, as at Twilio.
    fn senders(&self) -> Vec<&str> {
        [Some(self.written_to.as_str()), self.service.as_deref()].into_iter().flatten().collect()
    }

    fn event(&self) -> ConversationEvent {
        match self.keyword {
            Some(Keyword::Stop) => ConversationEvent::Left,
            _ => ConversationEvent::Received,
        }
    }
}

impl fmt::Debug for InboundMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundMessage")
            .field("sid", &self.sid)
            .field("tenant", &self.tenant)
            .field("keyword", &self.keyword)
            .finish_non_exhaustive()
    }
}

/// Keeps a message, with all that follows from it. Returns whether it is new: one that is known changes nothing.
///
/// # Errors
/// The database's, classified.
pub async fn store(database: &Database, message: &InboundMessage) -> Result<bool, BatchFailure> {
    let event = message.event();
    let (before, after) = transitions(event);
    let unread = i32::from(event == ConversationEvent::Received);
    let keyword = message.keyword.map(Keyword::as_str);
    let conversation_channel = if message.channel == "whatsapp" { "whatsapp" } else { "sms" };
    let places: Vec<i16> = (0..).take(message.media.len()).collect();
    let (urls, types): (Vec<&str>, Vec<&str>) =
        message.media.iter().map(|(url, kind)| (url.as_str(), kind.as_str())).unzip();
    let parameters: [&(dyn ToSql + Sync); 24] = [
        &message.sid.as_str(),
        &message.account,
        &message.tenant.as_str(),
        &message.number,
        &message.sender(),
        &message.written_to,
        &message.channel,
        &message.text,
        &message.segments,
        &keyword,
        &Json(&message.parameters),
        &message.name,
        &conversation_channel,
        &message.integration_id,
        &event.first().as_str(),
        &unread,
        &before,
        &after,
        &places,
        &urls,
        &types,
        &message.senders(),
        &OPTED_OUT,
        &LIFTED.to_vec(),
    ];
    let client = database.client().await?;
    let statement = client.prepare_cached(STORE).await.map_err(classify)?;
    Ok(client.query_one(&statement, &parameters).await.map_err(classify)?.get(0))
}

/// The table of what an event makes of each status, as two columns.
pub(crate) fn transitions(event: ConversationEvent) -> (Vec<&'static str>, Vec<&'static str>) {
    ConversationStatus::ALL.iter().map(|status| (status.as_str(), status.after(event).as_str())).unzip()
}

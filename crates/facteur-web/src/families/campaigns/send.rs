//! `POST /twilio/send-sms`, `-mms`, `-whatsapp`, and `GET /twilio/status/{messageSid}`: one message each.

use axum::extract::State;
use axum::http::HeaderMap;
use facteur_core::Timestamp;
use facteur_core::document::{DocumentChannel, JobDocument};
use facteur_core::job::Channel;
use facteur_postgres::listing::{self, MessageSummary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::accept::Options;
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::families::one::{self, Fields};
use crate::families::twice::Twice;
use crate::json::Json;
use crate::judge::Wish;
use crate::path::Path;
use crate::state::{App, AppState};
use crate::v1::messages::{NO_MESSAGE, named};
use crate::v1::templates::shapes::ChannelName;

/// What the family calls the fields of a job.
const FIELDS: Fields = &[("phone_number", "to"), ("message", "body"), ("media_url", "media_urls[0]")];

/// A message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendOne {
    /// The recipient, in any spelling.
    #[schema(example = "+33612345678")]
    phone_number: String,
    /// The text, at most 1,600 characters; may be left out where there is a medium.
    message: Option<String>,
    /// The route's own, or nothing.
    channel: Option<ChannelName>,
    /// The URL of a picture or another medium; not for SMS.
    media_url: Option<String>,
}

/// A message and what became of it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SentOne {
    id: Uuid,
    /// `pending` right after it was taken, then `sent`, `delivered` or `failed`.
    #[schema(example = "pending")]
    status: &'static str,
    #[schema(example = "+33612345678")]
    phone_number: String,
    /// Null until Twilio has it.
    message_sid: Option<String>,
    #[schema(example = "sms")]
    channel: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// What went wrong; null while nothing did.
    error: Option<String>,
}

impl From<MessageSummary> for SentOne {
    fn from(message: MessageSummary) -> Self {
        Self {
            error: message.error(),
            id: message.id,
            status: message.status.public_word(),
            phone_number: message.to.as_ref().map(|to| to.reveal().to_owned()).unwrap_or_default(),
            message_sid: message.sid,
            channel: message.channel,
            created_at: message.created_at,
        }
    }
}

/// Sends a text message.
#[utoipa::path(
    post,
    path = "/twilio/send-sms",
    tag = "family: campaigns",
    request_body(content = SendOne, example = json!({
        "phone_number": "+33612345678", "message": "Bonjour Jean", "channel": "sms"
    })),
    responses((status = 200, body = Twice<SentOne>), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn sms(
    principal: Principal,
    State(app): State<App>,
    headers: HeaderMap,
    Json(body): Json<SendOne>,
) -> Result<Json<Twice<SentOne>>, ApiError> {
    if body.media_url.is_some() {
        let sentence = "`media_url` is for MMS and WhatsApp: call /twilio/send-mms or /twilio/send-whatsapp";
        return Err(ApiError::invalid("invalid_field", sentence).field("media_url"));
    }
    let options = Options::of("send_sms", &headers)?;
    sent(&app, &principal, (options, &headers), body, (Channel::Sms, DocumentChannel::Sms)).await
}

/// Sends a text message with a medium. How large the medium is only Twilio finds out: over 5 MB it fails there.
#[utoipa::path(
    post,
    path = "/twilio/send-mms",
    tag = "family: campaigns",
    request_body(content = SendOne, example = json!({
        "phone_number": "+15005550010", "message": "Hello", "media_url": "https://example.org/picture.jpg"
    })),
    responses((status = 200, body = Twice<SentOne>), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn mms(
    principal: Principal,
    State(app): State<App>,
    headers: HeaderMap,
    Json(body): Json<SendOne>,
) -> Result<Json<Twice<SentOne>>, ApiError> {
    if body.media_url.is_none() {
        let sentence = "`media_url` is missing: an MMS has a medium; without one, call /twilio/send-sms";
        return Err(ApiError::invalid("field_missing", sentence).field("media_url"));
    }
    let options = Options::of("send_mms", &headers)?;
    sent(&app, &principal, (options, &headers), body, (Channel::Mms, DocumentChannel::Mms)).await
}

/// Sends a WhatsApp message.
#[utoipa::path(
    post,
    path = "/twilio/send-whatsapp",
    tag = "family: campaigns",
    request_body(content = SendOne, example = json!({"phone_number": "+33612345678", "message": "Bonjour Jean"})),
    responses((status = 200, body = Twice<SentOne>), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn whatsapp(
    principal: Principal,
    State(app): State<App>,
    headers: HeaderMap,
    Json(body): Json<SendOne>,
) -> Result<Json<Twice<SentOne>>, ApiError> {
    let options = Options::of("send_whatsapp", &headers)?;
    sent(&app, &principal, (options, &headers), body, (Channel::Whatsapp, DocumentChannel::Whatsapp)).await
}

/// One message, by our id or by Twilio's SID.
#[utoipa::path(
    get,
    path = "/twilio/status/{messageSid}",
    tag = "family: campaigns",
    params(("messageSid" = String, Path, description = "Twilio's SID, or our id",
        example = "0197c1de-0000-7000-8000-00000000fe01")),
    responses((status = 200, body = Twice<SentOne>), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn status(
    principal: Principal,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Twice<SentOne>>, ApiError> {
    let id = named(&app, &name).await?;
    let found = listing::by_ids(&app.database, &[id.0]).await?.pop();
    let message = found.filter(|message| principal.sees(&message.tenant)).ok_or(NO_MESSAGE)?;
    Ok(Json(Twice::of(message.into())))
}

async fn sent(
    app: &AppState,
    principal: &Principal,
    options: (Options, &HeaderMap),
    body: SendOne,
    (channel, channel_word): (Channel, DocumentChannel),
) -> Result<Json<Twice<SentOne>>, ApiError> {
    if let Some(asked) = body.channel.map(|asked| asked.channel()).filter(|asked| *asked != channel) {
        let sentence = format!("`channel` is {}, but this route sends {}", asked.as_str(), channel.as_str());
        return Err(ApiError::invalid("invalid_field", sentence).field("channel"));
    }
    let document = JobDocument {
        to: Some(body.phone_number),
        body: body.message,
        channel: Some(channel_word),
        media_urls: body.media_url.map(|url| vec![url]),
        ..JobDocument::default()
    };
    let message = one::send(app, principal, Wish::of(document), options, FIELDS).await?;
    Ok(Json(Twice::of(message.into())))
}

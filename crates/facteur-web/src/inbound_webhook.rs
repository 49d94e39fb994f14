//! `POST /inbox/webhooks/sms` and its sisters: what contacts write to us, told by Twilio.
//!
//! Twilio comes again only if its URL says so (`#rc=5&rp=all`), as it has to be entered in Twilio's console. The answer
//! goes out when the message is committed; it is empty TwiML, for we answer through the queue.
//!
//! A webhook that comes again is known by its MessageSid. Twilio's `I-Twilio-Idempotency-Token` is not kept: it names one
//! delivery, and every delivery of a message has its SID, so it would tell no two apart; it is also no part of what
//! Twilio signs, so whoever replays a webhook may write what they like there.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use facteur_core::ids::{MessageSid, Tenant};
use facteur_core::keyword::Keyword;
use facteur_postgres::BatchFailure;
use facteur_postgres::inbound::{InboundMessage, store};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::came::{Came, NO_SID, TOO_MANY};
use crate::error::ApiError;
use crate::form::Form;
use crate::metrics::{self, InboundResult};
use crate::signed::{UNAVAILABLE, verify};
use crate::state::{App, AppState};
use crate::webhook_forms::InboundForm;

/// Where Twilio calls. The form says over which channel a message came.
pub(crate) const ROUTES: [&str; 3] =
    ["/inbox/webhooks/sms", "/inbox/webhooks/whatsapp", "/twilio/webhook/inbound"];

/// How long the database may take before Twilio is asked to come again.
const STORE_MAX: Duration = Duration::from_secs(5);
/// Most media of a message.
const MEDIA_MAX: usize = 10;
const TWIML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>";
const WHATSAPP: &str = "whatsapp:";
/// What has a column of its own, or says the same as one.
const NAMED: [&str; 12] = [
    "MessageSid",
    "SmsSid",
    "SmsMessageSid",
    "AccountSid",
    "From",
    "To",
    "Body",
    "NumMedia",
    "NumSegments",
    "SmsStatus",
    "MessagingServiceSid",
    "ProfileName",
];

const NO_ADDRESS: ApiError =
    ApiError::at(StatusCode::BAD_REQUEST, "address_missing", "From", "From or To is missing");
const ROW: ApiError =
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_value", "a value is none that can be kept");

/// Takes what a contact wrote, over any channel.
///
/// It is kept once, with contact and conversation, and STOP and START are heeded at once. The answer is empty TwiML. What
/// can't be verified is refused and kept in quarantine.
#[utoipa::path(
    post,
    path = ROUTES[0],
    tag = "webhooks",
    security(("twilio" = [])),
    request_body(content = InboundForm, content_type = "application/x-www-form-urlencoded", example = json!({
        "AccountSid": "AC00000000000000000000000000000000", "MessageSid": "SM00000000000000000000000000000002",
        "From": "+33612345699", "To": "+15005550006", "Body": "Bonjour", "NumMedia": "0"
    })),
    responses((status = 200, description = "Kept, now or before: empty TwiML.", body = String,
        content_type = "text/xml", example = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>"))
)]
pub(crate) async fn receive(
    State(app): State<App>,
    uri: Uri,
    remote: Option<Extension<SocketAddr>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let began = Instant::now();
    let route = ROUTES.into_iter().find(|route| uri.path().starts_with(route)).unwrap_or(ROUTES[0]);
    let came = Came { route, uri, headers, remote: remote.map(|Extension(remote)| remote) };
    let answered = answer(&app, &came, body).await;
    let (result, response) = match answered {
        Ok(true) => (InboundResult::Stored, empty()),
        Ok(false) => (InboundResult::Replay, empty()),
        Err(error) => (result_of(error.status), error.into_response()),
    };
    metrics::received(result, began.elapsed());
    response
}

fn empty() -> Response {
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], TWIML).into_response()
}

fn result_of(status: StatusCode) -> InboundResult {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => InboundResult::Unavailable,
        StatusCode::FORBIDDEN | StatusCode::PAYLOAD_TOO_LARGE => InboundResult::Refused,
        _ => InboundResult::Malformed,
    }
}

/// Keeps the message; returns whether it is new.
async fn answer(app: &AppState, came: &Came, body: Result<Bytes, BytesRejection>) -> Result<bool, ApiError> {
    let body = came.body(app, body)?;
    let form = Form::parse(&body);
    let account = form.as_ref().and_then(|form| form.get("AccountSid"));
    let kept = async {
        let message = read(app, came, form.as_ref()).await?;
        match timeout(STORE_MAX, store(&app.database, &message)).await {
            Ok(Ok(is_new)) => Ok(is_new),
            Ok(Err(BatchFailure::Data(why))) => {
                tracing::error!(sid = message.sid.as_str(), %why, "an inbound message can't be kept");
                Err(ROW)
            }
            Ok(Err(BatchFailure::Unavailable(_))) | Err(_) => Err(UNAVAILABLE),
        }
    };
    let kept = kept.await;
    if let Err(error) = &kept
        && error.status != StatusCode::SERVICE_UNAVAILABLE
    {
        app.quarantine.put(came.quarantined(error.code, account, &body));
    }
    kept
}

async fn read(app: &AppState, came: &Came, form: Option<&Form>) -> Result<InboundMessage, ApiError> {
    if let Some(why) = app.twilio.unasked() {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "not_verifiable", why));
    }
    let form = form.ok_or(TOO_MANY)?;
    let account = form.get("AccountSid");
    verify(app, account, came.path_and_query(), form.pairs(), came.signature()).await?;
    let sid = form.get("MessageSid").or_else(|| form.get("SmsSid"));
    let sid = sid.and_then(|sid| MessageSid::parse(sid).ok()).ok_or(NO_SID)?;
    let account = account.unwrap_or_default();
    let (from, to) = form.get("From").zip(form.get("To")).ok_or(NO_ADDRESS)?;
    let service = form.get("MessagingServiceSid").map(storable);
    let (tenant, integration_id) =
        timeout(STORE_MAX, whose(app, account, to, service.as_deref())).await.map_err(|_| UNAVAILABLE)?;
    let text = storable(form.get("Body").unwrap_or_default());
    let media = media(form);
    Ok(InboundMessage {
        sid,
        account: account.to_owned(),
        tenant,
        integration_id,
        number: storable(from.strip_prefix(WHATSAPP).unwrap_or(from)),
        name: form.get("ProfileName").map(storable),
        written_to: storable(to),
        service,
        channel: channel(from, !media.is_empty()),
        keyword: Keyword::of(form.get("OptOutType"), &text),
        text,
        segments: form.get("NumSegments").and_then(|count| count.parse().ok()).unwrap_or(1),
        parameters: parameters(form),
        media,
    })
}

/// Whose contact wrote, and over which integration; what is nobody else's is the tenant `default`'s.
async fn whose(app: &AppState, account: &str, to: &str, service: Option<&str>) -> (Tenant, Option<Uuid>) {
    let addresses: Vec<&str> = [Some(to), service].into_iter().flatten().collect();
    let (tenant, integration) = app.directory.written_to(account, &addresses).await;
    let tenant = tenant.and_then(|slug| Tenant::parse(&slug).ok());
    (tenant.unwrap_or_else(Tenant::default_tenant), integration)
}

fn channel(from: &str, has_media: bool) -> &'static str {
    match (from.starts_with(WHATSAPP), has_media) {
        (true, _) => "whatsapp",
        (false, true) => "mms",
        (false, false) => "sms",
    }
}

fn media(form: &Form) -> Vec<(String, String)> {
    let medium = |place: usize| {
        let url = storable(form.get(&format!("MediaUrl{place}"))?);
        let kind = form.get(&format!("MediaContentType{place}")).unwrap_or("application/octet-stream");
        Some((url, storable(kind)))
    };
    (0..MEDIA_MAX).map_while(medium).collect()
}

/// Whatever else Twilio sent; a name that comes again has all of its values.
fn parameters(form: &Form) -> Value {
    let mut kept = Map::new();
    let is_medium = |name: &str| name.starts_with("MediaUrl") || name.starts_with("MediaContentType");
    let is_named = |name: &str| NAMED.contains(&name) || is_medium(name);
    for (name, value) in form.pairs().iter().filter(|(name, _)| !is_named(name)) {
        let value = Value::String(storable(value));
        match kept.get_mut(&storable(name)) {
            None => drop(kept.insert(storable(name), value)),
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    Value::Object(kept)
}

/// Postgres takes no NUL in a text.
fn storable(text: &str) -> String {
    text.replace('\0', "")
}

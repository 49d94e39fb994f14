//! The control routes under `/_sim`: faults, opt-outs, inbound messages, statistics.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::address::{Channel, normalised_recipient};
use crate::arrivals::Page;
use crate::create;
use crate::faults::{FaultPlan, RULES_MAX};
use crate::media;
use crate::message::{Message, MessageView};
use crate::progress::Timeline;
use crate::resource::content_type;
use crate::sim::{Simulator, Tenant};
use crate::stats::Stats;

type Sim = State<Arc<Simulator>>;

const RECENT_DEFAULT: usize = 100;
const RECENT_MAX: usize = 1_000;
/// Twilio's default words, of which an inbound message must consist.
const STOP_WORDS: [&str; 8] = ["STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"];
const START_WORDS: [&str; 3] = ["START", "UNSTOP", "YES"];

/// An answer to a control request that can't be obeyed.
pub(crate) struct Rejected(StatusCode, String);

impl Rejected {
    fn bad(error: impl std::fmt::Display) -> Self {
        Self(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

/// Reads JSON whatever its content type says, so that `curl -d` does.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Rejected> {
    // Its errors name the field, which serde_json's own do not.
    Json::from_bytes(body).map(|Json(value)| value).map_err(|rejection| Rejected::bad(rejection.body_text()))
}

pub(crate) async fn stats(State(sim): Sim) -> Json<Stats> {
    Json(sim.stats())
}

pub(crate) async fn reset(State(sim): Sim) -> StatusCode {
    sim.reset();
    StatusCode::NO_CONTENT
}

pub(crate) async fn show_faults(State(sim): Sim) -> Json<FaultPlan> {
    Json(sim.injector.plan(sim.clock.now()))
}

pub(crate) async fn replace_faults(State(sim): Sim, body: Bytes) -> Result<Json<FaultPlan>, Rejected> {
    let plan: FaultPlan = read(&body)?;
    if plan.rules.len() > RULES_MAX {
        return Err(Rejected::bad(format!("rules: at most {RULES_MAX}")));
    }
    sim.injector.replace(plan.clone(), sim.clock.now());
    Ok(Json(plan))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OptOut {
    to: String,
}

pub(crate) async fn opt_out(State(sim): Sim, body: Bytes) -> Result<StatusCode, Rejected> {
    let OptOut { to } = read(&body)?;
    let number = normalised_recipient(&to).ok_or_else(|| Rejected::bad("to: not a phone number"))?;
    if sim.opt_out(number) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Rejected(StatusCode::INSUFFICIENT_STORAGE, "too many numbers are opted out".to_owned()))
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recent {
    #[serde(default)]
    limit: Option<usize>,
    /// Only messages with a higher ordinal, the oldest first: the way to read all of them, page by page.
    #[serde(default)]
    after: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct After {
    #[serde(default)]
    after: usize,
}

/// When messages arrived, from the n-th on.
pub(crate) async fn arrivals(State(sim): Sim, Query(After { after }): Query<After>) -> Json<Page> {
    Json(sim.arrivals.page(after))
}

#[derive(Serialize)]
struct RecentView<'a> {
    #[serde(flatten)]
    message: MessageView<'a>,
    status_callback: Option<&'a str>,
    ordinal: u64,
    /// What it cost of its sender's rate.
    segments: u32,
    /// When its request had arrived, in microseconds since 1970.
    arrived_at_us: i64,
}

/// The latest messages of all accounts, or the first after one, with their status callbacks.
pub(crate) async fn recent(State(sim): Sim, Query(recent): Query<Recent>) -> Json<serde_json::Value> {
    let limit = recent.limit.unwrap_or(RECENT_DEFAULT).min(RECENT_MAX);
    let mut latest = sim.store.find(|message| recent.after.is_none_or(|after| message.ordinal > after));
    if recent.after.is_some() {
        latest.reverse();
    }
    latest.truncate(limit);
    let now = sim.clock.now();
    let messages = sim.store.pick(&latest, |message| {
        let status_callback = message.status_callback.as_deref();
        json!(RecentView {
            message: message.view(now),
            status_callback,
            ordinal: message.ordinal,
            segments: message.segments,
            arrived_at_us: message.created_at.timestamp().as_microsecond(),
        })
    });
    Json(json!({ "messages": messages }))
}

/// A message that somebody sends to us.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inbound {
    from: String,
    to: String,
    #[serde(default)]
    body: String,
    /// What comes along, by URLs that nobody fetches: their endings say what they are.
    #[serde(default)]
    media: Vec<String>,
    /// The webhook.
    url: String,
    /// Unset: the first account.
    #[serde(default)]
    account_sid: Option<String>,
    #[serde(default)]
    messaging_service_sid: Option<String>,
}

/// Sends an inbound message to a webhook, signed, and tells what came back.
pub(crate) async fn inbound(State(sim): Sim, body: Bytes) -> Result<Json<serde_json::Value>, Rejected> {
    let inbound: Inbound = read(&body)?;
    if inbound.media.len() > 10 {
        return Err(Rejected::bad("media: at most 10"));
    }
    let from =
        normalised_recipient(&inbound.from).ok_or_else(|| Rejected::bad("from: not a phone number"))?;
    let tenant = sim
        .tenant(inbound.account_sid.as_deref())
        .ok_or_else(|| Rejected::bad("account_sid: no such account"))?;
    let message = receive(&sim, tenant, &inbound, from);
    let media_urls: Vec<String> =
        message.media.iter().map(|medium| media::url(&sim, &message, &medium.sid)).collect();
    let form = parameters(&message, &media_urls);
    let word = message.body.trim().to_ascii_uppercase();
    if STOP_WORDS.contains(&word.as_str()) {
        sim.opt_out(message.from.clone());
    } else if START_WORDS.contains(&word.as_str()) {
        sim.opt_in(&message.from);
    }
    let sid = message.sid.clone();
    sim.store.insert(message);
    let answer = sim
        .webhooks
        .post(&inbound.url, &tenant.auth_token, &form)
        .await
        .map_err(|silence| Rejected(StatusCode::BAD_GATEWAY, format!("url: {}", silence.as_str())))?;
    Ok(Json(json!({
        "message_sid": sid,
        "media_urls": media_urls,
        "status": answer.status,
        "content_type": answer.content_type,
        "body": answer.body,
    })))
}

fn receive(sim: &Simulator, tenant: &Tenant, inbound: &Inbound, from: String) -> Message {
    let (ordinal, hex) = sim.store.mint();
    let now = sim.clock.now();
    Message {
        ordinal,
        sid: format!("{}{hex}", if inbound.media.is_empty() { "SM" } else { "MM" }),
        account_sid: Arc::clone(&tenant.sid),
        to: inbound.to.clone(),
        channel: Channel::split(&from).0,
        from,
        service: inbound.messaging_service_sid.clone(),
        body: inbound.body.clone(),
        segments: facteur_core::segments::count(&inbound.body).segments.max(1),
        media: create::media(sim, inbound.media.clone()),
        inbound: true,
        created_at: now,
        edited_at: None,
        timeline: Timeline::received(now),
        status_callback: None,
    }
}

fn parameters(message: &Message, media_urls: &[String]) -> Vec<(String, String)> {
    let sid = &message.sid;
    let mut form: Vec<(String, String)> = Vec::with_capacity(20);
    let mut add = |name: &str, value: &str| form.push((name.to_owned(), value.to_owned()));
    add("MessageSid", sid);
    add("SmsSid", sid);
    add("SmsMessageSid", sid);
    add("AccountSid", &message.account_sid);
    add("ApiVersion", "2010-04-01");
    add("From", &message.from);
    add("To", &message.to);
    add("Body", &message.body);
    add("NumMedia", &message.media.len().to_string());
    add("NumSegments", &message.segments.to_string());
    add("SmsStatus", "received");
    add("ReferralNumMedia", "0");
    if let Some(service) = &message.service {
        add("MessagingServiceSid", service);
    }
    for (index, (medium, url)) in message.media.iter().zip(media_urls).enumerate() {
        add(&format!("MediaUrl{index}"), url);
        add(&format!("MediaContentType{index}"), content_type(&medium.url));
    }
    if message.channel == Channel::Whatsapp {
        let number = Channel::split(&message.from).1;
        add("WaId", number.trim_start_matches('+'));
        add("ProfileName", "Simulated");
        add("MessageType", if message.media.is_empty() { "text" } else { "image" });
    }
    form
}

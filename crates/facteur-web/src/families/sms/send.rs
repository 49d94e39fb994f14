//! `POST /api/sms/send`, `POST /api/sms/notification`, `GET /api/sms/test`: one message each.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use facteur_core::document::{JobDocument, Scalar};
use facteur_core::notifications;
use facteur_core::twilio_errors::{self, ErrorEntry};
use facteur_postgres::listing::MessageSummary;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::errors::Failure;
use crate::accept::Options;
use crate::access::Principal;
use crate::error::ApiError;
use crate::families::one::Fields;
use crate::families::twice::Twice;
use crate::families::{notice, one};
use crate::json::{Json, Query};
use crate::judge::Wish;
use crate::shape::ScalarShape;
use crate::state::App;

/// What the family calls the fields of a job.
const FIELDS: Fields = &[("message", "body")];
const NOTIFICATION_FIELDS: Fields = &[("data", "variables"), ("type", "template")];
/// Where nothing is known of the cause.
const NOT_SENT: &str = "the message is not sent";
/// What the test route sends.
const TEST_TEXT: &str = "Facteur : ceci est un message de test.";

/// A message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendSms {
    /// The recipient, in any spelling.
    to: String,
    /// The text, at most 1,600 characters.
    message: String,
    /// The sender; the tenant's default one if absent.
    from: Option<String>,
}

/// A notification.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendNotificationSms {
    /// The recipient, in any spelling.
    to: String,
    /// One of the notification types.
    #[serde(rename = "type")]
    #[schema(example = "appointment_confirmed")]
    kind: String,
    /// What the type's template asks for.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, ScalarShape>)]
    data: BTreeMap<String, Scalar>,
    /// `fr` or `en`; the tenant's language if absent.
    language: Option<String>,
    /// The sender; the tenant's default one if absent.
    from: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SentSms {
    #[schema(example = true)]
    success: bool,
    /// Twilio's SID, or our id while it is pending.
    #[serde(rename = "messageId")]
    message_id: String,
    /// `pending`, `sent`, `delivered` or `failed`.
    #[schema(example = "pending")]
    status: &'static str,
    /// What keeps a pending message back, where Twilio told that already: it is sent once that is put right.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl SentSms {
    /// What is told of a message; of one that will not be sent, why, in plain words.
    fn of(message: MessageSummary) -> Result<Json<Twice<Self>>, ApiError> {
        let status = message.status.public_word();
        let error = explained(&message);
        if status == "failed" {
            return Err(ApiError::invalid("not_sent", error.unwrap_or_else(|| NOT_SENT.to_owned())));
        }
        let message_id = message.sid.unwrap_or_else(|| message.id.to_string());
        Ok(Json(Twice::of(Self { success: true, message_id, status, error })))
    }
}

/// What Twilio said of the latest attempt, in plain words and with what can be done about it.
fn explained(message: &MessageSummary) -> Option<String> {
    let entry = message.error_code.and_then(|code| twilio_errors::lookup(u32::try_from(code).ok()?));
    let told =
        |entry: &ErrorEntry| format!("{} {} (Twilio's code {})", entry.meaning, entry.advice, entry.code);
    entry.map(told).or_else(|| message.error())
}

/// Sends a text.
#[utoipa::path(
    post,
    path = "/api/sms/send",
    tag = "family: back office",
    request_body(content = SendSms, example = json!({"to": "+33612345678", "message": "Bonjour Jean"})),
    responses(
        (status = 200, body = Twice<SentSms>),
        (status = 401, body = Failure),
        (status = 403, body = Failure),
        (status = 422, body = Failure)
    )
)]
pub(crate) async fn send(
    principal: Principal,
    State(app): State<App>,
    headers: HeaderMap,
    Json(body): Json<SendSms>,
) -> Result<Json<Twice<SentSms>>, ApiError> {
    let options = Options::of("send_sms", &headers)?;
    let document = text(body.to, body.message, body.from);
    one::send(&app, &principal, Wish::of(document), (options, &headers), FIELDS).await.and_then(SentSms::of)
}

/// Sends a notification of a type.
#[utoipa::path(
    post,
    path = "/api/sms/notification",
    tag = "family: back office",
    request_body(content = SendNotificationSms, example = json!({
        "to": "+33612345678", "type": "appointment_confirmed",
        "data": {"name": "Jean Dupont", "date": "jeudi 15 janvier 2026", "time": "14:30"}
    })),
    responses(
        (status = 200, body = Twice<SentSms>),
        (status = 401, body = Failure),
        (status = 403, body = Failure),
        (status = 422, body = Failure)
    )
)]
pub(crate) async fn notification(
    principal: Principal,
    State(app): State<App>,
    headers: HeaderMap,
    Json(body): Json<SendNotificationSms>,
) -> Result<Json<Twice<SentSms>>, ApiError> {
    if !notifications::names().any(|name| name == body.kind) {
        let known: Vec<&str> = notifications::names().collect();
        let sentence = format!("there is no such type; the types are {}", known.join(", "));
        return Err(ApiError::invalid("template_unknown", sentence).field("type"));
    }
    let options = Options::of("send_notification_sms", &headers)?;
    let tenant = principal.tenant_for(None)?;
    let language = body.language.as_deref();
    let notice = notice::find(&app, &tenant, &body.kind, language, &body.data).await?;
    let unknown = ApiError::invalid("template_unknown", "there is no template of this type").field("type");
    let document = JobDocument { from: body.from, ..notice.ok_or(unknown)?.document(body.to) };
    one::send(&app, &principal, Wish::of(document), (options, &headers), NOTIFICATION_FIELDS)
        .await
        .and_then(SentSms::of)
}

/// To whom the test text goes.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestQuery {
    /// The recipient. An unescaped `+` arrives as a space, and is taken for what it was.
    #[param(example = "+33612345678")]
    to: String,
}

/// Sends a fixed test text.
#[utoipa::path(
    get,
    path = "/api/sms/test",
    tag = "family: back office",
    params(TestQuery),
    responses(
        (status = 200, body = Twice<SentSms>),
        (status = 400, body = Failure),
        (status = 401, body = Failure),
        (status = 403, body = Failure),
        (status = 422, body = Failure)
    )
)]
pub(crate) async fn test(
    principal: Principal,
    State(app): State<App>,
    headers: HeaderMap,
    Query(query): Query<TestQuery>,
) -> Result<Json<Twice<SentSms>>, ApiError> {
    let options = Options::of("send_sms", &headers)?;
    let to = match query.to.strip_prefix(' ') {
        Some(number) => format!("+{number}"),
        None => query.to,
    };
    let document = text(to, TEST_TEXT.to_owned(), None);
    one::send(&app, &principal, Wish::of(document), (options, &headers), FIELDS).await.and_then(SentSms::of)
}

fn text(to: String, message: String, from: Option<String>) -> JobDocument {
    JobDocument { to: Some(to), body: Some(message), from, ..JobDocument::default() }
}

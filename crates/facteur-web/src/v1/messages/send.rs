//! `POST /v1/messages`: one message, or up to 1,000.

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use facteur_postgres::accept::REQUEST_MESSAGES_MAX;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::time::{Instant, timeout};
use utoipa::ToSchema;

use super::view::{Message, MessageRequest};
use crate::accept::{self, Answer, Options, Outcome};
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::{self, Json, JsonBytes};
use crate::judge::Wish;
use crate::shares::Share;
use crate::state::{App, AppState};
use crate::waiting;

/// Longest body: a thousand messages of a usual size, or one of any.
pub(super) const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest time for the body to arrive.
const BODY_MAX: Duration = Duration::from_secs(15);
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const SLOW: ApiError =
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not arrive within 15 s");

/// One message, or many.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "the two forms of the body, for the document; they are read one after the other"
)]
pub(crate) enum SendRequest {
    One(Box<MessageRequest>),
    Many(ManyRequest),
}

/// Many messages: each is accepted or refused for itself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ManyRequest {
    /// 1 to 1,000 messages of one tenant.
    #[serde(deserialize_with = "no_more_than_are_refused")]
    messages: Vec<MessageRequest>,
}

/// What became of each message of a request.
#[derive(Serialize, ToSchema)]
pub(crate) struct ManyAnswer {
    /// Why nothing was accepted; absent if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// The same, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    accepted: usize,
    refused: usize,
    /// In the order of the request.
    messages: Vec<OneOfMany>,
}

/// What became of one message: it stands under `message`, or why it was refused stands under `error`.
#[derive(Serialize, ToSchema)]
pub(crate) struct OneOfMany {
    /// `accepted` or `refused`.
    #[schema(example = "accepted")]
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Message>,
    /// For a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// For programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// Accepts one message or many. 202 means that they are committed: they are sent, unless they are cancelled before.
#[utoipa::path(
    post,
    path = "/v1/messages",
    tag = "messages",
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same request again gets the same answer, and nothing is sent twice. Kept for two days."),
        ("Prefer" = Option<String>, Header, description = "`wait=N`: waits up to N seconds (30 at most) until Twilio has the message, or it will never be sent; then the answer is 200 and carries status and SID."),
    ),
    request_body(content = SendRequest, example = json!({"to": "+33612345678", "body": "Bonjour Jean"})),
    responses(
        (status = 200, description = "Waited for: its work is over", body = Message),
        (status = 202, description = "Accepted; a request of many gets `ManyAnswer`", body = Message),
        (status = 422, description = "Refused", body = inline(ErrorBody<'_>)),
        (status = 503, description = "Not now", body = inline(ErrorBody<'_>))
    )
)]
pub(crate) async fn send(
    State(app): State<App>,
    principal: Principal,
    request: Request,
) -> Result<Response, ApiError> {
    let options = Options::of("send_message", request.headers())?;
    let wait = waiting::preferred(request.headers());
    let reading = read(&app, &principal, request);
    // Held to the end: what is made of a body is larger than it is.
    let (bytes, _room) = timeout(BODY_MAX, reading).await.map_err(|_| SLOW)??;
    let (wishes, is_single) = wishes(&bytes)?;
    drop(bytes);
    let mut answer = accept::accept(&app, &principal, wishes, options).await?;
    let is_over = match wait {
        Some(most) => answer.wait(&app, Instant::now() + most).await,
        None => false,
    };
    let headers = headers(&answer, is_over.then_some(wait).flatten());
    let status = if is_over { StatusCode::OK } else { StatusCode::ACCEPTED };
    let response = if is_single { one(answer, status)? } else { many(answer, status) };
    Ok((headers, response).into_response())
}

async fn read(
    app: &AppState,
    principal: &Principal,
    request: Request,
) -> Result<(Bytes, Option<Share>), ApiError> {
    let (request, room) = app.bodies.take(request, principal.scope(), BODY_BYTES_MAX).await?;
    let JsonBytes(bytes) = JsonBytes::from_request(request, &()).await?;
    Ok((bytes, room))
}

/// The messages of a body, and whether it is a single one.
fn wishes(bytes: &[u8]) -> Result<(Vec<Wish>, bool), ApiError> {
    #[derive(Deserialize)]
    struct Peeked {
        messages: Option<IgnoredAny>,
    }
    let has_many = serde_json::from_slice::<Peeked>(bytes).is_ok_and(|peeked| peeked.messages.is_some());
    if has_many {
        let ManyRequest { messages } = json::parse(bytes)?;
        return Ok((messages.into_iter().map(Wish::from).collect(), false));
    }
    let message: MessageRequest = json::parse(bytes)?;
    Ok((vec![message.into()], true))
}

/// A list of which no more is kept than shows that it is too long: what is empty in the text is not in memory.
fn no_more_than_are_refused<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<MessageRequest>, D::Error> {
    struct Kept;

    impl<'de> Visitor<'de> for Kept {
        type Value = Vec<MessageRequest>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of messages")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut kept = Vec::new();
            while kept.len() <= REQUEST_MESSAGES_MAX
                && let Some(message) = list.next_element()?
            {
                kept.push(message);
            }
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }
    deserializer.deserialize_seq(Kept)
}

fn headers(answer: &Answer, waited: Option<Duration>) -> HeaderMap {
    let replayed = answer.is_replay.then(|| (REPLAYED, HeaderValue::from_static("true")));
    let applied = waited.and_then(|wait| HeaderValue::from_str(&format!("wait={}", wait.as_secs())).ok());
    replayed.into_iter().chain(applied.map(|value| (APPLIED, value))).collect()
}

fn one(answer: Answer, status: StatusCode) -> Result<Response, ApiError> {
    match answer.outcomes.into_iter().next() {
        Some(Outcome::Accepted(message)) => {
            let message = Message::from(*message);
            let location = [(header::LOCATION, format!("/v1/messages/{}", message.id()))];
            Ok((status, location, Json(message)).into_response())
        }
        Some(Outcome::Refused(reason)) => Err(reason.into()),
        None => Err(ApiError::UNAVAILABLE),
    }
}

fn many(answer: Answer, status: StatusCode) -> Response {
    let messages: Vec<OneOfMany> = answer.outcomes.into_iter().map(OneOfMany::of).collect();
    let accepted = messages.iter().filter(|one| one.message.is_some()).count();
    let (status, error, code) = if accepted == 0 {
        let error = "every message was refused: each says why";
        (StatusCode::UNPROCESSABLE_ENTITY, Some(error), Some("all_refused"))
    } else {
        (status, None, None)
    };
    let refused = messages.len() - accepted;
    (status, Json(ManyAnswer { error, code, accepted, refused, messages })).into_response()
}

impl OneOfMany {
    fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted(message) => {
                let message = Some(Message::from(*message));
                Self { outcome: "accepted", message, error: None, code: None, field: None }
            }
            Outcome::Refused(reason) => {
                let ApiError { sentence, code, field, .. } = reason.into();
                Self {
                    outcome: "refused",
                    message: None,
                    error: Some(sentence.into_owned()),
                    code: Some(code),
                    field: field.map(std::borrow::Cow::into_owned),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_list_that_is_too_long_no_more_is_kept_than_shows_it() {
        let long = format!("{{\"messages\":[{}{{\"to\":\"1\"}}]}}", "{\"to\":\"1\"},".repeat(100_000));
        let (kept, is_single) = wishes(long.as_bytes()).unwrap();
        assert_eq!((kept.len(), is_single), (REQUEST_MESSAGES_MAX + 1, false));
    }
}

//! `POST /twilio/webhook/status`: what becomes of a message, told by Twilio.
//!
//! The URL asks Twilio to come again after a 4xx and a 5xx, so 204 is for whatever coming again would not change.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use facteur_core::ids::{AttemptNumber, JobId, MessageSid};
use facteur_core::receipt::{Receipt, ReceiptSource, ReceiptStatus};
use facteur_postgres::{Applied, SubmitError};
use tokio::time::{Instant, timeout};

use crate::came::{Came, NO_SID, TOO_MANY};
use crate::error::ApiError;
use crate::form::Form;
use crate::metrics::{self, CallbackResult};
use crate::signed::{UNAVAILABLE, verify};
use crate::state::{App, AppState};
use crate::webhook_forms::StatusForm;

/// Where Twilio calls.
pub(crate) const ROUTE: &str = "/twilio/webhook/status";
/// How long the database may take before Twilio is asked to come again.
const APPLY_MAX: Duration = Duration::from_secs(5);
/// Highest attempt that is believed; far beyond what any schedule reaches.
const ATTEMPT_MAX: i32 = 1_000_000;

const NO_STATUS: ApiError =
    ApiError::at(StatusCode::BAD_REQUEST, "status_invalid", "MessageStatus", "MessageStatus is not a status");
/// What a request is found to be.
enum Found {
    /// Twilio tells of a message of ours, as far as the URL says.
    Receipt(Receipt),
    /// Twilio tells of a message that we did not send.
    Foreign,
    /// It is not Twilio's, or can't be proven to be.
    Refused(ApiError),
    /// It is Twilio's and says nothing that can be understood, or it can't be read.
    Malformed(ApiError),
}

/// Takes what Twilio tells of a message: its status callback.
///
/// The URL that we give Twilio names message and attempt in its query, which the signature covers; without them it is a
/// message that others sent, and is kept for a look. What can't be verified is refused and kept in quarantine.
#[utoipa::path(
    post,
    path = ROUTE,
    tag = "webhooks",
    params(
        ("message" = Option<String>, Query, description = "Our id of the message."),
        ("attempt" = Option<u32>, Query, description = "Which attempt at it, from 1 on.", minimum = 1),
    ),
    security(("twilio" = [])),
    request_body(content = StatusForm, content_type = "application/x-www-form-urlencoded", example = json!({
        "AccountSid": "AC00000000000000000000000000000000", "MessageSid": "SM00000000000000000000000000000001",
        "MessageStatus": "delivered"
    })),
    responses((status = 204, description = "Taken, now or before."))
)]
pub(crate) async fn receive(
    State(app): State<App>,
    uri: Uri,
    remote: Option<Extension<SocketAddr>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let began = Instant::now();
    let came = Came { route: ROUTE, uri, headers, remote: remote.map(|Extension(remote)| remote) };
    let (result, response) = answer(&app, &came, body).await;
    metrics::answered(result, began.elapsed());
    response
}

async fn answer(
    app: &AppState,
    came: &Came,
    body: Result<Bytes, BytesRejection>,
) -> (CallbackResult, Response) {
    let body = match came.body(app, body) {
        Ok(body) => body,
        Err(error) => {
            let is_too_large = error.status == StatusCode::PAYLOAD_TOO_LARGE;
            let result = if is_too_large { CallbackResult::Refused } else { CallbackResult::Malformed };
            return (result, error.into_response());
        }
    };
    let form = Form::parse(&body);
    let account = form.as_ref().and_then(|form| form.get("AccountSid"));
    let quarantine = |why| app.quarantine.put(came.quarantined(why, account, &body));
    match found(app, came, form.as_ref()).await {
        Found::Receipt(receipt) => {
            let (result, response) = apply(app, receipt).await;
            if result == CallbackResult::Unknown {
                quarantine("unknown_message");
            }
            (result, response)
        }
        Found::Foreign => {
            quarantine("unknown_message");
            (CallbackResult::Unknown, StatusCode::NO_CONTENT.into_response())
        }
        Found::Refused(error) if error.status == StatusCode::SERVICE_UNAVAILABLE => {
            (CallbackResult::Unavailable, error.into_response())
        }
        Found::Refused(error) => {
            quarantine(error.code);
            (CallbackResult::Refused, error.into_response())
        }
        Found::Malformed(error) => {
            quarantine(error.code);
            (CallbackResult::Malformed, error.into_response())
        }
    }
}

/// The account goes first: it is cheap, and says whose token is to be tried.
async fn found(app: &AppState, came: &Came, form: Option<&Form>) -> Found {
    if let Some(why) = app.twilio.unasked() {
        return Found::Refused(ApiError::new(StatusCode::FORBIDDEN, "not_verifiable", why));
    }
    let Some(form) = form else { return Found::Malformed(TOO_MANY) };
    let account = form.get("AccountSid");
    if let Err(refused) = verify(app, account, came.path_and_query(), form.pairs(), came.signature()).await {
        return Found::Refused(refused);
    }
    let account = account.unwrap_or_default().to_owned();
    let sid =
        form.get("MessageSid").or_else(|| form.get("SmsSid")).and_then(|sid| MessageSid::parse(sid).ok());
    let status = form.get("MessageStatus").or_else(|| form.get("SmsStatus"));
    let status = status.and_then(|status| ReceiptStatus::parse(status).ok());
    match (job_and_attempt(&came.uri), sid, status) {
        (_, None, _) => Found::Malformed(NO_SID),
        (_, _, None) => Found::Malformed(NO_STATUS),
        (None, _, _) => Found::Foreign,
        (Some((job_id, attempt)), Some(sid), Some(status)) => {
            let code = form.get("ErrorCode").and_then(|code| code.parse().ok()).filter(|code| *code > 0);
            let source = ReceiptSource::Callback;
            Found::Receipt(Receipt { account, job_id, attempt, sid, status, code, source })
        }
    }
}

async fn apply(app: &AppState, receipt: Receipt) -> (CallbackResult, Response) {
    let (job, attempt, sid) = (receipt.job_id, receipt.attempt, receipt.sid.clone());
    let no_content = || StatusCode::NO_CONTENT.into_response();
    match timeout(APPLY_MAX, app.callbacks.apply(receipt)).await {
        Ok(Ok(Applied::New { is_double, .. })) => {
            if is_double {
                metrics::doubled();
                tracing::error!(
                    %job, %attempt, sid = sid.as_str(),
                    "Twilio has a second message for one job: the recipient may have two texts"
                );
            }
            (CallbackResult::Applied, no_content())
        }
        Ok(Ok(Applied::Replay)) => (CallbackResult::Replay, no_content()),
        Ok(Ok(Applied::Unknown)) => (CallbackResult::Unknown, no_content()),
        Ok(Err(SubmitError::Data(why))) => {
            tracing::error!(%job, %attempt, sid = sid.as_str(), %why, "a callback contradicts what is known");
            (CallbackResult::Unknown, no_content())
        }
        // What was submitted is written when the database is back, whether Twilio comes again or not.
        Ok(Err(SubmitError::Closed)) | Err(_) => (CallbackResult::Unavailable, UNAVAILABLE.into_response()),
    }
}

/// What our own URL says, which Twilio signs and returns.
fn job_and_attempt(uri: &Uri) -> Option<(JobId, AttemptNumber)> {
    let query = Form::parse(uri.query().unwrap_or_default().as_bytes())?;
    let job_id = query.get("message")?.parse().ok()?;
    let attempt = query.get("attempt")?.parse().ok().filter(|number| (1..=ATTEMPT_MAX).contains(number))?;
    Some((job_id, AttemptNumber(attempt)))
}

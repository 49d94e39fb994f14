//! `POST /api/sms/bulk`: one text for many.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::errors::Failure;
use crate::accept::Options;
use crate::access::Principal;
use crate::bulks::{Format, Recipient, Upload, Uploaded, upload};
use crate::error::ApiError;
use crate::families::bulk::{FamilyBulk, read};
use crate::families::twice::Twice;
use crate::json::{Json, JsonBytes, parse};
use crate::state::App;

/// Longest request, all in all.
const REQUEST_MAX: Duration = Duration::from_mins(2);

const SLOW: ApiError =
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request took longer than two minutes");
const NOT_A_BULK: ApiError =
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the bulk could not be staged");

/// A text and whom it is for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendBulk {
    /// 1 to 100,000; of two with the same number the first one counts.
    recipients: Vec<BulkRecipient>,
    /// The text; `{{name}}` is the recipient's name.
    message: String,
    /// The sender; the tenant's default one if absent.
    from: Option<String>,
}

/// A recipient.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BulkRecipient {
    /// In any spelling.
    phone: String,
    /// What `{{name}}` stands for.
    name: Option<String>,
}

/// The same as `POST /v1/bulks` takes it.
#[derive(Serialize)]
struct Canonical {
    channel: &'static str,
    body: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    recipients: Vec<Recipient>,
}

/// What became of a bulk.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SentBulk {
    #[schema(example = true)]
    success: bool,
    #[serde(flatten)]
    bulk: FamilyBulk,
}

/// Sends a text to many. A bad number becomes a failed line with its reason, and never stops the others.
#[utoipa::path(
    post,
    path = "/api/sms/bulk",
    tag = "family: back office",
    request_body(content = SendBulk, example = json!({
        "recipients": [{"phone": "+33612345678", "name": "Jean Dupont"}], "message": "Bonjour {{name}}"
    })),
    responses(
        (status = 200, body = Twice<SentBulk>),
        (status = 401, body = Failure),
        (status = 403, body = Failure),
        (status = 422, body = Failure)
    )
)]
pub(crate) async fn bulk(
    principal: Principal,
    State(app): State<App>,
    request: Request,
) -> Result<Json<Twice<SentBulk>>, ApiError> {
    let options = Options::of("send_bulk_sms", request.headers())?;
    let taken = Box::pin(take(&app, &principal, options, request));
    let id = timeout(REQUEST_MAX, taken).await.map_err(|_| SLOW)??;
    app.bulks.forget(id);
    let bulk = read(&app, &principal, id).await?;
    Ok(Json(Twice::of(SentBulk { success: true, bulk })))
}

async fn take(
    app: &App,
    principal: &Principal,
    options: Options,
    request: Request,
) -> Result<uuid::Uuid, ApiError> {
    let JsonBytes(bytes) = JsonBytes::from_request(request, &()).await?;
    let SendBulk { recipients, message, from } = parse(&bytes)?;
    let recipient = |one: BulkRecipient| Recipient { to: one.phone, name: one.name, ..Recipient::default() };
    let recipients = recipients.into_iter().map(recipient).collect();
    let body = serde_json::to_vec(&Canonical { channel: "sms", body: message, from, recipients })
        .map_err(|_| NOT_A_BULK)?;
    let upload_of = Upload {
        principal: principal.clone(),
        format: Format::Json,
        head: None,
        idempotency_key: options.idempotency_key,
        request_id: options.request_id,
        is_dry_run: false,
    };
    match upload(app, upload_of, Body::from(body)).await.map_err(renamed)? {
        Uploaded::Accepted(id) => Ok(id),
        Uploaded::Preview(_) => Err(NOT_A_BULK),
    }
}

/// The family calls the text `message`.
fn renamed(error: ApiError) -> ApiError {
    let is_text = error.field.as_deref() == Some("body");
    if is_text { error.field("message") } else { error }
}

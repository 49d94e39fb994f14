//! `POST /twilio/send-bulk`, `GET /twilio/bulk/{bulkId}/status`, `POST /twilio/bulk/{bulkId}/retry`.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use facteur_core::document::Scalar;
use facteur_postgres::bulks;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::families::bulk::{BulkShape, failed_states, found, line_error, taken};
use crate::families::one::Fields;
use crate::families::twice::Twice;
use crate::json::Json;
use crate::path::Path;
use crate::shape::ScalarShape;
use crate::state::{App, AppState};
use crate::v1::bulks::retried;
use crate::v1::templates::shapes::ChannelName;

/// What the family calls the fields of a bulk and of a recipient.
const FIELDS: Fields = &[("phone_number", "to"), ("message", "body")];
/// Failed recipients that the progress lists.
const ERRORS_MAX: u16 = 1_000;

/// One text for many recipients; it is read as it comes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the form of the body, for the document; it is read piece by piece")]
pub(crate) struct SendBulk {
    /// `sms` if absent.
    channel: Option<ChannelName>,
    /// Best the last field.
    #[schema(min_items = 1, max_items = 100_000)]
    recipients: Vec<BulkRecipient>,
    /// The text; `{{name}}` is replaced by the recipient's variable of that name.
    message: Option<String>,
    /// The URL of a medium, for all.
    media_url: Option<String>,
}

/// A recipient.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the form of a part of the body, for the document")]
pub(crate) struct BulkRecipient {
    /// In any spelling.
    phone_number: String,
    /// A variable like the others, and shown in lists.
    name: Option<String>,
    /// Values of the placeholders.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, ScalarShape>)]
    variables: Option<BTreeMap<String, Scalar>>,
}

/// How far a bulk has come.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BulkStatus {
    id: Uuid,
    /// `processing`, `completed` or `failed`.
    #[schema(example = "processing")]
    status: &'static str,
    progress: BulkProgress,
    /// The first 1,000 recipients that did not get it.
    errors: Vec<BulkError>,
}

/// Recipients; `sent`, `failed` and `pending` add up to `total`.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BulkProgress {
    total: i64,
    sent: i64,
    failed: i64,
    pending: i64,
}

/// Who did not get it, and why.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BulkError {
    recipient: String,
    error: String,
}

/// Sends one text to many. A recipient with a bad number or a missing variable is a failed line with its reason, and
/// stops nobody else.
#[utoipa::path(
    post,
    path = "/twilio/send-bulk",
    tag = "family: campaigns",
    params(("Idempotency-Key" = Option<String>, Header,
        description = "1 to 255 visible ASCII characters: the same upload again is the same bulk.")),
    request_body(content = SendBulk, example = json!({
        "channel": "sms",
        "recipients": [{"phone_number": "+33612345678", "name": "Jean Dupont",
            "variables": {"nom": "Jean Dupont", "date": "2026-06-15"}}],
        "message": "Bonjour {{nom}}, vous êtes invité le {{date}}", "media_url": null
    })),
    responses((status = 200, body = Twice<BulkShape>), (status = 409, body = inline(ErrorBody<'_>)),
        (status = 413, body = inline(ErrorBody<'_>)), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn send(
    principal: Principal,
    State(app): State<App>,
    request: Request,
) -> Result<Json<Twice<BulkShape>>, ApiError> {
    let bulk = taken(&app, principal, request, FIELDS).await?;
    Ok(Json(Twice::of(bulk)))
}

/// How far a bulk has come.
#[utoipa::path(
    get,
    path = "/twilio/bulk/{bulkId}/status",
    tag = "family: campaigns",
    params(("bulkId" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe02")),
    responses((status = 200, body = Twice<BulkStatus>), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn status(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Twice<BulkStatus>>, ApiError> {
    let (bulk, counts) = found(&app, &principal, id).await?;
    let failed = if counts.failed == 0 { vec![] } else { failed(&app, id).await? };
    let error = |row: bulks::RecipientRow| BulkError {
        error: line_error(&row, FIELDS).unwrap_or_default(),
        recipient: row.recipient,
    };
    let progress = BulkProgress {
        total: counts.total(),
        sent: counts.sent,
        failed: counts.failed,
        pending: counts.pending,
    };
    let errors = failed.into_iter().map(error).collect();
    Ok(Json(Twice::of(BulkStatus { id, status: counts.status(bulk.state), progress, errors })))
}

/// The first recipients that did not get it.
async fn failed(app: &AppState, id: Uuid) -> Result<Vec<bulks::RecipientRow>, ApiError> {
    let (states, mut failed, mut after) = (failed_states(), Vec::new(), Some(0));
    while let Some(line) = after {
        let room = ERRORS_MAX.saturating_sub(u16::try_from(failed.len()).unwrap_or(u16::MAX));
        let page = bulks::recipients(&app.database, id, line, Some(&states), room).await?;
        failed.extend(page.rows);
        after = page.next.filter(|_| failed.len() < usize::from(ERRORS_MAX));
    }
    Ok(failed)
}

/// Tries anew those that failed and can succeed: nobody who opted out, no impossible number, and nobody who has the
/// message or may have it.
#[utoipa::path(
    post,
    path = "/twilio/bulk/{bulkId}/retry",
    tag = "family: campaigns",
    params(("bulkId" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe02")),
    responses((status = 200, body = Twice<BulkShape>), (status = 404, body = inline(ErrorBody<'_>)),
        (status = 409, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn retry(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Twice<BulkShape>>, ApiError> {
    retried(&app, &principal, id).await?;
    Ok(Json(Twice::of(BulkShape::of(&app, &principal, id, FIELDS).await?)))
}

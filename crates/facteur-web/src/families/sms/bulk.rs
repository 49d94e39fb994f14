//! `POST /api/sms/bulk`: one text for many recipients.

use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::errors::Failure;
use crate::access::Principal;
use crate::error::ApiError;
use crate::families::bulk::{BulkShape, taken};
use crate::families::one::Fields;
use crate::families::twice::Twice;
use crate::json::Json;
use crate::state::App;

/// What the family calls the fields of a bulk and of a recipient.
const FIELDS: Fields = &[("phone", "to"), ("message", "body")];

/// One text for many recipients; it is read as it comes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the form of the body, for the document; it is read piece by piece")]
pub(crate) struct SendBulkSms {
    /// Best the last field.
    #[schema(min_items = 1, max_items = 100_000)]
    recipients: Vec<BulkSmsRecipient>,
    /// The text; `{{name}}` is replaced by the recipient's name.
    message: String,
}

/// A recipient.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the form of a part of the body, for the document")]
pub(crate) struct BulkSmsRecipient {
    /// In any spelling.
    phone: String,
    /// Shown in lists.
    name: Option<String>,
}

/// A bulk.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SentBulk {
    /// Always true: it was taken.
    #[schema(example = true)]
    success: bool,
    #[serde(flatten)]
    bulk: BulkShape,
}

/// Sends one text to many. A recipient with a bad number is a failed line with its reason, and stops nobody else.
#[utoipa::path(
    post,
    path = "/api/sms/bulk",
    tag = "family: back office",
    request_body(content = SendBulkSms, example = json!({
        "recipients": [{"phone": "+33612345678", "name": "Jean Dupont"}], "message": "Bonjour {{name}}"
    })),
    responses((status = 200, body = Twice<SentBulk>), (status = 401, body = Failure), (status = 403, body = Failure),
        (status = 409, body = Failure), (status = 413, body = Failure), (status = 422, body = Failure))
)]
pub(crate) async fn send(
    principal: Principal,
    State(app): State<App>,
    request: Request,
) -> Result<Json<Twice<SentBulk>>, ApiError> {
    let bulk = taken(&app, principal, request, FIELDS).await?;
    Ok(Json(Twice::of(SentBulk { success: true, bulk })))
}

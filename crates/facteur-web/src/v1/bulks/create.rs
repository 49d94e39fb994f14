//! `POST /v1/bulks`: a bulk as JSON or CSV.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::read::view;
use super::view::BulkView;
use crate::accept::Options;
use crate::access::Principal;
use crate::bulks::{BulkHead, BulkRequest, Format, Preview, Upload, Uploaded, upload};
use crate::error::{ApiError, ErrorBody};
use crate::json::{Json, parse_query};
use crate::state::App;

/// Longest upload, all in all.
const UPLOAD_MAX: Duration = Duration::from_mins(15);

const SLOW: ApiError = ApiError::new(
    StatusCode::REQUEST_TIMEOUT,
    "timeout",
    "the upload took longer than 15 minutes; with the same Idempotency-Key it can be resumed",
);
const NEITHER: ApiError = ApiError::new(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "content_type_unsupported",
    "the body must be JSON or CSV, with content-type: application/json or text/csv",
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DryRun {
    #[serde(default)]
    dry_run: bool,
}

/// Accepts a bulk of up to 100,000 recipients. 202 means that all of them are committed. A recipient with a bad number or
/// a missing variable becomes a refused line with its reason, and never stops the others; of two lines with the same
/// number the first one counts.
///
/// As JSON, `recipients` is best the last field: then it is read as it comes. As CSV, the first row names the columns:
/// one is called `phone`, `telephone`, `mobile`, `numero` or `to`, and every one is a variable of its name; what the
/// messages share stands in the query string, by the names of the JSON's fields.
///
/// An upload that was cut is resumed by sending it again with the same `Idempotency-Key`. With `dry_run=true` nothing is
/// stored, and the answer tells what it would be.
#[utoipa::path(
    post,
    path = "/v1/bulks",
    tag = "bulks",
    params(
        ("dry_run" = Option<bool>, Query, description = "Tells what it would be, and stores nothing."),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same upload again is the same bulk, and resumes one that was cut."),
    ),
    request_body(content(
        (BulkRequest = "application/json", example = json!({
            "name": "Invitations", "body": "Bonjour {{name}}, vous êtes invité le {{date}}", "category": "marketing",
            "recipients": [{"to": "+33612345678", "name": "Jean Dupont", "variables": {"date": "2026-06-15"}}]
        })),
        (String = "text/csv", example = "phone,name,date\n+33612345678,Jean Dupont,2026-06-15\n"),
    )),
    responses(
        (status = 202, description = "Accepted", body = BulkView),
        (status = 200, description = "What it would be, of a dry run", body = Preview),
        (status = 409, description = "The key stands for another bulk, or another upload has taken over", body = inline(ErrorBody<'_>)),
        (status = 413, description = "Too many recipients or bytes", body = inline(ErrorBody<'_>)),
        (status = 422, description = "Refused: nothing was sent", body = inline(ErrorBody<'_>)),
        (status = 503, description = "Not now", body = inline(ErrorBody<'_>))
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    principal: Principal,
    request: Request,
) -> Result<Response, ApiError> {
    let options = Options::of("send_bulk", request.headers())?;
    let format = format(request.headers())?;
    let query = request.uri().query().unwrap_or_default();
    let (of_run, of_head): (Vec<_>, Vec<_>) = form_urlencoded::parse(query.as_bytes())
        .partition(|(name, _)| name == "dry_run" || format == Format::Json);
    let DryRun { dry_run } = parse_query(&encoded(&of_run))?;
    let head: Option<BulkHead> = match format {
        Format::Json => None,
        Format::Csv => Some(parse_query(&encoded(&of_head))?),
    };
    let upload_of = Upload {
        principal,
        format,
        names: &[],
        head,
        idempotency_key: options.idempotency_key,
        request_id: options.request_id,
        is_dry_run: dry_run,
    };
    match take(&app, upload_of, request.into_body()).await? {
        Uploaded::Preview(preview) => Ok(Json(*preview).into_response()),
        Uploaded::Accepted(id) => {
            let location = [(header::LOCATION, format!("/v1/bulks/{id}"))];
            Ok((StatusCode::ACCEPTED, location, Json(view(&app, None, id).await?)).into_response())
        }
    }
}

/// Takes an upload, within its time.
///
/// # Errors
/// What is wrong with it.
pub(crate) async fn take(app: &App, upload_of: Upload, body: Body) -> Result<Uploaded, ApiError> {
    let uploading = Box::pin(upload(app, upload_of, body));
    let uploaded = tokio::time::timeout(UPLOAD_MAX, uploading).await.map_err(|_| SLOW)??;
    if let Uploaded::Accepted(id) = &uploaded {
        app.bulks.forget(*id);
    }
    Ok(uploaded)
}

fn encoded(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn format(headers: &HeaderMap) -> Result<Format, ApiError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Format::Json),
        "text/csv" | "application/csv" => Ok(Format::Csv),
        _ => Err(NEITHER),
    }
}

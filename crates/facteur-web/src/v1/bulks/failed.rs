//! `GET /v1/bulks/{id}/failed.csv`: who did not get it.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use facteur_core::status::Status;
use facteur_postgres::bulks::{self, RecipientRow};
use futures_util::stream::unfold;
use uuid::Uuid;

use super::read::{parse, seen};
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::path::Path;
use crate::state::App;

/// Rows that are read and written at once.
const ROWS_MAX: u16 = 1_000;
const HEADER: [&str; 8] = ["line", "phone", "name", "state", "code", "error", "twilio_code", "message_id"];

/// Who did not get it, and why, as CSV: refused, failed, not delivered, expired, cancelled, opted out, or stopped. Of
/// whom nobody knows is not among them. A cell that a spreadsheet would take for a formula begins with `'`.
#[utoipa::path(
    get,
    path = "/v1/bulks/{id}/failed.csv",
    tag = "bulks",
    params(("id" = Uuid, Path, description = "The bulk's id", example = "0197c1de-0000-7000-8000-00000000fe02")),
    responses(
        (status = 200, content_type = "text/csv", body = String),
        (status = 404, body = inline(ErrorBody<'_>))
    )
)]
pub(crate) async fn export(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = seen(&app, &principal, parse(&id)?).await?;
    let rows = unfold((app, Some(0)), move |(app, after)| async move {
        let after = after?;
        // What fails in the middle cuts the connection: a file that looks whole is whole.
        match chunk(&app, id, after).await {
            Ok((text, next)) => Some((Ok(Bytes::from(text)), (app, next))),
            Err(error) => Some((Err(std::io::Error::other(error.sentence)), (app, None))),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{id}-failed.csv\"")),
    ];
    Ok((headers, Body::from_stream(rows)).into_response())
}

/// The next rows, and the line after which the ones behind them begin.
async fn chunk(app: &App, id: Uuid, after: u32) -> Result<(Vec<u8>, Option<u32>), ApiError> {
    let states: Vec<&str> = ["refused"]
        .into_iter()
        .chain(Status::ALL.into_iter().filter(|status| status.public_word() == "failed").map(Status::as_str))
        .collect();
    let page = bulks::recipients(&app.database, id, after, Some(&states), ROWS_MAX).await?;
    let text = written(&page.rows, after == 0);
    text.map(|text| (text, page.next)).map_err(|_| ApiError::UNAVAILABLE)
}

fn written(rows: &[RecipientRow], with_header: bool) -> Result<Vec<u8>, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if with_header {
        writer.write_record(HEADER)?;
    }
    for row in rows {
        let text = |text: &Option<String>| safe(text.as_deref().unwrap_or_default());
        writer.write_record([
            row.line.to_string(),
            safe(&row.recipient),
            text(&row.name),
            row.state.clone(),
            text(&row.code),
            text(&row.sentence),
            row.twilio_code.map(|code| code.to_string()).unwrap_or_default(),
            row.job_id.map(|id| id.to_string()).unwrap_or_default(),
        ])?;
    }
    writer.into_inner().map_err(|error| csv::Error::from(error.into_error()))
}

/// A spreadsheet takes a cell that begins so for a formula. A number in international form is none, and can be uploaded
/// again as it is.
fn safe(cell: &str) -> String {
    let is_number = cell
        .strip_prefix('+')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number {
        return format!("'{cell}");
    }
    cell.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_numbers_stay_numbers() {
        for (cell, expected) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"),
            ("+33612345678", "+33612345678"),
            ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
            ("-2+3", "'-2+3"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("+", "'+"),
            ("Zoé", "Zoé"),
            ("", ""),
        ] {
            assert_eq!(safe(cell), expected);
        }
    }
}

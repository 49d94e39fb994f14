//! A bulk in the families' shape, and how one is taken in their words.

use axum::extract::Request;
use facteur_core::Timestamp;
use facteur_core::bulk::{BulkState, job_id};
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_core::twilio_errors;
use facteur_postgres::bulks::{self, Bulk, RecipientRow};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::one::Fields;
use crate::accept::Options;
use crate::access::Principal;
use crate::bulks::{Format, Upload, Uploaded};
use crate::error::ApiError;
use crate::json;
use crate::state::{App, AppState};
use crate::v1::bulks::take;

/// Recipients that an answer shows, in the order of the request; `GET /v1/bulks/{id}/recipients` has all of them.
const LINES_MAX: u16 = 1_000;
const UNKNOWN: ApiError = ApiError::not_found("there is no such bulk");
const NO_BULK: ApiError = ApiError::busy("not_taken", "the bulk was not taken: come again", 1);

/// A bulk and its recipients.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BulkShape {
    id: Uuid,
    #[schema(example = "sms")]
    channel: String,
    #[schema(example = 3)]
    total_recipients: i64,
    /// Twilio has them, or they are delivered.
    sent_count: i64,
    /// Refused, failed, not delivered, cancelled, or opted out.
    failed_count: i64,
    /// Neither yet. The three add up to the total.
    pending_count: i64,
    /// `processing`, `completed` or `failed`.
    #[schema(example = "processing")]
    status: &'static str,
    /// The first 1,000 recipients.
    messages: Vec<BulkLine>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A recipient of a bulk.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct BulkLine {
    /// Our id of its message.
    id: Uuid,
    /// E.164; of a refused one what was given, shortened.
    #[schema(example = "+33612345678")]
    recipient: String,
    name: Option<String>,
    /// `pending`, `sent`, `delivered` or `failed`.
    #[schema(example = "pending")]
    status: &'static str,
    /// What went wrong; null while nothing did.
    error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
    /// Twilio's SID; null until Twilio has it.
    message_id: Option<String>,
}

/// Recipients, counted at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: i64,
    pub(crate) failed: i64,
    pub(crate) pending: i64,
}

impl Counts {
    pub(crate) fn total(self) -> i64 {
        self.sent + self.failed + self.pending
    }

    /// Failed is what reached nobody; what somebody waits for is being processed.
    pub(crate) fn status(self, state: BulkState) -> &'static str {
        match (state, self) {
            (BulkState::Failed, _) => "failed",
            (BulkState::Accepting, _) | (_, Self { pending: 1.., .. }) => "processing",
            (_, Self { sent: 0, .. }) => "failed",
            _ => "completed",
        }
    }
}

impl BulkShape {
    /// The bulk of that id, as it stands.
    ///
    /// # Errors
    /// If the bearer knows of none, or the database can't be asked.
    pub(crate) async fn of(
        app: &AppState,
        principal: &Principal,
        id: Uuid,
        fields: Fields,
    ) -> Result<Self, ApiError> {
        let (bulk, counts) = found(app, principal, id).await?;
        let rows = bulks::recipients(&app.database, id, 0, None, LINES_MAX).await?.rows;
        Ok(Self {
            id,
            total_recipients: counts.total(),
            sent_count: counts.sent,
            failed_count: counts.failed,
            pending_count: counts.pending,
            status: counts.status(bulk.state),
            messages: rows.into_iter().map(|row| BulkLine::of(&bulk, row, fields)).collect(),
            channel: bulk.channel,
            created_at: bulk.created_at,
        })
    }
}

impl BulkLine {
    fn of(bulk: &Bulk, row: RecipientRow, fields: Fields) -> Self {
        Self {
            id: row.job_id.unwrap_or_else(|| job_id(bulk.id, row.line, row.round).0),
            status: bulks::public_word(&row.state),
            error: line_error(&row, fields),
            recipient: row.recipient,
            name: row.name,
            timestamp: row.updated_at.unwrap_or(bulk.created_at),
            message_id: row.sid,
        }
    }
}

/// A bulk that the bearer may know of, and where its recipients stand.
///
/// # Errors
/// If there is none, or the database can't be asked.
pub(crate) async fn found(
    app: &AppState,
    principal: &Principal,
    id: Uuid,
) -> Result<(Bulk, Counts), ApiError> {
    let bulk = bulks::find(&app.database, id).await?;
    let bulk = bulk.filter(|bulk| principal.sees(&bulk.tenant)).ok_or(UNKNOWN)?;
    let progress = app.bulks.progress(&app.database, id).await?;
    let [pending, sent, delivered, failed] =
        ["pending", "sent", "delivered", "failed"].map(|word| progress.of_word(word));
    Ok((bulk, Counts { sent: sent + delivered, failed, pending }))
}

/// The states of recipients that did not get it.
pub(crate) fn failed_states() -> Vec<&'static str> {
    let statuses = Status::ALL.into_iter().map(Status::as_str);
    ["refused"].into_iter().chain(statuses).filter(|state| bulks::public_word(state) == "failed").collect()
}

/// Why a recipient did not get it; `None` if it did, or still may.
pub(crate) fn line_error(row: &RecipientRow, fields: Fields) -> Option<String> {
    if bulks::public_word(&row.state) != "failed" {
        return None;
    }
    let meaning = || Some(twilio_errors::lookup(u32::try_from(row.twilio_code?).ok()?)?.meaning.to_owned());
    let said = || {
        let sentence = row.sentence.as_ref()?;
        Some(match &row.field {
            Some(field) => format!("{} {sentence}", their_word(field, fields)),
            None => sentence.clone(),
        })
    };
    let advice = || Some(ReasonCode::from_name(row.code.as_deref()?)?.advice().to_owned());
    meaning().or_else(said).or_else(advice).or_else(|| Some(row.state.clone()))
}

fn their_word(field: &str, fields: Fields) -> &str {
    fields.iter().find(|(_, ours)| *ours == field).map_or(field, |(theirs, _)| *theirs)
}

/// Reads a bulk whose fields have the family's names.
///
/// # Errors
/// What is wrong with it, in the family's names: nothing was sent.
pub(crate) async fn taken(
    app: &App,
    principal: Principal,
    request: Request,
    fields: Fields,
) -> Result<BulkShape, ApiError> {
    let options = Options::of("send_bulk", request.headers())?;
    if !json::is_json(request.headers()) {
        return Err(json::NOT_JSON);
    }
    let upload = Upload {
        principal: principal.clone(),
        format: Format::Json,
        names: fields,
        head: None,
        idempotency_key: options.idempotency_key,
        request_id: options.request_id,
        is_dry_run: false,
    };
    match take(app, upload, request.into_body()).await.map_err(|error| in_their_words(error, fields))? {
        Uploaded::Accepted(id) => BulkShape::of(app, &principal, id, fields).await,
        Uploaded::Preview(_) => Err(NO_BULK),
    }
}

fn in_their_words(error: ApiError, fields: Fields) -> ApiError {
    let Some(field) = error.field.clone() else { return error };
    let (before, last) = field.rsplit_once('.').map_or(("", &*field), |(before, last)| (before, last));
    let theirs = their_word(last, fields);
    if theirs == last {
        return error;
    }
    let sentence = error.sentence.replace(&format!("`{last}`"), &format!("`{theirs}`"));
    let named = if before.is_empty() { theirs.to_owned() } else { format!("{before}.{theirs}") };
    ApiError { sentence: sentence.into(), ..error }.field(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bulk_is_processing_while_anybody_is_pending_and_failed_if_it_reached_nobody() {
        let status =
            |state, [sent, failed, pending]: [i64; 3]| Counts { sent, failed, pending }.status(state);
        for (state, counts, expected) in [
            (BulkState::Accepting, [0, 0, 0], "processing"),
            (BulkState::Processing, [1, 1, 1], "processing"),
            (BulkState::Processing, [2, 1, 0], "completed"),
            (BulkState::Completed, [0, 3, 0], "failed"),
            (BulkState::Canceled, [1, 2, 0], "completed"),
            (BulkState::Canceled, [0, 2, 1], "processing"),
            (BulkState::Failed, [0, 0, 2], "failed"),
        ] {
            assert_eq!(status(state, counts), expected, "{state:?} {counts:?}");
        }
    }
}

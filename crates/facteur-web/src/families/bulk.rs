//! A bulk as the families tell it: counts that add up to the total, and its messages line by line.

use facteur_core::Timestamp;
use facteur_core::bulk::BulkState;
use facteur_core::reason::ReasonCode;
use facteur_core::twilio_errors;
use facteur_postgres::bulks::{self, RecipientRow, public_word};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::Principal;
use crate::error::ApiError;
use crate::state::AppState;

/// Most messages that stand in an answer: the first lines. The counts are of all.
const MESSAGES_MAX: i64 = 1_000;

/// A bulk.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FamilyBulk {
    id: Uuid,
    #[schema(example = "sms")]
    channel: String,
    total_recipients: i64,
    sent_count: i64,
    failed_count: i64,
    pending_count: i64,
    /// `processing`, `completed` or `failed`.
    #[schema(example = "processing")]
    status: &'static str,
    /// The first 1,000 lines.
    messages: Vec<FamilyLine>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

/// A line of a bulk.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct FamilyLine {
    /// Our id of the message; null of a line that was refused.
    id: Option<Uuid>,
    recipient: String,
    name: Option<String>,
    /// `pending`, `sent`, `delivered` or `failed`.
    #[schema(example = "pending")]
    status: &'static str,
    /// Why it failed.
    error: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    timestamp: Option<Timestamp>,
    /// Twilio's SID.
    message_id: Option<String>,
}

/// The bulk as it stands, if the bearer may know of it.
///
/// # Errors
/// If there is no such bulk, or the database can't be asked.
pub(crate) async fn read(app: &AppState, principal: &Principal, id: Uuid) -> Result<FamilyBulk, ApiError> {
    let bulk = bulks::find(&app.database, id).await?.filter(|bulk| principal.sees(&bulk.tenant));
    let bulk = bulk.ok_or(ApiError::not_found("there is no such bulk"))?;
    let progress = app.bulks.progress(&app.database, id).await?;
    let lines = bulks::recipients(&app.database, id, 0, None, MESSAGES_MAX).await?;
    Ok(FamilyBulk {
        id,
        channel: bulk.channel,
        total_recipients: progress.total(),
        sent_count: progress.of_word("sent") + progress.of_word("delivered"),
        failed_count: progress.of_word("failed"),
        pending_count: progress.of_word("pending"),
        status: match bulk.state {
            BulkState::Completed => "completed",
            BulkState::Canceled | BulkState::Failed => "failed",
            BulkState::Accepting | BulkState::Processing => "processing",
        },
        messages: lines.into_iter().map(FamilyLine::from).collect(),
        created_at: bulk.created_at,
    })
}

impl From<RecipientRow> for FamilyLine {
    fn from(row: RecipientRow) -> Self {
        let status = public_word(&row.state);
        let meaning = || {
            let code = u32::try_from(row.twilio_code?).ok()?;
            twilio_errors::lookup(code).map(|entry| entry.meaning.to_owned())
        };
        let said = || match (&row.field, &row.sentence) {
            (Some(field), Some(sentence)) => Some(format!("{field} {sentence}")),
            (None, sentence) => sentence.clone(),
            (Some(_), None) => None,
        };
        let advice = || Some(ReasonCode::from_name(row.code.as_deref()?)?.advice().to_owned());
        let error = if status == "failed" { meaning().or_else(said).or_else(advice) } else { None };
        Self {
            id: row.job_id,
            recipient: row.recipient,
            name: row.name,
            status,
            error,
            timestamp: row.updated_at,
            message_id: row.sid,
        }
    }
}

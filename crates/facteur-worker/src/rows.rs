//! From an envelope to the row that the database keeps, and back to an envelope that wakes it.

use facteur_core::Timestamp;
use facteur_core::envelope::{EnvelopeContent, HEADER_TURN, HeaderValue, WakeUp, headers_to_keep};
use facteur_core::ids::Turn;
use facteur_core::ledger::JobRow;
use facteur_core::limits::{VALIDITY_PERIOD_S_MAX, VALIDITY_PERIOD_S_MIN};

/// The row of a job that has not passed the gate yet.
pub(crate) fn job_row(
    content: &EnvelopeContent,
    wake_up: &WakeUp,
    deadline: Timestamp,
    now: Timestamp,
) -> JobRow {
    let mut headers = headers_to_keep(&content.headers);
    headers.remove(HEADER_TURN);
    let mut row = JobRow::of(&wake_up.job, wake_up.turn, wake_up.lane, content.body.clone(), deadline);
    row.add_origin(headers, wake_up.country, wake_up.enqueued_at, now);
    row
}

/// The envelope that wakes the job for this turn.
pub(crate) fn wake_up(content: &EnvelopeContent, row: &JobRow, turn: Turn) -> EnvelopeContent {
    let mut headers = row.headers.clone();
    headers.insert(HEADER_TURN.to_owned(), HeaderValue::Int(i64::from(turn.0)));
    EnvelopeContent {
        body: row.document.clone(),
        message_id: Some(row.id.to_string()),
        content_type: content.content_type.clone(),
        kind: content.kind.clone(),
        app_id: content.app_id.clone(),
        timestamp_s: content.timestamp_s,
        headers,
        ..EnvelopeContent::default()
    }
}

/// Twilio's `ValidityPeriod`: what is left until the job expires, within what Twilio takes.
pub(crate) fn validity_period_s(expires_at: Timestamp, now: Timestamp) -> u32 {
    let left = u32::try_from(expires_at.duration_since(now).as_secs()).unwrap_or_default();
    left.clamp(VALIDITY_PERIOD_S_MIN, VALIDITY_PERIOD_S_MAX)
}

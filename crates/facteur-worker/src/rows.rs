//! From an envelope to the row that the database keeps, and back to an envelope that wakes it.

use facteur_core::Timestamp;
use facteur_core::envelope::{
    EnvelopeContent, HEADER_COUNTRY, HEADER_ENQUEUED_AT_MS, HEADER_TURN, HeaderValue, WakeUp, headers_to_keep,
};
use facteur_core::gate::Ready;
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
    // A job of unknown age ages from its first envelope on, also while it goes round in the ladder.
    let aged_from = wake_up.enqueued_at.unwrap_or(now);
    headers.insert(HEADER_ENQUEUED_AT_MS.to_owned(), HeaderValue::Int(aged_from.as_millisecond()));
    headers.insert(HEADER_COUNTRY.to_owned(), HeaderValue::Text(wake_up.country.to_string()));
    let job = &wake_up.job;
    JobRow {
        id: job.id,
        fingerprint: job.fingerprint(),
        turn: wake_up.turn,
        tenant: job.tenant.clone(),
        lane: wake_up.lane,
        category: job.category,
        recipient: job.recipient.clone(),
        sender: job.sender.clone(),
        text: None,
        segments: 1,
        document: content.body.clone(),
        headers,
        enqueued_at: wake_up.enqueued_at,
        expires_at: job.expires_at,
        deadline,
        bulk_id: job.bulk_id,
    }
}

/// Adds what the gate found out.
pub(crate) fn add_ready(row: &mut JobRow, ready: Option<&Ready>) {
    let Some(ready) = ready else { return };
    row.sender = Some(ready.sender.clone());
    row.text = ready.text().map(str::to_owned);
    row.segments = ready.segments;
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

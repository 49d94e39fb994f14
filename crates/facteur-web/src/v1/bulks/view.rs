//! A bulk and its recipients, as they are shown.

use std::collections::BTreeMap;

use facteur_core::bulk::BulkState;
use facteur_postgres::bulks::{Bulk, Progress, RecipientRow};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::cost::Cost;

/// A bulk.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct BulkView {
    id: Uuid,
    #[schema(example = "default")]
    tenant: String,
    name: Option<String>,
    #[schema(example = "sms")]
    channel: String,
    #[schema(example = "marketing")]
    category: String,
    /// The sender.
    #[schema(example = "+15005550006")]
    from: String,
    /// The template that the texts came from.
    template: Option<String>,
    /// `accepting`, `processing`, `paused`, `completed`, `canceled` or `failed`.
    #[schema(example = "processing")]
    state: &'static str,
    /// Why it is paused, was cancelled or failed.
    reason: Option<String>,
    /// Who paused it; `facteur` if it paused itself.
    paused_by: Option<String>,
    /// When the pause ends by itself (RFC 3339).
    paused_until: Option<String>,
    /// Messages a second; null for as fast as the senders allow.
    rate: Option<f64>,
    /// The share of failures at which it pauses itself.
    error_ratio_max: Option<f64>,
    /// None leaves before this instant (RFC 3339).
    send_at: Option<String>,
    /// None leaves after this instant (RFC 3339).
    expires_at: Option<String>,
    /// All recipients; while it is `accepting`, those that were read so far.
    #[schema(example = 3)]
    total: u32,
    /// How often those that failed were tried anew.
    round: u32,
    /// Who made it, as the audit log names the bearer.
    created_by: String,
    /// RFC 3339, as every instant here.
    created_at: String,
    accepted_at: Option<String>,
    ended_at: Option<String>,
    /// How far it has come; absent in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressView>,
}

/// How far a bulk has come. `pending`, `sent`, `delivered` and `failed` add up to the total, and so do the states.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct ProgressView {
    /// Not sent yet.
    pending: i64,
    /// Twilio took them, and no receipt has come.
    sent: i64,
    /// Delivered, or read.
    delivered: i64,
    /// Refused, failed, not delivered, expired, cancelled, opted out, or stopped for a person to look at.
    failed: i64,
    /// Recipients by their state in detail: `pending` (not released yet), `refused`, or the status of their message.
    states: BTreeMap<String, i64>,
    /// Segments of all messages that were not refused.
    segments: i64,
    /// What all messages that were not refused cost, by the prices that were configured when they were accepted; null if
    /// there was none for one of them.
    estimated_cost: Option<Cost>,
}

impl BulkView {
    pub(crate) fn of(bulk: Bulk, progress: Option<&Progress>) -> Self {
        let state = match (&bulk.pause, bulk.state) {
            (Some(_), BulkState::Accepting | BulkState::Processing) => "paused",
            (_, state) => state.as_str(),
        };
        let pause = bulk.pause.filter(|_| state == "paused");
        let total =
            progress.map_or(bulk.total, |progress| u32::try_from(progress.total()).unwrap_or(bulk.total));
        Self {
            id: bulk.id,
            tenant: bulk.tenant,
            name: bulk.name,
            channel: bulk.channel,
            category: bulk.category,
            from: bulk.sender,
            template: bulk.template,
            state,
            reason: pause.as_ref().map(|pause| pause.reason.clone()).or(bulk.reason),
            paused_by: pause.as_ref().map(|pause| pause.actor.clone()),
            paused_until: pause.and_then(|pause| pause.until).map(|at| at.to_string()),
            rate: bulk.rate,
            error_ratio_max: bulk.error_ratio_max,
            send_at: bulk.starts_at.map(|at| at.to_string()),
            expires_at: bulk.expires_at.map(|at| at.to_string()),
            total,
            round: bulk.round,
            created_by: bulk.created_by,
            created_at: bulk.created_at.to_string(),
            accepted_at: bulk.accepted_at.map(|at| at.to_string()),
            ended_at: bulk.ended_at.map(|at| at.to_string()),
            progress: progress.map(|progress| ProgressView::of(progress, bulk.currency.as_deref())),
        }
    }

    /// Whether nothing of it will be released any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, "completed" | "canceled" | "failed")
    }
}

impl ProgressView {
    fn of(progress: &Progress, currency: Option<&str>) -> Self {
        let [pending, sent, delivered, failed] =
            ["pending", "sent", "delivered", "failed"].map(|word| progress.of_word(word));
        Self {
            pending,
            sent,
            delivered,
            failed,
            states: progress.states.clone(),
            segments: progress.segments,
            estimated_cost: progress
                .cost()
                .zip(currency)
                .map(|(amount, currency)| Cost::in_currency(amount, currency)),
        }
    }
}

/// A recipient of a bulk.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct RecipientView {
    /// Its number in the request, from 1.
    pub(super) line: u32,
    /// E.164; of a refused line what was given, shortened.
    #[schema(example = "+33612345678")]
    to: String,
    name: Option<String>,
    /// `pending`, `refused`, or the status of its message.
    #[schema(example = "delivered")]
    state: String,
    /// Why it stands there: a stable code.
    code: Option<String>,
    /// The field at fault of a refused line.
    field: Option<String>,
    /// Why, for a person.
    reason: Option<String>,
    /// Its message; null if it was refused.
    message_id: Option<Uuid>,
    /// How often it was tried anew.
    round: u32,
    segments: u32,
    /// Twilio's id of the message.
    sid: Option<String>,
    /// Twilio's error code.
    twilio_code: Option<i32>,
    updated_at: Option<String>,
}

impl From<RecipientRow> for RecipientView {
    fn from(row: RecipientRow) -> Self {
        Self {
            line: row.line,
            to: row.recipient,
            name: row.name,
            state: row.state,
            code: row.code,
            field: row.field,
            reason: row.sentence,
            message_id: row.job_id,
            round: row.round,
            segments: row.segments,
            sid: row.sid,
            twilio_code: row.twilio_code,
            updated_at: row.updated_at.map(|at| at.to_string()),
        }
    }
}

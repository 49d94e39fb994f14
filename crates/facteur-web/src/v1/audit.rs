//! `GET /v1/audit`: who did what.

use axum::extract::State;
use facteur_core::Timestamp;
use facteur_postgres::audit::{self, AuditFilter, AuditRow, MessageFate};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::Principal;
use crate::error::ApiError;
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::state::App;

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Of this tenant; without it, of every tenant that the bearer sees.
    tenant: Option<String>,
    /// By this actor, such as `key:fk_2sV9qWxY`.
    actor: Option<String>,
    /// Of this kind, such as `send_sms` or `key_created`.
    action: Option<String>,
    /// About this, such as a key's id.
    subject: Option<String>,
    /// Not before this instant.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Before this instant.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// `next_cursor` of the page before; without it, the first page.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// A record of what somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditBody {
    id: i64,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `*` where it concerns all tenants.
    #[schema(example = "default")]
    tenant: String,
    #[schema(example = "key:fk_2sV9qWxY")]
    actor: String,
    #[schema(example = "key_created")]
    action: String,
    /// What it was about.
    subject: Option<String>,
    /// `X-Request-Id` of the request by which it was done.
    request_id: Option<String>,
    /// What else was written down.
    #[schema(value_type = Object)]
    details: serde_json::Value,
    /// What became of the messages that `details.messages` names.
    messages: Vec<AuditMessage>,
}

/// What became of a message.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditMessage {
    id: Uuid,
    /// Null if the message is not known any more.
    #[schema(example = "delivered")]
    status: Option<String>,
    /// Twilio's SID of the last attempt.
    #[schema(example = "SM00000000000000000000000000000001")]
    sid: Option<String>,
    /// Twilio's error code of the last attempt.
    error_code: Option<i32>,
}

impl From<AuditRow> for AuditBody {
    fn from(row: AuditRow) -> Self {
        let AuditRow { id, at, entry, messages } = row;
        let audit::Entry { tenant, actor, action, subject, request_id, details } = entry;
        let message =
            |MessageFate { id, status, sid, code }| AuditMessage { id, status, sid, error_code: code };
        let messages = messages.into_iter().map(message).collect();
        Self { id, at, tenant, actor, action, subject, request_id, details, messages }
    }
}

/// Who did what, the newest first: one record for each call that sends, and for each act of an administrator.
/// With `actor`, `action` or `subject`, a page looks at 20,000 records: it may be short or empty and still have a
/// `next_cursor`; `since` and `until` lead on faster.
#[utoipa::path(
    get,
    path = "/v1/audit",
    tag = "access",
    params(AuditQuery),
    responses((status = 200, body = Page<AuditBody>))
)]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(asked): Query<AuditQuery>,
) -> Result<Json<Page<AuditBody>>, ApiError> {
    let AuditQuery { tenant, actor, action, subject, since, until, cursor, limit } = asked;
    let page = PageQuery { cursor, limit };
    let (limit, after) = (page.limit()?, page.after()?);
    let tenant = match (tenant.as_deref(), principal.scope()) {
        (None, own) => own.map(str::to_owned),
        // Records of all tenants stand under a name that no tenant has.
        (Some(audit::ALL_TENANTS), None) => Some(audit::ALL_TENANTS.to_owned()),
        (asked, _) => Some(principal.tenant_for(asked)?.to_string()),
    };
    let filter = AuditFilter { tenant, actor, action, subject, since, until };
    let page = Page::from(audit::list(&app.database, &filter, after, limit).await?);
    Ok(Json(page.map(AuditBody::from)))
}

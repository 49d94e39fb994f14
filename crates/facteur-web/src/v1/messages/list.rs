//! `GET /v1/messages`: a tenant's messages, the newest first.

use axum::extract::State;
use facteur_core::Timestamp;
use facteur_core::job::{Category, Channel};
use facteur_core::phone::PhoneNumber;
use facteur_core::sender::Sender;
use facteur_core::status::Status;
use facteur_postgres::listing::{self, MessageFilter};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::view::Message;
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::state::{App, AppState};

/// Which messages.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Whose; the key's own tenant if absent.
    tenant: Option<String>,
    /// Only those in this status; several are separated by commas.
    #[param(example = "waiting,sending")]
    status: Option<String>,
    /// `sms`, `mms` or `whatsapp`.
    channel: Option<String>,
    /// Only those to this number.
    #[param(example = "+33612345678")]
    to: Option<String>,
    /// Only those from this sender.
    from: Option<String>,
    /// `otp`, `transactional` or `marketing`.
    category: Option<String>,
    /// Only those of this bulk.
    bulk_id: Option<Uuid>,
    /// Only those accepted at this instant or later (RFC 3339).
    since: Option<String>,
    /// Only those accepted before this instant (RFC 3339).
    until: Option<String>,
    /// `next_cursor` of the page before; without it, the first page.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// A tenant's messages, the newest first. A page may hold fewer rows than `limit`, or none, and still have a
/// `next_cursor`: then more remain to be looked at.
#[utoipa::path(
    get,
    path = "/v1/messages",
    tag = "messages",
    params(ListQuery),
    responses((status = 200, body = Page<Message>), (status = 400, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<Message>>, ApiError> {
    let filter = query.filter(&app, &principal)?;
    let page = listing::page(&app.database, &filter).await?;
    Ok(Json(Page {
        data: page.messages.into_iter().map(Message::from).collect(),
        next_cursor: page.next.map(crate::page::cursor),
    }))
}

impl ListQuery {
    fn filter(self, app: &AppState, principal: &Principal) -> Result<MessageFilter, ApiError> {
        let page = PageQuery { cursor: self.cursor, limit: self.limit };
        let statuses = self.status.as_deref().map_or(Ok(Vec::new()), statuses)?;
        let known = |field: &'static str, text: Option<String>, is_known: fn(&str) -> bool| {
            text.map(
                |text| if is_known(&text) { Ok(text) } else { Err(wrong(field, "is not one that exists")) },
            )
            .transpose()
        };
        let to = self.to.map(|to| {
            // A plus sign that was not escaped arrives as a space.
            let number = PhoneNumber::parse(to.trim(), app.jobs.defaults.country);
            number.map(|number| number.reveal().to_owned()).map_err(|why| wrong("to", &why.to_string()))
        });
        let from = self.from.map(|from| Sender::parse(&from).map_err(|why| wrong("from", &why)));
        Ok(MessageFilter {
            tenant: principal.tenant_for(self.tenant.as_deref())?.as_str().to_owned(),
            statuses,
            channel: known("channel", self.channel, |text| Channel::from_name(text).is_some())?,
            to: to.transpose()?,
            from: from.transpose()?.map(|from| from.as_str().to_owned()),
            category: known("category", self.category, |text| Category::from_name(text).is_some())?,
            bulk_id: self.bulk_id,
            since: instant("since", self.since.as_deref())?,
            until: instant("until", self.until.as_deref())?,
            after: page.after()?,
            limit: page.limit()?,
        })
    }
}

fn statuses(text: &str) -> Result<Vec<Status>, ApiError> {
    let status =
        |name: &str| Status::from_name(name.trim()).ok_or_else(|| wrong("status", "is not one that exists"));
    text.split(',').map(status).collect()
}

fn instant(field: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, ApiError> {
    // A plus sign that was not escaped arrives as a space; no instant holds one but before its offset.
    let read = |text: &str| text.trim().replace(' ', "+").parse();
    let instant = text.map(read).transpose();
    instant.map_err(|_| wrong(field, "is not an RFC 3339 instant such as 2026-12-01T08:00:00Z"))
}

fn wrong(field: &'static str, what: &str) -> ApiError {
    let error = ApiError::invalid("invalid_field", format!("`{field}` {what}")).field(field);
    ApiError { status: axum::http::StatusCode::BAD_REQUEST, ..error }
}

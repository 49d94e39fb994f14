//! `/v1/contacts`: who wrote to us, or was written to from the inbox.

use axum::extract::State;
use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::phone::PhoneNumber;
use facteur_core::reason::ReasonCode;
use facteur_postgres::contacts::{self, Contact};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::inbox;
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::state::{App, AppState};

/// Somebody who wrote to us, or was written to from the inbox.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactView {
    id: Uuid,
    tenant: String,
    /// In E.164, or whatever else Twilio names somebody by, such as a short code.
    #[schema(example = "+33612345678")]
    number: String,
    name: Option<String>,
    /// Whether one of the tenant's senders, or none of them, may write to it.
    is_opted_out: bool,
    #[schema(value_type = String, format = DateTime)]
    first_seen_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    last_seen_at: Timestamp,
}

impl From<Contact> for ContactView {
    fn from(contact: Contact) -> Self {
        let Contact { id, tenant, number, name, is_opted_out, first_seen_at, last_seen_at } = contact;
        Self { id, tenant, number, name, is_opted_out, first_seen_at, last_seen_at }
    }
}

/// Which ones.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ContactQuery {
    /// Only the one of this number, in any spelling (`+` is written `%2B` in a query).
    pub(crate) number: Option<String>,
    /// Whose; a superadmin's key names it, others have their own.
    pub(crate) tenant: Option<String>,
    /// `next_cursor` of the page before; without it, the first page.
    pub(crate) cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    pub(crate) limit: Option<u16>,
}

/// Contacts, those that appeared last first.
#[utoipa::path(
    get,
    path = "/v1/contacts",
    tag = "inbox",
    params(ContactQuery),
    responses((status = 200, body = Page<ContactView>), (status = 422, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<ContactQuery>,
) -> Result<Json<Page<ContactView>>, ApiError> {
    let page = found(&app, &principal, query).await?;
    let data = page.data.into_iter().map(ContactView::from).collect();
    Ok(Json(Page { data, next_cursor: page.next_cursor }))
}

/// A page of contacts.
pub(crate) async fn found(
    app: &AppState,
    principal: &Principal,
    query: ContactQuery,
) -> Result<Page<Contact>, ApiError> {
    let ContactQuery { number, tenant, cursor, limit } = query;
    let tenant = principal.tenant_for(tenant.as_deref())?;
    let page = PageQuery { cursor, limit };
    let (limit, after) = (page.limit()?, page.after()?);
    let number = match number {
        Some(text) => Some(read(app, &tenant, &text).await?),
        None => None,
    };
    let number = number.as_ref().map(PhoneNumber::reveal);
    let rows = contacts::list(&app.database, &tenant, number, after, i64::from(limit) + 1).await?;
    Ok(Page::of(rows, limit, Contact::position))
}

async fn read(app: &AppState, tenant: &Tenant, text: &str) -> Result<PhoneNumber, ApiError> {
    let own = app.directory.rules_of(tenant).await.default_country;
    // A plus sign that was not escaped arrives in a query as a space.
    let text = match text.strip_prefix(' ') {
        Some(digits) if digits.starts_with(|first: char| first.is_ascii_digit()) => format!("+{digits}"),
        _ => text.to_owned(),
    };
    PhoneNumber::parse(&text, own.unwrap_or(app.jobs.defaults.country)).map_err(|why| {
        ApiError::invalid(ReasonCode::NumberInvalid.as_str(), format!("`number` {why}")).field("number")
    })
}

/// Reads one contact.
#[utoipa::path(
    get,
    path = "/v1/contacts/{id}",
    tag = "inbox",
    params(("id" = Uuid, Path, description = "The contact's id.", example = "0197c1de-0000-7000-8000-00000000ab02")),
    responses((status = 200, body = ContactView), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn one(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<Json<ContactView>, ApiError> {
    Ok(Json(inbox::contact(&app, &principal, id).await?.into()))
}

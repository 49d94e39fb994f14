//! `/v1/contacts`: who wrote to us, or was written to from the inbox.

use axum::extract::State;
use axum::http::StatusCode;
use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::phone::PhoneNumber;
use facteur_core::reason::ReasonCode;
use facteur_postgres::consents::{self, Consent, SOURCE_CHARS_MAX};
use facteur_postgres::contacts::{self, Contact};
use facteur_postgres::erasures::{self, Erasure};
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
use crate::v1::templates::shapes::ChannelName;

const ON_THE_WAY: &str = "a message to this contact is on its way, or waits in a bulk: cancel it or come again when it has \
                          ended";

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

/// A contact, with what it agreed to.
#[derive(Serialize, ToSchema)]
pub(crate) struct ContactDetails {
    #[serde(flatten)]
    contact: ContactView,
    /// On which channels it agreed to be written to when something happens.
    consents: Vec<ConsentView>,
}

/// That a contact agreed to be written to on a channel when something happens.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConsentView {
    /// `sms`, `mms` or `whatsapp`.
    #[schema(example = "sms")]
    channel: String,
    #[schema(value_type = String, format = DateTime)]
    given_at: Timestamp,
    /// Who told us, or where it was given.
    #[schema(example = "form of 12 March, signed")]
    source: String,
}

impl From<Consent> for ConsentView {
    fn from(consent: Consent) -> Self {
        let Consent { channel, given_at, source } = consent;
        Self { channel, given_at, source }
    }
}

/// Whether a contact agrees.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"given": true, "source": "form of 12 March, signed"}))]
pub(crate) struct ConsentBody {
    /// False withdraws it: messages of events stop on this channel. That is no opt-out, which is a suppression.
    given: bool,
    /// Who told us, or where it was given, without personal data: 1 to 200 characters.
    source: String,
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
    Ok(Json(page.map(ContactView::from)))
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
    responses((status = 200, body = ContactDetails), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn one(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<Json<ContactDetails>, ApiError> {
    let contact = inbox::contact(&app, &principal, id).await?;
    Ok(Json(details(&app, contact).await?))
}

async fn details(app: &AppState, contact: Contact) -> Result<ContactDetails, ApiError> {
    let consents = consents::of_number(&app.database, &contact.tenant, &contact.number).await?;
    Ok(ContactDetails { contact: contact.into(), consents: consents.into_iter().map(Into::into).collect() })
}

/// Sets whether a contact agrees to be written to on a channel when something happens. The first record of a consent
/// stands; who sends without an event asks nobody.
#[utoipa::path(
    put,
    path = "/v1/contacts/{id}/consents/{channel}",
    tag = "inbox",
    params(
        ("id" = Uuid, Path, description = "The contact's id.", example = "0197c1de-0000-7000-8000-00000000ab02"),
        ("channel" = ChannelName, Path, description = "The channel.", example = "sms")
    ),
    request_body = ConsentBody,
    responses(
        (status = 200, body = ContactDetails),
        (status = 404, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>))
    )
)]
pub(crate) async fn set_consent(
    State(app): State<App>,
    principal: Principal,
    Path((id, channel)): Path<(Uuid, ChannelName)>,
    Json(body): Json<ConsentBody>,
) -> Result<Json<ContactDetails>, ApiError> {
    let contact = inbox::contact(&app, &principal, id).await?;
    let is_fine = !body.source.trim().is_empty() && body.source.chars().count() <= SOURCE_CHARS_MAX;
    if !is_fine {
        return Err(ApiError::invalid("invalid_field", "`source` has 1 to 200 characters").field("source"));
    }
    let what = (body.given, body.source.as_str());
    consents::set_by(&app.database, id, channel.channel(), what, principal.by()).await?;
    Ok(Json(details(&app, contact).await?))
}

/// Erases a contact: its name, its number, its messages' texts and media, and those of the messages to it are forgotten
/// here; the rows stay, so that counts stay right. An opt-out stays, with its number, and so does what Twilio has. While
/// a message to it is on its way, nothing is erased: cancel it, or come again when it has ended.
#[utoipa::path(
    delete,
    path = "/v1/contacts/{id}",
    tag = "inbox",
    params(("id" = Uuid, Path, description = "The contact's id.", example = "0197c1de-0000-7000-8000-00000000ab05")),
    responses(
        (status = 204),
        (status = 404, body = inline(ErrorBody<'_>)),
        (status = 409, description = "A message to it is on its way.", body = inline(ErrorBody<'_>))
    )
)]
pub(crate) async fn erase(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    let contact = inbox::contact(&app, &principal, id).await?;
    match erasures::erase(&app.database, &contact, principal.by()).await? {
        Erasure::Done(_) => Ok(StatusCode::NO_CONTENT),
        Erasure::Unknown => Err(inbox::NO_CONTACT),
        Erasure::OnTheWay => Err(ApiError::conflict("message_on_its_way", ON_THE_WAY)),
    }
}

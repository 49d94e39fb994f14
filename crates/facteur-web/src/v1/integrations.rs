//! `/v1/integrations`: the accounts at Twilio over which a tenant sends. Credentials go in and never come out.

pub(crate) mod fields;

use axum::extract::State;
use axum::http::StatusCode;
use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::integration::IntegrationType;
use facteur_postgres::integrations::{
    self, IntegrationError, IntegrationPatch, IntegrationRow, NewIntegration,
};
use facteur_postgres::page::Position;
use facteur_twilio::authorisation;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::state::{App, AppState};
use fields::{number, secrets, sid};

const TAG: &str = "integrations";

/// An integration. There is nothing secret in it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11", "tenant": "acme", "name": "SMS Twilio Principal",
    "integration_type": "sms", "account_sid": "AC00000000000000000000000000000001", "api_key_sid": null,
    "phone_number": "+33612345678", "messaging_service_sid": null, "is_active": true, "is_default": true,
    "last_test": {"at": "2026-12-01T08:00:00Z", "result": "ok", "message": "Twilio takes the credentials"},
    "changed_by": "key:fk_2sV9qWxY", "created_at": "2026-12-01T08:00:00Z", "updated_at": "2026-12-01T08:00:00Z"
}))]
pub(crate) struct IntegrationView {
    pub(crate) id: Uuid,
    pub(crate) tenant: String,
    pub(crate) name: String,
    /// `sms` (SMS and MMS) or `whatsapp`.
    pub(crate) integration_type: &'static str,
    pub(crate) account_sid: String,
    /// The API key that authorises calls; null if the auth token does.
    pub(crate) api_key_sid: Option<String>,
    /// From which number a message leaves that names no sender.
    pub(crate) phone_number: Option<String>,
    /// The Messaging Service in the number's place.
    pub(crate) messaging_service_sid: Option<String>,
    /// While it is not, what would leave over it waits.
    pub(crate) is_active: bool,
    /// Whether it is its tenant's default of its type.
    pub(crate) is_default: bool,
    pub(crate) last_test: Option<LastTest>,
    pub(crate) changed_by: String,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) updated_at: Timestamp,
}

/// The last look at the account with its credentials.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LastTest {
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// `ok`, `not_active`, `bad_credentials`, `unreachable` or `unexpected`.
    result: String,
    message: String,
}

impl From<IntegrationRow> for IntegrationView {
    fn from(row: IntegrationRow) -> Self {
        let last_test = row.tested.map(|(at, result, message)| LastTest { at, result, message });
        Self {
            id: row.id,
            tenant: row.tenant,
            name: row.name,
            integration_type: row.kind.as_str(),
            account_sid: row.account_sid,
            api_key_sid: row.api_key_sid,
            phone_number: row.phone_number,
            messaging_service_sid: row.messaging_service_sid,
            is_active: row.is_active,
            is_default: row.is_default,
            last_test,
            changed_by: row.changed_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// What an integration carries.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TypeName {
    /// SMS and MMS.
    Sms,
    /// WhatsApp.
    Whatsapp,
}

impl From<TypeName> for IntegrationType {
    fn from(name: TypeName) -> Self {
        match name {
            TypeName::Sms => Self::Sms,
            TypeName::Whatsapp => Self::Whatsapp,
        }
    }
}

/// An integration to be created. The account's credentials may be left out if another integration of the tenant has
/// the same account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "Compte principal", "integration_type": "sms", "account_sid": "AC00000000000000000000000000000001",
    "auth_token": "0123456789abcdef0123456789abcdef", "phone_number": "+33612345678"
}))]
pub(crate) struct NewIntegrationBody {
    /// Whose; the key's tenant if absent.
    pub(crate) tenant: Option<String>,
    /// 1 to 100 characters, once for each tenant.
    pub(crate) name: String,
    pub(crate) integration_type: TypeName,
    /// `AC` and 32 hexadecimal digits. An account serves one tenant.
    pub(crate) account_sid: String,
    /// The account's auth token: authorises calls unless there is an API key, and verifies callbacks.
    #[schema(value_type = Option<String>)]
    pub(crate) auth_token: Option<SecretString>,
    /// `SK` and 32 hexadecimal digits.
    pub(crate) api_key_sid: Option<String>,
    /// The API key's secret.
    #[schema(value_type = Option<String>)]
    pub(crate) api_secret: Option<SecretString>,
    /// A number with its country code, a short code or an alphanumeric id.
    pub(crate) phone_number: Option<String>,
    /// `MG` and 32 hexadecimal digits.
    pub(crate) messaging_service_sid: Option<String>,
    /// True if absent.
    pub(crate) is_active: Option<bool>,
}

/// What is to be changed; what is absent stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"auth_token": "fedcba9876543210fedcba9876543210"}))]
pub(crate) struct IntegrationPatchBody {
    pub(crate) name: Option<String>,
    /// The old token still verifies callbacks.
    #[schema(value_type = Option<String>)]
    pub(crate) auth_token: Option<SecretString>,
    pub(crate) api_key_sid: Option<String>,
    #[schema(value_type = Option<String>)]
    pub(crate) api_secret: Option<SecretString>,
    /// An empty text takes it away.
    pub(crate) phone_number: Option<String>,
    /// An empty text takes it away.
    pub(crate) messaging_service_sid: Option<String>,
    pub(crate) is_active: Option<bool>,
}

/// What Twilio said about the account and its credentials.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"is_ok": true, "result": "ok", "message": "Twilio takes the credentials: the account is Mairie (Full, active)"}))]
pub(crate) struct TestView {
    /// Whether messages may be sent.
    pub(crate) is_ok: bool,
    /// `ok`, `not_active`, `bad_credentials`, `unreachable` or `unexpected`.
    pub(crate) result: &'static str,
    /// The same for a person, with what to do.
    pub(crate) message: String,
}

/// Lists integrations, the newest first.
#[utoipa::path(get, path = "/v1/integrations", tag = TAG, params(PageQuery),
    responses((status = 200, body = Page<IntegrationView>), (status = 401, body = inline(ErrorBody<'_>))))]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(page): Query<PageQuery>,
) -> Result<Json<Page<IntegrationView>>, ApiError> {
    let (limit, after, scope) = (page.limit()?, page.after()?, scope(&principal));
    let rows = integrations::list(&app.database, scope.as_ref(), after, i64::from(limit) + 1).await?;
    let views = rows.into_iter().map(IntegrationView::from).collect();
    Ok(Json(Page::of(views, limit, |view: &IntegrationView| Position { at: view.created_at, id: view.id })))
}

/// Creates an integration. The first one of a tenant and type becomes its default.
#[utoipa::path(post, path = "/v1/integrations", tag = TAG, request_body = NewIntegrationBody,
    responses((status = 201, body = IntegrationView), (status = 409, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn create(
    State(app): State<App>,
    principal: Principal,
    Json(body): Json<NewIntegrationBody>,
) -> Result<(StatusCode, Json<IntegrationView>), ApiError> {
    let tenant = principal.tenant_for(body.tenant.as_deref())?;
    Ok((StatusCode::CREATED, Json(created(&app, &principal, tenant, body).await?)))
}

/// Reads one integration.
#[utoipa::path(get, path = "/v1/integrations/{id}", tag = TAG, params(("id" = Uuid, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    responses((status = 200, body = IntegrationView), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn read(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<IntegrationView>, ApiError> {
    Ok(Json(found(&app, &principal, &id).await?.into()))
}

/// Changes an integration, its credentials included; running workers use the new ones within a second.
#[utoipa::path(patch, path = "/v1/integrations/{id}", tag = TAG, params(("id" = Uuid, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    request_body = IntegrationPatchBody,
    responses((status = 200, body = IntegrationView), (status = 404, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn update(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
    Json(body): Json<IntegrationPatchBody>,
) -> Result<Json<IntegrationView>, ApiError> {
    Ok(Json(updated(&app, &principal, &id, body).await?))
}

/// Deactivates an integration: what would leave over it waits, and its history stays. PATCH with `is_active` activates
/// it again.
#[utoipa::path(delete, path = "/v1/integrations/{id}", tag = TAG, params(("id" = Uuid, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    responses((status = 200, body = IntegrationView), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn deactivate(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<IntegrationView>, ApiError> {
    let body = IntegrationPatchBody { is_active: Some(false), ..IntegrationPatchBody::default() };
    Ok(Json(updated(&app, &principal, &id, body).await?))
}

/// Makes an integration its tenant's default of its type.
#[utoipa::path(post, path = "/v1/integrations/{id}/default", tag = TAG, params(("id" = Uuid, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    responses((status = 200, body = IntegrationView), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn make_default(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<IntegrationView>, ApiError> {
    let scope = scope(&principal);
    let row = integrations::set_default(&app.database, scope.as_ref(), parse(&id)?, principal.by()).await?;
    Ok(Json(row.into()))
}

/// Asks Twilio for the account with the stored credentials. Sends nothing.
#[utoipa::path(post, path = "/v1/integrations/{id}/test", tag = TAG, params(("id" = Uuid, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    responses((status = 200, body = TestView), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn test(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<TestView>, ApiError> {
    Ok(Json(tested(&app, &principal, &id).await?))
}

/// Creates an integration out of a body whose tenant is known.
pub(crate) async fn created(
    app: &AppState,
    principal: &Principal,
    tenant: Tenant,
    body: NewIntegrationBody,
) -> Result<IntegrationView, ApiError> {
    let account_sid = sid("account_sid", &body.account_sid, "AC")?;
    // The account of the environment is known to this process, not to the database.
    if app.twilio.is_home(&account_sid) && tenant != Tenant::default_tenant() {
        return Err(IntegrationError::AccountTaken.into());
    }
    let new = NewIntegration {
        tenant,
        name: body.name,
        kind: body.integration_type.into(),
        account_sid,
        api_key_sid: body.api_key_sid.map(|text| sid("api_key_sid", &text, "SK")).transpose()?,
        secrets: secrets(body.auth_token, body.api_secret)?,
        phone_number: body.phone_number.as_deref().map(number).transpose()?,
        messaging_service_sid: body
            .messaging_service_sid
            .map(|text| sid("messaging_service_sid", &text, "MG"))
            .transpose()?,
        is_active: body.is_active.unwrap_or(true),
    };
    Ok(integrations::create(&app.database, &app.keyring, &new, principal.by()).await?.into())
}

/// Changes an integration of whoever asks.
pub(crate) async fn updated(
    app: &AppState,
    principal: &Principal,
    id: &str,
    body: IntegrationPatchBody,
) -> Result<IntegrationView, ApiError> {
    let (scope, id) = (scope(principal), parse(id)?);
    let taken_away = |text: &String| text.is_empty();
    let phone_number =
        body.phone_number.map(|text| if taken_away(&text) { Ok(None) } else { number(&text).map(Some) });
    let service = body.messaging_service_sid.map(|text| {
        if taken_away(&text) { Ok(None) } else { sid("messaging_service_sid", &text, "MG").map(Some) }
    });
    let patch = IntegrationPatch {
        name: body.name,
        api_key_sid: body.api_key_sid.map(|text| sid("api_key_sid", &text, "SK")).transpose()?,
        secrets: secrets(body.auth_token, body.api_secret)?,
        phone_number: phone_number.transpose()?,
        messaging_service_sid: service.transpose()?,
    };
    let of = (scope.as_ref(), id);
    let by = principal.by();
    // What is only switched on or off is no other change.
    let mut row = if body.is_active.is_some() && patch.is_empty() {
        integrations::find(&app.database, scope.as_ref(), id).await?
    } else {
        integrations::update(&app.database, &app.keyring, of, &patch, by).await?
    };
    if let Some(is_active) = body.is_active.filter(|is_active| *is_active != row.is_active) {
        row = integrations::set_active(&app.database, of, is_active, by).await?;
    }
    Ok(row.into())
}

/// One integration of whoever asks.
pub(crate) async fn found(
    app: &AppState,
    principal: &Principal,
    id: &str,
) -> Result<IntegrationRow, ApiError> {
    Ok(integrations::find(&app.database, scope(principal).as_ref(), parse(id)?).await?)
}

/// Looks at the account of an integration, and keeps what came of it.
pub(crate) async fn tested(app: &AppState, principal: &Principal, id: &str) -> Result<TestView, ApiError> {
    let row = found(app, principal, id).await?;
    let account = integrations::credentials(&app.database, &app.keyring, &row.account_sid).await?;
    let account = account.ok_or(IntegrationError::Missing)?;
    let secrets = account.secrets.map_err(IntegrationError::Vault)?;
    let auth = authorisation(account.api_key_sid.as_deref(), &secrets);
    let client = auth.and_then(|auth| app.client.for_account(&row.account_sid, auth));
    let client = client.map_err(|why| ApiError::invalid("credentials_unusable", why.to_string()))?;
    let checked = client.check_account().await;
    let view = TestView { is_ok: checked.is_ok(), result: checked.word(), message: checked.sentence() };
    integrations::tested(&app.database, &row, (view.result, &view.message), principal.by()).await?;
    Ok(view)
}

/// The tenant whose integrations whoever asks may see; `None` for all.
pub(crate) fn scope(principal: &Principal) -> Option<Tenant> {
    principal.scope().and_then(|slug| Tenant::parse(slug).ok())
}

/// What is no id is nobody's.
fn parse(id: &str) -> Result<Uuid, ApiError> {
    id.parse().map_err(|_| ApiError::not_found("there is no such integration"))
}

//! `/inbox/integrations`: the shared inbox's routes over integrations, in that app's words.

use axum::extract::State;
use axum::response::Response;
use facteur_core::ids::Tenant;
use facteur_postgres::integrations;
use facteur_postgres::page::Position;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::linked::linked;
use super::tenant::named;
use super::twice::Twice;
use crate::access::Principal;
use crate::error::{ApiError, ErrorBody};
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::state::{App, AppState};
use crate::v1::integrations::{
    IntegrationPatchBody, IntegrationView, NewIntegrationBody, TestView, TypeName, created, found, scope,
    tested, updated,
};

const TAG: &str = "inbox";

/// An integration, as this app knows it. `api_key` is never given out.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11", "company_id": "acme", "name": "SMS Twilio Principal",
    "integration_type": "sms", "account_id": "AC00000000000000000000000000000001", "phone_number": "+33612345678",
    "is_active": true, "is_default": true, "created_at": "2026-12-01T08:00:00Z", "updated_at": "2026-12-01T08:00:00Z"
}))]
pub(crate) struct InboxIntegration {
    id: String,
    /// The tenant.
    company_id: String,
    name: String,
    integration_type: &'static str,
    account_id: String,
    phone_number: Option<String>,
    is_active: bool,
    is_default: bool,
    created_at: String,
    updated_at: String,
}

impl From<IntegrationView> for InboxIntegration {
    fn from(view: IntegrationView) -> Self {
        Self {
            id: view.id.to_string(),
            company_id: view.tenant,
            name: view.name,
            integration_type: view.integration_type,
            account_id: view.account_sid,
            phone_number: view.phone_number,
            is_active: view.is_active,
            is_default: view.is_default,
            created_at: view.created_at.to_string(),
            updated_at: view.updated_at.to_string(),
        }
    }
}

/// That app's name for a tenant: a text or a number.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum CompanyId {
    /// Such as a UUID.
    Text(String),
    /// Such as 42.
    Number(i64),
}

/// An integration to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "SMS Twilio Principal", "integration_type": "sms", "account_id": "AC00000000000000000000000000000001",
    "api_key": "0123456789abcdef0123456789abcdef", "phone_number": "+33612345678", "is_active": true
}))]
pub(crate) struct InboxNew {
    company_id: Option<CompanyId>,
    name: String,
    integration_type: TypeName,
    /// The account's SID.
    account_id: String,
    /// The account's auth token.
    #[schema(value_type = Option<String>)]
    api_key: Option<SecretString>,
    phone_number: Option<String>,
    is_active: Option<bool>,
}

/// What is to be changed; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"api_key": "fedcba9876543210fedcba9876543210"}))]
pub(crate) struct InboxPatch {
    name: Option<String>,
    #[schema(value_type = Option<String>)]
    api_key: Option<SecretString>,
    phone_number: Option<String>,
    is_active: Option<bool>,
}

/// What Twilio said.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({"success": true, "message": "Twilio takes the credentials"}))]
pub(crate) struct InboxTest {
    success: bool,
    message: String,
}

impl From<TestView> for InboxTest {
    fn from(view: TestView) -> Self {
        Self { success: view.is_ok, message: view.message }
    }
}

/// Creates an integration.
#[utoipa::path(post, path = "/inbox/integrations", tag = TAG, request_body = InboxNew,
    responses((status = 200, body = Twice<InboxIntegration>), (status = 409, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn create(
    State(app): State<App>,
    principal: Principal,
    Json(body): Json<InboxNew>,
) -> Result<Json<Twice<InboxIntegration>>, ApiError> {
    let tenant = tenant(&app, &principal, body.company_id).await?;
    let new = NewIntegrationBody {
        tenant: None,
        name: body.name,
        integration_type: body.integration_type,
        account_sid: body.account_id,
        auth_token: body.api_key,
        api_key_sid: None,
        api_secret: None,
        phone_number: body.phone_number,
        messaging_service_sid: None,
        is_active: body.is_active,
    };
    let made = created(&app, &principal, tenant, new).await.map_err(in_their_words)?;
    Ok(both(made.into()))
}

/// Lists integrations, the newest first; the next page is in the `Link` header.
#[utoipa::path(get, path = "/inbox/integrations", tag = TAG, params(PageQuery),
    responses((status = 200, body = Vec<InboxIntegration>), (status = 401, body = inline(ErrorBody<'_>))))]
pub(crate) async fn list(
    State(app): State<App>,
    principal: Principal,
    Query(page): Query<PageQuery>,
) -> Result<Response, ApiError> {
    let (limit, after, scope) = (page.limit()?, page.after()?, scope(&principal));
    let rows = integrations::list(&app.database, scope.as_ref(), after, i64::from(limit) + 1).await?;
    let views: Vec<IntegrationView> = rows.into_iter().map(IntegrationView::from).collect();
    let page = Page::of(views, limit, |view: &IntegrationView| Position { at: view.created_at, id: view.id });
    let page = page.map(InboxIntegration::from);
    Ok(linked(page, &format!("/inbox/integrations?limit={limit}")))
}

/// Reads one integration.
#[utoipa::path(get, path = "/inbox/integrations/{id}", tag = TAG, params(("id" = String, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    responses((status = 200, body = Twice<InboxIntegration>), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn read(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<Twice<InboxIntegration>>, ApiError> {
    Ok(both(IntegrationView::from(found(&app, &principal, &id).await?).into()))
}

/// Changes an integration.
#[utoipa::path(patch, path = "/inbox/integrations/{id}", tag = TAG, params(("id" = String, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    request_body = InboxPatch,
    responses((status = 200, body = Twice<InboxIntegration>), (status = 404, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>))))]
pub(crate) async fn update(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
    Json(body): Json<InboxPatch>,
) -> Result<Json<Twice<InboxIntegration>>, ApiError> {
    let InboxPatch { name, api_key, phone_number, is_active } = body;
    let auth_token = api_key;
    let patch =
        IntegrationPatchBody { name, auth_token, phone_number, is_active, ..IntegrationPatchBody::default() };
    let changed = updated(&app, &principal, &id, patch).await.map_err(in_their_words)?;
    Ok(both(changed.into()))
}

/// Deactivates an integration.
#[utoipa::path(delete, path = "/inbox/integrations/{id}", tag = TAG, params(("id" = String, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    responses((status = 200, body = Twice<InboxIntegration>), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn deactivate(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<Twice<InboxIntegration>>, ApiError> {
    let patch = IntegrationPatchBody { is_active: Some(false), ..IntegrationPatchBody::default() };
    Ok(both(updated(&app, &principal, &id, patch).await?.into()))
}

/// Makes an integration its company's default of its type.
#[utoipa::path(post, path = "/inbox/integrations/{id}/default", tag = TAG, params(("id" = String, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    responses((status = 200, body = Twice<InboxIntegration>), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn make_default(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<Twice<InboxIntegration>>, ApiError> {
    let row = found(&app, &principal, &id).await?;
    let scope = scope(&principal);
    let row = integrations::set_default(&app.database, scope.as_ref(), row.id, principal.by()).await?;
    Ok(both(IntegrationView::from(row).into()))
}

/// Checks the credentials with Twilio; sends nothing.
#[utoipa::path(post, path = "/inbox/integrations/{id}/test", tag = TAG, params(("id" = String, Path, description = "The integration's id.", example = "0197c1de-0000-7000-8000-00000000fb01")),
    responses((status = 200, body = Twice<InboxTest>), (status = 404, body = inline(ErrorBody<'_>))))]
pub(crate) async fn test(
    State(app): State<App>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<Twice<InboxTest>>, ApiError> {
    Ok(both(tested(&app, &principal, &id).await?.into()))
}

/// The tenant that the app calls so: by the table of aliases, else by its slug.
async fn tenant(
    app: &AppState,
    principal: &Principal,
    company: Option<CompanyId>,
) -> Result<Tenant, ApiError> {
    let name = match company {
        None => return principal.tenant_for(None),
        Some(CompanyId::Text(text)) => text,
        Some(CompanyId::Number(number)) => number.to_string(),
    };
    named(app, principal, Some(&name)).await.map_err(|error| error.field("company_id"))
}

fn both<T: Clone>(fields: T) -> Json<Twice<T>> {
    Json(Twice::of(fields))
}

/// Names the field as this app does.
fn in_their_words(error: ApiError) -> ApiError {
    let field = match error.field.as_deref() {
        Some("account_sid") => "account_id",
        Some("auth_token") => "api_key",
        _ => return error,
    };
    let sentence =
        error.sentence.replace("`account_sid`", "`account_id`").replace("`auth_token`", "`api_key`");
    ApiError { sentence: sentence.into(), ..error }.field(field)
}

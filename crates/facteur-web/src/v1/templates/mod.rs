//! `/v1/templates`: what a tenant says, in versions, and what it would come to.

pub(crate) mod preview;
pub(crate) mod shapes;

use axum::extract::State;
use axum::http::StatusCode;
use facteur_core::notifications::{self, NOTIFICATIONS};
use facteur_postgres::page::Position;
use facteur_postgres::template_book::{self as book, Changed, TemplateFilter, TemplateRow};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::access::Principal;
use crate::error::ApiError;
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::state::App;
use shapes::{BuiltIns, ChangeTemplate, CreateTemplate, TemplateView, TemplateWithVersions};

const BUILT_IN: ApiError = ApiError::new(
    StatusCode::CONFLICT,
    "template_built_in",
    "this template ships with Facteur and can't be changed: create one of the same name and language, which takes its place",
);

/// Its routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(list_built_in))
        .routes(routes!(read, put, delete))
        .routes(routes!(preview::of_text))
        .routes(routes!(preview::of_template))
}

/// Which templates.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// Only this tenant's; without it, those of the bearer's tenant, or of all for a superadmin.
    tenant: Option<String>,
    /// Only those of this name.
    name: Option<String>,
    /// Only those of this event.
    event: Option<String>,
    /// Only those written for this channel: sms, mms or whatsapp.
    channel: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// Lists a tenant's own templates, the newest first.
#[utoipa::path(
    get,
    path = "/v1/templates",
    tag = "templates",
    params(ListQuery),
    responses((status = 200, body = Page<TemplateView>))
)]
pub(crate) async fn list(
    principal: Principal,
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<TemplateView>>, ApiError> {
    let asked = query.tenant.as_deref().map(|tenant| principal.tenant_for(Some(tenant))).transpose()?;
    let filter = TemplateFilter {
        tenant: asked.as_ref().map(facteur_core::ids::Tenant::as_str).or(principal.scope()),
        name: query.name.as_deref(),
        event: query.event.as_deref(),
        channel: query.channel.as_deref(),
    };
    let page = PageQuery { cursor: query.cursor.clone(), limit: query.limit };
    let limit = page.limit()?;
    let rows = book::list(&app.database, filter, page.after()?, limit).await?;
    let page = Page::of(rows, limit, |row| Position { at: row.created_at, id: row.id });
    Ok(Json(page.map(TemplateView::from)))
}

/// Whose view of the built-in templates.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantQuery {
    /// Whose templates take their place; without it, those of the bearer's tenant.
    tenant: Option<String>,
}

/// Lists the notification types that ship with Facteur, in French and English, and which of them the tenant replaced.
#[utoipa::path(
    get,
    path = "/v1/templates/built-in",
    tag = "templates",
    params(TenantQuery),
    responses((status = 200, body = BuiltIns))
)]
pub(crate) async fn list_built_in(
    principal: Principal,
    State(app): State<App>,
    Query(query): Query<TenantQuery>,
) -> Result<Json<BuiltIns>, ApiError> {
    let tenant = principal.tenant_for(query.tenant.as_deref())?;
    let names: Vec<&str> = notifications::names().collect();
    let own = book::own_of(&app.database, tenant.as_str(), &names).await?;
    let data = NOTIFICATIONS.iter().map(|one| {
        let is_it =
            |(name, language, _): &&(String, String, Uuid)| name == one.name && language == one.language;
        let replaced_by = own.iter().find(is_it).map(|(.., id)| *id);
        TemplateView::built_in(one, replaced_by)
    });
    Ok(Json(BuiltIns { data: data.collect() }))
}

/// Writes a new template.
#[utoipa::path(
    post,
    path = "/v1/templates",
    tag = "templates",
    request_body(content = CreateTemplate, example = json!({
        "name": "delivery_tomorrow", "language": "en", "text": "Hello {{name}}, your parcel arrives tomorrow."
    })),
    responses((status = 201, body = TemplateView))
)]
pub(crate) async fn create(
    principal: Principal,
    State(app): State<App>,
    Json(body): Json<CreateTemplate>,
) -> Result<(StatusCode, Json<TemplateView>), ApiError> {
    let row = write(&app, &principal, &body).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// Reads a template with its versions, the newest first.
#[utoipa::path(
    get,
    path = "/v1/templates/{id}",
    tag = "templates",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa21")),
    responses((status = 200, body = TemplateWithVersions))
)]
pub(crate) async fn read(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<TemplateWithVersions>, ApiError> {
    if let Some(built_in) = shapes::find_built_in(id) {
        return Ok(Json(TemplateWithVersions::of(TemplateView::built_in(built_in, None), Vec::new())));
    }
    let row = own(&app, &principal, id).await?;
    let versions = book::versions(&app.database, id).await?;
    Ok(Json(TemplateWithVersions::of(row.into(), versions)))
}

/// Changes a template. Another text is a new version, which jobs take from then on; what is left out stays as it is.
#[utoipa::path(
    put,
    path = "/v1/templates/{id}",
    tag = "templates",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa21")),
    request_body(content = ChangeTemplate, example = json!({"text": "Hello {{name}}, your parcel arrives today."})),
    responses((status = 200, body = TemplateView))
)]
pub(crate) async fn put(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Json(body): Json<ChangeTemplate>,
) -> Result<Json<TemplateView>, ApiError> {
    Ok(Json(rewrite(&app, &principal, id, &body).await?.into()))
}

/// Deletes a template with its versions. What was accepted keeps its text.
#[utoipa::path(
    delete,
    path = "/v1/templates/{id}",
    tag = "templates",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa21")),
    responses((status = 204))
)]
pub(crate) async fn delete(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    remove(&app, &principal, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The template, if it is one that the bearer may see.
pub(crate) async fn own(app: &App, principal: &Principal, id: Uuid) -> Result<TemplateRow, ApiError> {
    book::find(&app.database, principal.scope(), id).await?.ok_or(shapes::NOT_FOUND)
}

/// Writes a new template for the bearer.
pub(crate) async fn write(
    app: &App,
    principal: &Principal,
    body: &CreateTemplate,
) -> Result<TemplateRow, ApiError> {
    let tenant = principal.tenant_for(body.tenant.as_deref())?;
    let new = body.checked(tenant.as_str(), principal.by())?;
    let made = book::create(&app.database, &new).await?;
    app.templates.forget();
    made.ok_or(shapes::NAME_TAKEN)
}

/// Changes a template of the bearer's.
pub(crate) async fn rewrite(
    app: &App,
    principal: &Principal,
    id: Uuid,
    body: &ChangeTemplate,
) -> Result<TemplateRow, ApiError> {
    if shapes::find_built_in(id).is_some() {
        return Err(BUILT_IN);
    }
    let change = body.checked()?;
    let changed = book::change(&app.database, principal.scope(), id, &change, principal.by()).await?;
    app.templates.forget();
    match changed {
        Changed::Done(row) => Ok(*row),
        Changed::NotFound => Err(shapes::NOT_FOUND),
        Changed::NameTaken => Err(shapes::NAME_TAKEN),
    }
}

/// Deletes a template of the bearer's.
pub(crate) async fn remove(app: &App, principal: &Principal, id: Uuid) -> Result<(), ApiError> {
    if shapes::find_built_in(id).is_some() {
        return Err(BUILT_IN);
    }
    let was_there = book::delete(&app.database, principal.scope(), id, principal.by()).await?;
    app.templates.forget();
    if was_there { Ok(()) } else { Err(shapes::NOT_FOUND) }
}

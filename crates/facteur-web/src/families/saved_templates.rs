//! `/api/templates` of family 1: the saved message templates of a campaign front end.

use axum::extract::State;
use axum::response::Response;
use facteur_core::Timestamp;
use facteur_postgres::page::Position;
use facteur_postgres::template_book::{self as book, TemplateFilter, TemplateRow};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::linked::linked;
use super::twice::Twice;
use crate::access::Principal;
use crate::error::ApiError;
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::state::App;
use crate::v1::templates::shapes::{ChangeTemplate, ChannelName, CreateTemplate};
use crate::v1::templates::{own, remove, rewrite, write};

/// Its routes.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, update, delete))
}

/// A template that is to be saved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SaveTemplate {
    /// 1 to 64 characters.
    name: String,
    /// The text, with placeholders such as `{{nom}}`.
    content: String,
    /// The channel that it is written for.
    channel: Option<ChannelName>,
}

/// What is to be changed of it; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateTemplate {
    /// 1 to 64 characters.
    name: Option<String>,
    /// The text.
    content: Option<String>,
    /// The channel.
    channel: Option<ChannelName>,
}

/// A saved template.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SavedTemplate {
    id: Uuid,
    #[schema(example = "Invitation")]
    name: String,
    #[schema(example = "Bonjour {{nom}}")]
    content: String,
    /// Null for any.
    #[schema(example = "sms")]
    channel: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// What was deleted.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Deleted {
    pub(crate) id: Uuid,
    /// Always true.
    #[schema(example = true)]
    pub(crate) deleted: bool,
}

impl From<TemplateRow> for SavedTemplate {
    fn from(row: TemplateRow) -> Self {
        let TemplateRow { id, name, text, channel, created_at, updated_at, .. } = row;
        Self { id, name, content: text, channel, created_at, updated_at }
    }
}

/// Lists the saved templates, the newest first; the next page stands in a `Link` header.
#[utoipa::path(
    get,
    path = "/api/templates",
    tag = "family: campaigns",
    params(PageQuery),
    responses((status = 200, body = Vec<SavedTemplate>))
)]
pub(crate) async fn list(
    principal: Principal,
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Result<Response, ApiError> {
    let limit = query.limit()?;
    let filter = TemplateFilter { tenant: principal.scope(), ..TemplateFilter::default() };
    let rows = book::list(&app.database, filter, query.after()?, limit).await?;
    let page = Page::of(rows, limit, |row| Position { at: row.created_at, id: row.id });
    Ok(linked(page.map(SavedTemplate::from), &format!("/api/templates?limit={limit}")))
}

/// Saves a template.
#[utoipa::path(
    post,
    path = "/api/templates",
    tag = "family: campaigns",
    request_body(content = SaveTemplate, example = json!({
        "name": "Invitation", "content": "Bonjour {{nom}}, vous êtes invité le {{date}}", "channel": "sms"
    })),
    responses((status = 200, body = Twice<SavedTemplate>))
)]
pub(crate) async fn create(
    principal: Principal,
    State(app): State<App>,
    Json(body): Json<SaveTemplate>,
) -> Result<Json<Twice<SavedTemplate>>, ApiError> {
    let new = CreateTemplate {
        tenant: None,
        name: body.name,
        language: None,
        category: None,
        channel: body.channel,
        event: None,
        subject: None,
        text: body.content,
        is_active: None,
    };
    let row = write(&app, &principal, &new).await.map_err(as_content)?;
    Ok(Json(Twice::of(row.into())))
}

/// Reads a saved template.
#[utoipa::path(
    get,
    path = "/api/templates/{id}",
    tag = "family: campaigns",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa22")),
    responses((status = 200, body = Twice<SavedTemplate>))
)]
pub(crate) async fn read(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Twice<SavedTemplate>>, ApiError> {
    Ok(Json(Twice::of(own(&app, &principal, id).await?.into())))
}

/// Changes a saved template.
#[utoipa::path(
    method(put, patch),
    path = "/api/templates/{id}",
    tag = "family: campaigns",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa22")),
    request_body(content = UpdateTemplate, example = json!({"content": "Bonjour {{nom}}"})),
    responses((status = 200, body = Twice<SavedTemplate>))
)]
pub(crate) async fn update(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Json(body): Json<UpdateTemplate>,
) -> Result<Json<Twice<SavedTemplate>>, ApiError> {
    let change = ChangeTemplate {
        name: body.name,
        text: body.content,
        channel: body.channel.map(Some),
        ..ChangeTemplate::default()
    };
    let row = rewrite(&app, &principal, id, &change).await.map_err(as_content)?;
    Ok(Json(Twice::of(row.into())))
}

/// Deletes a saved template.
#[utoipa::path(
    delete,
    path = "/api/templates/{id}",
    tag = "family: campaigns",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa22")),
    responses((status = 200, body = Twice<Deleted>))
)]
pub(crate) async fn delete(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Twice<Deleted>>, ApiError> {
    remove(&app, &principal, id).await?;
    Ok(Json(Twice::of(Deleted { id, deleted: true })))
}

/// The family calls the text `content`.
fn as_content(error: ApiError) -> ApiError {
    let is_text = error.field.as_deref() == Some("text");
    if is_text { error.field("content") } else { error }
}

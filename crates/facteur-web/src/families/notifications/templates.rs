//! `/api/v1/admin/notification-templates`: the templates of a tenant's events.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use facteur_core::Timestamp;
use facteur_core::document::Scalar;
use facteur_core::job::{Category, Channel};
use facteur_postgres::FoundTemplate;
use facteur_postgres::page::Position;
use facteur_postgres::template_book::{self as book, TemplateFilter, TemplateRow};
use facteur_postgres::tenants;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::access::Principal;
use crate::error::ApiError;
use crate::families::linked::{linked, path_with};
use crate::families::notice::Notice;
use crate::families::saved_templates::Deleted;
use crate::families::tenant;
use crate::families::twice::Twice;
use crate::json::{Json, Query};
use crate::page::{Page, PageQuery};
use crate::path::Path;
use crate::shape::ScalarShape;
use crate::state::App;
use crate::v1::templates::preview::{Costs, PreviewView, country_of, view};
use crate::v1::templates::shapes::{self, ChangeTemplate, ChannelName, CreateTemplate, given};
use crate::v1::templates::{own, remove, rewrite, write};

const ROUTE: &str = "/api/v1/admin/notification-templates";

/// A template that is to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateNotificationTemplate {
    /// A UUID or a slug; the bearer's tenant if absent.
    tenant: Option<String>,
    /// 1 to 64 characters.
    name: String,
    /// The channel that it is written for; any if absent.
    channel: Option<ChannelName>,
    /// At which event it is sent.
    event: Option<String>,
    /// For people; no channel sends it.
    subject: Option<String>,
    /// The text, with placeholders such as `{{customer_name}}`.
    body: String,
    /// Whether it is sent; true if absent.
    is_active: Option<bool>,
    /// `fr` if absent.
    language: Option<String>,
}

/// What is to be changed of it; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateNotificationTemplate {
    /// Whose it is, if an application sends it along: it can't be changed.
    tenant: Option<String>,
    /// 1 to 64 characters.
    name: Option<String>,
    /// The channel.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<ChannelName>)]
    channel: Option<Option<ChannelName>>,
    /// At which event it is sent.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    event: Option<Option<String>>,
    /// For people.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    subject: Option<Option<String>>,
    /// The text: another one is a new version.
    body: Option<String>,
    /// Whether it is sent.
    is_active: Option<bool>,
    /// Its language.
    language: Option<String>,
}

/// A template of an event.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct NotificationTemplate {
    id: Uuid,
    /// The tenant's slug.
    #[schema(example = "default")]
    tenant: String,
    name: String,
    #[schema(example = "sms")]
    channel: Option<String>,
    #[schema(example = "ticket_created")]
    event: Option<String>,
    subject: Option<String>,
    #[schema(example = "Bonjour {{customer_name}}")]
    body: String,
    is_active: bool,
    #[schema(example = "fr")]
    language: String,
    version: i32,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<TemplateRow> for NotificationTemplate {
    fn from(row: TemplateRow) -> Self {
        Self {
            id: row.id,
            tenant: row.tenant,
            name: row.name,
            channel: row.channel,
            event: row.event,
            subject: row.subject,
            body: row.text,
            is_active: row.is_active,
            language: row.language,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Which templates.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// A UUID or a slug; the bearer's tenant if absent, or all for a superadmin.
    tenant: Option<String>,
    /// Only those of this event.
    event: Option<String>,
    /// Only those of this channel.
    channel: Option<String>,
    /// Where the page begins: out of the `Link` header of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// Lists templates, the newest first; the next page stands in a `Link` header.
#[utoipa::path(
    get,
    path = "/api/v1/admin/notification-templates",
    tag = "family: queue management",
    params(ListQuery),
    responses((status = 200, body = Vec<NotificationTemplate>))
)]
pub(crate) async fn list(
    principal: Principal,
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let tenant = match &query.tenant {
        Some(name) => Some(tenant::named(&app, &principal, Some(name)).await?),
        None => None,
    };
    let filter = TemplateFilter {
        tenant: tenant.as_ref().map(facteur_core::ids::Tenant::as_str).or(principal.scope()),
        event: query.event.as_deref(),
        channel: query.channel.as_deref(),
        ..TemplateFilter::default()
    };
    let asked = PageQuery { cursor: query.cursor.clone(), limit: query.limit };
    let limit = asked.limit()?;
    let rows = book::list(&app.database, filter, asked.after()?, limit).await?;
    let page = Page::of(rows, limit, |row| Position { at: row.created_at, id: row.id });
    let path = path_with(
        ROUTE,
        &[
            ("tenant", query.tenant),
            ("event", query.event),
            ("channel", query.channel),
            ("limit", Some(limit.to_string())),
        ],
    );
    Ok(linked(page.map(NotificationTemplate::from), &path))
}

/// Creates a template.
#[utoipa::path(
    post,
    path = "/api/v1/admin/notification-templates",
    tag = "family: queue management",
    request_body(content = CreateNotificationTemplate, example = json!({
        "name": "Ticket created", "channel": "sms", "event": "ticket_created", "subject": "Your ticket",
        "body": "Bonjour {{customer_name}}, votre ticket est {{ticket_number}}.", "is_active": true
    })),
    responses((status = 200, body = Twice<NotificationTemplate>))
)]
pub(crate) async fn create(
    principal: Principal,
    State(app): State<App>,
    Json(body): Json<CreateNotificationTemplate>,
) -> Result<Json<Twice<NotificationTemplate>>, ApiError> {
    let tenant = tenant::named(&app, &principal, body.tenant.as_deref()).await?;
    let new = CreateTemplate {
        tenant: Some(tenant.as_str().to_owned()),
        name: body.name,
        language: body.language,
        category: None,
        channel: body.channel,
        event: body.event,
        subject: body.subject,
        text: body.body,
        is_active: body.is_active,
    };
    let row = write(&app, &principal, &new).await.map_err(as_body)?;
    Ok(Json(Twice::of(row.into())))
}

/// Reads a template.
#[utoipa::path(
    get,
    path = "/api/v1/admin/notification-templates/{id}",
    tag = "family: queue management",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa23")),
    responses((status = 200, body = Twice<NotificationTemplate>))
)]
pub(crate) async fn read(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Twice<NotificationTemplate>>, ApiError> {
    Ok(Json(Twice::of(own(&app, &principal, id).await?.into())))
}

/// Changes a template. Another text is a new version.
#[utoipa::path(
    method(put, patch),
    path = "/api/v1/admin/notification-templates/{id}",
    tag = "family: queue management",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa23")),
    request_body(content = UpdateNotificationTemplate, example = json!({"is_active": false})),
    responses((status = 200, body = Twice<NotificationTemplate>))
)]
pub(crate) async fn update(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Json(body): Json<UpdateNotificationTemplate>,
) -> Result<Json<Twice<NotificationTemplate>>, ApiError> {
    if let Some(name) = &body.tenant {
        let tenant = tenant::named(&app, &principal, Some(name)).await?;
        if own(&app, &principal, id).await?.tenant != tenant.as_str() {
            let sentence = "a template stays with its tenant: create one for the other tenant";
            return Err(ApiError::invalid("invalid_field", sentence).field("tenant"));
        }
    }
    let change = ChangeTemplate {
        name: body.name,
        language: body.language,
        category: None,
        channel: body.channel,
        event: body.event,
        subject: body.subject,
        text: body.body,
        is_active: body.is_active,
    };
    let row = rewrite(&app, &principal, id, &change).await.map_err(as_body)?;
    Ok(Json(Twice::of(row.into())))
}

/// Deletes a template.
#[utoipa::path(
    delete,
    path = "/api/v1/admin/notification-templates/{id}",
    tag = "family: queue management",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa23")),
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

/// With what a template is previewed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewContext {
    /// Values of its placeholders.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, ScalarShape>)]
    context: BTreeMap<String, Scalar>,
}

/// What a template would come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotificationPreview {
    subject: Option<String>,
    /// The text, as in `text`.
    body: String,
    #[serde(flatten)]
    preview: PreviewView,
}

/// Previews a template as it would be sent, dates written out.
#[utoipa::path(
    post,
    path = "/api/v1/admin/notification-templates/{id}/preview",
    tag = "family: queue management",
    params(("id" = Uuid, Path, description = "The template's id", example = "0197c1de-0000-7000-8000-00000000fa23")),
    request_body(content = PreviewContext, example = json!({"context": {"customer_name": "Awa", "ticket_number": "A042"}})),
    responses((status = 200, body = NotificationPreview))
)]
pub(crate) async fn preview(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Json(body): Json<PreviewContext>,
) -> Result<Json<NotificationPreview>, ApiError> {
    let row = own(&app, &principal, id).await?;
    let tenant = principal.tenant_for(Some(&row.tenant))?;
    let settings = tenants::get(&app.database, &tenant).await?;
    let channel = row.channel.as_deref().and_then(Channel::from_name);
    let costs = Costs::of_one(&app.prices, country_of(&app, &tenant, None).await?);
    let category = Category::from_name(&row.category).unwrap_or_default();
    let found = FoundTemplate { text: row.text, category, language: row.language };
    let notice = Notice::of(&row.name, found, &body.context, &settings);
    let preview = view(&shapes::parse(&notice.found.text)?, &notice.values, channel, costs)?;
    Ok(Json(NotificationPreview { subject: row.subject, body: preview.text.clone(), preview }))
}

/// The family calls the text `body`.
fn as_body(error: ApiError) -> ApiError {
    let is_text = error.field.as_deref() == Some("text");
    if is_text { error.field("body") } else { error }
}

//! `/api/v1/notifications`: messages, as a queue-management system knows them.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use facteur_core::Timestamp;
use facteur_core::document::{DocumentChannel, JobDocument, Scalar};
use facteur_core::ids::Tenant;
use facteur_core::job::Category;
use facteur_core::template::Template;
use facteur_postgres::FoundTemplate;
use facteur_postgres::listing::{self, MessageSummary};
use facteur_postgres::template_book as book;
use facteur_postgres::{tenant_messages, tenants};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::accept::Options;
use crate::access::Principal;
use crate::error::ApiError;
use crate::families::history;
use crate::families::linked::{linked, path_with};
use crate::families::notice::{self, Notice};
use crate::families::one::{self, Fields};
use crate::families::tenant;
use crate::families::twice::Twice;
use crate::json::{Json, Query};
use crate::judge::Wish;
use crate::page::PageQuery;
use crate::path::Path;
use crate::shape::ScalarShape;
use crate::state::App;
use crate::v1::templates::preview::values;
use crate::v1::templates::shapes::{ChannelName, find_built_in};

/// What the family calls the fields of a job.
pub(super) const FIELDS: Fields =
    &[("recipient", "to"), ("context", "variables"), ("template_id", "template"), ("tenant_id", "tenant")];
/// The producer's word under which a message keeps its subject.
pub(super) const SUBJECT: &str = "subject";

/// A notification that is to be sent.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SendNotification {
    /// A template's id, or its name; or else `body`.
    template_id: Option<String>,
    /// The text, with placeholders if there is a `context`.
    body: Option<String>,
    /// The template's channel if absent, or else `whatsapp` for such a recipient and `sms` for others.
    channel: Option<ChannelName>,
    /// A number, or `whatsapp:` and a number.
    #[schema(example = "+221771234567")]
    recipient: String,
    /// Values of the placeholders.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, ScalarShape>)]
    context: BTreeMap<String, Scalar>,
    /// A UUID or a slug; the bearer's tenant if absent.
    tenant_id: Option<String>,
    /// For people; the template's if absent.
    subject: Option<String>,
}

/// A notification.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Notification {
    id: Uuid,
    /// The tenant's slug.
    tenant: String,
    #[schema(example = "sms")]
    channel: String,
    #[schema(example = "+221771234567")]
    recipient: String,
    subject: Option<String>,
    /// The text; null once it was redacted.
    body: Option<String>,
    /// `pending`, `sent`, `delivered` or `failed`.
    #[schema(example = "pending")]
    status: &'static str,
    /// What went wrong; null while nothing did.
    error_message: Option<String>,
    /// Twilio's SID.
    provider_id: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl Notification {
    pub(super) fn of(message: MessageSummary, subject: Option<String>) -> Self {
        Self {
            error_message: message.error(),
            status: message.status.public_word(),
            recipient: message.to.as_ref().map(|to| to.reveal().to_owned()).unwrap_or_default(),
            id: message.id,
            tenant: message.tenant,
            channel: message.channel,
            subject,
            body: message.text,
            provider_id: message.sid,
            created_at: message.created_at,
            updated_at: message.updated_at,
        }
    }
}

/// Sends a notification.
#[utoipa::path(
    post,
    path = "/api/v1/notifications",
    tag = "family: queue management",
    request_body(content = SendNotification, example = json!({
        "body": "Bonjour {{customer_name}}", "channel": "sms", "recipient": "+221771234567",
        "context": {"customer_name": "Awa"}
    })),
    responses((status = 200, body = Twice<Notification>))
)]
pub(crate) async fn send(
    principal: Principal,
    State(app): State<App>,
    headers: HeaderMap,
    Json(body): Json<SendNotification>,
) -> Result<Json<Twice<Notification>>, ApiError> {
    let options = Options::of("send_notification_sms", &headers)?;
    let tenant = tenant::named(&app, &principal, body.tenant_id.as_deref()).await?;
    let (mut document, template) = match (&body.template_id, &body.body) {
        (Some(template), None) => from_template(&app, &tenant, template, &body).await?,
        (None, Some(text)) => (from_text(text, &body)?, TemplateFacts::default()),
        _ => {
            let sentence = "give either `template_id` or `body`";
            return Err(ApiError::invalid("content_ambiguous", sentence).field("template_id"));
        }
    };
    let channel = channel(body.channel, template.channel.as_deref())?;
    document.tenant = Some(tenant.as_str().to_owned());
    document.channel = channel.or(document.channel);
    let subject = body.subject.or(template.subject);
    document.metadata = metadata(subject.as_deref());
    let message = one::send(&app, &principal, Wish::of(document), (options, &headers), FIELDS).await?;
    Ok(Json(Twice::of(Notification::of(message, subject))))
}

/// What a template says beside its text.
#[derive(Default)]
struct TemplateFacts {
    channel: Option<String>,
    subject: Option<String>,
}

/// By id, the tenant's own or a built-in one; by name, whichever a job of that name would find.
async fn from_template(
    app: &App,
    tenant: &Tenant,
    template: &str,
    body: &SendNotification,
) -> Result<(JobDocument, TemplateFacts), ApiError> {
    let unknown =
        || ApiError::invalid("template_unknown", "the tenant has no such template").field("template_id");
    let (notice, facts) = match template.parse::<Uuid>().ok() {
        Some(id) => match find_built_in(id) {
            Some(built_in) => {
                let language = Some(built_in.language);
                let notice = notice::find(app, tenant, built_in.name, language, &body.context).await?;
                (notice.ok_or_else(unknown)?, TemplateFacts::default())
            }
            None => {
                let row = book::find(&app.database, Some(tenant.as_str()), id).await?.ok_or_else(unknown)?;
                if !row.is_active {
                    let sentence = "the template is not active";
                    return Err(ApiError::invalid("template_inactive", sentence).field("template_id"));
                }
                let facts = TemplateFacts { channel: row.channel.clone(), subject: row.subject.clone() };
                let settings = tenants::get(&app.database, tenant).await?;
                (Notice::of(&row.name.clone(), found(row), &body.context, &settings), facts)
            }
        },
        None => {
            let notice =
                notice::find(app, tenant, template, None, &body.context).await?.ok_or_else(unknown)?;
            let language = notice.found.language.clone();
            let row = book::find_named(&app.database, tenant.as_str(), template, &language).await?;
            let facts = row.map(|row| TemplateFacts { channel: row.channel, subject: row.subject });
            (notice, facts.unwrap_or_default())
        }
    };
    Ok((notice.document(body.recipient.clone()), facts))
}

/// What a job finds under the name of this template.
pub(super) fn found(row: book::TemplateRow) -> FoundTemplate {
    let category = Category::from_name(&row.category).unwrap_or_default();
    FoundTemplate { text: row.text, category, language: row.language }
}

/// A text of the call's own. Its placeholders are filled here, once; without a context, braces are text.
fn from_text(text: &str, body: &SendNotification) -> Result<JobDocument, ApiError> {
    let rendered = if body.context.is_empty() {
        text.to_owned()
    } else {
        let template = Template::parse(text)
            .map_err(|why| ApiError::invalid("template_invalid", why.to_string()).field("body"))?;
        template
            .render(&values(&body.context))
            .map_err(|why| ApiError::invalid("variable_missing", why.to_string()).field("context"))?
    };
    Ok(JobDocument { to: Some(body.recipient.clone()), body: Some(rendered), ..JobDocument::default() })
}

/// The channel of the call, which must be the template's if that has one.
fn channel(asked: Option<ChannelName>, own: Option<&str>) -> Result<Option<DocumentChannel>, ApiError> {
    let named = |channel: &str| match channel {
        "sms" => Some(DocumentChannel::Sms),
        "mms" => Some(DocumentChannel::Mms),
        "whatsapp" => Some(DocumentChannel::Whatsapp),
        _ => None,
    };
    match (asked.map(|asked| asked.channel().as_str()), own) {
        (Some(asked), Some(own)) if asked != own => {
            let sentence = format!("the template is for {own}, not for {asked}");
            Err(ApiError::invalid("invalid_field", sentence).field("channel"))
        }
        (asked, own) => Ok(asked.or(own).and_then(named)),
    }
}

pub(super) fn metadata(subject: Option<&str>) -> Option<BTreeMap<String, Scalar>> {
    let subject = subject?;
    Some(BTreeMap::from([(SUBJECT.to_owned(), Scalar::Text(subject.to_owned()))]))
}

/// Which notifications.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    /// A UUID or a slug; the bearer's tenant if absent, or all for a superadmin.
    tenant_id: Option<String>,
    /// Only those of this channel.
    channel: Option<ChannelName>,
    /// Where the page begins: out of the `Link` header of the page before.
    cursor: Option<String>,
    /// Rows of the page: 1 to 200; 50 if absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// Lists a tenant's notifications, the newest first; the next page stands in a `Link` header.
#[utoipa::path(
    get,
    path = "/api/v1/notifications",
    tag = "family: queue management",
    params(ListQuery),
    responses((status = 200, body = Vec<Notification>))
)]
pub(crate) async fn list(
    principal: Principal,
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Response, ApiError> {
    let tenant = tenant::named(&app, &principal, query.tenant_id.as_deref()).await?;
    let asked = PageQuery { cursor: query.cursor.clone(), limit: query.limit };
    let limit = asked.limit()?;
    let channel = query.channel.map(|channel| channel.channel().as_str());
    let page = history::page(&app, &tenant, channel, &asked).await?;
    let ids: Vec<Uuid> = page.data.iter().map(|message| message.id).collect();
    let mut subjects = tenant_messages::subjects(&app.database, &ids).await?;
    let page = page.map(|message| {
        let subject = subjects.remove(&message.id);
        Notification::of(message, subject)
    });
    let path = path_with(
        "/api/v1/notifications",
        &[
            ("tenant_id", query.tenant_id),
            ("channel", channel.map(str::to_owned)),
            ("limit", Some(limit.to_string())),
        ],
    );
    Ok(linked(page, &path))
}

/// Reads a notification.
#[utoipa::path(
    get,
    path = "/api/v1/notifications/{id}",
    tag = "family: queue management",
    params(("id" = Uuid, Path, description = "Its id", example = "0197c1de-0000-7000-8000-00000000fa24")),
    responses((status = 200, body = Twice<Notification>))
)]
pub(crate) async fn read(
    principal: Principal,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<Json<Twice<Notification>>, ApiError> {
    let unknown = ApiError::not_found("there is no such notification");
    let found = listing::by_ids(&app.database, &[id]).await?;
    let message = found.into_iter().find(|message| principal.sees(&message.tenant)).ok_or(unknown)?;
    let subject = tenant_messages::subjects(&app.database, &[id]).await?.remove(&id);
    Ok(Json(Twice::of(Notification::of(message, subject))))
}

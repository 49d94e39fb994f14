//! Templates as they are asked for and told.

use axum::http::StatusCode;
use facteur_core::Timestamp;
use facteur_core::job::{Category, Channel};
use facteur_core::notifications::{NOTIFICATIONS, Notification};
use facteur_core::template::Template;
use facteur_postgres::acts::By;
use facteur_postgres::template_book::{NewTemplate, TemplateChange, TemplateRow, TemplateVersion};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::ApiError;

pub(crate) const NOT_FOUND: ApiError = ApiError::not_found("there is no such template");
pub(crate) const NAME_TAKEN: ApiError = ApiError::at(
    StatusCode::CONFLICT,
    "template_exists",
    "name",
    "the tenant has a template of that name in that language: change that one, or choose another name",
);
/// The language of a template that names none.
pub(crate) const DEFAULT_LANGUAGE: &str = "fr";

/// A channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ChannelName {
    /// A text message.
    Sms,
    /// A text message with media.
    Mms,
    /// A WhatsApp message.
    Whatsapp,
}

/// What messages are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CategoryName {
    /// A one-time password.
    Otp,
    /// Something that the recipient waits for or must know.
    Transactional,
    /// Advertising.
    Marketing,
}

impl ChannelName {
    pub(crate) const fn channel(self) -> Channel {
        match self {
            Self::Sms => Channel::Sms,
            Self::Mms => Channel::Mms,
            Self::Whatsapp => Channel::Whatsapp,
        }
    }
}

impl CategoryName {
    pub(crate) const fn category(self) -> Category {
        match self {
            Self::Otp => Category::Otp,
            Self::Transactional => Category::Transactional,
            Self::Marketing => Category::Marketing,
        }
    }
}

/// A template that is to be written.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateTemplate {
    /// Whose; without it, the bearer's tenant.
    pub(crate) tenant: Option<String>,
    /// By which messages ask for it: 1 to 64 characters.
    pub(crate) name: String,
    /// A tag such as `fr`, `en` or `pt-BR`; `fr` if absent.
    pub(crate) language: Option<String>,
    /// `transactional` if absent.
    pub(crate) category: Option<CategoryName>,
    /// The channel that it is written for; any if absent.
    pub(crate) channel: Option<ChannelName>,
    /// At which event it is sent, such as `ticket_created`: 1 to 64 characters.
    pub(crate) event: Option<String>,
    /// For people: up to 200 characters. No channel sends it.
    pub(crate) subject: Option<String>,
    /// Its text, with placeholders such as `{{name}}`: up to 3,200 characters.
    pub(crate) text: String,
    /// Whether messages find it; true if absent.
    pub(crate) is_active: Option<bool>,
}

/// What is to be changed of a template: what is left out stays. Null takes channel, event or subject away.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeTemplate {
    /// By which messages ask for it.
    pub(crate) name: Option<String>,
    /// Its language.
    pub(crate) language: Option<String>,
    /// What its messages are for.
    pub(crate) category: Option<CategoryName>,
    /// The channel that it is written for.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<ChannelName>)]
    pub(crate) channel: Option<Option<ChannelName>>,
    /// At which event it is sent.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(crate) event: Option<Option<String>>,
    /// For people.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub(crate) subject: Option<Option<String>>,
    /// Its text: another one is a new version.
    pub(crate) text: Option<String>,
    /// Whether messages find it.
    pub(crate) is_active: Option<bool>,
}

/// What stands there is given, null too.
pub(crate) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    reader: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

/// A template as it stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct TemplateView {
    pub(crate) id: Uuid,
    /// Whose; null for one that ships with Facteur.
    #[schema(example = "default")]
    tenant: Option<String>,
    #[schema(example = "delivery_tomorrow")]
    name: String,
    #[schema(example = "en")]
    language: String,
    /// The channel that it is written for; null for any.
    #[schema(example = "sms")]
    channel: Option<String>,
    /// At which event it is sent; null for none.
    #[schema(example = "ticket_created")]
    event: Option<String>,
    subject: Option<String>,
    #[schema(example = "transactional")]
    category: String,
    /// The version that counts, from 1 on.
    version: i32,
    text: String,
    /// The names of its placeholders.
    variables: Vec<String>,
    is_active: bool,
    /// Whether it ships with Facteur and can't be changed.
    is_built_in: bool,
    /// The tenant's own template that stands before a built-in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_by: Option<Uuid>,
    changed_by: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    created_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    updated_at: Option<Timestamp>,
}

/// The templates that ship with Facteur.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuiltIns {
    /// Each type in French and English.
    pub(crate) data: Vec<TemplateView>,
}

/// A template with its versions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TemplateWithVersions {
    #[serde(flatten)]
    template: TemplateView,
    /// The newest first, up to 100.
    versions: Vec<VersionView>,
}

/// One version, which is never changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionView {
    version: i32,
    text: String,
    changed_by: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
}

impl TemplateWithVersions {
    pub(crate) fn of(template: TemplateView, versions: Vec<TemplateVersion>) -> Self {
        let view = |one: TemplateVersion| VersionView {
            version: one.version,
            text: one.text,
            changed_by: one.changed_by,
            created_at: one.created_at,
        };
        Self { template, versions: versions.into_iter().map(view).collect() }
    }
}

impl From<TemplateRow> for TemplateView {
    fn from(row: TemplateRow) -> Self {
        Self {
            id: row.id,
            tenant: Some(row.tenant),
            name: row.name,
            language: row.language,
            channel: row.channel,
            event: row.event,
            subject: row.subject,
            category: row.category,
            version: row.version,
            variables: variables(&row.text),
            text: row.text,
            is_active: row.is_active,
            is_built_in: false,
            replaced_by: None,
            changed_by: row.changed_by,
            created_at: Some(row.created_at),
            updated_at: Some(row.updated_at),
        }
    }
}

impl TemplateView {
    /// A built-in one, and the tenant's own that stands before it.
    pub(crate) fn built_in(one: &Notification, replaced_by: Option<Uuid>) -> Self {
        Self {
            id: built_in_id(one),
            tenant: None,
            name: one.name.to_owned(),
            language: one.language.to_owned(),
            channel: None,
            event: None,
            subject: None,
            category: one.category.as_str().to_owned(),
            version: 1,
            text: one.text.to_owned(),
            variables: variables(one.text),
            is_active: true,
            is_built_in: true,
            replaced_by,
            changed_by: None,
            created_at: None,
            updated_at: None,
        }
    }
}

impl CreateTemplate {
    /// What the book is to hold.
    ///
    /// # Errors
    /// If the text is no template: the field at fault is named.
    pub(crate) fn checked<'a>(&'a self, tenant: &'a str, by: By<'a>) -> Result<NewTemplate<'a>, ApiError> {
        check_text(&self.text)?;
        Ok(NewTemplate {
            tenant,
            name: &self.name,
            language: self.language.as_deref().unwrap_or(DEFAULT_LANGUAGE),
            category: self.category.map(CategoryName::category).unwrap_or_default(),
            channel: self.channel.map(ChannelName::channel),
            event: self.event.as_deref(),
            subject: self.subject.as_deref(),
            is_active: self.is_active.unwrap_or(true),
            text: &self.text,
            changed_by: by,
        })
    }
}

impl ChangeTemplate {
    /// What is to be changed.
    ///
    /// # Errors
    /// If the text is no template: the field at fault is named.
    pub(crate) fn checked(&self) -> Result<TemplateChange<'_>, ApiError> {
        self.text.as_deref().map_or(Ok(()), check_text)?;
        Ok(TemplateChange {
            name: self.name.as_deref(),
            language: self.language.as_deref(),
            category: self.category.map(CategoryName::category),
            channel: self.channel.map(|channel| channel.map(ChannelName::channel)),
            event: self.event.as_ref().map(Option::as_deref),
            subject: self.subject.as_ref().map(Option::as_deref),
            is_active: self.is_active,
            text: self.text.as_deref(),
        })
    }
}

/// The built-in template of that id.
pub(crate) fn find_built_in(id: Uuid) -> Option<&'static Notification> {
    NOTIFICATIONS.iter().find(|one| built_in_id(one) == id)
}

/// The same in every installation and every release.
fn built_in_id(one: &Notification) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("facteur/{}/{}", one.name, one.language).as_bytes())
}

/// A text that is a template.
pub(crate) fn parse(text: &str) -> Result<Template, ApiError> {
    Template::parse(text).map_err(|why| ApiError::invalid("template_invalid", why.to_string()).field("text"))
}

fn check_text(text: &str) -> Result<(), ApiError> {
    if text.trim().is_empty() {
        return Err(ApiError::invalid("template_invalid", "the text of the template is empty").field("text"));
    }
    parse(text).map(|_| ())
}

fn variables(text: &str) -> Vec<String> {
    let names = |template: Template| template.names().into_iter().map(str::to_owned).collect();
    Template::parse(text).map(names).unwrap_or_default()
}

//! The book of templates: what a tenant wrote, with every version. `templates.rs` finds what a job asks for; here
//! people read and change it.

mod statements;

use facteur_core::Timestamp;
use facteur_core::job::{Category, Channel};
use facteur_core::template::Template;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::acts::By;
use crate::batch_error::{BatchFailure, classify};
use crate::page::Position;
use crate::pool::Database;
use crate::templates::{check_language, check_name};
use statements::{CHANGE, CREATE, DELETE, FIND, FIND_NAMED, LIST, LOCK, OF_EVENT, OWN_NAMES, VERSIONS};

/// Longest event and subject, in characters.
const EVENT_CHARS_MAX: usize = 64;
const SUBJECT_CHARS_MAX: usize = 200;
/// Most templates of one event that are sent at once.
const EVENT_TEMPLATES_MAX: i64 = 20;
/// Most versions that are shown: the newest.
const VERSIONS_MAX: i64 = 100;

/// A template as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateRow {
    /// Identity.
    pub id: Uuid,
    /// Whose.
    pub tenant: String,
    /// Its name, by which jobs ask for it.
    pub name: String,
    /// Its language.
    pub language: String,
    /// The channel that it is written for: a channel's name; `None` for any.
    pub channel: Option<String>,
    /// At which event it is sent.
    pub event: Option<String>,
    /// Its subject, for people.
    pub subject: Option<String>,
    /// What its messages are for: a category's name.
    pub category: String,
    /// The version that counts.
    pub version: i32,
    /// Its text in that version.
    pub text: String,
    /// Whether jobs find it.
    pub is_active: bool,
    /// Who changed it last.
    pub changed_by: Option<String>,
    /// Since when it is there.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// One version of a template. It is never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateVersion {
    /// Its number, from 1 on.
    pub version: i32,
    /// Its text.
    pub text: String,
    /// Who wrote it.
    pub changed_by: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// What a template is to be.
#[derive(Debug, Clone)]
pub struct NewTemplate<'a> {
    /// Whose.
    pub tenant: &'a str,
    /// Its name: 1 to 64 characters.
    pub name: &'a str,
    /// Its language: a tag such as `fr`.
    pub language: &'a str,
    /// What its messages are for.
    pub category: Category,
    /// The channel that it is written for, if for one.
    pub channel: Option<Channel>,
    /// At which event it is sent: 1 to 64 characters.
    pub event: Option<&'a str>,
    /// Its subject: up to 200 characters.
    pub subject: Option<&'a str>,
    /// Whether jobs find it.
    pub is_active: bool,
    /// Its text, with placeholders.
    pub text: &'a str,
    /// Who writes it.
    pub changed_by: By<'a>,
}

/// What is to be changed of a template; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct TemplateChange<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its language.
    pub language: Option<&'a str>,
    /// What its messages are for.
    pub category: Option<Category>,
    /// Its channel; `Some(None)` for any.
    pub channel: Option<Option<Channel>>,
    /// Its event; `Some(None)` for none.
    pub event: Option<Option<&'a str>>,
    /// Its subject; `Some(None)` for none.
    pub subject: Option<Option<&'a str>>,
    /// Whether jobs find it.
    pub is_active: Option<bool>,
    /// Its text: another one is a new version.
    pub text: Option<&'a str>,
}

/// What became of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// As it stands now.
    Done(Box<TemplateRow>),
    /// There is none under this id, or it is another tenant's.
    NotFound,
    /// The tenant has another template of that name in that language.
    NameTaken,
}

/// Which templates a list holds; what is `None` is not asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct TemplateFilter<'a> {
    /// Whose.
    pub tenant: Option<&'a str>,
    /// Of that name.
    pub name: Option<&'a str>,
    /// Of that event.
    pub event: Option<&'a str>,
    /// Of that channel.
    pub channel: Option<&'a str>,
}

/// Writes a new template; `None` if the tenant has one of that name in that language.
///
/// # Errors
/// The database's, classified; [`BatchFailure::Data`] also if name, language, event, subject or text can't be a
/// template's.
pub async fn create(database: &Database, new: &NewTemplate<'_>) -> Result<Option<TemplateRow>, BatchFailure> {
    check_name(new.name)?;
    check_language(new.language)?;
    check_words("event", new.event, EVENT_CHARS_MAX)?;
    check_words("subject", new.subject, SUBJECT_CHARS_MAX)?;
    check_text(new.text)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(CREATE).await.map_err(classify)?;
    let (category, channel) = (new.category.as_str(), new.channel.map(Channel::as_str));
    let parameters: [&(dyn ToSql + Sync); 11] = [
        &new.tenant,
        &new.name,
        &new.language,
        &category,
        &channel,
        &new.event,
        &new.subject,
        &new.is_active,
        &new.changed_by.actor,
        &new.text,
        &new.changed_by.request_id,
    ];
    let row = client.query_opt(&statement, &parameters).await.map_err(classify)?;
    Ok(row.as_ref().map(template))
}

/// Lists templates, the newest first: up to `limit` + 1, after that position.
///
/// # Errors
/// The database's, classified.
pub async fn list(
    database: &Database,
    filter: TemplateFilter<'_>,
    after: Option<Position>,
    limit: u16,
) -> Result<Vec<TemplateRow>, BatchFailure> {
    let TemplateFilter { tenant, name, event, channel } = filter;
    let (at, id) = (after.map(|position| position.at), after.map(|position| position.id));
    let rows_max = i64::from(limit) + 1;
    let client = database.client().await?;
    let statement = client.prepare_cached(LIST).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 7] = [&tenant, &name, &event, &channel, &at, &id, &rows_max];
    let rows = client.query(&statement, &parameters).await.map_err(classify)?;
    Ok(rows.iter().map(template).collect())
}

/// The template of that id; `None` if there is none, or if it is not of the tenant that was named.
///
/// # Errors
/// The database's, classified.
pub async fn find(
    database: &Database,
    tenant: Option<&str>,
    id: Uuid,
) -> Result<Option<TemplateRow>, BatchFailure> {
    one(database, FIND, &[&id, &tenant]).await
}

/// The tenant's own template of that name in that language, active or not.
///
/// # Errors
/// The database's, classified.
pub async fn find_named(
    database: &Database,
    tenant: &str,
    name: &str,
    language: &str,
) -> Result<Option<TemplateRow>, BatchFailure> {
    one(database, FIND_NAMED, &[&tenant, &name, &language]).await
}

/// The versions of a template, the newest first, up to 100.
///
/// # Errors
/// The database's, classified.
pub async fn versions(database: &Database, id: Uuid) -> Result<Vec<TemplateVersion>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(VERSIONS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&id, &VERSIONS_MAX]).await.map_err(classify)?;
    let version = |row: &Row| TemplateVersion {
        version: row.get("version"),
        text: row.get("text"),
        changed_by: row.get("changed_by"),
        created_at: row.get("created_at"),
    };
    Ok(rows.iter().map(version).collect())
}

/// Changes a template. Another text is a new version; the old ones stay.
///
/// # Errors
/// As [`create`].
pub async fn change(
    database: &Database,
    tenant: Option<&str>,
    id: Uuid,
    change: &TemplateChange<'_>,
    by: impl Into<By<'_>>,
) -> Result<Changed, BatchFailure> {
    let by = by.into();
    change.name.map_or(Ok(()), check_name)?;
    change.language.map_or(Ok(()), check_language)?;
    check_words("event", change.event.flatten(), EVENT_CHARS_MAX)?;
    check_words("subject", change.subject.flatten(), SUBJECT_CHARS_MAX)?;
    change.text.map_or(Ok(()), check_text)?;
    let (category, channel) =
        (change.category.map(Category::as_str), change.channel.flatten().map(Channel::as_str));
    let (event, subject) = (change.event.flatten(), change.subject.flatten());
    let (sets_channel, sets_event, sets_subject) =
        (change.channel.is_some(), change.event.is_some(), change.subject.is_some());
    let mut client = database.client().await?;
    let transaction = client.transaction().await.map_err(classify)?;
    let lock = transaction.prepare_cached(LOCK).await.map_err(classify)?;
    if transaction.query_opt(&lock, &[&id, &tenant]).await.map_err(classify)?.is_none() {
        return Ok(Changed::NotFound);
    }
    let statement = transaction.prepare_cached(CHANGE).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 14] = [
        &id,
        &change.name,
        &change.language,
        &category,
        &sets_channel,
        &channel,
        &sets_event,
        &event,
        &sets_subject,
        &subject,
        &change.is_active,
        &change.text,
        &by.actor,
        &by.request_id,
    ];
    let row = match transaction.query_one(&statement, &parameters).await {
        Ok(row) => row,
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => return Ok(Changed::NameTaken),
        Err(error) => return Err(classify(error)),
    };
    transaction.commit().await.map_err(classify)?;
    Ok(Changed::Done(Box::new(template(&row))))
}

/// Deletes a template with its versions. What was sent keeps its text. Returns whether there was one.
///
/// # Errors
/// The database's, classified.
pub async fn delete(
    database: &Database,
    tenant: Option<&str>,
    id: Uuid,
    by: impl Into<By<'_>>,
) -> Result<bool, BatchFailure> {
    let by = by.into();
    let client = database.client().await?;
    let statement = client.prepare_cached(DELETE).await.map_err(classify)?;
    let row =
        client.query_opt(&statement, &[&id, &tenant, &by.actor, &by.request_id]).await.map_err(classify)?;
    Ok(row.is_some())
}

/// The tenant's own templates of an event, the oldest first, at most 20; also those that are not active.
///
/// # Errors
/// The database's, classified.
pub async fn of_event(
    database: &Database,
    tenant: &str,
    event: &str,
) -> Result<Vec<TemplateRow>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OF_EVENT).await.map_err(classify)?;
    let rows = client.query(&statement, &[&tenant, &event, &EVENT_TEMPLATES_MAX]).await.map_err(classify)?;
    Ok(rows.iter().map(template).collect())
}

/// Which of these names the tenant has templates of its own for: name, language, id.
///
/// # Errors
/// The database's, classified.
pub async fn own_of(
    database: &Database,
    tenant: &str,
    names: &[&str],
) -> Result<Vec<(String, String, Uuid)>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OWN_NAMES).await.map_err(classify)?;
    let rows = client.query(&statement, &[&tenant, &names]).await.map_err(classify)?;
    Ok(rows.iter().map(|row| (row.get("name"), row.get("language"), row.get("id"))).collect())
}

async fn one(
    database: &Database,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Option<TemplateRow>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    let row = client.query_opt(&statement, parameters).await.map_err(classify)?;
    Ok(row.as_ref().map(template))
}

fn template(row: &Row) -> TemplateRow {
    TemplateRow {
        id: row.get("id"),
        tenant: row.get("tenant"),
        name: row.get("name"),
        language: row.get("language"),
        channel: row.get("channel"),
        event: row.get("event"),
        subject: row.get("subject"),
        category: row.get("category"),
        version: row.get("version"),
        text: row.get("text"),
        is_active: row.get("is_active"),
        changed_by: row.get("changed_by"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    }
}

fn check_text(text: &str) -> Result<(), BatchFailure> {
    if text.trim().is_empty() || text.contains('\0') {
        return Err(BatchFailure::Data("the text is empty, or holds a NUL character".to_owned()));
    }
    Template::parse(text).map(|_| ()).map_err(|why| BatchFailure::Data(why.to_string()))
}

fn check_words(what: &str, words: Option<&str>, chars_max: usize) -> Result<(), BatchFailure> {
    words.map_or(Ok(()), |words| crate::words::check_words(what, words, chars_max))
}

//! Templates: a tenant's own, else the notification types that ship with Facteur.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use facteur_core::ids::Tenant;
use facteur_core::job::Category;
use facteur_core::notifications;
use facteur_core::template::Template;
use tokio::time::Instant;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// How long an answer is remembered: a changed template reaches every worker within this time.
const REMEMBER_FOR: Duration = Duration::from_secs(1);
/// Most answers that are remembered.
const REMEMBERED_MAX: usize = 10_000;
/// The language of those that name none, and of templates that lack the one that was asked for.
const DEFAULT_LANGUAGE: &str = "fr";
/// Longest name of a template, and longest language tag (`fr`, `pt-BR`), in characters.
const NAME_CHARS_MAX: usize = 64;
const LANGUAGE_CHARS_MAX: usize = 16;

const FIND: &str = "SELECT t.language, t.category, v.text FROM facteur.templates t \
     JOIN facteur.template_versions v USING (tenant, name, language, version) \
     WHERE t.tenant = $1 AND t.name = $2 AND t.is_active \
     ORDER BY t.language IS NOT DISTINCT FROM $3 DESC, t.language = $4 DESC, t.language LIMIT 1";

const PUT: &str = "INSERT INTO facteur.templates AS t (tenant, name, language, version, category) \
         VALUES ($1, $2, $3, 1, $4) \
     ON CONFLICT (tenant, name, language) DO UPDATE SET version = t.version + 1, category = excluded.category, \
         updated_at = clock_timestamp() \
     RETURNING version";

const PUT_VERSION: &str = "INSERT INTO facteur.template_versions (tenant, name, language, version, text) \
     VALUES ($1, $2, $3, $4, $5)";

/// A template that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTemplate {
    /// Its text, with placeholders.
    pub text: String,
    /// What its messages are for.
    pub category: Category,
    /// The language that it is in, which need not be the one that was asked for.
    pub language: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Asked {
    tenant: String,
    name: String,
    language: Option<String>,
}

type Answers = HashMap<Asked, (Instant, Option<FoundTemplate>)>;

/// Finds templates; cloning it is cheap and shares what it remembers.
#[derive(Clone)]
pub struct TemplateStore {
    database: Database,
    answers: Arc<Mutex<Answers>>,
}

impl TemplateStore {
    /// A store that remembers nothing yet.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database, answers: Arc::default() }
    }

    /// The template of that name. First come the tenant's own and then the built-in one in the language that
    /// was asked for; after that the tenant's in French or else in any language, and at last the built-in one
    /// in French. Answers are up to a second old.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn find(
        &self,
        tenant: &str,
        name: &str,
        language: Option<&str>,
    ) -> Result<Option<FoundTemplate>, BatchFailure> {
        if check_name(name).is_err() || language.is_some_and(|language| check_language(language).is_err()) {
            return Ok(None);
        }
        let asked =
            Asked { tenant: tenant.to_owned(), name: name.to_owned(), language: language.map(str::to_owned) };
        if let Some((at, answer)) = self.answers().get(&asked)
            && at.elapsed() < REMEMBER_FOR
        {
            return Ok(answer.clone());
        }
        // As old as the moment before the question, so that nothing is remembered for longer than it is true.
        let at = Instant::now();
        let answer = self.look_up(&asked).await?;
        self.remember(asked, at, answer.clone());
        Ok(answer)
    }

    /// Writes a template, or a new version of it; jobs take it from then on, in other processes within a second.
    /// Returns its version.
    ///
    /// # Errors
    /// The database's, classified; [`BatchFailure::Data`] also if name, language or text can't be a template's.
    pub async fn put(
        &self,
        tenant: &Tenant,
        name: &str,
        language: &str,
        category: Category,
        text: &str,
    ) -> Result<i32, BatchFailure> {
        check_name(name)?;
        check_language(language)?;
        Template::parse(text).map_err(|why| BatchFailure::Data(why.to_string()))?;
        let mut client = self.database.client().await?;
        let transaction = client.transaction().await.map_err(classify)?;
        let put = transaction.prepare_cached(PUT).await.map_err(classify)?;
        let put_version = transaction.prepare_cached(PUT_VERSION).await.map_err(classify)?;
        let tenant = tenant.as_str();
        let row = transaction
            .query_one(&put, &[&tenant, &name, &language, &category.as_str()])
            .await
            .map_err(classify)?;
        let version: i32 = row.get(0);
        transaction
            .execute(&put_version, &[&tenant, &name, &language, &version, &text])
            .await
            .map_err(classify)?;
        transaction.commit().await.map_err(classify)?;
        self.forget();
        Ok(version)
    }

    /// Forgets what it remembers: a template was changed by this process.
    pub fn forget(&self) {
        self.answers().clear();
    }

    async fn look_up(&self, asked: &Asked) -> Result<Option<FoundTemplate>, BatchFailure> {
        let client = self.database.client().await?;
        let statement = client.prepare_cached(FIND).await.map_err(classify)?;
        let row = client
            .query_opt(&statement, &[&asked.tenant, &asked.name, &asked.language, &DEFAULT_LANGUAGE])
            .await
            .map_err(classify)?;
        let own = row.map(|row| FoundTemplate {
            text: row.get("text"),
            category: category(row.get("category")),
            language: row.get("language"),
        });
        let exact =
            |found: &FoundTemplate| asked.language.as_deref().is_none_or(|asked| asked == found.language);
        Ok(match own {
            Some(own) if exact(&own) => Some(own),
            own => asked
                .language
                .as_deref()
                .and_then(|language| built_in(&asked.name, language))
                .or(own)
                .or_else(|| built_in(&asked.name, DEFAULT_LANGUAGE)),
        })
    }

    fn remember(&self, asked: Asked, at: Instant, answer: Option<FoundTemplate>) {
        let mut answers = self.answers();
        if answers.len() >= REMEMBERED_MAX {
            answers.retain(|_, (at, _)| at.elapsed() < REMEMBER_FOR);
        }
        if answers.len() >= REMEMBERED_MAX {
            answers.clear();
        }
        answers.insert(asked, (at, answer));
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        // Every change of the map is whole, also if its thread died right after it.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn built_in(name: &str, language: &str) -> Option<FoundTemplate> {
    let found = notifications::find(name, language)?;
    Some(FoundTemplate {
        text: found.text.to_owned(),
        category: found.category,
        language: found.language.to_owned(),
    })
}

/// A name that an older or newer release wrote counts as what a message is for unless told otherwise.
fn category(name: &str) -> Category {
    Category::from_name(name).unwrap_or_default()
}

pub(crate) fn check_name(name: &str) -> Result<(), BatchFailure> {
    let is_fine = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.contains('\0');
    is_fine
        .then_some(())
        .ok_or_else(|| BatchFailure::Data(format!("the name has 1 to {NAME_CHARS_MAX} characters")))
}

pub(crate) fn check_language(language: &str) -> Result<(), BatchFailure> {
    let is_fine = (2..=LANGUAGE_CHARS_MAX).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    is_fine
        .then_some(())
        .ok_or_else(|| BatchFailure::Data("the language is a tag such as fr, en or pt-BR".to_owned()))
}

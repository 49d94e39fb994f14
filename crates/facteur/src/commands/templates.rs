//! `facteur templates`: what tenants say, in versions.

use std::collections::BTreeMap;

use anyhow::Context;
use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::job::Channel;
use facteur_core::notifications::{self, NOTIFICATIONS};
use facteur_core::preview::preview;
use facteur_core::template::Template;
use facteur_postgres::Database;
use facteur_postgres::page::Position;
use facteur_postgres::template_book::{
    self as book, Changed, NewTemplate, TemplateChange, TemplateFilter, TemplateRow,
};
use facteur_web::Cost;
use serde::Serialize;

use super::adapters;
use super::pause::wrong_or_failed;
use crate::cli::{CategoryName, ChannelChoice, PreviewArgs, PutTemplate, TemplateName, TemplatesCommand};
use crate::config::{self, Config, Problems};
use crate::exit::Exit;
use crate::output::{Output, table, tell};

/// Rows that are read at once.
const PAGE_ROWS: u16 = 200;

/// Runs it.
///
/// # Errors
/// [`Problems`], if what was given can't be a template's; otherwise whatever the database says.
pub async fn run(command: &TemplatesCommand, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let connect = || adapters::database(config, "templates");
    match command {
        TemplatesCommand::List { tenant } => list(&connect().await?, &slug(tenant)?, output).await,
        TemplatesCommand::Show(name) => show(&connect().await?, name, output).await,
        TemplatesCommand::Put(put) => {
            let text = text_of(put)?;
            self::put(&connect().await?, put, text.as_deref(), output).await
        }
        TemplatesCommand::Preview(args) => match &args.text {
            Some(text) => previewed(text, args, config, output),
            None => match find_text(&connect().await?, args).await? {
                Some(text) => previewed(&text, args, config, output),
                None => Ok(missing(args.name.as_deref().unwrap_or_default(), &args.language)),
            },
        },
        TemplatesCommand::Delete { name, yes } => delete(&connect().await?, name, *yes, output).await,
    }
}

#[derive(Serialize)]
struct Listed {
    name: String,
    language: String,
    channel: Option<String>,
    event: Option<String>,
    category: String,
    version: i32,
    is_active: bool,
    is_built_in: bool,
    text: String,
    changed_by: Option<String>,
    updated_at: Option<Timestamp>,
}

impl From<TemplateRow> for Listed {
    fn from(row: TemplateRow) -> Self {
        Self {
            name: row.name,
            language: row.language,
            channel: row.channel,
            event: row.event,
            category: row.category,
            version: row.version,
            is_active: row.is_active,
            is_built_in: false,
            text: row.text,
            changed_by: row.changed_by,
            updated_at: Some(row.updated_at),
        }
    }
}

impl Listed {
    fn built_in(one: &notifications::Notification) -> Self {
        Self {
            name: one.name.to_owned(),
            language: one.language.to_owned(),
            channel: None,
            event: None,
            category: one.category.as_str().to_owned(),
            version: 1,
            is_active: true,
            is_built_in: true,
            text: one.text.to_owned(),
            changed_by: None,
            updated_at: None,
        }
    }

    fn standing(&self) -> &'static str {
        match (self.is_built_in, self.is_active) {
            (true, _) => "built in",
            (false, true) => "own",
            (false, false) => "not active",
        }
    }
}

async fn list(database: &Database, tenant: &Tenant, output: Output) -> anyhow::Result<Exit> {
    let filter = TemplateFilter { tenant: Some(tenant.as_str()), ..TemplateFilter::default() };
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let mut rows = book::list(database, filter, after, PAGE_ROWS).await?;
        let has_more = rows.len() > usize::from(PAGE_ROWS);
        rows.truncate(usize::from(PAGE_ROWS));
        after = rows.last().map(|row| Position { at: row.created_at, id: row.id });
        listed.extend(rows.into_iter().map(Listed::from));
        if !has_more {
            break;
        }
    }
    let is_replaced = |one: &&notifications::Notification| {
        listed
            .iter()
            .any(|own: &Listed| own.is_active && own.name == one.name && own.language == one.language)
    };
    let built_in: Vec<Listed> =
        NOTIFICATIONS.iter().filter(|one| !is_replaced(one)).map(Listed::built_in).collect();
    listed.extend(built_in);
    output.show(&listed, |listed| {
        let mut rows = table(&["name", "language", "channel", "event", "category", "version", "standing"]);
        for one in listed {
            rows.add_row([
                one.name.clone(),
                one.language.clone(),
                one.channel.clone().unwrap_or_else(|| "any".to_owned()),
                one.event.clone().unwrap_or_default(),
                one.category.clone(),
                one.version.to_string(),
                one.standing().to_owned(),
            ]);
        }
        rows.to_string()
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    template: Listed,
    versions: Vec<ShownVersion>,
}

#[derive(Serialize)]
struct ShownVersion {
    version: i32,
    text: String,
    changed_by: Option<String>,
    created_at: Timestamp,
}

async fn show(database: &Database, name: &TemplateName, output: Output) -> anyhow::Result<Exit> {
    let own = find(database, name).await?;
    let shown = match (own, notifications::find(&name.name, &name.language)) {
        (Some(row), _) => {
            let versions = book::versions(database, row.id).await?.into_iter().map(|one| ShownVersion {
                version: one.version,
                text: one.text,
                changed_by: one.changed_by,
                created_at: one.created_at,
            });
            Shown { versions: versions.collect(), template: row.into() }
        }
        (None, Some(one)) => Shown { template: Listed::built_in(one), versions: Vec::new() },
        (None, None) => return Ok(missing(&name.name, &name.language)),
    };
    output.show(&shown, |shown| {
        let one = &shown.template;
        let head = format!("{} ({}), {}, version {}", one.name, one.language, one.standing(), one.version);
        let version = |version: &ShownVersion| {
            let by = version.changed_by.as_deref().unwrap_or("somebody");
            format!("version {} of {:.0} by {by}:\n{}", version.version, version.created_at, version.text)
        };
        let parts = [head, one.text.clone()].into_iter().chain(shown.versions.iter().map(version));
        parts.collect::<Vec<_>>().join("\n\n")
    })?;
    Ok(Exit::Done)
}

async fn put(
    database: &Database,
    put: &PutTemplate,
    text: Option<&str>,
    output: Output,
) -> anyhow::Result<Exit> {
    let (name, tenant, actor) = (&put.name, slug(&put.name.tenant)?, config::user());
    let some = |words: &'_ str| (!words.is_empty()).then(|| words.to_owned());
    let (event, subject) = (put.event.as_deref().map(some), put.subject.as_deref().map(some));
    let channel = put.channel.map(ChannelChoice::channel);
    let category = put.category.map(CategoryName::category);
    let row = match find(database, name).await? {
        Some(row) => {
            let change = TemplateChange {
                name: None,
                language: None,
                category,
                channel,
                event: event.as_ref().map(Option::as_deref),
                subject: subject.as_ref().map(Option::as_deref),
                is_active: put.active,
                text,
            };
            let changed = book::change(database, Some(tenant.as_str()), row.id, &change, &actor).await;
            match changed.map_err(wrong_or_failed)? {
                Changed::Done(row) => Some(*row),
                Changed::NotFound | Changed::NameTaken => None,
            }
        }
        None => {
            let text = text.ok_or_else(|| {
                Problems(vec![
                    "there is no such template yet: give its text with --text or --file".to_owned(),
                ])
            })?;
            let new = NewTemplate {
                tenant: tenant.as_str(),
                name: &name.name,
                language: &name.language,
                category: category.unwrap_or_default(),
                channel: channel.flatten(),
                event: event.as_ref().and_then(Option::as_deref),
                subject: subject.as_ref().and_then(Option::as_deref),
                is_active: put.active.unwrap_or(true),
                text,
                changed_by: (&actor).into(),
            };
            book::create(database, &new).await.map_err(wrong_or_failed)?
        }
    };
    let row = row.context("somebody else changed the template at the same time: try again")?;
    output.show(&Listed::from(row), |one| {
        format!(
            "{} ({}) is at version {}; every worker takes it within a second",
            one.name, one.language, one.version
        )
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Previewed {
    text: String,
    missing: Vec<String>,
    unknown: Vec<String>,
    encoding: &'static str,
    units: u32,
    segments: u32,
    ucs2_characters: Vec<char>,
    /// As an SMS to the default country.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_cost: Option<Cost>,
}

fn previewed(text: &str, args: &PreviewArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let template = Template::parse(text).map_err(|why| Problems(vec![why.to_string()]))?;
    let values: BTreeMap<String, String> = args.variables.iter().cloned().collect();
    let preview = preview(&template, &values);
    let country = config.worker.default_country;
    let cost = config.prices.estimate(Channel::Sms, Some(country), preview.size.segments);
    let shown = Previewed {
        text: preview.text,
        missing: preview.missing,
        unknown: preview.unknown,
        encoding: preview.size.encoding.as_str(),
        units: preview.size.units,
        segments: preview.size.segments,
        ucs2_characters: preview.outside_gsm,
        estimated_cost: Cost::of(cost, &config.prices),
    };
    output.show(&shown, |shown| {
        let mut lines = vec![shown.text.clone(), String::new()];
        lines.push(format!("{} segments, {} ({} units)", shown.segments, shown.encoding, shown.units));
        if let Some(Cost { amount, currency }) = &shown.estimated_cost {
            lines.push(format!("about {amount} {currency} for each SMS to {country}"));
        }
        if !shown.ucs2_characters.is_empty() {
            let characters: String = shown.ucs2_characters.iter().flat_map(|char| [' ', *char]).collect();
            lines.push(format!("outside of the GSM alphabet:{characters}"));
        }
        if !shown.missing.is_empty() {
            lines.push(format!("no value for {}", shown.missing.join(", ")));
        }
        if !shown.unknown.is_empty() {
            lines.push(format!("no placeholder for {}", shown.unknown.join(", ")));
        }
        lines.join("\n")
    })?;
    Ok(Exit::Done)
}

async fn delete(
    database: &Database,
    name: &TemplateName,
    is_sure: bool,
    output: Output,
) -> anyhow::Result<Exit> {
    let Some(row) = find(database, name).await? else { return Ok(missing(&name.name, &name.language)) };
    if is_sure {
        book::delete(database, Some(&row.tenant), row.id, &config::user()).await?;
    }
    let verb = if is_sure { "is deleted with" } else { "would be deleted with --yes, and with it" };
    output.show(&Listed::from(row), |one| {
        format!("{} ({}) {verb} its {} versions", one.name, one.language, one.version)
    })?;
    Ok(Exit::Done)
}

async fn find(database: &Database, name: &TemplateName) -> anyhow::Result<Option<TemplateRow>> {
    let tenant = slug(&name.tenant)?;
    Ok(book::find_named(database, tenant.as_str(), &name.name, &name.language).await?)
}

async fn find_text(database: &Database, args: &PreviewArgs) -> anyhow::Result<Option<String>> {
    let name = args.name.as_deref().unwrap_or_default();
    let tenant = slug(&args.tenant)?;
    let own = book::find_named(database, tenant.as_str(), name, &args.language).await?;
    let built_in = || notifications::find(name, &args.language).map(|one| one.text.to_owned());
    Ok(own.map(|row| row.text).or_else(built_in))
}

fn missing(name: &str, language: &str) -> Exit {
    tell(&format!("there is no template `{name}` in {language}"));
    Exit::NotFound
}

fn slug(text: &str) -> Result<Tenant, Problems> {
    Tenant::parse(text).map_err(|why| Problems(vec![format!("`{text}` is no tenant: {why}")]))
}

fn text_of(put: &PutTemplate) -> anyhow::Result<Option<String>> {
    let Some(file) = &put.file else { return Ok(put.text.clone()) };
    let text = std::fs::read_to_string(file)
        .map_err(|error| Problems(vec![format!("{} can't be read: {error}", file.display())]))?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

impl ChannelChoice {
    fn channel(self) -> Option<Channel> {
        match self {
            Self::Any => None,
            Self::Sms => Some(Channel::Sms),
            Self::Mms => Some(Channel::Mms),
            Self::Whatsapp => Some(Channel::Whatsapp),
        }
    }
}

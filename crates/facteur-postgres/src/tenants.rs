//! What is set for a tenant: its share of a lane, and the rules for what may leave. Workers read it through the
//! directory, within a second.

use std::sync::Arc;

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::phone::Country;
use facteur_core::rules::TenantRules;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql};

use crate::acts::By;
use crate::batch_error::{BatchFailure, classify};
use crate::pool::{Client, Database};
use crate::templates::check_language;
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// Most tenants of one list.
const LISTED_MAX: i64 = 1_000;
/// Weights that are taken.
const WEIGHTS: std::ops::RangeInclusive<i32> = 1..=100;
/// Most segments of a day that are taken.
pub const SEGMENTS_PER_DAY_MAX: u32 = 1_000_000_000;

const GET: &str = "SELECT slug, weight, countries_allowed, segments_per_day, quiet_hours, language, default_country, \
         time_zone, changed_by, updated_at FROM facteur.tenants WHERE slug = $1";

const LIST: &str = "SELECT slug, weight, countries_allowed, segments_per_day, quiet_hours, language, default_country, \
         time_zone, changed_by, updated_at FROM facteur.tenants ORDER BY slug LIMIT $1";

/// What is not given stays; a flag before a value that may be NULL says whether it is given.
const SET: &str = "WITH told AS (INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
         VALUES ($1, $13, 'tenant_changed', $1, $15, $14::jsonb)) \
     INSERT INTO facteur.tenants AS t (slug, weight, countries_allowed, segments_per_day, quiet_hours, \
         language, default_country, time_zone, changed_by) \
     VALUES ($1, coalesce($2::int4, 1), $4::text[], $6::int4, coalesce($7::bool, false), $9::text, $11::text, \
             coalesce($12::text, 'UTC'), $13) \
     ON CONFLICT (slug) DO UPDATE SET weight = coalesce($2, t.weight), \
         countries_allowed = CASE WHEN $3::bool THEN $4 ELSE t.countries_allowed END, \
         segments_per_day = CASE WHEN $5::bool THEN $6 ELSE t.segments_per_day END, \
         quiet_hours = coalesce($7, t.quiet_hours), \
         language = CASE WHEN $8::bool THEN $9 ELSE t.language END, \
         default_country = CASE WHEN $10::bool THEN $11 ELSE t.default_country END, \
         time_zone = coalesce($12, t.time_zone), changed_by = $13, updated_at = clock_timestamp() \
     RETURNING slug, weight, countries_allowed, segments_per_day, quiet_hours, language, default_country, time_zone, \
         changed_by, updated_at";

/// A budget is spent when nothing is left of the tenant's present day.
const LOAD: &str = "SELECT slug, weight, countries_allowed, segments_per_day, quiet_hours, language, default_country, \
         coalesce(segments_per_day <= coalesce((SELECT u.segments FROM facteur.tenant_usage u WHERE u.tenant = slug \
             AND u.day = (clock_timestamp() AT TIME ZONE time_zone)::date), 0), false) AS is_spent \
     FROM facteur.tenants ORDER BY slug LIMIT $1";

/// A tenant's settings, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantSettings {
    /// Its slug.
    pub tenant: String,
    /// How many turns it gets in a lane where others get one: 1 to 100.
    pub weight: i32,
    /// The only countries that are written to, by their two letters; every country if absent.
    pub countries_allowed: Option<Vec<String>>,
    /// Most segments of one day of `time_zone`; no limit if absent.
    pub segments_per_day: Option<i32>,
    /// Whether marketing waits for the day where its recipient may be.
    pub quiet_hours: bool,
    /// The language of templates for jobs that name none.
    pub language: Option<String>,
    /// The country of numbers without a country code; the configured one if absent.
    pub default_country: Option<String>,
    /// Whose midnight renews the budget.
    pub time_zone: String,
    /// Who changed it last, if that was not done in SQL.
    pub changed_by: Option<String>,
    /// When; absent for a tenant for which nothing was ever set.
    pub changed_at: Option<Timestamp>,
}

/// What is to be changed; what is absent stays. An inner `None` takes a setting away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// The weight.
    pub weight: Option<i32>,
    /// The countries.
    pub countries_allowed: Option<Option<Vec<Country>>>,
    /// The budget, in segments a day.
    pub segments_per_day: Option<Option<u32>>,
    /// Quiet hours for marketing.
    pub quiet_hours: Option<bool>,
    /// The language.
    pub language: Option<Option<String>>,
    /// The country of numbers without a country code.
    pub default_country: Option<Option<Country>>,
    /// A time zone of the IANA database ([`facteur_core::rules::time_zone`]).
    pub time_zone: Option<String>,
}

/// The settings of a tenant; those of one for which nothing was ever set are the defaults.
///
/// # Errors
/// The database's, classified.
pub async fn get(database: &Database, tenant: &Tenant) -> Result<TenantSettings, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(GET).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&tenant.as_str()]).await.map_err(classify)?;
    Ok(row.as_ref().map_or_else(|| unset(tenant), settings))
}

/// Tenants for which something is set, by slug; at most 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn list(database: &Database) -> Result<Vec<TenantSettings>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LIST).await.map_err(classify)?;
    let rows = client.query(&statement, &[&LISTED_MAX]).await.map_err(classify)?;
    Ok(rows.iter().map(settings).collect())
}

/// Changes a tenant's settings, and returns what they are then. Workers follow within a second; a raised budget lets
/// out what waits for it.
///
/// # Errors
/// [`BatchFailure::Data`] with a sentence if a value is not as it must be; otherwise the database's, classified.
pub async fn set(
    database: &Database,
    tenant: &Tenant,
    change: &TenantChange,
    by: impl Into<By<'_>>,
) -> Result<TenantSettings, BatchFailure> {
    let by = by.into();
    check(change)?;
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let codes = |countries: &Vec<Country>| {
        let mut codes: Vec<String> = countries.iter().map(ToString::to_string).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    };
    let countries = change.countries_allowed.as_ref().and_then(|countries| countries.as_ref().map(codes));
    let segments = change.segments_per_day.flatten().and_then(|segments| i32::try_from(segments).ok());
    let language = change.language.as_ref().and_then(Option::as_deref);
    let country = change.default_country.flatten().map(|country| country.to_string());
    let told = Json(told(change));
    let parameters: [&(dyn ToSql + Sync); 15] = [
        &tenant.as_str(),
        &change.weight,
        &change.countries_allowed.is_some(),
        &countries,
        &change.segments_per_day.is_some(),
        &segments,
        &change.quiet_hours,
        &change.language.is_some(),
        &language,
        &change.default_country.is_some(),
        &country,
        &change.time_zone,
        &by.actor,
        &told,
        &by.request_id,
    ];
    let client = database.client().await?;
    let statement = client.prepare_cached(SET).await.map_err(classify)?;
    let row = client.query_one(&statement, &parameters).await.map_err(classify)?;
    Ok(settings(&row))
}

fn check(change: &TenantChange) -> Result<(), BatchFailure> {
    let refuse = |sentence: String| Err(BatchFailure::Data(sentence));
    if let Some(weight) = change.weight.filter(|weight| !WEIGHTS.contains(weight)) {
        return refuse(format!("a weight is 1 to 100, not {weight}"));
    }
    if let Some(segments) = change.segments_per_day.flatten()
        && !(1..=SEGMENTS_PER_DAY_MAX).contains(&segments)
    {
        return refuse(format!("a budget is 1 to {SEGMENTS_PER_DAY_MAX} segments a day, not {segments}"));
    }
    if let Some(Some(language)) = &change.language {
        check_language(language)?;
    }
    if let Some(Some(countries)) = &change.countries_allowed
        && countries.is_empty()
    {
        return refuse("name at least one country, or allow all of them; a pause stops a tenant".to_owned());
    }
    Ok(())
}

/// The change, for the audit log.
fn told(change: &TenantChange) -> serde_json::Map<String, Value> {
    let code = |country: &Country| json!(country.as_str());
    let codes = |countries: &Vec<Country>| countries.iter().map(code).collect::<Value>();
    let entries = [
        ("weight", change.weight.map(|weight| json!(weight))),
        (
            "countries_allowed",
            change.countries_allowed.as_ref().map(|given| json!(given.as_ref().map(codes))),
        ),
        ("segments_per_day", change.segments_per_day.map(|given| json!(given))),
        ("quiet_hours", change.quiet_hours.map(|given| json!(given))),
        ("language", change.language.as_ref().map(|given| json!(given))),
        ("default_country", change.default_country.as_ref().map(|given| json!(given.as_ref().map(code)))),
        ("time_zone", change.time_zone.as_ref().map(|given| json!(given))),
    ];
    entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn unset(tenant: &Tenant) -> TenantSettings {
    TenantSettings {
        tenant: tenant.to_string(),
        weight: 1,
        countries_allowed: None,
        segments_per_day: None,
        quiet_hours: false,
        language: None,
        default_country: None,
        time_zone: "UTC".to_owned(),
        changed_by: None,
        changed_at: None,
    }
}

fn settings(row: &Row) -> TenantSettings {
    TenantSettings {
        tenant: row.get("slug"),
        weight: row.get("weight"),
        countries_allowed: row.get("countries_allowed"),
        segments_per_day: row.get("segments_per_day"),
        quiet_hours: row.get("quiet_hours"),
        language: row.get("language"),
        default_country: row.get("default_country"),
        time_zone: row.get("time_zone"),
        changed_by: row.get("changed_by"),
        changed_at: row.get("updated_at"),
    }
}

/// A tenant as the directory holds it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) weight: u32,
    pub(crate) rules: Arc<TenantRules>,
    /// Whether nothing is left of its budget today.
    pub(crate) is_spent: bool,
}

/// Tenants for the directory, at most so many.
pub(crate) async fn load(client: &Client, rows_max: i64) -> Result<Vec<(String, Entry)>, BatchFailure> {
    let statement = client.prepare_cached(LOAD).await.map_err(classify)?;
    let rows = client.query(&statement, &[&rows_max]).await.map_err(classify)?;
    Ok(rows.iter().map(|row| (row.get("slug"), entry(row))).collect())
}

/// A country that can't be read (it was set in SQL) is none that may be written to.
fn entry(row: &Row) -> Entry {
    let countries: Option<Vec<&str>> = row.get("countries_allowed");
    let parse = |code: &str| Country::parse(code).ok();
    let rules = TenantRules {
        countries_allowed: countries.map(|codes| codes.into_iter().filter_map(parse).collect()),
        segments_per_day: row
            .get::<_, Option<i32>>("segments_per_day")
            .and_then(|most| u32::try_from(most).ok()),
        has_quiet_hours: row.get("quiet_hours"),
        language: row.get("language"),
        default_country: row.get::<_, Option<&str>>("default_country").and_then(parse),
    };
    Entry {
        weight: u32::try_from(row.get::<_, i32>("weight")).unwrap_or(1),
        rules: Arc::new(rules),
        is_spent: row.get("is_spent"),
    }
}

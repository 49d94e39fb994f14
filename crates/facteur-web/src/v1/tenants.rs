//! `/v1/tenants/{slug}`: what a tenant set for what may leave, and what it has used of its budget.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::phone::Country;
use facteur_core::rules;
use facteur_postgres::budgets;
use facteur_postgres::tenants::{self, SEGMENTS_PER_DAY_MAX, TenantChange, TenantSettings};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::{Principal, Role};
use crate::error::{ApiError, ErrorBody};
use crate::json::{Json, Query, given};
use crate::state::App;

/// Days of usage if nobody says otherwise, and the most.
const DAYS_DEFAULT: u16 = 31;
const DAYS_MAX: u16 = 366;

const NOT_FOUND: ApiError = ApiError::not_found("there is no such tenant");
const WEIGHT_FORBIDDEN: ApiError = ApiError::at(
    StatusCode::FORBIDDEN,
    "forbidden",
    "weight",
    "a tenant's share among the others is set by a superadmin",
);

/// A tenant's settings.
#[derive(Serialize, ToSchema)]
pub(crate) struct TenantView {
    /// Its slug.
    #[schema(example = "acme")]
    tenant: String,
    /// How many turns it gets in a lane where others get one.
    #[schema(example = 1)]
    weight: i32,
    /// The only countries that are written to, by their two letters; null: every country.
    #[schema(example = json!(["BE", "FR"]))]
    countries_allowed: Option<Vec<String>>,
    /// Most segments of one day of `time_zone`; null: no limit.
    #[schema(example = 10_000)]
    segments_per_day: Option<i32>,
    /// Whether marketing waits for the day where its recipient may be.
    quiet_hours: bool,
    /// The language of templates for messages that name none.
    #[schema(example = "fr")]
    language: Option<String>,
    /// The country of numbers without a country code; null: the configured one.
    #[schema(example = "FR")]
    default_country: Option<String>,
    /// The IANA time zone whose midnight renews the budget.
    #[schema(example = "Europe/Paris")]
    time_zone: String,
    /// Who changed it last.
    changed_by: Option<String>,
    /// When.
    #[schema(value_type = Option<String>, format = DateTime)]
    changed_at: Option<Timestamp>,
}

impl From<TenantSettings> for TenantView {
    fn from(settings: TenantSettings) -> Self {
        Self {
            tenant: settings.tenant,
            weight: settings.weight,
            countries_allowed: settings.countries_allowed,
            segments_per_day: settings.segments_per_day,
            quiet_hours: settings.quiet_hours,
            language: settings.language,
            default_country: settings.default_country,
            time_zone: settings.time_zone,
            changed_by: settings.changed_by,
            changed_at: settings.changed_at,
        }
    }
}

/// What is to be changed: a field that is absent stays, null takes a setting away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"countries_allowed": ["BE", "FR", "SN", "US"], "segments_per_day": 10_000, "quiet_hours": true,
    "time_zone": "Europe/Paris", "language": "fr", "default_country": "FR"}))]
pub(crate) struct TenantPatch {
    /// 1 to 100; a superadmin's matter.
    #[schema(minimum = 1, maximum = 100)]
    weight: Option<i32>,
    /// Two-letter codes; null allows every country.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    countries_allowed: Option<Option<Vec<String>>>,
    /// 1 to 1,000,000,000; null lifts the limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_000_000_000)]
    segments_per_day: Option<Option<u32>>,
    quiet_hours: Option<bool>,
    /// A tag such as fr or pt-BR.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    language: Option<Option<String>>,
    /// Two letters; null: the configured one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    default_country: Option<Option<String>>,
    /// A name of the IANA database.
    time_zone: Option<String>,
}

impl TenantPatch {
    fn change(self) -> Result<TenantChange, ApiError> {
        if self.weight.is_some_and(|weight| !(1..=100).contains(&weight)) {
            return Err(invalid("weight", "`weight` is 1 to 100"));
        }
        let segments = self.segments_per_day.flatten();
        if segments.is_some_and(|segments| !(1..=SEGMENTS_PER_DAY_MAX).contains(&segments)) {
            return Err(invalid(
                "segments_per_day",
                "`segments_per_day` is 1 to 1000000000, or null for no limit",
            ));
        }
        if self.countries_allowed.as_ref().is_some_and(|given| given.as_ref().is_some_and(Vec::is_empty)) {
            let sentence = "`countries_allowed` names at least one country, or is null for all of them";
            return Err(invalid("countries_allowed", sentence));
        }
        let time_zone = self.time_zone.as_deref().map(rules::time_zone).transpose();
        let time_zone = time_zone.map_err(|why| invalid("time_zone", format!("`time_zone` {why}")))?;
        Ok(TenantChange {
            weight: self.weight,
            countries_allowed: inner(self.countries_allowed, |codes| {
                let parsed = codes.iter().enumerate();
                parsed.map(|(nth, code)| country(&format!("countries_allowed[{nth}]"), code)).collect()
            })?,
            segments_per_day: self.segments_per_day,
            quiet_hours: self.quiet_hours,
            language: self.language,
            default_country: inner(self.default_country, |code| country("default_country", &code))?,
            time_zone,
        })
    }
}

fn inner<T, U>(
    given: Option<Option<T>>,
    parse: impl FnOnce(T) -> Result<U, ApiError>,
) -> Result<Option<Option<U>>, ApiError> {
    given.map(|value| value.map(parse).transpose()).transpose()
}

fn country(field: &str, code: &str) -> Result<Country, ApiError> {
    Country::parse(code).map_err(|why| invalid(field.to_owned(), format!("`{field}` {why}")))
}

fn invalid(
    field: impl Into<std::borrow::Cow<'static, str>>,
    sentence: impl Into<std::borrow::Cow<'static, str>>,
) -> ApiError {
    ApiError::invalid("invalid_field", sentence).field(field)
}

/// The tenant of a path, if the bearer may see it.
fn seen(principal: &Principal, slug: &str) -> Result<Tenant, ApiError> {
    let tenant = Tenant::parse(slug).map_err(|_| NOT_FOUND)?;
    if principal.sees(slug) { Ok(tenant) } else { Err(NOT_FOUND) }
}

/// A tenant's settings; the defaults, if nothing was ever set.
#[utoipa::path(
    get,
    path = "/v1/tenants/{slug}",
    tag = "tenants",
    params(("slug" = String, Path, description = "The tenant.", example = "default")),
    responses((status = 200, body = TenantView), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn read(
    State(app): State<App>,
    principal: Principal,
    Path(slug): Path<String>,
) -> Result<Json<TenantView>, ApiError> {
    let tenant = seen(&principal, &slug)?;
    Ok(Json(tenants::get(&app.database, &tenant).await?.into()))
}

/// Changes a tenant's settings; workers follow within a second, and a raised budget lets out what waits for it.
#[utoipa::path(
    patch,
    path = "/v1/tenants/{slug}",
    tag = "tenants",
    params(("slug" = String, Path, description = "The tenant.", example = "default")),
    request_body = TenantPatch,
    responses(
        (status = 200, body = TenantView),
        (status = 403, body = inline(ErrorBody<'_>)),
        (status = 404, body = inline(ErrorBody<'_>)),
        (status = 422, body = inline(ErrorBody<'_>))
    )
)]
pub(crate) async fn change(
    State(app): State<App>,
    principal: Principal,
    Path(slug): Path<String>,
    Json(patch): Json<TenantPatch>,
) -> Result<Json<TenantView>, ApiError> {
    let tenant = seen(&principal, &slug)?;
    if patch.weight.is_some() && principal.role != Role::Superadmin {
        return Err(WEIGHT_FORBIDDEN);
    }
    let change = patch.change()?;
    Ok(Json(tenants::set(&app.database, &tenant, &change, &principal.actor).await?.into()))
}

/// Which days.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// The latest so many days on which something was counted: 1 to 366; 31 if absent.
    #[param(minimum = 1, maximum = 366)]
    days: Option<u16>,
}

/// What a tenant has used.
#[derive(Serialize, ToSchema)]
pub(crate) struct UsageView {
    #[schema(example = "acme")]
    tenant: String,
    /// Whose midnight ends a day.
    #[schema(example = "Europe/Paris")]
    time_zone: String,
    /// The budget of a day; null: no limit, and nothing is counted.
    segments_per_day: Option<i32>,
    /// The latest day first; days on which nothing was counted are left out.
    days: Vec<DayView>,
}

/// One day.
#[derive(Serialize, ToSchema)]
pub(crate) struct DayView {
    #[schema(example = "2026-12-01")]
    day: String,
    /// Segments of the messages whose first try was on that day.
    segments: i64,
}

/// What a tenant has used of its budget, day by day.
#[utoipa::path(
    get,
    path = "/v1/tenants/{slug}/usage",
    tag = "tenants",
    params(("slug" = String, Path, description = "The tenant.", example = "default"), UsageQuery),
    responses((status = 200, body = UsageView), (status = 404, body = inline(ErrorBody<'_>)))
)]
pub(crate) async fn usage(
    State(app): State<App>,
    principal: Principal,
    Path(slug): Path<String>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageView>, ApiError> {
    let tenant = seen(&principal, &slug)?;
    let days = query.days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(invalid("days", "`days` is 1 to 366"));
    }
    let settings = tenants::get(&app.database, &tenant).await?;
    let used = budgets::usage(&app.database, &tenant, i64::from(days)).await?;
    let day = |usage: &budgets::Usage| DayView { day: usage.day.to_string(), segments: usage.segments };
    Ok(Json(UsageView {
        tenant: settings.tenant,
        time_zone: settings.time_zone,
        segments_per_day: settings.segments_per_day,
        days: used.iter().map(day).collect(),
    }))
}

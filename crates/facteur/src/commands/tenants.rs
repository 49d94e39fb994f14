//! `facteur tenants`: countries, budget, quiet hours and defaults of tenants, changed while workers run.

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::phone::Country;
use facteur_core::rules;
use facteur_postgres::tenants::{self, TenantChange, TenantSettings};
use facteur_postgres::{Database, budgets};
use serde::Serialize;

use super::adapters;
use super::pause::wrong_or_failed;
use crate::cli::{Switch, TenantSetArgs, TenantsCommand};
use crate::config::{self, Config, Problems};
use crate::exit::Exit;
use crate::output::{Output, table};

/// Days of usage that are shown.
const DAYS_SHOWN: i64 = 14;

/// Runs it.
///
/// # Errors
/// [`Problems`], if tenant or settings are not as they must be; otherwise whatever the database says.
pub async fn run(command: &TenantsCommand, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let connect = || adapters::database(config, "tenants");
    match command {
        TenantsCommand::List => {
            let listed = tenants::list(&connect().await?).await?;
            let listed = Listed { tenants: listed.into_iter().map(Shown::of).collect() };
            output.show(&listed, Listed::as_text)?;
        }
        TenantsCommand::Show { tenant } => {
            let tenant = self::tenant(tenant)?;
            let shown = show(&connect().await?, &tenant).await?;
            output.show(&shown, Shown::as_text)?;
        }
        TenantsCommand::Set(args) => {
            let (tenant, change) = (self::tenant(&args.tenant)?, change(args)?);
            let settings = tenants::set(&connect().await?, &tenant, &change, &config::user())
                .await
                .map_err(wrong_or_failed)?;
            let told =
                |shown: &Shown| format!("{}\n\nevery worker knows it within a second", shown.as_text());
            output.show(&Shown::of(settings), told)?;
        }
    }
    Ok(Exit::Done)
}

fn tenant(text: &str) -> Result<Tenant, Problems> {
    Tenant::parse(text).map_err(|why| Problems(vec![format!("`{text}` is no tenant: {why}")]))
}

/// `none` takes a setting away.
fn unless_none(text: Option<&str>, none: &str) -> Option<Option<String>> {
    text.map(|text| (!text.eq_ignore_ascii_case(none)).then(|| text.to_owned()))
}

fn country(text: &str) -> Result<Country, Problems> {
    Country::parse(text).map_err(|why| Problems(vec![format!("`{text}` {why}")]))
}

fn change(args: &TenantSetArgs) -> Result<TenantChange, Problems> {
    let refused = |sentence: String| Problems(vec![sentence]);
    let codes = |text: String| text.split(',').map(country).collect::<Result<Vec<_>, _>>();
    let segments = |text: String| {
        let why =
            || refused(format!("the budget is `{text}`, which is no number of segments a day, nor `none`"));
        text.parse::<u32>().map_err(|_| why())
    };
    let zone = args
        .time_zone
        .as_deref()
        .map(|zone| rules::time_zone(zone).map_err(|why| refused(format!("the time zone `{zone}` {why}"))));
    Ok(TenantChange {
        weight: args.weight,
        countries_allowed: unless_none(args.countries.as_deref(), "all")
            .map(|given| given.map(codes).transpose())
            .transpose()?,
        segments_per_day: unless_none(args.budget.as_deref(), "none")
            .map(|given| given.map(segments).transpose())
            .transpose()?,
        quiet_hours: args.quiet_hours.map(|switch| switch == Switch::On),
        language: unless_none(args.language.as_deref(), "none"),
        default_country: unless_none(args.country.as_deref(), "none")
            .map(|given| given.as_deref().map(country).transpose())
            .transpose()?,
        time_zone: zone.transpose()?,
    })
}

async fn show(database: &Database, tenant: &Tenant) -> anyhow::Result<Shown> {
    let mut shown = Shown::of(tenants::get(database, tenant).await?);
    let used = budgets::usage(database, tenant, DAYS_SHOWN).await?;
    shown.usage =
        Some(used.iter().map(|used| Used { day: used.day.to_string(), segments: used.segments }).collect());
    Ok(shown)
}

#[derive(Serialize)]
struct Listed {
    tenants: Vec<Shown>,
}

#[derive(Serialize)]
struct Shown {
    tenant: String,
    weight: i32,
    countries_allowed: Option<Vec<String>>,
    segments_per_day: Option<i32>,
    quiet_hours: bool,
    language: Option<String>,
    default_country: Option<String>,
    time_zone: String,
    changed_by: Option<String>,
    changed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Vec<Used>>,
}

#[derive(Serialize)]
struct Used {
    day: String,
    segments: i64,
}

impl Shown {
    fn of(settings: TenantSettings) -> Self {
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
            usage: None,
        }
    }

    fn countries(&self) -> String {
        self.countries_allowed.as_ref().map_or_else(|| "all".to_owned(), |codes| codes.join(", "))
    }

    fn budget(&self) -> String {
        self.segments_per_day.map_or_else(|| "none".to_owned(), |most| format!("{most} segments a day"))
    }

    fn changed(&self) -> String {
        match (&self.changed_by, self.changed_at) {
            (Some(by), Some(at)) => format!("{at:.0} by {by}"),
            (None, Some(at)) => format!("{at:.0}"),
            (_, None) => "never".to_owned(),
        }
    }

    fn as_text(&self) -> String {
        let or = |value: &Option<String>, other: &str| value.clone().unwrap_or_else(|| other.to_owned());
        let mut settings = table(&["tenant", &self.tenant]);
        let quiet = if self.quiet_hours { "on, for marketing" } else { "off" };
        for (name, value) in [
            ("countries", self.countries()),
            ("budget", self.budget()),
            ("quiet hours", quiet.to_owned()),
            ("weight", self.weight.to_string()),
            ("language", or(&self.language, "none")),
            ("country of numbers", or(&self.default_country, "the configured one")),
            ("time zone", self.time_zone.clone()),
            ("changed", self.changed()),
        ] {
            settings.add_row([name.to_owned(), value]);
        }
        let days = self.usage.iter().flatten();
        let mut used = table(&["day", "segments"]);
        days.for_each(|day| _ = used.add_row([day.day.clone(), day.segments.to_string()]));
        if used.is_empty() { settings.to_string() } else { format!("{settings}\n\n{used}") }
    }
}

impl Listed {
    fn as_text(&self) -> String {
        if self.tenants.is_empty() {
            return "nothing is set for any tenant: everything that is valid may leave".to_owned();
        }
        let mut listed = table(&["tenant", "countries", "budget", "quiet hours", "weight", "changed"]);
        for one in &self.tenants {
            let quiet = if one.quiet_hours { "on" } else { "off" };
            let weight = one.weight.to_string();
            let row =
                [one.tenant.clone(), one.countries(), one.budget(), quiet.to_owned(), weight, one.changed()];
            listed.add_row(row);
        }
        listed.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> TenantSetArgs {
        TenantSetArgs {
            tenant: "acme".to_owned(),
            countries: None,
            budget: None,
            quiet_hours: None,
            weight: None,
            language: None,
            country: None,
            time_zone: None,
        }
    }

    #[test]
    fn what_is_not_named_stays_and_none_takes_away() {
        assert_eq!(change(&nothing()).ok(), Some(TenantChange::default()));
        let text = |text: &str| Some(text.to_owned());
        let given = TenantSetArgs {
            countries: text("fr,BE"),
            budget: text("100"),
            time_zone: text("europe/paris"),
            ..nothing()
        };
        let change_of = |args: &TenantSetArgs| change(args).unwrap_or_else(|problems| panic!("{problems}"));
        let changed = change_of(&given);
        let codes = changed.countries_allowed.flatten().unwrap_or_default();
        assert_eq!(codes.iter().map(Country::as_str).collect::<Vec<_>>(), ["FR", "BE"]);
        assert_eq!(changed.segments_per_day, Some(Some(100)));
        assert_eq!(changed.time_zone.as_deref(), Some("Europe/Paris"));
        let away = TenantSetArgs {
            countries: text("all"),
            budget: text("none"),
            country: text("none"),
            ..nothing()
        };
        let changed = change_of(&away);
        assert_eq!(
            (changed.countries_allowed, changed.segments_per_day, changed.default_country),
            (Some(None), Some(None), Some(None))
        );
    }

    #[test]
    fn a_setting_that_can_not_be_is_refused_and_named() {
        let text = |text: &str| Some(text.to_owned());
        for (bad, named) in [
            (TenantSetArgs { countries: text("FR,XX"), ..nothing() }, "`XX`"),
            (TenantSetArgs { countries: text(""), ..nothing() }, "``"),
            (TenantSetArgs { budget: text("-1"), ..nothing() }, "`-1`"),
            (TenantSetArgs { country: text("France"), ..nothing() }, "`France`"),
            (TenantSetArgs { time_zone: text("Paris"), ..nothing() }, "`Paris`"),
        ] {
            let told = change(&bad).map(|_| ()).unwrap_err().to_string();
            assert!(told.contains(named), "{told}");
        }
    }
}

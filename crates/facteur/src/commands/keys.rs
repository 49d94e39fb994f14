//! `facteur keys`: who may use the HTTP API.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_postgres::api_keys::{self, KeyRow, NewKey};
use facteur_worker::clock::Clock;
use jiff::{SignedDuration, Span};
use serde::Serialize;
use uuid::Uuid;

use super::adapters;
use super::pause::wrong_or_failed;
use crate::cli::{KeyArgs, KeysCommand, RoleName};
use crate::config::{self, Config, Problems};
use crate::exit::Exit;
use crate::output::{Output, table};

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 100;
const HOURS_OF_A_DAY: i64 = 24;

/// A key, as it is told.
#[derive(Serialize)]
struct Told {
    id: Uuid,
    prefix: String,
    name: String,
    role: String,
    tenant: Option<String>,
    created_by: String,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Created {
    key: String,
    #[serde(flatten)]
    told: Told,
}

#[derive(Serialize)]
struct Listed {
    keys: Vec<Told>,
}

#[derive(Serialize)]
struct Revoked {
    revoked: Option<Told>,
}

/// Runs it.
///
/// # Errors
/// [`Problems`], if what the key is to be makes no sense; otherwise whatever the database says.
pub async fn run(command: &KeysCommand, config: &Config, output: Output) -> anyhow::Result<Exit> {
    match command {
        KeysCommand::Create(args) => create(args, config, output).await,
        KeysCommand::List { tenant, limit } => list(tenant.as_deref(), *limit, config, output).await,
        KeysCommand::Revoke { id } => revoke(*id, config, output).await,
    }
}

async fn create(args: &KeyArgs, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let (tenant, name) = (tenant(args)?, name(&args.name)?);
    let expires_at = args.expires.as_deref().map(|text| end(text, Clock::system().now())).transpose()?;
    let actor = config::user();
    let new = NewKey {
        name,
        tenant: tenant.as_ref().map(Tenant::as_str),
        role: args.role.as_str(),
        created_by: &actor,
        expires_at,
        request_id: None,
    };
    let database = adapters::database(config, "keys").await?;
    let created = api_keys::create(&database, &new).await.map_err(wrong_or_failed)?;
    let created = Created { key: created.key, told: created.row.into() };
    output.show(&created, |created| {
        let Told { id, role, tenant, expires_at, .. } = &created.told;
        let whose = tenant.as_ref().map_or("all tenants".to_owned(), |tenant| format!("the tenant {tenant}"));
        let until = expires_at.map_or("until it is revoked".to_owned(), |at| format!("until {at:.0}"));
        format!(
            "{}\n\nThis is the {role} key of {whose}, good {until}. It is shown this once; `facteur keys revoke {id}` \
             ends it.",
            created.key
        )
    })?;
    Ok(Exit::Done)
}

async fn list(tenant: Option<&str>, limit: u16, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let tenant = tenant.map(slug).transpose()?;
    let database = adapters::database(config, "keys").await?;
    let rows = api_keys::list(&database, tenant.as_ref().map(Tenant::as_str), None, limit)
        .await
        .map_err(wrong_or_failed)?;
    let listed = Listed { keys: rows.into_iter().map(Told::from).collect() };
    output.show(&listed, Listed::as_text)?;
    Ok(Exit::Done)
}

async fn revoke(id: Uuid, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let database = adapters::database(config, "keys").await?;
    let revoked =
        api_keys::revoke(&database, id, None, &config::user(), None).await.map_err(wrong_or_failed)?;
    let exit = if revoked.is_some() { Exit::Done } else { Exit::NotFound };
    output.show(&Revoked { revoked: revoked.map(Told::from) }, |answer| match &answer.revoked {
        Some(key) => {
            format!("the key {} ({}) is revoked: nobody gets in with it any more", key.prefix, key.name)
        }
        None => format!("there is no key {id}; `facteur keys list` shows those that there are"),
    })?;
    Ok(exit)
}

impl From<KeyRow> for Told {
    fn from(row: KeyRow) -> Self {
        let KeyRow {
            id,
            prefix,
            name,
            tenant,
            role,
            created_by,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
        } = row;
        Self { id, prefix, name, role, tenant, created_by, created_at, expires_at, revoked_at, last_used_at }
    }
}

impl Listed {
    fn as_text(&self) -> String {
        if self.keys.is_empty() {
            return "there are no keys; `facteur keys create --role admin` makes one".to_owned();
        }
        let mut rows = table(&["id", "begins", "name", "role", "tenant", "made", "ends", "last used"]);
        let instant = |at: Option<Timestamp>, without: &str| {
            at.map_or_else(|| without.to_owned(), |at| format!("{at:.0}"))
        };
        for key in &self.keys {
            let ends = match key.revoked_at {
                Some(at) => format!("revoked {at:.0}"),
                None => instant(key.expires_at, "never"),
            };
            let tenant = key.tenant.as_deref().unwrap_or("(all)");
            rows.add_row([
                &key.id.to_string(),
                &key.prefix,
                &key.name,
                &key.role,
                tenant,
                &format!("{:.0}", key.created_at),
                &ends,
                &instant(key.last_used_at, "never"),
            ]);
        }
        rows.to_string()
    }
}

fn tenant(args: &KeyArgs) -> Result<Option<Tenant>, Problems> {
    match (args.role, args.tenant.as_deref()) {
        (RoleName::Superadmin, None) => Ok(None),
        (RoleName::Superadmin, Some(_)) => {
            Err(Problems(vec!["a superadmin's key is for all tenants: leave --tenant out".to_owned()]))
        }
        (_, None) => Ok(Some(Tenant::default_tenant())),
        (_, Some(text)) => slug(text).map(Some),
    }
}

fn slug(text: &str) -> Result<Tenant, Problems> {
    Tenant::parse(text).map_err(|why| Problems(vec![format!("`{text}` is no tenant: {why}")]))
}

fn name(text: &str) -> Result<&str, Problems> {
    let name = text.trim();
    let is_fine = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if is_fine { Ok(name) } else { Err(Problems(vec!["--name has 1 to 100 characters".to_owned()])) }
}

/// A time from now on, or an instant, in the future.
fn end(text: &str, now: Timestamp) -> Result<Timestamp, Problems> {
    let days = || text.strip_suffix('d')?.trim().parse::<i64>().ok()?.checked_mul(HOURS_OF_A_DAY);
    let duration = || match days() {
        Some(hours) => SignedDuration::try_from(Span::new().try_hours(hours).ok()?).ok(),
        None => text.parse::<SignedDuration>().ok(),
    };
    let after = || now.checked_add(Duration::try_from(duration()?).ok()?).ok();
    let at = text.parse::<Timestamp>().ok().or_else(after).filter(|at| *at > now);
    at.ok_or_else(|| {
        let right = "a time such as 90d or 12h, or an instant in the future such as 2030-12-01T08:00:00Z";
        Problems(vec![format!("--expires is `{text}`, which is not {right}")])
    })
}

#[cfg(test)]
mod tests {
    use super::end;

    #[test]
    fn an_end_is_a_time_from_now_or_an_instant_in_the_future() {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let of = |text| end(text, now).map(|at| at.to_string()).ok();
        for (text, expected) in [
            ("90d", Some("2026-08-30T00:00:00Z")),
            ("12h", Some("2026-06-01T12:00:00Z")),
            ("2026-12-01T08:00:00Z", Some("2026-12-01T08:00:00Z")),
            ("2026-05-01T08:00:00Z", None),
            ("-1d", None),
            ("0d", None),
            ("99999999999999d", None),
            ("soon", None),
        ] {
            assert_eq!(of(text).as_deref(), expected, "{text}");
        }
    }
}

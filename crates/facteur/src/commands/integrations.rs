//! `facteur integrations`: accounts at Twilio of tenants that have their own.

use std::io::{IsTerminal as _, Read as _};

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::integration::Secrets;
use facteur_core::sender::Sender;
use facteur_postgres::integrations::{
    self, IntegrationError, IntegrationPatch, IntegrationRow, NewIntegration, ROWS_MAX,
};
use facteur_postgres::{BatchFailure, Database};
use facteur_twilio::{AccountCheck, TwilioClient, authorisation};
use secrecy::SecretString;
use serde::Serialize;
use uuid::Uuid;

use super::adapters;
use crate::cli::{AddIntegration, IntegrationsCommand};
use crate::config::{self, Config, Problems};
use crate::exit::Exit;
use crate::output::{Output, table, tell};

/// Longest text on stdin that is read as credentials, in bytes.
const STDIN_BYTES_MAX: u64 = 4_096;

/// Runs it.
///
/// # Errors
/// [`Problems`], if what is asked for is not as it must be; otherwise whatever the database says.
pub async fn run(command: &IntegrationsCommand, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let (actor, keyring) = (config::user(), &config.twilio.keyring);
    let connect = || adapters::database(config, "integrations");
    let (row, now) = match command {
        IntegrationsCommand::List { tenant } => {
            return list(&connect().await?, tenant.as_deref(), output).await;
        }
        IntegrationsCommand::Test { id } => return test(&connect().await?, config, *id, output).await,
        IntegrationsCommand::RotateKeys => return rotate(&connect().await?, config, output).await,
        IntegrationsCommand::Add(args) => {
            let new = new(args, config)?;
            let row = integrations::create(&connect().await?, keyring, &new, &actor).await;
            (row.map_err(wrong_or_failed)?, "is added")
        }
        IntegrationsCommand::Secret { id, api_key } => {
            let api_key_sid = api_key.as_deref().map(|sid| sid_of("--api-key", sid, "SK")).transpose()?;
            let secrets = secrets(api_key_sid.is_some())?.ok_or_else(nothing_on_stdin)?;
            let patch =
                IntegrationPatch { api_key_sid, secrets: Some(secrets), ..IntegrationPatch::default() };
            let row = integrations::update(&connect().await?, keyring, (None, *id), &patch, &actor).await;
            (row.map_err(wrong_or_failed)?, "has new credentials")
        }
        IntegrationsCommand::Default { id } => {
            let row = integrations::set_default(&connect().await?, None, *id, &actor).await;
            (row.map_err(wrong_or_failed)?, "is the default of its tenant and type")
        }
        IntegrationsCommand::Deactivate { id } => {
            let row = integrations::set_active(&connect().await?, (None, *id), false, &actor).await;
            (row.map_err(wrong_or_failed)?, "is deactivated: what would leave over it waits")
        }
        IntegrationsCommand::Activate { id } => {
            let row = integrations::set_active(&connect().await?, (None, *id), true, &actor).await;
            (row.map_err(wrong_or_failed)?, "is active: what waited for it leaves")
        }
    };
    output.show(&Listed::of(row), |row| {
        format!(
            "the integration {} ({}) of {} {now}; every worker knows it within a second",
            row.name, row.id, row.tenant
        )
    })?;
    Ok(Exit::Done)
}

fn new(args: &AddIntegration, config: &Config) -> Result<NewIntegration, Problems> {
    let tenant = args.tenant.as_deref().map(tenant).transpose()?.unwrap_or_else(Tenant::default_tenant);
    let account_sid = sid_of("--account", &args.account, "AC")?;
    let api_key_sid = args.api_key.as_deref().map(|sid| sid_of("--api-key", sid, "SK")).transpose()?;
    let is_home = config.twilio.credentials().is_ok_and(|home| home.account_sid == account_sid);
    if is_home && tenant != Tenant::default_tenant() {
        let sentence = format!(
            "{account_sid} is the account of TWILIO_ACCOUNT_SID, which is that of the tenant `default`"
        );
        return Err(Problems(vec![sentence]));
    }
    let phone_number = args.phone_number.as_deref().map(|text| {
        let number = text.strip_prefix("whatsapp:").unwrap_or(text);
        Sender::parse(number)
            .map(|sender| sender.as_str().to_owned())
            .map_err(|why| Problems(vec![format!("--phone-number is no sender: {why}")]))
    });
    let service = args.messaging_service.as_deref();
    Ok(NewIntegration {
        tenant,
        name: args.name.clone(),
        kind: args.kind.into(),
        account_sid,
        secrets: secrets(api_key_sid.is_some())?,
        api_key_sid,
        phone_number: phone_number.transpose()?,
        messaging_service_sid: service.map(|sid| sid_of("--messaging-service", sid, "MG")).transpose()?,
        is_active: !args.inactive,
    })
}

/// The credentials on stdin; `None` if there is nothing. The sentences hold nothing of them.
fn secrets(has_api_key: bool) -> Result<Option<Secrets>, Problems> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        let what = if has_api_key {
            "the API key's secret (and on a second line the auth token)"
        } else {
            "the auth token"
        };
        tell(&format!("type {what}, then Ctrl-D:"));
    }
    let mut text = String::new();
    let read = stdin.by_ref().take(STDIN_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|_| Problems(vec!["stdin can't be read as text".to_owned()]))?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(SecretString::from);
    let Some(first) = lines.next() else { return Ok(None) };
    let second = lines.next();
    if lines.next().is_some() || (!has_api_key && second.is_some()) {
        return Err(Problems(vec!["stdin holds more lines than there are credentials".to_owned()]));
    }
    Ok(Some(if has_api_key {
        Secrets { api_secret: Some(first), auth_token: second, ..Secrets::default() }
    } else {
        Secrets { auth_token: Some(first), ..Secrets::default() }
    }))
}

fn nothing_on_stdin() -> Problems {
    Problems(vec![
        "stdin holds no credentials: give the auth token, or the API key's secret, there".to_owned(),
    ])
}

fn sid_of(flag: &str, text: &str, letters: &str) -> Result<String, Problems> {
    let digits = text.strip_prefix(letters).unwrap_or_default();
    let is_sid = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_sid.then(|| text.to_owned()).ok_or_else(|| {
        Problems(vec![format!("{flag} is `{text}`, which is not {letters} and 32 hexadecimal digits")])
    })
}

fn tenant(text: &str) -> Result<Tenant, Problems> {
    Tenant::parse(text).map_err(|why| Problems(vec![format!("`{text}` is no tenant: {why}")]))
}

/// What is refused is a fault of the command line, or of the configuration.
fn wrong_or_failed(error: IntegrationError) -> anyhow::Error {
    match error {
        IntegrationError::Database(failure @ BatchFailure::Unavailable(_)) => failure.into(),
        refused => Problems(vec![refused.to_string()]).into(),
    }
}

/// An integration, as it is shown.
#[derive(Serialize)]
struct Listed {
    id: Uuid,
    tenant: String,
    name: String,
    integration_type: &'static str,
    account_sid: String,
    api_key_sid: Option<String>,
    phone_number: Option<String>,
    messaging_service_sid: Option<String>,
    is_active: bool,
    is_default: bool,
    tested_at: Option<Timestamp>,
    test_result: Option<String>,
    changed_by: String,
    updated_at: Timestamp,
}

impl Listed {
    fn of(row: IntegrationRow) -> Self {
        let (tested_at, test_result) = row.tested.map(|(at, word, _)| (at, word)).unzip();
        Self {
            id: row.id,
            tenant: row.tenant,
            name: row.name,
            integration_type: row.kind.as_str(),
            account_sid: row.account_sid,
            api_key_sid: row.api_key_sid,
            phone_number: row.phone_number,
            messaging_service_sid: row.messaging_service_sid,
            is_active: row.is_active,
            is_default: row.is_default,
            tested_at,
            test_result,
            changed_by: row.changed_by,
            updated_at: row.updated_at,
        }
    }
}

async fn list(database: &Database, tenant: Option<&str>, output: Output) -> anyhow::Result<Exit> {
    let tenant = tenant.map(self::tenant).transpose()?;
    let rows =
        integrations::list(database, tenant.as_ref(), None, ROWS_MAX).await.map_err(wrong_or_failed)?;
    let listed: Vec<Listed> = rows.into_iter().map(Listed::of).collect();
    let document = serde_json::json!({ "integrations": listed });
    output.show(&document, |_| as_text(&listed))?;
    Ok(Exit::Done)
}

fn as_text(listed: &[Listed]) -> String {
    if listed.is_empty() {
        return "there is no integration: all that is sent goes over the account of the environment"
            .to_owned();
    }
    let mut rows =
        table(&["id", "tenant", "name", "type", "account", "sends from", "is", "tested", "changed"]);
    for one in listed {
        let from = one.messaging_service_sid.as_ref().or(one.phone_number.as_ref());
        let active = if one.is_active { "active" } else { "inactive" };
        let default = if one.is_default { ", default" } else { "" };
        let tested =
            one.tested_at.zip(one.test_result.as_ref()).map(|(at, word)| format!("{word} at {at:.0}"));
        rows.add_row([
            one.id.to_string(),
            one.tenant.clone(),
            one.name.clone(),
            one.integration_type.to_owned(),
            one.account_sid.clone(),
            from.cloned().unwrap_or_default(),
            format!("{active}{default}"),
            tested.unwrap_or_default(),
            format!("{:.0} by {}", one.updated_at, one.changed_by),
        ]);
    }
    rows.to_string()
}

#[derive(Serialize)]
struct Tested {
    id: Uuid,
    is_ok: bool,
    result: &'static str,
    message: String,
}

async fn test(database: &Database, config: &Config, id: Uuid, output: Output) -> anyhow::Result<Exit> {
    let row = integrations::find(database, None, id).await.map_err(wrong_or_failed)?;
    let checked = look(database, config, &row.account_sid).await?;
    let tested = Tested { id, is_ok: checked.is_ok(), result: checked.word(), message: checked.sentence() };
    integrations::tested(database, &row, (tested.result, &tested.message), &config::user()).await?;
    output.show(&tested, |tested| tested.message.clone())?;
    Ok(if tested.is_ok { Exit::Done } else { Exit::NotReady })
}

/// Asks Twilio for an account with the credentials that are stored of it.
pub(super) async fn look(
    database: &Database,
    config: &Config,
    account_sid: &str,
) -> anyhow::Result<AccountCheck> {
    let keyring = &config.twilio.keyring;
    let account = integrations::credentials(database, keyring, account_sid).await.map_err(wrong_or_failed)?;
    let account = account.ok_or_else(|| wrong_or_failed(IntegrationError::Missing))?;
    let secrets = account.secrets.map_err(|why| Problems(vec![why.to_string()]))?;
    let home = TwilioClient::new(adapters::twilio(config)?)?;
    let auth = authorisation(account.api_key_sid.as_deref(), &secrets)?;
    Ok(home.for_account(account_sid, auth)?.check_account().await)
}

async fn rotate(database: &Database, config: &Config, output: Output) -> anyhow::Result<Exit> {
    let keyring = &config.twilio.keyring;
    let rotation = integrations::rotate_keys(database, keyring).await.map_err(wrong_or_failed)?;
    let failed: Vec<String> = rotation.failed.iter().map(|(sid, why)| format!("{sid}: {why}")).collect();
    let current = keyring.current_id().unwrap_or_default().to_owned();
    let document = serde_json::json!({ "key": current, "resealed": rotation.resealed, "failed": failed });
    output.show(&document, |_| {
        let done = format!("{} account(s) are newly sealed by the key `{current}`", rotation.resealed);
        [done].into_iter().chain(failed.iter().cloned()).collect::<Vec<_>>().join("\n")
    })?;
    Ok(if failed.is_empty() { Exit::Done } else { Exit::Failed })
}

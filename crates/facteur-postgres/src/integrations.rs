//! Integrations: what tenants send over which account at Twilio, and the accounts' credentials, which are stored sealed
//! and never given out. Workers and web processes read them through the directory, within a second.
//!
//! An integration is active as long as nobody paused it: what would leave over one that is not waits in line.

mod account;
mod shapes;

use deadpool_postgres::GenericClient;
use facteur_core::Timestamp;
use facteur_core::hold::Scope;
use facteur_core::ids::Tenant;
use facteur_core::integration::IntegrationType;
use facteur_core::vault::Keyring;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::acts::{self, By};
use crate::batch_error::BatchFailure;
use crate::page::Position;
use crate::pauses::{self, PauseEnd};
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};
pub(crate) use account::account;
pub use account::{Rotation, credentials, is_readable, rotate_keys};
pub use shapes::{IntegrationError, IntegrationPatch, IntegrationRow, NewIntegration};

/// Longest name, in characters.
pub const NAME_CHARS_MAX: usize = 100;
/// Most integrations that are given at once.
pub const ROWS_MAX: i64 = 1_000;

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT i.id, i.tenant, i.name, i.integration_type, i.account_sid, a.api_key_sid, a.key_id, \
                    i.phone_number, i.messaging_service_sid, i.is_default, i.tested_at, i.test_result, \
                    i.test_sentence, i.changed_by, i.created_at, greatest(i.updated_at, a.updated_at) AS updated_at, \
                    (SELECT count(*) FROM facteur.pauses p WHERE p.scope = 'integration' AND p.key = i.id::text \
                         AND p.ended_at IS NULL AND (p.until IS NULL OR p.until > clock_timestamp())) = 0 AS is_active \
             FROM facteur.integrations i CROSS JOIN LATERAL (SELECT api_key_sid, key_id, updated_at \
                 FROM facteur.accounts WHERE sid = i.account_sid LIMIT 1) a WHERE ",
            $condition
        )
    };
}

const LIST: &str = select!(
    "($1::text IS NULL OR i.tenant = $1) AND ($2::uuid IS NULL OR (i.created_at, i.id) < ($3, $2)) \
             ORDER BY i.created_at DESC, i.id DESC LIMIT $4"
);

const FIND: &str = select!("i.id = $1 AND ($2::text IS NULL OR i.tenant = $2)");

/// The first of its tenant and type is the default.
const INSERT: &str = "INSERT INTO facteur.integrations (id, tenant, name, integration_type, account_sid, phone_number, \
         messaging_service_sid, changed_by, is_default) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, (SELECT count(*) FROM facteur.integrations \
         WHERE tenant = $2 AND integration_type = $4 AND is_default) = 0)";

const INACTIVE: &str = "INSERT INTO facteur.pauses (scope, key, reason, actor) \
     VALUES ('integration', $1, 'created without being active', $2)";

const UPDATE: &str = "UPDATE facteur.integrations SET name = coalesce($2, name), \
         phone_number = CASE WHEN $3 THEN $4 ELSE phone_number END, \
         messaging_service_sid = CASE WHEN $5 THEN $6 ELSE messaging_service_sid END, changed_by = $7, \
         updated_at = clock_timestamp() WHERE id = $1";

/// Two statements, for at no time are there two defaults.
const NO_DEFAULT: &str = "UPDATE facteur.integrations SET is_default = false, updated_at = clock_timestamp() \
     WHERE tenant = $1 AND integration_type = $2 AND is_default";
const DEFAULT: &str = "UPDATE facteur.integrations SET is_default = true, changed_by = $2, \
         updated_at = clock_timestamp() WHERE id = $1";

const TESTED: &str = "UPDATE facteur.integrations SET tested_at = clock_timestamp(), test_result = $2, \
         test_sentence = $3 WHERE account_sid = $1";

const IS_KNOWN: &str = "SELECT EXISTS (SELECT FROM facteur.accounts WHERE sid = $1) \
     OR EXISTS (SELECT FROM facteur.integrations WHERE id = $2)";

/// Integrations of a tenant, or of all, the newest first: at most `limit`, and [`ROWS_MAX`], after that position.
///
/// # Errors
/// The database's, classified.
pub async fn list(
    database: &Database,
    tenant: Option<&Tenant>,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<IntegrationRow>, IntegrationError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LIST).await?;
    let (id, at) = (after.map(|after| after.id), after.map(|after| after.at));
    let limit = limit.clamp(1, ROWS_MAX);
    let rows = client.query(&statement, &[&tenant.map(Tenant::as_str), &id, &at, &limit]).await?;
    Ok(rows.iter().filter_map(integration).collect())
}

/// One integration; only a tenant's own one if a tenant is named.
///
/// # Errors
/// [`IntegrationError::Missing`]; the database's.
pub async fn find(
    database: &Database,
    tenant: Option<&Tenant>,
    id: Uuid,
) -> Result<IntegrationRow, IntegrationError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await?;
    let row = client.query_opt(&statement, &[&id, &tenant.map(Tenant::as_str)]).await?;
    row.as_ref().and_then(integration).ok_or(IntegrationError::Missing)
}

/// Creates an integration. The first one of its tenant and type becomes the default. Credentials replace those that the
/// account had.
///
/// # Errors
/// Any [`IntegrationError`] but `Missing`.
pub async fn create(
    database: &Database,
    keyring: &Keyring,
    new: &NewIntegration,
    by: impl Into<By<'_>>,
) -> Result<IntegrationRow, IntegrationError> {
    let by = by.into();
    check_words("name", &new.name, NAME_CHARS_MAX)?;
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let id = Uuid::new_v4();
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let credentials = account::New {
        sid: &new.account_sid,
        tenant: new.tenant.as_str(),
        api_key_sid: new.api_key_sid.as_deref(),
        secrets: new.secrets.as_ref(),
    };
    account::write(&transaction, keyring, credentials, by.actor).await?;
    let parameters: [&(dyn ToSql + Sync); 8] = [
        &id,
        &new.tenant.as_str(),
        &new.name.trim(),
        &new.kind.as_str(),
        &new.account_sid,
        &new.phone_number,
        &new.messaging_service_sid,
        &by.actor,
    ];
    transaction.execute(INSERT, &parameters).await?;
    if !new.is_active {
        transaction.execute(INACTIVE, &[&id.to_string(), &by.actor]).await?;
    }
    let details = json!({ "name": new.name, "type": new.kind.as_str(), "account_sid": new.account_sid });
    note(&transaction, "integration_created", new.tenant.as_str(), id, by, details).await?;
    transaction.commit().await?;
    drop(client);
    find(database, None, id).await
}

/// Changes an integration.
///
/// # Errors
/// Any [`IntegrationError`].
pub async fn update(
    database: &Database,
    keyring: &Keyring,
    (tenant, id): (Option<&Tenant>, Uuid),
    patch: &IntegrationPatch,
    by: impl Into<By<'_>>,
) -> Result<IntegrationRow, IntegrationError> {
    let by = by.into();
    patch.name.as_ref().map_or(Ok(()), |name| check_words("name", name, NAME_CHARS_MAX))?;
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let before = find(database, tenant, id).await?;
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    if patch.secrets.is_some() || patch.api_key_sid.is_some() {
        let credentials = account::New {
            sid: &before.account_sid,
            tenant: &before.tenant,
            api_key_sid: patch.api_key_sid.as_deref(),
            secrets: patch.secrets.as_ref(),
        };
        account::write(&transaction, keyring, credentials, by.actor).await?;
    }
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &id,
        &patch.name.as_deref().map(str::trim),
        &patch.phone_number.is_some(),
        &patch.phone_number.clone().flatten(),
        &patch.messaging_service_sid.is_some(),
        &patch.messaging_service_sid.clone().flatten(),
        &by.actor,
    ];
    transaction.execute(UPDATE, &parameters).await?;
    let details = json!({ "changed": patch.fields() });
    note(&transaction, "integration_changed", &before.tenant, id, by, details).await?;
    transaction.commit().await?;
    drop(client);
    find(database, tenant, id).await
}

/// Makes an integration its tenant's default of its type.
///
/// # Errors
/// [`IntegrationError::Missing`]; the database's.
pub async fn set_default(
    database: &Database,
    tenant: Option<&Tenant>,
    id: Uuid,
    by: impl Into<By<'_>>,
) -> Result<IntegrationRow, IntegrationError> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let before = find(database, tenant, id).await?;
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    transaction.execute(NO_DEFAULT, &[&before.tenant, &before.kind.as_str()]).await?;
    transaction.execute(DEFAULT, &[&id, &by.actor]).await?;
    note(&transaction, "integration_made_default", &before.tenant, id, by, json!({})).await?;
    transaction.commit().await?;
    drop(client);
    find(database, tenant, id).await
}

/// Activates an integration, or deactivates it: what would leave over it waits from then on.
///
/// # Errors
/// [`IntegrationError::Missing`]; the database's.
pub async fn set_active(
    database: &Database,
    (tenant, id): (Option<&Tenant>, Uuid),
    is_active: bool,
    by: impl Into<By<'_>>,
) -> Result<IntegrationRow, IntegrationError> {
    let by = by.into();
    let before = find(database, tenant, id).await?;
    let scope = Scope::Integration(id.to_string());
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let action = if is_active {
        pauses::resume_within(&transaction, &scope, Some("activated"), by.actor).await?;
        "integration_activated"
    } else {
        pauses::pause_within(&transaction, &scope, "deactivated", by.actor, PauseEnd::Open).await?;
        "integration_deactivated"
    };
    note(&transaction, action, &before.tenant, id, by, json!({})).await?;
    transaction.commit().await?;
    drop(client);
    find(database, tenant, id).await
}

/// Whether there is an account with this SID, or an integration with this id.
///
/// # Errors
/// The database's, classified.
pub async fn is_known(database: &Database, key: &str) -> Result<bool, IntegrationError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(IS_KNOWN).await?;
    Ok(client.query_one(&statement, &[&key, &key.parse::<Uuid>().ok()]).await?.get(0))
}

/// Keeps what a look at an integration's account came to: a stable word, and the sentence.
///
/// # Errors
/// The database's, classified.
pub async fn tested(
    database: &Database,
    row: &IntegrationRow,
    (result, sentence): (&str, &str),
    by: impl Into<By<'_>>,
) -> Result<(), IntegrationError> {
    let by = by.into();
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    transaction.execute(TESTED, &[&row.account_sid, &result, &sentence]).await?;
    note(&transaction, "integration_tested", &row.tenant, row.id, by, json!({ "result": result })).await?;
    Ok(transaction.commit().await?)
}

async fn note(
    client: &impl GenericClient,
    action: &str,
    tenant: &str,
    id: Uuid,
    by: By<'_>,
    details: Value,
) -> Result<(), BatchFailure> {
    acts::note(client, by, action, (tenant, &id.to_string()), details).await
}

/// `None` for a type that a newer release invented.
fn integration(row: &Row) -> Option<IntegrationRow> {
    let tested = row.get::<_, Option<Timestamp>>("tested_at").map(|at| {
        let text = |column| row.get::<_, Option<String>>(column).unwrap_or_default();
        (at, text("test_result"), text("test_sentence"))
    });
    Some(IntegrationRow {
        id: row.get("id"),
        tenant: row.get("tenant"),
        name: row.get("name"),
        kind: IntegrationType::from_name(row.get("integration_type"))?,
        account_sid: row.get("account_sid"),
        api_key_sid: row.get("api_key_sid"),
        key_id: row.get("key_id"),
        phone_number: row.get("phone_number"),
        messaging_service_sid: row.get("messaging_service_sid"),
        is_active: row.get("is_active"),
        is_default: row.get("is_default"),
        tested,
        changed_by: row.get("changed_by"),
        created_at: row.get("created_at"),
        updated_at: row.get("updated_at"),
    })
}

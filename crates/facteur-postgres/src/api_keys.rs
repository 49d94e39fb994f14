//! API keys: random, stored as a digest, shown once.

use facteur_core::Timestamp;
use facteur_core::api_key;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::batch_error::{BatchFailure, classify};
use crate::page::Position;
use crate::pool::Database;

/// Most keys whose last use is written with one statement.
const USED_ROWS_MAX: usize = 1_000;

const CREATE: &str = "INSERT INTO facteur.api_keys (id, digest, prefix, name, tenant, role, created_by, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING created_at";

const FIND: &str = "SELECT id, prefix, tenant, role FROM facteur.api_keys \
     WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())";

const FIND_BY_ID: &str = "SELECT id, prefix, tenant, role FROM facteur.api_keys \
     WHERE id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())";

const COLUMNS: &str =
    "id, prefix, name, tenant, role, created_by, created_at, expires_at, revoked_at, last_used_at";

const REVOKE: &str = "UPDATE facteur.api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp()), \
         revoked_by = coalesce(revoked_by, $3) \
     WHERE id = $1 AND ($2::text IS NULL OR tenant = $2) \
     RETURNING id, prefix, name, tenant, role, created_by, created_at, expires_at, revoked_at, last_used_at, \
         revoked_by = $3 AND revoked_at >= now() AS is_new";

/// Rows that another process writes at this moment are its business: it says the same.
const USED: &str = "WITH locked AS (SELECT id FROM facteur.api_keys WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED) \
     UPDATE facteur.api_keys k SET last_used_at = clock_timestamp() FROM locked WHERE k.id = locked.id";

/// What a new key is to be.
#[derive(Debug, Clone)]
pub struct NewKey<'a> {
    /// What it is for, for a person.
    pub name: &'a str,
    /// Whose; `None` for all tenants, which takes the role `superadmin`.
    pub tenant: Option<&'a str>,
    /// `viewer`, `sender`, `admin` or `superadmin`.
    pub role: &'a str,
    /// Who makes it.
    pub created_by: &'a str,
    /// Worthless from then on.
    pub expires_at: Option<Timestamp>,
    /// The request by which it is made, if one did.
    pub request_id: Option<&'a str>,
}

/// A key that was made: the only time that it is known.
pub struct CreatedKey {
    /// The key itself.
    pub key: String,
    /// What is kept of it.
    pub row: KeyRow,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its identity.
    pub id: Uuid,
    /// Its first characters.
    pub prefix: String,
    /// What it is for.
    pub name: String,
    /// Whose; `None` for all tenants.
    pub tenant: Option<String>,
    /// Its role's name.
    pub role: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Worthless from then on.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last used, to a minute or two.
    pub last_used_at: Option<Timestamp>,
}

/// A key that is valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// Its identity.
    pub id: Uuid,
    /// Its first characters.
    pub prefix: String,
    /// Whose; `None` for all tenants.
    pub tenant: Option<String>,
    /// Its role's name.
    pub role: String,
}

/// What is kept of a key in the place of it: SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

/// Draws a key, stores its digest, and writes both down in the audit log.
///
/// # Errors
/// The database's, classified; [`BatchFailure::Unavailable`] if the system gives no random numbers.
pub async fn create(database: &Database, new: &NewKey<'_>) -> Result<CreatedKey, BatchFailure> {
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|_| BatchFailure::Unavailable("the system gives no random numbers".to_owned()))?;
    let (id, key) = (Uuid::new_v4(), api_key::key(&random));
    let (digest, prefix) = (KeyDigest::of(&key).0.to_vec(), api_key::shown(&key));
    let mut client = database.client().await?;
    let transaction = client.transaction().await.map_err(classify)?;
    let statement = transaction.prepare_cached(CREATE).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 8] =
        [&id, &digest, &prefix, &new.name, &new.tenant, &new.role, &new.created_by, &new.expires_at];
    let created_at = transaction.query_one(&statement, &parameters).await.map_err(classify)?.get(0);
    let row = KeyRow {
        id,
        prefix,
        name: new.name.to_owned(),
        tenant: new.tenant.map(str::to_owned),
        role: new.role.to_owned(),
        created_by: new.created_by.to_owned(),
        created_at,
        expires_at: new.expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    audit::record(&transaction, &entry("key_created", &row, new.created_by, new.request_id)).await?;
    transaction.commit().await.map_err(classify)?;
    Ok(CreatedKey { key, row })
}

/// The key of this digest, if it is one of ours and valid now.
///
/// # Errors
/// The database's, classified.
pub async fn find(database: &Database, digest: &KeyDigest) -> Result<Option<FoundKey>, BatchFailure> {
    one(database, FIND, &digest.0.as_slice()).await
}

/// The key of this id, if it is valid now.
///
/// # Errors
/// The database's, classified.
pub async fn find_by_id(database: &Database, id: Uuid) -> Result<Option<FoundKey>, BatchFailure> {
    one(database, FIND_BY_ID, &id).await
}

/// A page of keys, the newest first: those of a tenant, or all; revoked and expired ones, too.
///
/// # Errors
/// The database's, classified.
pub async fn list(
    database: &Database,
    tenant: Option<&str>,
    after: Option<Position>,
    limit: u16,
) -> Result<Vec<KeyRow>, BatchFailure> {
    let whose = if tenant.is_some() { "tenant = $4" } else { "$4::text IS NULL" };
    let sql = format!(
        "SELECT {COLUMNS} FROM facteur.api_keys WHERE {whose} \
           AND (created_at, id) < (coalesce($1, 'infinity'::timestamptz), coalesce($2, '{LAST}'::uuid)) \
         ORDER BY created_at DESC, id DESC LIMIT $3",
        LAST = Uuid::max()
    );
    let (at, id) = (after.map(|after| after.at), after.map(|after| after.id));
    let client = database.client().await?;
    let statement = client.prepare_cached(&sql).await.map_err(classify)?;
    let rows = client.query(&statement, &[&at, &id, &i64::from(limit), &tenant]).await.map_err(classify)?;
    Ok(rows.iter().map(row).collect())
}

/// Revokes a key, for good; of a tenant's alone, if one is named. Gives the key, or `None` if there is none. What was
/// revoked before stays as it is.
///
/// # Errors
/// The database's, classified.
pub async fn revoke(
    database: &Database,
    id: Uuid,
    tenant: Option<&str>,
    by: &str,
    request_id: Option<&str>,
) -> Result<Option<KeyRow>, BatchFailure> {
    let mut client = database.client().await?;
    let transaction = client.transaction().await.map_err(classify)?;
    let statement = transaction.prepare_cached(REVOKE).await.map_err(classify)?;
    let found = transaction.query_opt(&statement, &[&id, &tenant, &by]).await.map_err(classify)?;
    let Some(found) = found else { return Ok(None) };
    let key = row(&found);
    if found.get("is_new") {
        audit::record(&transaction, &entry("key_revoked", &key, by, request_id)).await?;
    }
    transaction.commit().await.map_err(classify)?;
    Ok(Some(key))
}

/// Writes down that these keys were used just now.
///
/// # Errors
/// The database's, classified.
pub async fn used(database: &Database, ids: &[Uuid]) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(USED).await.map_err(classify)?;
    for chunk in ids.chunks(USED_ROWS_MAX) {
        client.execute(&statement, &[&chunk]).await.map_err(classify)?;
    }
    Ok(())
}

async fn one(
    database: &Database,
    sql: &str,
    parameter: &(dyn ToSql + Sync),
) -> Result<Option<FoundKey>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[parameter]).await.map_err(classify)?;
    Ok(row.map(|row| FoundKey {
        id: row.get("id"),
        prefix: row.get("prefix"),
        tenant: row.get("tenant"),
        role: row.get("role"),
    }))
}

fn row(row: &Row) -> KeyRow {
    KeyRow {
        id: row.get("id"),
        prefix: row.get("prefix"),
        name: row.get("name"),
        tenant: row.get("tenant"),
        role: row.get("role"),
        created_by: row.get("created_by"),
        created_at: row.get("created_at"),
        expires_at: row.get("expires_at"),
        revoked_at: row.get("revoked_at"),
        last_used_at: row.get("last_used_at"),
    }
}

fn entry(action: &'static str, key: &KeyRow, actor: &str, request_id: Option<&str>) -> Entry {
    Entry {
        tenant: key.tenant.clone().unwrap_or_else(|| audit::ALL_TENANTS.to_owned()),
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: Some(key.id.to_string()),
        request_id: request_id.map(str::to_owned),
        details: json!({ "prefix": key.prefix, "name": key.name, "role": key.role, "expires_at": key.expires_at }),
    }
}

//! API keys: random, stored as a digest, shown once.

use facteur_core::Timestamp;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

const CREATE: &str = "INSERT INTO facteur.api_keys (id, digest, prefix, name, tenant, role, created_by, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

const FIND: &str = "SELECT id, prefix, tenant, role FROM facteur.api_keys \
     WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())";

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

/// Stores a key under its digest.
///
/// # Errors
/// The database's, classified.
pub async fn create(database: &Database, id: Uuid, key: &str, new: &NewKey<'_>) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(CREATE).await.map_err(classify)?;
    let (digest, prefix) = (digest(key), prefix(key));
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
        [&id, &digest, &prefix, &new.name, &new.tenant, &new.role, &new.created_by, &new.expires_at];
    client.execute(&statement, &parameters).await.map_err(classify)?;
    Ok(())
}

/// The key, if it is one of ours and valid now.
///
/// # Errors
/// The database's, classified.
pub async fn find(database: &Database, key: &str) -> Result<Option<FoundKey>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&digest(key)]).await.map_err(classify)?;
    Ok(row.map(|row| FoundKey {
        id: row.get("id"),
        prefix: row.get("prefix"),
        tenant: row.get("tenant"),
        role: row.get("role"),
    }))
}

fn digest(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}

/// `fk_` and eight characters: enough to tell keys apart, of no use to anybody.
fn prefix(key: &str) -> String {
    key.chars().take(11).collect()
}

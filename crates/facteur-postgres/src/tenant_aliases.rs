//! What other applications call tenants, such as the company ids of a shared inbox.

use facteur_core::ids::Tenant;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// Longest alias, in characters.
const ALIAS_CHARS_MAX: usize = 200;

const FIND: &str = "SELECT tenant FROM facteur.tenant_aliases WHERE alias = $1";

const PUT: &str = "INSERT INTO facteur.tenant_aliases (alias, tenant, changed_by) VALUES ($1, $2, $3) \
     ON CONFLICT (alias) DO UPDATE SET tenant = excluded.tenant, changed_by = excluded.changed_by";

/// The slug of the tenant that goes by this name.
///
/// # Errors
/// The database's, classified.
pub async fn find(database: &Database, alias: &str) -> Result<Option<String>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await.map_err(classify)?;
    Ok(client.query_opt(&statement, &[&alias]).await.map_err(classify)?.map(|row| row.get("tenant")))
}

/// Lets a tenant go by this name.
///
/// # Errors
/// The database's, classified; [`BatchFailure::Data`] if the alias is not 1 to 200 characters.
pub async fn put(database: &Database, alias: &str, tenant: &Tenant, actor: &str) -> Result<(), BatchFailure> {
    check_words("alias", alias, ALIAS_CHARS_MAX)?;
    check_words("actor", actor, ACTOR_CHARS_MAX)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(PUT).await.map_err(classify)?;
    client.execute(&statement, &[&alias, &tenant.as_str(), &actor]).await.map(drop).map_err(classify)
}

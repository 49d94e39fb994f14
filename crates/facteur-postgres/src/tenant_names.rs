//! What other applications call a tenant.

use facteur_core::ids::Tenant;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// Longest name, in characters.
const ALIAS_CHARS_MAX: usize = 200;

const OF_ALIAS: &str = "SELECT tenant FROM facteur.tenant_aliases WHERE alias = $1";

const PUT: &str = "INSERT INTO facteur.tenant_aliases (alias, tenant, changed_by) VALUES ($1, $2, $3) \
     ON CONFLICT (alias) DO UPDATE SET tenant = excluded.tenant, changed_by = excluded.changed_by";

/// The tenant that an application means by its own name for it (a UUID, a company's id); `None` if nobody mapped it.
///
/// # Errors
/// The database's, classified.
pub async fn of_alias(database: &Database, alias: &str) -> Result<Option<Tenant>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OF_ALIAS).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&alias]).await.map_err(classify)?;
    Ok(row.and_then(|row| Tenant::parse(row.get("tenant")).ok()))
}

/// Lets a tenant go by this name, whatever its case.
///
/// # Errors
/// The database's, classified; [`BatchFailure::Data`] if the name is not 1 to 200 characters.
pub async fn put_alias(
    database: &Database,
    alias: &str,
    tenant: &Tenant,
    actor: &str,
) -> Result<(), BatchFailure> {
    check_words("alias", alias, ALIAS_CHARS_MAX)?;
    check_words("actor", actor, ACTOR_CHARS_MAX)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(PUT).await.map_err(classify)?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&alias.to_ascii_lowercase(), &tenant.as_str(), &actor];
    client.execute(&statement, &parameters).await.map(drop).map_err(classify)
}

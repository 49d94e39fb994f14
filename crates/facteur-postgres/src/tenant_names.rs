//! What other applications call a tenant.

use facteur_core::ids::Tenant;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

const OF_ALIAS: &str = "SELECT tenant FROM facteur.tenant_aliases WHERE alias = $1";

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

//! What other applications call a tenant.

use facteur_core::ids::Tenant;

use crate::acts::By;
use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// Longest name, in characters.
const ALIAS_CHARS_MAX: usize = 200;

const OF_ALIAS: &str = "SELECT tenant FROM facteur.tenant_aliases WHERE alias = $1";

const PUT: &str = "WITH put AS (INSERT INTO facteur.tenant_aliases (alias, tenant, changed_by) VALUES ($1, $2, $3) \
     ON CONFLICT (alias) DO UPDATE SET tenant = excluded.tenant, changed_by = excluded.changed_by \
         RETURNING alias, tenant, changed_by) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id) \
     SELECT tenant, changed_by, 'tenant_alias_set', alias, $4 FROM put";

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
    by: impl Into<By<'_>>,
) -> Result<(), BatchFailure> {
    let by = by.into();
    check_words("alias", alias, ALIAS_CHARS_MAX)?;
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(PUT).await.map_err(classify)?;
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&alias.to_ascii_lowercase(), &tenant.as_str(), &by.actor, &by.request_id];
    client.execute(&statement, &parameters).await.map(drop).map_err(classify)
}

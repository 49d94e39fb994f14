//! Rates and owners of senders, and the weights of tenants: what an admin changes while workers run. Workers read
//! them through the directory, within a second.

mod owners;

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::gcra::Rate;
use facteur_core::ids::Tenant;
use facteur_core::sender::Sender;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::acts::By;
use crate::audit::ALL_TENANTS;
use crate::batch_error::{BatchFailure, classify};
use crate::lines::COUNT_MAX;
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};
pub use owners::{SenderError, SenderPatch, SenderPool, delete_pool, pools, put, put_pool};

/// Most senders, and most tenants, of one list.
const LISTED_MAX: i64 = 1_000;

const SET_RATE: &str = "WITH put AS (INSERT INTO facteur.senders (address, rate, changed_by) VALUES ($1, $2, $3) \
     ON CONFLICT (address) DO UPDATE SET rate = excluded.rate, changed_by = excluded.changed_by, \
         updated_at = clock_timestamp() RETURNING *) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT coalesce(tenant, $4), changed_by, 'sender_changed', address, $5, jsonb_build_object('rate_per_s', rate) FROM put";

/// A sender that has no rate keeps its row for its owner.
const CLEAR_RATE: &str = "WITH put AS (UPDATE facteur.senders SET rate = NULL, changed_by = $2, updated_at = clock_timestamp() \
     WHERE address = $1 AND rate IS NOT NULL RETURNING *) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT coalesce(tenant, $3), changed_by, 'sender_changed', address, $4, jsonb_build_object('rate_per_s', rate) FROM put";

/// Over its integration and in its pool it was for another tenant.
const SET_TENANT: &str = "INSERT INTO facteur.senders AS s (address, tenant) VALUES ($1, $2) \
     ON CONFLICT (address) DO UPDATE SET tenant = excluded.tenant, updated_at = clock_timestamp(), \
         integration_id = CASE WHEN s.tenant = excluded.tenant THEN s.integration_id END, \
         pool = CASE WHEN s.tenant = excluded.tenant THEN s.pool END";

const SET_WEIGHT: &str = "WITH put AS (INSERT INTO facteur.tenants (slug, weight, changed_by) VALUES ($1, $2, $3) \
     ON CONFLICT (slug) DO UPDATE SET weight = excluded.weight, changed_by = excluded.changed_by, \
         updated_at = clock_timestamp() RETURNING *) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT slug, changed_by, 'tenant_changed', slug, $4, jsonb_build_object('weight', weight) FROM put";

/// Senders with a row of their own, and those whose clock a worker has moved.
const LIST: &str = "SELECT address, s.tenant, s.rate, s.integration_id, s.pool, s.changed_by, \
         CASE WHEN s.address IS NOT NULL THEN s.updated_at END AS changed_at, \
         greatest(extract(epoch FROM r.tat - clock_timestamp())::float8, 0) AS ahead_s, \
         (SELECT count(*) FROM (SELECT FROM facteur.jobs j WHERE j.waits_for = 'rate:' || address LIMIT $2) AS n) AS waiting \
     FROM (SELECT address FROM facteur.senders WHERE $3::text IS NULL OR tenant = $3 \
           UNION SELECT sender FROM facteur.rate_slots WHERE $3::text IS NULL ORDER BY 1 LIMIT $1) AS a \
     LEFT JOIN facteur.senders s USING (address) LEFT JOIN facteur.rate_slots r ON r.sender = address ORDER BY address";

const LIST_WEIGHTS: &str =
    "SELECT slug, weight, changed_by, updated_at FROM facteur.tenants ORDER BY slug LIMIT $1";

/// A sender and its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct SenderLimit {
    /// Its address.
    pub address: String,
    /// The slug of the tenant that it belongs to, if it belongs to one.
    pub tenant: Option<String>,
    /// Its own rate; `None` if the configured default counts.
    pub rate: Option<Rate>,
    /// Over which integration it sends, if that is not left to its tenant's default.
    pub integration: Option<Uuid>,
    /// The pool that it stands in.
    pub pool: Option<String>,
    /// Who changed it last, if that was not done in SQL.
    pub changed_by: Option<String>,
    /// When it was changed last; `None` if it has no row of its own.
    pub changed_at: Option<Timestamp>,
    /// How far what is reserved reaches into the future.
    pub ahead: Duration,
    /// Jobs that wait in its line; at most [`COUNT_MAX`] are counted.
    pub waiting: i64,
}

/// A tenant's share of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantWeight {
    /// Its slug.
    pub tenant: String,
    /// How many turns it gets where others get one.
    pub weight: i32,
    /// Who changed it last, if that was not done in SQL.
    pub changed_by: Option<String>,
    /// When.
    pub changed_at: Timestamp,
}

/// Sets a sender's own rate.
///
/// # Errors
/// The database's, classified.
pub async fn set_rate(
    database: &Database,
    sender: &Sender,
    rate: Rate,
    by: impl Into<By<'_>>,
) -> Result<(), BatchFailure> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(SET_RATE).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&sender.as_str(), &rate.as_per_second(), &by.actor, &ALL_TENANTS, &by.request_id];
    client.execute(&statement, &parameters).await.map_err(classify)?;
    Ok(())
}

/// Removes a sender's own rate, so that the configured default counts. Returns whether it had one.
///
/// # Errors
/// The database's, classified.
pub async fn clear_rate(
    database: &Database,
    sender: &Sender,
    by: impl Into<By<'_>>,
) -> Result<bool, BatchFailure> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(CLEAR_RATE).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 4] = [&sender.as_str(), &by.actor, &ALL_TENANTS, &by.request_id];
    Ok(client.execute(&statement, &parameters).await.map_err(classify)? == 1)
}

/// Gives a sender to a tenant, or to all.
///
/// # Errors
/// The database's, classified.
pub async fn set_tenant(
    database: &Database,
    sender: &Sender,
    tenant: Option<&Tenant>,
) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(SET_TENANT).await.map_err(classify)?;
    client.execute(&statement, &[&sender.as_str(), &tenant.map(Tenant::as_str)]).await.map_err(classify)?;
    Ok(())
}

/// Sets a tenant's weight, 1 to 100: in a lane it gets so many turns where others get one.
///
/// # Errors
/// The database's, classified; [`BatchFailure::Data`] beyond 1 to 100.
pub async fn set_weight(
    database: &Database,
    tenant: &Tenant,
    weight: i32,
    by: impl Into<By<'_>>,
) -> Result<(), BatchFailure> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(SET_WEIGHT).await.map_err(classify)?;
    client
        .execute(&statement, &[&tenant.as_str(), &weight, &by.actor, &by.request_id])
        .await
        .map_err(classify)?;
    Ok(())
}

/// Senders of a tenant, or all that have a limit or an owner of their own or were limited by the default, by address; at
/// most 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn list(database: &Database, tenant: Option<&Tenant>) -> Result<Vec<SenderLimit>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LIST).await.map_err(classify)?;
    let tenant = tenant.map(Tenant::as_str);
    let rows = client.query(&statement, &[&LISTED_MAX, &COUNT_MAX, &tenant]).await.map_err(classify)?;
    let limit = |row: &Row| SenderLimit {
        address: row.get("address"),
        tenant: row.get("tenant"),
        // The table's CHECK keeps rates in range.
        rate: row.get::<_, Option<f64>>("rate").and_then(|rate| Rate::per_second(rate).ok()),
        integration: row.get("integration_id"),
        pool: row.get("pool"),
        changed_by: row.get("changed_by"),
        changed_at: row.get("changed_at"),
        ahead: Duration::try_from_secs_f64(row.get::<_, Option<f64>>("ahead_s").unwrap_or_default())
            .unwrap_or_default(),
        waiting: row.get("waiting"),
    };
    Ok(rows.iter().map(limit).collect())
}

/// Tenants that have a weight of their own, by slug; at most 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn list_weights(database: &Database) -> Result<Vec<TenantWeight>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LIST_WEIGHTS).await.map_err(classify)?;
    let rows = client.query(&statement, &[&LISTED_MAX]).await.map_err(classify)?;
    let weight = |row: &Row| TenantWeight {
        tenant: row.get("slug"),
        weight: row.get("weight"),
        changed_by: row.get("changed_by"),
        changed_at: row.get("updated_at"),
    };
    Ok(rows.iter().map(weight).collect())
}

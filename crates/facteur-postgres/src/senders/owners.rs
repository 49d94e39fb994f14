//! Whose a sender is, over which integration it sends, and in which pool it stands.

use facteur_core::gcra::Rate;
use facteur_core::ids::Tenant;
use facteur_core::integration::IntegrationType;
use facteur_core::sender::Sender;
use serde_json::json;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::acts::{By, note};
use crate::audit::ALL_TENANTS;
use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// Most pools of one list.
const POOLS_MAX: i64 = 1_000;

const LOCK: &str =
    "SELECT tenant, rate, integration_id, pool FROM facteur.senders WHERE address = $1 FOR UPDATE";

const INTEGRATION: &str = "SELECT tenant, integration_type FROM facteur.integrations WHERE id = $1";

const POOL: &str = "SELECT channel FROM facteur.sender_pools WHERE tenant = $1 AND name = $2";

const PUT: &str = "INSERT INTO facteur.senders (address, tenant, rate, integration_id, pool, changed_by) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (address) DO UPDATE SET tenant = excluded.tenant, \
         rate = excluded.rate, integration_id = excluded.integration_id, pool = excluded.pool, \
         changed_by = excluded.changed_by, updated_at = clock_timestamp()";

const POOLS: &str = "SELECT tenant, name, channel, is_default, ARRAY(SELECT address FROM facteur.senders s \
         WHERE s.tenant = p.tenant AND s.pool = p.name ORDER BY address) AS senders \
     FROM facteur.sender_pools p WHERE $1::text IS NULL OR tenant = $1 ORDER BY tenant, name LIMIT $2";

/// Two statements, for at no time are there two defaults.
const NO_DEFAULT: &str = "UPDATE facteur.sender_pools SET is_default = false, updated_at = clock_timestamp() \
     WHERE tenant = $1 AND channel = $2 AND is_default AND name <> $3";
const PUT_POOL: &str = "INSERT INTO facteur.sender_pools (tenant, name, channel, is_default, changed_by) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, name) DO UPDATE SET is_default = excluded.is_default, \
         changed_by = excluded.changed_by, updated_at = clock_timestamp() \
     WHERE facteur.sender_pools.channel = excluded.channel";

const EMPTY_POOL: &str = "UPDATE facteur.senders SET pool = NULL, updated_at = clock_timestamp() \
     WHERE tenant = $1 AND pool = $2";
const DELETE_POOL: &str = "DELETE FROM facteur.sender_pools WHERE tenant = $1 AND name = $2";

/// What is to be changed of a sender; what is `None` stays, `Some(None)` takes away.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SenderPatch {
    /// Its own rate.
    pub rate: Option<Option<Rate>>,
    /// Whose it is; only for who may give senders away.
    pub tenant: Option<Option<Tenant>>,
    /// Over which integration it sends; its tenant is then that one's.
    pub integration: Option<Option<Uuid>>,
    /// In which pool of its tenant it stands.
    pub pool: Option<Option<String>>,
}

/// A tenant's set of senders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderPool {
    /// Whose it is.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// What its senders carry.
    pub kind: IntegrationType,
    /// Whether messages leave from it that name no sender.
    pub is_default: bool,
    /// Its senders.
    pub senders: Vec<String>,
}

/// Why a sender or pool could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SenderError {
    /// It is not the tenant's to change.
    #[error("the sender is not this tenant's: a superadmin gives senders to tenants")]
    Foreign,
    /// No such integration of the tenant.
    #[error("the tenant has no such integration")]
    IntegrationMissing,
    /// No such pool of the tenant.
    #[error("the tenant has no such pool")]
    PoolMissing,
    /// The sender does not carry what integration or pool is for.
    #[error("the sender does not carry the channel of its integration or pool")]
    Channel,
    /// The pool is for another channel.
    #[error("the pool exists for another channel")]
    PoolChannel,
    /// A pool belongs to a tenant, and so must its senders.
    #[error("a sender of no tenant stands in no pool: give it to a tenant first")]
    PoolOfNobody,
    /// The database's; [`BatchFailure::Data`] if a word is not as it must be.
    #[error(transparent)]
    Database(#[from] BatchFailure),
}

impl From<tokio_postgres::Error> for SenderError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(classify(error))
    }
}

/// Changes a sender, or makes its row. `scope` is the tenant in whose name that is done, `None` for all: a tenant changes
/// its own senders alone, for a rate and an owner hold for everybody who uses the address.
///
/// # Errors
/// Any [`SenderError`] but `PoolChannel`.
pub async fn put(
    database: &Database,
    scope: Option<&Tenant>,
    sender: &Sender,
    patch: &SenderPatch,
    by: impl Into<By<'_>>,
) -> Result<(), SenderError> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let before = transaction.query_opt(LOCK, &[&sender.as_str()]).await?;
    let text = |column| before.as_ref().and_then(|row| row.get::<_, Option<String>>(column));
    let owner = text("tenant");
    if scope.is_some_and(|scope| owner.as_deref() != Some(scope.as_str()) || patch.tenant.is_some()) {
        return Err(SenderError::Foreign);
    }
    let rate = match &patch.rate {
        Some(rate) => rate.map(Rate::as_per_second),
        None => before.as_ref().and_then(|row| row.get("rate")),
    };
    let mut tenant = match &patch.tenant {
        Some(tenant) => tenant.as_ref().map(|tenant| tenant.as_str().to_owned()),
        None => owner.clone(),
    };
    let has_moved = tenant != owner;
    let integration = patch.integration.unwrap_or_else(|| {
        before.as_ref().and_then(|row| row.get("integration_id")).filter(|_: &Uuid| !has_moved)
    });
    if let Some(id) = integration {
        let row = transaction.query_opt(INTEGRATION, &[&id]).await?.ok_or(SenderError::IntegrationMissing)?;
        let of = row.get::<_, String>("tenant");
        let is_theirs =
            tenant.as_ref().is_none_or(|tenant| *tenant == of) || scope.is_none() && patch.tenant.is_none();
        if !is_theirs {
            return Err(SenderError::IntegrationMissing);
        }
        carries(sender, row.get("integration_type"))?;
        tenant = Some(of);
    }
    let pool = match &patch.pool {
        Some(pool) => pool.clone(),
        None => text("pool").filter(|_| tenant == owner),
    };
    if let Some(name) = &pool {
        let tenant = tenant.as_ref().ok_or(SenderError::PoolOfNobody)?;
        let row = transaction.query_opt(POOL, &[tenant, name]).await?.ok_or(SenderError::PoolMissing)?;
        carries(sender, row.get("channel"))?;
    }
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&sender.as_str(), &tenant, &rate, &integration, &pool, &by.actor];
    transaction.execute(PUT, &parameters).await?;
    let details =
        json!({ "tenant": tenant, "rate_per_s": rate, "integration_id": integration, "pool": pool });
    let whose = owner.as_deref().or(tenant.as_deref()).unwrap_or(ALL_TENANTS);
    note(&transaction, by, "sender_changed", (whose, sender.as_str()), details).await?;
    Ok(transaction.commit().await?)
}

/// What a newer release invented is left to that one.
fn carries(sender: &Sender, channel: &str) -> Result<(), SenderError> {
    let is_of = IntegrationType::from_name(channel).is_none_or(|kind| kind.is_of(sender));
    if is_of { Ok(()) } else { Err(SenderError::Channel) }
}

/// Makes a pool, or changes whether it is the default of its tenant and channel.
///
/// # Errors
/// [`SenderError::PoolChannel`]; the database's, also if the name is not 1 to 64 of `a-z`, `0-9`, `_` and `-`.
pub async fn put_pool(
    database: &Database,
    tenant: &Tenant,
    name: &str,
    kind: IntegrationType,
    is_default: bool,
    by: impl Into<By<'_>>,
) -> Result<(), SenderError> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    let (tenant, kind) = (tenant.as_str(), kind.as_str());
    if is_default {
        transaction.execute(NO_DEFAULT, &[&tenant, &kind, &name]).await?;
    }
    let put = transaction.execute(PUT_POOL, &[&tenant, &name, &kind, &is_default, &by.actor]).await?;
    if put == 0 {
        return Err(SenderError::PoolChannel);
    }
    let details = json!({ "channel": kind, "is_default": is_default });
    note(&transaction, by, "sender_pool_changed", (tenant, name), details).await?;
    Ok(transaction.commit().await?)
}

/// Removes a pool; its senders stay, and stand in none.
///
/// # Errors
/// [`SenderError::PoolMissing`]; the database's.
pub async fn delete_pool(
    database: &Database,
    tenant: &Tenant,
    name: &str,
    by: impl Into<By<'_>>,
) -> Result<(), SenderError> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let mut client = database.client().await?;
    let transaction = client.transaction().await?;
    transaction.execute(EMPTY_POOL, &[&tenant.as_str(), &name]).await?;
    if transaction.execute(DELETE_POOL, &[&tenant.as_str(), &name]).await? == 0 {
        return Err(SenderError::PoolMissing);
    }
    note(&transaction, by, "sender_pool_deleted", (tenant.as_str(), name), json!({})).await?;
    Ok(transaction.commit().await?)
}

/// Pools of a tenant, or of all, by tenant and name; at most 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn pools(database: &Database, tenant: Option<&Tenant>) -> Result<Vec<SenderPool>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(POOLS).await.map_err(classify)?;
    let rows =
        client.query(&statement, &[&tenant.map(Tenant::as_str), &POOLS_MAX]).await.map_err(classify)?;
    let pool = |row: &tokio_postgres::Row| {
        Some(SenderPool {
            tenant: row.get("tenant"),
            name: row.get("name"),
            kind: IntegrationType::from_name(row.get("channel"))?,
            is_default: row.get("is_default"),
            senders: row.get("senders"),
        })
    };
    Ok(rows.iter().filter_map(pool).collect())
}

//! Suppressions: who must not be written to.

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::phone::PhoneNumber;
use facteur_core::sender::Sender;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// Longest reason, in characters.
const REASON_CHARS_MAX: usize = 200;
/// Most rows of one page.
const PAGE_ROWS_MAX: i64 = 1_000;

const ADD: &str = "INSERT INTO facteur.suppressions (tenant, recipient, sender, reason) VALUES ($1, $2, $3, $4) \
     ON CONFLICT DO NOTHING";

const REMOVE: &str = "DELETE FROM facteur.suppressions WHERE tenant = $1 AND recipient = $2 AND sender = $3";

/// An empty sender stands for all of the tenant's.
const CONTAINS: &str = "SELECT EXISTS (SELECT FROM facteur.suppressions \
     WHERE tenant = $1 AND recipient = $2 AND sender IN ('', $3))";

const LIST: &str = "SELECT recipient, sender, reason, created_at FROM facteur.suppressions \
     WHERE tenant = $1 AND ($2::text IS NULL OR (recipient, sender) > ($2, $3)) ORDER BY recipient, sender LIMIT $4";

/// One suppression. The number masks itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Who.
    pub recipient: PhoneNumber,
    /// By which sender; `None` for all of the tenant's.
    pub sender: Option<String>,
    /// Why: a stable code, or words of an admin.
    pub reason: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// Suppresses a recipient, for one sender or for all. Returns whether that is new.
///
/// # Errors
/// The database's, classified; [`BatchFailure::Data`] if the reason is over 200 characters.
pub async fn add(
    database: &Database,
    tenant: &Tenant,
    recipient: &PhoneNumber,
    sender: Option<&Sender>,
    reason: &str,
) -> Result<bool, BatchFailure> {
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(BatchFailure::Data(format!("the reason has at most {REASON_CHARS_MAX} characters")));
    }
    let client = database.client().await?;
    let statement = client.prepare_cached(ADD).await.map_err(classify)?;
    let added = client
        .execute(&statement, &[&tenant.as_str(), &recipient.reveal(), &column(sender), &reason])
        .await
        .map_err(classify)?;
    Ok(added == 1)
}

/// Lifts a suppression, exactly as it was made. Returns whether there was one.
///
/// # Errors
/// The database's, classified.
pub async fn remove(
    database: &Database,
    tenant: &Tenant,
    recipient: &PhoneNumber,
    sender: Option<&Sender>,
) -> Result<bool, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(REMOVE).await.map_err(classify)?;
    let removed = client
        .execute(&statement, &[&tenant.as_str(), &recipient.reveal(), &column(sender)])
        .await
        .map_err(classify)?;
    Ok(removed == 1)
}

/// Whether a recipient must not be written to by this sender, or by any if none is named.
///
/// # Errors
/// The database's, classified.
pub async fn contains(
    database: &Database,
    tenant: &Tenant,
    recipient: &PhoneNumber,
    sender: Option<&Sender>,
) -> Result<bool, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(CONTAINS).await.map_err(classify)?;
    let row = client
        .query_one(&statement, &[&tenant.as_str(), &recipient.reveal(), &column(sender)])
        .await
        .map_err(classify)?;
    Ok(row.get(0))
}

/// Lists a tenant's suppressions in the order of numbers, up to 1,000, after the last one of the page before.
///
/// # Errors
/// The database's, classified.
pub async fn list(
    database: &Database,
    tenant: &Tenant,
    after: Option<&Suppression>,
) -> Result<Vec<Suppression>, BatchFailure> {
    let number = after.map(|last| last.recipient.reveal());
    let sender = after.map(|last| last.sender.as_deref().unwrap_or_default());
    let client = database.client().await?;
    let statement = client.prepare_cached(LIST).await.map_err(classify)?;
    let rows = client
        .query(&statement, &[&tenant.as_str(), &number, &sender, &PAGE_ROWS_MAX])
        .await
        .map_err(classify)?;
    let suppression = |row: &tokio_postgres::Row| {
        Some(Suppression {
            recipient: PhoneNumber::from_e164(row.get("recipient")).ok()?,
            sender: Some(row.get::<_, String>("sender")).filter(|sender| !sender.is_empty()),
            reason: row.get("reason"),
            created_at: row.get("created_at"),
        })
    };
    Ok(rows.iter().filter_map(suppression).collect())
}

fn column(sender: Option<&Sender>) -> &str {
    sender.map(Sender::as_str).unwrap_or_default()
}

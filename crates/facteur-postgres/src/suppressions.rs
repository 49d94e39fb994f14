//! Suppressions: who must not be written to.

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::phone::PhoneNumber;
use facteur_core::sender::Sender;
use tokio_postgres::types::ToSql;

use crate::acts::By;
use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// Longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 200;
/// Most rows of one page.
const PAGE_ROWS_MAX: i64 = 1_000;

const ADD: &str = "INSERT INTO facteur.suppressions (tenant, recipient, sender, reason) VALUES ($1, $2, $3, $4) \
     ON CONFLICT DO NOTHING";

const REMOVE: &str = "DELETE FROM facteur.suppressions WHERE tenant = $1 AND recipient = $2 AND sender = $3";

/// By a person, who is remembered.
const ADD_BY: &str = "WITH added AS (INSERT INTO facteur.suppressions (tenant, recipient, sender, reason) \
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING RETURNING tenant) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT tenant, $5, 'suppression_added', $2::text, $6, jsonb_build_object('number', $2::text, 'sender', $3::text, 'reason', $4::text) \
     FROM added";

const REMOVE_BY: &str = "WITH removed AS (DELETE FROM facteur.suppressions \
         WHERE tenant = $1 AND recipient = $2 AND sender = $3 RETURNING tenant, reason) \
     INSERT INTO facteur.audit_log (tenant, actor, action, subject, request_id, details) \
     SELECT tenant, $5, 'suppression_removed', $2::text, $6, jsonb_build_object('number', $2::text, 'sender', $3::text, \
         'reason', $4::text, 'was', reason) FROM removed";

/// An empty sender stands for all of the tenant's.
const CONTAINS: &str = "SELECT EXISTS (SELECT FROM facteur.suppressions \
     WHERE tenant = $1 AND recipient = $2 AND sender IN ('', $3))";

const LIST: &str = "SELECT recipient, sender, reason, created_at FROM facteur.suppressions \
     WHERE tenant = $1 AND (recipient, sender) > ($2, $3) ORDER BY recipient, sender LIMIT $4";

const OF_NUMBER: &str = "SELECT recipient, sender, reason, created_at FROM facteur.suppressions \
     WHERE tenant = $1 AND recipient = $2 ORDER BY sender LIMIT $3";

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

/// Suppresses a recipient in somebody's name; the audit log has it, with the same commit. Returns whether that is new.
///
/// # Errors
/// As [`add`]; [`BatchFailure::Data`] also if nobody or no reason is named.
pub async fn add_by(
    database: &Database,
    (tenant, recipient, sender): (&Tenant, &PhoneNumber, Option<&Sender>),
    reason: &str,
    by: impl Into<By<'_>>,
) -> Result<bool, BatchFailure> {
    change(database, ADD_BY, (tenant, recipient, sender), reason, by.into()).await
}

/// Lifts a suppression in somebody's name, exactly as it was made; the audit log has it, with the same commit. Returns
/// whether there was one. What the recipient told Twilio (STOP) Twilio still keeps to.
///
/// # Errors
/// As [`add_by`].
pub async fn remove_by(
    database: &Database,
    (tenant, recipient, sender): (&Tenant, &PhoneNumber, Option<&Sender>),
    reason: &str,
    by: impl Into<By<'_>>,
) -> Result<bool, BatchFailure> {
    change(database, REMOVE_BY, (tenant, recipient, sender), reason, by.into()).await
}

async fn change(
    database: &Database,
    sql: &str,
    (tenant, recipient, sender): (&Tenant, &PhoneNumber, Option<&Sender>),
    reason: &str,
    by: By<'_>,
) -> Result<bool, BatchFailure> {
    check_words("reason", reason, REASON_CHARS_MAX)?;
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let client = database.client().await?;
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 6] =
        [&tenant.as_str(), &recipient.reveal(), &column(sender), &reason, &by.actor, &by.request_id];
    Ok(client.execute(&statement, &parameters).await.map_err(classify)? == 1)
}

/// Lists a tenant's suppressions in the order of numbers, after a number and a sender (empty for all senders): at most
/// `limit`, and 1,000.
///
/// # Errors
/// The database's, classified.
pub async fn list(
    database: &Database,
    tenant: &Tenant,
    after: Option<(&str, &str)>,
    limit: i64,
) -> Result<Vec<Suppression>, BatchFailure> {
    let (number, sender) = after.unwrap_or_default();
    let client = database.client().await?;
    let statement = client.prepare_cached(LIST).await.map_err(classify)?;
    let rows = client
        .query(&statement, &[&tenant.as_str(), &number, &sender, &limit.min(PAGE_ROWS_MAX)])
        .await
        .map_err(classify)?;
    Ok(rows.iter().filter_map(suppression).collect())
}

/// What is suppressed of one number: for all senders, or for some.
///
/// # Errors
/// The database's, classified.
pub async fn of_number(
    database: &Database,
    tenant: &Tenant,
    recipient: &PhoneNumber,
) -> Result<Vec<Suppression>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OF_NUMBER).await.map_err(classify)?;
    let rows = client
        .query(&statement, &[&tenant.as_str(), &recipient.reveal(), &PAGE_ROWS_MAX])
        .await
        .map_err(classify)?;
    Ok(rows.iter().filter_map(suppression).collect())
}

fn suppression(row: &tokio_postgres::Row) -> Option<Suppression> {
    Some(Suppression {
        recipient: PhoneNumber::from_e164(row.get("recipient")).ok()?,
        sender: Some(row.get::<_, String>("sender")).filter(|sender| !sender.is_empty()),
        reason: row.get("reason"),
        created_at: row.get("created_at"),
    })
}

fn column(sender: Option<&Sender>) -> &str {
    sender.map(Sender::as_str).unwrap_or_default()
}

//! Consents: who agreed to be written to when something happens. A consent that is missing stops the messages of events;
//! whoever wants no message at all is suppressed.

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::job::{Channel, Recipient};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::acts::By;
use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};

const GIVE: &str = "INSERT INTO facteur.contact_consents (tenant, recipient, channel, source) VALUES ($1, $2, $3, $4) \
     ON CONFLICT DO NOTHING";

const WITHDRAW: &str =
    "DELETE FROM facteur.contact_consents WHERE tenant = $1 AND recipient = $2 AND channel = $3";

const HAS: &str = "SELECT EXISTS (SELECT FROM facteur.contact_consents \
     WHERE tenant = $1 AND recipient = $2 AND channel = $3)";

/// By a person, who is remembered, about a contact.
const GIVE_BY: &str = "WITH given AS (INSERT INTO facteur.contact_consents (tenant, recipient, channel, source) \
         SELECT tenant, number, $2, $3 FROM facteur.contacts WHERE id = $1 ON CONFLICT DO NOTHING RETURNING tenant) \
     INSERT INTO facteur.audit_log (tenant, actor, request_id, action, subject, details) \
     SELECT tenant, $4::text, $5::text, 'consent_given', $1::text, jsonb_build_object('channel', $2::text, 'source', $3::text) \
     FROM given";

const WITHDRAW_BY: &str = "WITH withdrawn AS (DELETE FROM facteur.contact_consents WHERE (tenant, recipient, channel) = \
         (SELECT tenant, number, $2::text FROM facteur.contacts WHERE id = $1) RETURNING tenant) \
     INSERT INTO facteur.audit_log (tenant, actor, request_id, action, subject, details) \
     SELECT tenant, $4::text, $5::text, 'consent_withdrawn', $1::text, \
         jsonb_build_object('channel', $2::text, 'source', $3::text) FROM withdrawn";

const OF_NUMBER: &str = "SELECT channel, given_at, source FROM facteur.contact_consents \
     WHERE tenant = $1 AND recipient = $2 ORDER BY channel";

/// Longest source, in characters.
pub const SOURCE_CHARS_MAX: usize = 200;

/// That somebody agreed, on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// `sms`, `mms` or `whatsapp`.
    pub channel: String,
    /// When it was recorded.
    pub given_at: Timestamp,
    /// Who told us, or where it was given.
    pub source: String,
}

/// Sets a contact's consent on a channel in somebody's name; the audit log has it, with the same commit. Returns whether
/// that changed anything: the first record of a consent stands.
///
/// # Errors
/// The database's, classified; [`BatchFailure::Data`] if source or actor are not as they must be.
pub async fn set_by(
    database: &Database,
    contact: Uuid,
    channel: Channel,
    (is_given, source): (bool, &str),
    by: impl Into<By<'_>>,
) -> Result<bool, BatchFailure> {
    let by = by.into();
    check_words("source", source, SOURCE_CHARS_MAX)?;
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let client = database.client().await?;
    let sql = if is_given { GIVE_BY } else { WITHDRAW_BY };
    let statement = client.prepare_cached(sql).await.map_err(classify)?;
    let parameters: [&(dyn ToSql + Sync); 5] =
        [&contact, &channel.as_str(), &source, &by.actor, &by.request_id];
    Ok(client.execute(&statement, &parameters).await.map_err(classify)? == 1)
}

/// What the owner of a number agreed to: one for each channel at most.
///
/// # Errors
/// The database's, classified.
pub async fn of_number(
    database: &Database,
    tenant: &str,
    number: &str,
) -> Result<Vec<Consent>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(OF_NUMBER).await.map_err(classify)?;
    let rows = client.query(&statement, &[&tenant, &number]).await.map_err(classify)?;
    let consent = |row: &Row| Consent {
        channel: row.get("channel"),
        given_at: row.get("given_at"),
        source: row.get("source"),
    };
    Ok(rows.iter().map(consent).collect())
}

/// Records that the recipient agreed on this channel; `source` is who told us. The first record stands.
///
/// # Errors
/// The database's, classified.
pub async fn give(
    database: &Database,
    tenant: &Tenant,
    recipient: &Recipient,
    source: &str,
) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(GIVE).await.map_err(classify)?;
    let (number, channel) = (recipient.number.reveal(), recipient.channel.as_str());
    client.execute(&statement, &[&tenant.as_str(), &number, &channel, &source]).await.map_err(classify)?;
    Ok(())
}

/// Removes a consent. Returns whether there was one.
///
/// # Errors
/// The database's, classified.
pub async fn withdraw(
    database: &Database,
    tenant: &Tenant,
    recipient: &Recipient,
) -> Result<bool, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(WITHDRAW).await.map_err(classify)?;
    let (number, channel) = (recipient.number.reveal(), recipient.channel.as_str());
    let removed =
        client.execute(&statement, &[&tenant.as_str(), &number, &channel]).await.map_err(classify)?;
    Ok(removed == 1)
}

/// Whether the recipient agreed on this channel.
///
/// # Errors
/// The database's, classified.
pub async fn has(database: &Database, tenant: &Tenant, recipient: &Recipient) -> Result<bool, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(HAS).await.map_err(classify)?;
    let (number, channel) = (recipient.number.reveal(), recipient.channel.as_str());
    let row = client.query_one(&statement, &[&tenant.as_str(), &number, &channel]).await.map_err(classify)?;
    Ok(row.get(0))
}

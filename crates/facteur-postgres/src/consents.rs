//! Consents: who agreed to be written to when something happens.

use facteur_core::ids::Tenant;
use facteur_core::job::Recipient;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

const GIVE: &str = "INSERT INTO facteur.contact_consents (tenant, recipient, channel, source) VALUES ($1, $2, $3, $4) \
     ON CONFLICT DO NOTHING";

const WITHDRAW: &str =
    "DELETE FROM facteur.contact_consents WHERE tenant = $1 AND recipient = $2 AND channel = $3";

const HAS: &str = "SELECT EXISTS (SELECT FROM facteur.contact_consents \
     WHERE tenant = $1 AND recipient = $2 AND channel = $3)";

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

//! WhatsApp's windows: when a contact last wrote to a sender of ours. Free text is taken for 24 hours from then on.

use facteur_core::Timestamp;
use facteur_core::phone::PhoneNumber;
use facteur_core::sender::Sender;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// Messages may be heard of in any order.
const HEARD: &str = "INSERT INTO facteur.conversation_windows AS w (sender, contact, last_inbound_at) VALUES ($1, $2, $3) \
     ON CONFLICT (sender, contact) DO UPDATE SET last_inbound_at = excluded.last_inbound_at \
     WHERE w.last_inbound_at < excluded.last_inbound_at";

const LAST: &str =
    "SELECT last_inbound_at FROM facteur.conversation_windows WHERE sender = $1 AND contact = $2";

/// Notes that a contact wrote to a sender (`whatsapp:+…`, or a Messaging Service) at this instant.
///
/// # Errors
/// The database's, classified.
pub async fn heard(
    database: &Database,
    sender: &Sender,
    contact: &PhoneNumber,
    at: Timestamp,
) -> Result<(), BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(HEARD).await.map_err(classify)?;
    client.execute(&statement, &[&sender.as_str(), &contact.reveal(), &at]).await.map_err(classify)?;
    Ok(())
}

/// When the contact last wrote to the sender, if that is known.
///
/// # Errors
/// The database's, classified.
pub async fn last_inbound(
    database: &Database,
    sender: &Sender,
    contact: &PhoneNumber,
) -> Result<Option<Timestamp>, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LAST).await.map_err(classify)?;
    let row = client.query_opt(&statement, &[&sender.as_str(), &contact.reveal()]).await.map_err(classify)?;
    Ok(row.map(|row| row.get(0)))
}

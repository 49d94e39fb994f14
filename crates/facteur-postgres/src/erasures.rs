//! Erasing a contact: its name, what it wrote, what was written to it, and its number are forgotten wherever they stand;
//! the rows stay, so that counts, costs and the history of jobs stay right.
//!
//! What stays of the number is the suppression, with its record in the audit log: the only way to keep to an opt-out is to
//! know whose it is (docs/decisions/011-an-erased-contact-stays-opted-out.md). Everything is done in chunks, each in a
//! transaction of its own, and the contact goes last: what was cut short is carried on by the same again.

mod statements;

use deadpool_postgres::GenericClient;
use facteur_core::Timestamp;
use facteur_core::limits::DUTY_ROWS_MAX;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::acts::By;
use crate::batch_error::{BatchFailure, classify};
use crate::claim::final_statuses;
use crate::contacts::Contact;
use crate::pool::Database;
use crate::words::{ACTOR_CHARS_MAX, check_words};

/// Stands where the number of an erased contact stood, with the contact's id behind it. No number begins so.
pub const ERASED: &str = "erased:";

/// What came of an erasure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// Everything is forgotten.
    Done(Erased),
    /// A message to it has not ended yet: nothing was changed, but for what ended while this one was accepted.
    OnTheWay,
    /// There is no such contact any more.
    Unknown,
}

/// How many rows forgot it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// Messages of the contact.
    pub inbound: i64,
    /// Messages to it.
    pub outbound: i64,
    /// Lines of bulks.
    pub lines: i64,
}

/// Forgets a contact, in somebody's name.
///
/// # Errors
/// The database's, classified; what was forgotten until then stays so.
pub async fn erase(
    database: &Database,
    contact: &Contact,
    by: impl Into<By<'_>>,
) -> Result<Erasure, BatchFailure> {
    let by = by.into();
    check_words("actor", by.actor, ACTOR_CHARS_MAX)?;
    let whom = Whom { contact, stands_for_it: format!("{ERASED}{}", contact.id), finals: final_statuses() };
    let mut client = database.client().await?;
    if whom.waits_in_a_bulk(&client).await? || whom.is_written_to(&client).await? {
        return Ok(Erasure::OnTheWay);
    }
    let mut erased = Erased::default();
    whom.forget_messages(&client, &mut erased).await?;
    whom.forget_lines(&client, &mut erased).await?;
    // What came meanwhile: from here on the contact's row is ours, and a message from it waits for our end.
    let transaction = client.transaction().await.map_err(classify)?;
    let lock = transaction.prepare_cached(statements::LOCK).await.map_err(classify)?;
    if transaction.query_opt(&lock, &[&contact.id]).await.map_err(classify)?.is_none() {
        return Ok(Erasure::Unknown);
    }
    whom.forget_messages(&transaction, &mut erased).await?;
    if whom.waits_in_a_bulk(&transaction).await? || whom.is_left(&transaction).await? {
        transaction.commit().await.map_err(classify)?;
        return Ok(Erasure::OnTheWay);
    }
    whom.end(&transaction, erased, by).await?;
    transaction.commit().await.map_err(classify)?;
    Ok(Erasure::Done(erased))
}

/// Who is forgotten.
struct Whom<'a> {
    contact: &'a Contact,
    stands_for_it: String,
    finals: Vec<&'static str>,
}

impl Whom<'_> {
    /// Whether a bulk that is not over has a line for it that was not released yet.
    async fn waits_in_a_bulk(&self, client: &impl GenericClient) -> Result<bool, BatchFailure> {
        let Contact { tenant, number, .. } = self.contact;
        let mut after = Uuid::nil();
        loop {
            let rows =
                query(client, statements::OPEN_BULKS, &[tenant, number, &after, &DUTY_ROWS_MAX]).await?;
            let (last, waits): (Option<Uuid>, bool) = (rows[0].get("last"), rows[0].get("waits"));
            match last {
                _ if waits => return Ok(true),
                None => return Ok(false),
                Some(last) => after = last,
            }
        }
    }

    /// Whether a message to it has not ended.
    async fn is_written_to(&self, client: &impl GenericClient) -> Result<bool, BatchFailure> {
        let Contact { tenant, number, .. } = self.contact;
        let mut after: (Option<Timestamp>, Option<Uuid>) = (None, None);
        loop {
            let parameters: [&(dyn ToSql + Sync); 6] =
                [tenant, number, &after.0, &after.1, &self.finals, &DUTY_ROWS_MAX];
            let rows = query(client, statements::STANDING, &parameters).await?;
            if rows.iter().any(|row| row.get("is_on_its_way")) {
                return Ok(true);
            }
            match rows.last() {
                Some(last) => after = (last.get("created_at"), last.get("id")),
                None => return Ok(false),
            }
        }
    }

    /// Whether a message to it was left, for it has not ended.
    async fn is_left(&self, client: &impl GenericClient) -> Result<bool, BatchFailure> {
        let Contact { tenant, number, .. } = self.contact;
        let rows = query(client, statements::IS_LEFT, &[tenant, number]).await?;
        Ok(rows[0].get(0))
    }

    /// What both sides wrote, as far as it has ended.
    async fn forget_messages(
        &self,
        client: &impl GenericClient,
        erased: &mut Erased,
    ) -> Result<(), BatchFailure> {
        let Contact { tenant, number, .. } = self.contact;
        loop {
            let parameters: [&(dyn ToSql + Sync); 4] = [tenant, number, &self.stands_for_it, &DUTY_ROWS_MAX];
            let inbound: i64 = query(client, statements::INBOUND, &parameters).await?[0].get(0);
            let parameters: [&(dyn ToSql + Sync); 5] =
                [tenant, number, &self.stands_for_it, &self.finals, &DUTY_ROWS_MAX];
            let outbound: i64 = query(client, statements::OUTBOUND, &parameters).await?[0].get(0);
            erased.inbound += inbound;
            erased.outbound += outbound;
            if inbound == 0 && outbound == 0 {
                return Ok(());
            }
        }
    }

    /// Its lines in the tenant's bulks.
    async fn forget_lines(
        &self,
        client: &impl GenericClient,
        erased: &mut Erased,
    ) -> Result<(), BatchFailure> {
        let Contact { tenant, number, .. } = self.contact;
        let mut after: (Option<Timestamp>, Option<Uuid>) = (None, None);
        loop {
            let parameters: [&(dyn ToSql + Sync); 6] =
                [tenant, number, &self.stands_for_it, &after.0, &after.1, &DUTY_ROWS_MAX];
            let rows = query(client, statements::LINES, &parameters).await?;
            let lines: i64 = rows[0].get("lines");
            erased.lines += lines;
            // A bulk may have more lines of it than one statement takes: the same bulks are asked until none is left.
            if lines == 0 {
                match rows[0].get("last") {
                    last @ Some(_) => after = (rows[0].get("last_at"), last),
                    None => return Ok(()),
                }
            }
        }
    }

    async fn end(&self, client: &impl GenericClient, erased: Erased, by: By<'_>) -> Result<(), BatchFailure> {
        let Contact { id, tenant, number, .. } = self.contact;
        let Erased { inbound, outbound, lines } = erased;
        let (actor, request_id) = (by.actor, by.request_id);
        let parameters: [&(dyn ToSql + Sync); 9] =
            [tenant, number, &self.stands_for_it, id, &actor, &inbound, &outbound, &lines, &request_id];
        query(client, statements::END, &parameters).await.map(drop)
    }
}

async fn query(
    client: &impl GenericClient,
    text: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<tokio_postgres::Row>, BatchFailure> {
    let statement = client.prepare_cached(text).await.map_err(classify)?;
    client.query(&statement, parameters).await.map_err(classify)
}

//! The worker's view of the database: one item in, one answer out. Behind each port stands a batcher; each
//! lane has its own, so that a bulk never delays a one-time password.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::gcra::{Ask, Rate};
use facteur_core::ids::{ClaimToken, JobId};
use facteur_core::ledger::{Claim, ClaimRequest, Record, Recorded, Reserved, Settled, Settlement, Stored};
use facteur_core::limits::BATCH_ITEMS_MAX;
use facteur_core::phone::PhoneNumber;
use facteur_core::reason::ReasonCode;
use facteur_core::sender::Sender;

use crate::batch_error::BatchFailure;
use crate::batcher::{Batcher, BatcherConfig, SubmitError};
use crate::claim::{self, ClaimOperation};
use crate::pool::Database;
use crate::record::RecordOperation;
use crate::settle::SettleOperation;
use crate::slots;
use crate::stored::StoredOperation;
use crate::windows;

/// A statement that takes longer is repeated; its effects are the same.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);

/// One lane's ports to the database.
#[derive(Clone)]
pub struct Store {
    database: Database,
    claims: Batcher<ClaimOperation>,
    records: Batcher<RecordOperation>,
    settlements: Batcher<SettleOperation>,
    stored: Batcher<StoredOperation>,
}

impl Store {
    /// Opens the ports over a pool.
    #[must_use]
    pub fn start(database: Database) -> Self {
        let config = || BatcherConfig {
            items_max: BATCH_ITEMS_MAX,
            batches_in_flight: 2,
            attempt_timeout: STATEMENT_TIMEOUT,
        };
        Self {
            claims: Batcher::start(ClaimOperation { database: database.clone() }, config()),
            records: Batcher::start(RecordOperation { database: database.clone() }, config()),
            settlements: Batcher::start(SettleOperation { database: database.clone() }, config()),
            stored: Batcher::start(StoredOperation { database: database.clone() }, config()),
            database,
        }
    }

    /// Ends the ports: what was submitted and can't be written is given up, and its waiters are told
    /// [`SubmitError::Closed`]. To be called after the last job has been recorded, or has run out of time.
    pub async fn shutdown(&self) {
        self.claims.shutdown().await;
        self.records.shutdown().await;
        self.settlements.shutdown().await;
        self.stored.shutdown().await;
    }

    /// Claims the next attempt of a job. Waits as long as the database is away.
    ///
    /// # Errors
    /// [`SubmitError::Data`] if the row itself can't be stored; [`SubmitError::Closed`] at shutdown.
    pub async fn claim(&self, request: ClaimRequest) -> Result<Claim, SubmitError> {
        self.claims.submit(request).await
    }

    /// Records what an attempt came to. Waits as long as the database is away.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn record(&self, record: Record) -> Result<Recorded, SubmitError> {
        self.records.submit(record).await
    }

    /// Settles a job that is not claimed. Waits as long as the database is away.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn settle(&self, settlement: Settlement) -> Result<Settled, SubmitError> {
        self.settlements.submit(settlement).await
    }

    /// Gives a claim back that made no call.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn release(
        &self,
        id: JobId,
        token: ClaimToken,
        reason: ReasonCode,
        wake_up_after: Duration,
    ) -> Result<bool, BatchFailure> {
        let client = self.database.client().await?;
        claim::release(&client, id, token, reason, wake_up_after).await
    }

    /// Asks a sender's clock for slots. Nothing is given before `not_before`.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn reserve(
        &self,
        sender: &Sender,
        rate: Rate,
        ask: Ask,
        not_before: Option<Timestamp>,
    ) -> Result<Reserved, BatchFailure> {
        let client = self.database.client().await?;
        slots::reserve(&client, sender, rate, ask, not_before).await
    }

    /// When a contact last wrote to a sender, if that is known.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn last_inbound(
        &self,
        sender: &Sender,
        contact: &PhoneNumber,
    ) -> Result<Option<Timestamp>, BatchFailure> {
        windows::last_inbound(&self.database, sender, contact).await
    }

    /// What an earlier turn of a job settled. Waits as long as the database is away.
    ///
    /// # Errors
    /// As [`Store::claim`].
    pub async fn stored(&self, id: JobId) -> Result<Option<Stored>, SubmitError> {
        self.stored.submit(id).await
    }
}

//! Back-pressure: what may be under way at once. What is more is told to come again, before any work is done for it.

use std::sync::Arc;

use facteur_postgres::accept::REQUEST_MESSAGES_MAX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Most messages that are being accepted at once.
const MESSAGES_MAX: usize = 8 * REQUEST_MESSAGES_MAX;

const OVERLOADED: ApiError =
    ApiError::busy("overloaded", "too many messages are being accepted at this moment: come again", 1);

/// What holds requests back.
pub(crate) struct Pressure {
    under_way: Arc<Semaphore>,
}

impl Default for Pressure {
    fn default() -> Self {
        Self { under_way: Arc::new(Semaphore::new(MESSAGES_MAX)) }
    }
}

impl Pressure {
    /// Room for so many messages, until it is dropped.
    ///
    /// # Errors
    /// If there is none now.
    pub(crate) fn enter(&self, messages: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let messages = u32::try_from(messages).unwrap_or(u32::MAX);
        Arc::clone(&self.under_way).try_acquire_many_owned(messages).map_err(|_| OVERLOADED)
    }
}

//! What the routes of bulks share: how many uploads and listeners there are, and what was counted a moment ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use facteur_postgres::bulks::{Progress, progress};
use facteur_postgres::{BatchFailure, Database};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::shares::Shares;

/// Uploads at once.
const UPLOADS_MAX: usize = 8;
/// Of each tenant, for an upload may take its time.
const UPLOADS_EACH_MAX: usize = 4;
/// Listeners to the progress of bulks at once.
const LISTENERS_MAX: usize = 256;
/// Of each tenant.
const LISTENERS_EACH_MAX: usize = 64;
/// How long a count is taken for the present one.
const REMEMBER_FOR: Duration = Duration::from_secs(1);
/// Most bulks whose counts are remembered.
const REMEMBERED_MAX: usize = 1_000;

/// A count and when it was asked for; whoever asks meanwhile waits for the answer.
type Counted = Arc<tokio::sync::Mutex<Option<(Instant, Arc<Progress>)>>>;

pub(crate) struct BulksSide {
    pub(crate) uploads: Arc<Shares>,
    pub(crate) listeners: Arc<Shares>,
    /// Cancelled when the process stops: then nobody listens any longer.
    pub(crate) stopping: CancellationToken,
    counted: Mutex<HashMap<Uuid, Counted>>,
}

impl BulksSide {
    pub(crate) fn new() -> Self {
        Self {
            uploads: Shares::new(UPLOADS_MAX, UPLOADS_EACH_MAX),
            listeners: Shares::new(LISTENERS_MAX, LISTENERS_EACH_MAX),
            stopping: CancellationToken::new(),
            counted: Mutex::default(),
        }
    }

    /// Where the recipients of a bulk stand; at most a second old, however many ask.
    pub(crate) async fn progress(
        &self,
        database: &Database,
        id: Uuid,
    ) -> Result<Arc<Progress>, BatchFailure> {
        let counted = self.entry(id);
        let mut counted = counted.lock().await;
        if let Some((_, known)) = counted.as_ref().filter(|(at, _)| at.elapsed() < REMEMBER_FOR) {
            return Ok(Arc::clone(known));
        }
        let at = Instant::now();
        let fresh = Arc::new(progress(database, id).await?);
        *counted = Some((at, Arc::clone(&fresh)));
        Ok(fresh)
    }

    /// Forgets what was counted: it was changed by the very caller.
    pub(crate) fn forget(&self, id: Uuid) {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    fn entry(&self, id: Uuid) -> Counted {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.len() >= REMEMBERED_MAX && !counted.contains_key(&id) {
            counted.clear();
        }
        Arc::clone(counted.entry(id).or_default())
    }
}

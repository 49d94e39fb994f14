//! Keys that were looked up are remembered for a moment, so that a client that asks thousands of times a second costs
//! one look-up a second; and when they were used is written down behind the requests.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use facteur_postgres::api_keys::{self, FoundKey, KeyDigest};
use facteur_postgres::{BatchFailure, Database};
use moka::future::Cache;
use tokio::time::{MissedTickBehavior, timeout};
use uuid::Uuid;

/// How long an answer holds, look-up included: what is revoked is let in no longer than a second.
const REMEMBERED_FOR: Duration = Duration::from_millis(800);
/// Answers that are remembered, those about keys that nobody has included.
const REMEMBERED_MAX: u64 = 20_000;
/// How often uses are written down.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Keys whose use waits to be written down; what is more is written with a later use.
const USED_MAX: usize = 100_000;
/// Longest time for writing them down.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// How a key is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    /// By who has it.
    Bearer(KeyDigest),
    /// By its id: the configuration names a family's default key by it.
    ById(Uuid),
}

pub(crate) struct Keys {
    database: Database,
    remembered: Cache<Asked, Option<FoundKey>>,
    used: Mutex<HashSet<Uuid>>,
}

impl Keys {
    pub(crate) fn new(database: Database) -> Self {
        let remembered = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(REMEMBERED_FOR).build();
        Self { database, remembered, used: Mutex::default() }
    }

    /// The key, if it is valid. Whoever asks for the same one at the same time shares one look-up.
    pub(crate) async fn find(&self, asked: Asked) -> Result<Option<FoundKey>, BatchFailure> {
        let look_up = async {
            let found = match asked {
                Asked::Bearer(digest) => api_keys::find(&self.database, &digest).await?,
                Asked::ById(id) => api_keys::find_by_id(&self.database, id).await?,
            };
            if let Some(key) = &found {
                self.note(key.id);
            }
            Ok(found)
        };
        self.remembered.try_get_with(asked, look_up).await.map_err(|failure: Arc<BatchFailure>| {
            Arc::try_unwrap(failure).unwrap_or_else(|shared| (*shared).clone())
        })
    }

    /// What was just revoked here is asked for anew.
    pub(crate) fn forget(&self) {
        self.remembered.invalidate_all();
    }

    fn note(&self, id: Uuid) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < USED_MAX {
            used.insert(id);
        }
    }

    /// Writes uses down, for ever.
    pub(crate) async fn write_uses(&self) {
        let mut ticks = tokio::time::interval(WRITE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.write_uses_now().await;
        }
    }

    /// Writes down what was used since the last time.
    pub(crate) async fn write_uses_now(&self) {
        let used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        let ids: Vec<Uuid> = used.into_iter().collect();
        if ids.is_empty() {
            return;
        }
        match timeout(WRITE_MAX, api_keys::used(&self.database, &ids)).await {
            Ok(Ok(())) => {}
            // The next use is written down a minute later.
            Ok(Err(failure)) => tracing::debug!(%failure, "the last use of keys could not be written down"),
            Err(_) => tracing::debug!("the last use of keys could not be written down in time"),
        }
    }
}

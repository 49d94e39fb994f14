//! What the web process does by itself, beside answering.

use std::time::Duration;

use facteur_postgres::{Database, accept};
use tokio::time::MissedTickBehavior;

/// How often old idempotency keys are removed.
const FORGET_EVERY: Duration = Duration::from_mins(1);

/// Removes old idempotency keys, for ever.
pub(crate) async fn forget_old_keys(database: Database) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // What can't be removed now is removed a minute later.
        while let Ok(1..) = accept::forget_old_keys(&database).await {}
    }
}

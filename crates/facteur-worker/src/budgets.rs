//! The duty over budgets: what stands in the line of a budget is let out when its tenant has segments again, by
//! midnight or because somebody raised the budget. Any worker does it.

use std::sync::Arc;
use std::time::Duration;

use facteur_core::hold::Hold;
use facteur_core::limits::DUTY_ROWS_MAX;
use facteur_postgres::lines::{self, LineKind};
use facteur_postgres::{BatchFailure, Database, budgets};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::duties::pause;
use crate::patience::in_time;

/// How often lines are looked at. What was let out has to be claimed before it counts: a shorter interval would let
/// out again what does not fit.
const RELEASE_INTERVAL: Duration = Duration::from_secs(1);

/// Lets out what the budgets have room for.
pub(crate) async fn release_for_ever(
    database: Database,
    nudges: Vec<Arc<Notify>>,
    stopping: CancellationToken,
) {
    while pause(RELEASE_INTERVAL, &stopping).await {
        match in_time(release(&database)).await {
            Ok(0) => {}
            Ok(jobs) => {
                nudges.iter().for_each(|nudge| nudge.notify_one());
                tracing::info!(jobs, "budgets have segments again: what they held back goes on");
            }
            Err(error) => tracing::warn!(%error, "lines of budgets can't be let out now; tried again"),
        }
    }
}

async fn release(database: &Database) -> Result<i64, BatchFailure> {
    let mut sum = 0;
    for line in lines::list(database, LineKind::Budget).await? {
        let Hold::Budget(tenant) = &line else { continue };
        let mut room = budgets::room(database, tenant).await?;
        while room > 0 {
            let chunk = room.min(DUTY_ROWS_MAX);
            let released = lines::release(database, &line, chunk).await?;
            sum += released;
            // The line is empty, or the rest waits for the outbox.
            room = if released < chunk { 0 } else { room - released };
        }
    }
    Ok(sum)
}

//! The duty over waiting lines: when a pause ends, its line is let out, chunk by chunk, at the pace of the outbox's
//! relays. Any worker does it; `SKIP LOCKED` keeps workers out of each other's way.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::hold::Hold;
use facteur_core::limits::DUTY_ROWS_MAX;
use facteur_postgres::lines::{self, LineKind};
use facteur_postgres::{BatchFailure, Database, pauses};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::duties::pause;
use crate::metrics;
use crate::patience::in_time;

/// How often lines without a pause are looked for.
const RELEASE_INTERVAL: Duration = Duration::from_millis(500);
/// How often those that stand in lines are counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);

/// Ends pauses whose time has come, and lets out the lines of those that have ended.
pub(crate) async fn release_for_ever(
    database: Database,
    nudges: Vec<Arc<Notify>>,
    stopping: CancellationToken,
) {
    while pause(RELEASE_INTERVAL, &stopping).await {
        let released = async {
            let ended = in_time(without_pause(&database)).await?;
            release(&database, ended, &nudges, &stopping).await
        };
        match released.await {
            Ok(0) => {}
            Ok(jobs) => tracing::info!(jobs, "pauses have ended: what they held back goes on"),
            Err(error) => tracing::warn!(%error, "lines of pauses can't be let out now; tried again"),
        }
    }
}

/// Keeps the gauge of those that stand in lines.
pub(crate) async fn count_for_ever(database: Database, stopping: CancellationToken) {
    while pause(COUNT_INTERVAL, &stopping).await {
        for kind in LineKind::ALL {
            match in_time(lines::count(&database, kind)).await {
                Ok(jobs) => metrics::waiting_in_line(kind, jobs),
                Err(error) => tracing::debug!(%error, "how many stand in lines is unknown"),
            }
        }
    }
}

/// The lines in which somebody still waits for a pause that has ended. A job may join one late, from a worker that had
/// not heard of the end: this looks at the lines, not at the ends.
async fn without_pause(database: &Database) -> Result<Vec<Hold>, BatchFailure> {
    for ended in pauses::close_ended(database).await? {
        let (scope, key, actor) = (ended.scope.kind(), ended.scope.key(), ended.actor);
        tracing::info!(scope, key, actor, "a pause has come to its end");
    }
    let held = lines::list(database, LineKind::Pause).await?;
    // Asked after the lines: a pause that is made meanwhile is respected.
    let open = pauses::open(database).await?;
    metrics::paused(&open);
    let open: HashSet<Hold> = open.into_iter().map(|pause| Hold::Pause(pause.scope)).collect();
    Ok(held.into_iter().filter(|line| !open.contains(line)).collect())
}

/// Takes a chunk of each line in turn until none gives a full one: the rest waits for the outbox.
async fn release(
    database: &Database,
    mut ended: Vec<Hold>,
    nudges: &[Arc<Notify>],
    stopping: &CancellationToken,
) -> Result<i64, BatchFailure> {
    let mut sum = 0;
    while !ended.is_empty() && !stopping.is_cancelled() {
        let mut full = Vec::new();
        for line in ended {
            let released = in_time(lines::release(database, &line, DUTY_ROWS_MAX)).await?;
            sum += released;
            if released > 0 {
                nudges.iter().for_each(|nudge| nudge.notify_one());
            }
            if released == DUTY_ROWS_MAX {
                full.push(line);
            }
        }
        ended = full;
    }
    Ok(sum)
}

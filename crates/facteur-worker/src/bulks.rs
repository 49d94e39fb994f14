//! The dripper: bulks become jobs, each at its pace. Any worker does it; a bulk's row is locked, and skipped where another
//! worker holds it.

use std::sync::Arc;
use std::time::Duration;

use facteur_core::limits::DUTY_ROWS_MAX;
use facteur_postgres::{BatchFailure, Database, bulks};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::duties::pause;
use crate::patience::in_time;

/// How often bulks are looked at: what a rate gives comes in portions of this time.
const DRIP_INTERVAL: Duration = Duration::from_millis(500);
/// How often uploads that nobody resumes are looked for.
const ABANDON_INTERVAL: Duration = Duration::from_mins(1);

/// Releases recipients of bulks at their pace, and withdraws what was cancelled.
pub(crate) async fn drip_for_ever(database: Database, nudges: Vec<Arc<Notify>>, stopping: CancellationToken) {
    let mut abandoned_at: Option<Instant> = None;
    while pause(DRIP_INTERVAL, &stopping).await {
        let turn = async {
            turn(&database, &nudges, &stopping).await?;
            if abandoned_at.is_none_or(|at| at.elapsed() >= ABANDON_INTERVAL) {
                abandoned_at = Some(Instant::now());
                let given_up = in_time(bulks::abandon(&database)).await?;
                if given_up > 0 {
                    tracing::warn!(
                        bulks = given_up,
                        "uploads were cut a day ago and not resumed: they are given up"
                    );
                }
            }
            Ok::<(), BatchFailure>(())
        };
        if let Err(error) = turn.await {
            tracing::warn!(%error, "bulks can't be carried on now; tried again");
        }
    }
}

/// One chunk of each bulk after the other until none gives a full one, so that a large one holds up no other.
async fn turn(
    database: &Database,
    nudges: &[Arc<Notify>],
    stopping: &CancellationToken,
) -> Result<(), BatchFailure> {
    let mut open = in_time(bulks::open(database)).await?;
    while !open.is_empty() && !stopping.is_cancelled() {
        let mut full = Vec::new();
        for id in open {
            if drip(database, id, nudges).await? {
                full.push(id);
            }
        }
        open = full;
    }
    for id in in_time(bulks::withdrawing(database)).await? {
        while in_time(bulks::withdraw(database, id)).await? == DUTY_ROWS_MAX && !stopping.is_cancelled() {}
    }
    Ok(())
}

/// Whether there may be more to do at once.
async fn drip(database: &Database, id: Uuid, nudges: &[Arc<Notify>]) -> Result<bool, BatchFailure> {
    let dripped = in_time(bulks::drip(database, id)).await?;
    if dripped.released > 0 {
        nudges.iter().for_each(|nudge| nudge.notify_one());
    }
    if let Some(why) = &dripped.paused_because {
        tracing::warn!(bulk = %id, why, "a bulk has paused itself; resume it when it is right");
    }
    if dripped.is_completed {
        tracing::info!(bulk = %id, "a bulk is completed");
    }
    Ok(dripped.is_full())
}

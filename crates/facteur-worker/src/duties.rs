//! The periodic duties. Any worker does them; `SKIP LOCKED` keeps workers out of each other's way.

use std::sync::Arc;
use std::time::Duration;

use facteur_core::lane::Lane;
use facteur_postgres::{Database, messages, reconciliations, redactions, sweep};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::patience::in_time;

/// How often due rows are looked for; a release from the waiting room is late by at most this.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// How long the database answers before leases are given up: longer than a record waits between two tries.
const RECORDS_FIRST_FOR: Duration = Duration::from_secs(15);
/// How often it is looked for messages that are to be forgotten.
const REDACTION_INTERVAL: Duration = Duration::from_secs(1);
/// How often the age of the oldest waiting job is measured.
const GAUGE_INTERVAL: Duration = Duration::from_secs(5);

/// Answers for rows whose lease or wait is over, and rings the relays.
///
/// Leases are left alone until the database has answered for a while: after an outage that outlived them, the
/// workers that hold the outcomes come first.
pub(crate) async fn sweep_for_ever(
    database: Database,
    account: String,
    nudges: Vec<Arc<Notify>>,
    stopping: CancellationToken,
) {
    let mut healthy_since = Instant::now();
    while pause(SWEEP_INTERVAL, &stopping).await {
        loop {
            let with_leases = healthy_since.elapsed() >= RECORDS_FIRST_FOR;
            match in_time(sweep(&database, &account, with_leases)).await {
                Ok(swept) => {
                    metrics::swept(&swept);
                    if swept.uncertain > 0 {
                        tracing::warn!(
                            jobs = swept.uncertain,
                            "leases ran out in the middle of a call: whether Twilio took the message is looked for"
                        );
                    }
                    if swept.woken > 0 {
                        nudges.iter().for_each(|nudge| nudge.notify_one());
                    }
                    if !swept.is_full() || stopping.is_cancelled() {
                        break;
                    }
                }
                Err(error) => {
                    healthy_since = Instant::now();
                    tracing::warn!(%error, "the sweep failed; tried again");
                    break;
                }
            }
        }
    }
}

/// Forgets messages that hold a password, once their job has ended.
pub(crate) async fn redact_for_ever(database: Database, stopping: CancellationToken) {
    while pause(REDACTION_INTERVAL, &stopping).await {
        if let Err(error) = in_time(redactions::redact(&database)).await {
            tracing::warn!(%error, "messages that hold a password are not forgotten yet; tried again");
        }
    }
}

/// Keeps the gauges that only the database can tell.
pub(crate) async fn measure_for_ever(database: Database, stopping: CancellationToken) {
    while pause(GAUGE_INTERVAL, &stopping).await {
        match in_time(messages::oldest_waiting(&database)).await {
            Ok(ages) => {
                for lane in Lane::ALL {
                    metrics::oldest_waiting(lane, ages.get(&lane).copied().unwrap_or_default());
                }
            }
            Err(error) => tracing::debug!(%error, "the age of the oldest waiting job is unknown"),
        }
        match in_time(reconciliations::count_open(&database)).await {
            Ok(open) => metrics::uncertain(open),
            Err(error) => tracing::debug!(%error, "the number of uncertain messages is unknown"),
        }
        metrics::pool(database.usage());
    }
}

/// Whether to go on.
pub(crate) async fn pause(interval: Duration, stopping: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(interval) => true,
        () = stopping.cancelled() => false,
    }
}

//! The whole path: from a full queue to Twilio and onto the record.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::figures::{number, round, seconds};
use super::jobs::USUAL;
use super::stage::Stage;
use super::{Options, usage};
use crate::say;

/// Twilio's latencies.
const LATENCIES_MS: [u64; 2] = [0, 50];
/// Each delivered text is told three times: sending, sent, delivered.
const CALLBACKS_PER_MESSAGE: usize = 3;

pub(super) async fn measure(options: &Options) -> Result<Value> {
    let mut runs = serde_json::Map::new();
    for latency_ms in LATENCIES_MS {
        let run = run(options, latency_ms, options.scaled(40_000), false).await?;
        runs.insert(format!("latency_{latency_ms}_ms"), run);
    }
    Ok(runs.into())
}

pub(super) async fn measure_with_callbacks(options: &Options) -> Result<Value> {
    run(options, 0, options.scaled(20_000), true).await
}

/// The first tenth warms up and is not measured.
async fn run(options: &Options, latency_ms: u64, count: usize, callbacks: bool) -> Result<Value> {
    say::progress(&format!("{count} messages, {latency_ms} ms"));
    let mut stage = Stage::set(options.concurrency).await?;
    if callbacks {
        stage.start_web().await?;
    }
    stage.system.control.faults(&json!({"latency": {"fixed_ms": latency_ms}})).await?;
    stage.publish(USUAL.jobs(0, count)).await?;
    stage.start_workers(1).await?;
    let warm = stage.accepted(count / 10).await?.accepted;
    let before = stage.usage().await?;
    stage.accepted(count).await?;
    stage.settle(count).await?;
    if callbacks {
        let wanted = count * CALLBACKS_PER_MESSAGE;
        stage.until(wanted, async |stage: &Stage| Ok(stage.stats().await?.callbacks.sent)).await?;
        let failed = stage.stats().await?.callbacks.failed;
        ensure!(failed == 0, "{failed} callbacks were not taken");
    }
    let after = stage.usage().await?;
    let arrivals = stage.arrivals().await?;
    let took_s = seconds(arrivals[warm].at_us, arrivals[count - 1].at_us);
    let memory = stage.workers.iter().map(|worker| usage::memory_max_mib(worker.pid())).fold(0.0, f64::max);
    stage.end().await?;
    Ok(json!({
        "messages_per_s": round(number(count - 1 - warm) / took_s),
        "worker_memory_max_mib": memory,
        "cost": after.since(&before, count - warm),
        "messages": count,
    }))
}

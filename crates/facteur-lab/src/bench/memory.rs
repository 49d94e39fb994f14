//! The worker's memory with a backlog of large bodies.

use anyhow::Result;
use serde_json::{Value, json};

use super::jobs::{Kind, USUAL};
use super::stage::Stage;
use super::{Options, usage};

const BODY_BYTES: usize = 64 * 1_024;
const PADDING_BYTES: usize = BODY_BYTES - 1_024;

pub(super) async fn measure(options: &Options) -> Result<Value> {
    let count = options.scaled(3_000);
    let mut runs = serde_json::Map::new();
    for concurrency in [64, options.concurrency] {
        let memory = run(concurrency, count).await?;
        let run = json!({"worker_memory_max_mib": memory, "messages": count, "body_bytes": BODY_BYTES});
        runs.insert(format!("concurrency_{concurrency}"), run);
    }
    Ok(runs.into())
}

async fn run(concurrency: u32, count: usize) -> Result<f64> {
    let mut stage = Stage::set(concurrency).await?;
    stage.publish(Kind { padding_bytes: PADDING_BYTES, ..USUAL }.jobs(0, count)).await?;
    stage.start_workers(1).await?;
    stage.settle(count).await?;
    let memory = usage::memory_max_mib(stage.workers[0].pid());
    stage.end().await?;
    Ok(memory)
}

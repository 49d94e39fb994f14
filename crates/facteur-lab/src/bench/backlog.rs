//! What a message costs while more and more others wait behind it.

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::jobs::USUAL;
use super::stage::Stage;
use super::{Options, usage};
use crate::say;

/// Messages that warm up, and messages whose cost is measured, whatever waits behind them.
const WARM_UP: usize = 2_000;
const MEASURED: usize = 10_000;

pub(super) async fn measure(options: &Options) -> Result<Value> {
    let mut depths = vec![1_000, 10_000];
    depths.extend((!options.quick).then_some(100_000));
    depths.extend(options.full.then_some(1_000_000));
    let mut runs = Map::new();
    for depth in depths {
        runs.insert(format!("waiting_{depth}"), run(options, depth).await?);
    }
    Ok(runs.into())
}

async fn run(options: &Options, depth: usize) -> Result<Value> {
    say::progress(&format!("{depth} wait behind those that are measured"));
    let mut stage = Stage::set(options.concurrency).await?;
    stage.publish(USUAL.jobs(0, WARM_UP + MEASURED + depth)).await?;
    stage.start_workers(1).await?;
    let first = stage.accepted(WARM_UP).await?.accepted;
    let before = stage.usage().await?;
    let last = stage.accepted(WARM_UP + MEASURED).await?.accepted;
    let after = stage.usage().await?;
    let memory = usage::memory_max_mib(stage.workers[0].pid());
    stage.end().await?;
    Ok(json!({"cost": after.since(&before, last - first), "worker_memory_max_mib": memory}))
}

//! A limit of 100 segments a second, by one and by three workers: kept, and used.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Map, Value, json};

use super::Options;
use super::figures::{number, round, worst_second};
use super::jobs::{Kind, SLOW_SENDER, USUAL};
use super::stage::Stage;
use crate::say;

const RATE: usize = 100;
const CONCURRENCY: u32 = 64;
/// What the first worker gets a start of.
const WARM_UP: Duration = Duration::from_secs(3);

pub(super) async fn measure(options: &Options) -> Result<Value> {
    let mut runs = Map::new();
    for workers in [1, 3] {
        runs.insert(format!("workers_{workers}"), run(options, workers).await?);
    }
    Ok(runs.into())
}

async fn run(options: &Options, workers: usize) -> Result<Value> {
    let measured_s = if options.quick { 30 } else { 60 };
    say::progress(&format!("{workers} workers, {measured_s} s"));
    let mut stage = Stage::set(CONCURRENCY).await?;
    stage.set_rate(SLOW_SENDER, number(RATE)).await?;
    // More than can leave in that time, so that it is never the supply that limits.
    let count = RATE * (measured_s + 30);
    stage.publish(Kind { from: SLOW_SENDER, ..USUAL }.jobs(0, count)).await?;
    stage.start_workers(workers).await?;
    stage.accepted(1).await?;
    tokio::time::sleep(WARM_UP + Duration::from_secs(measured_s.try_into()?) + Duration::from_secs(1)).await;
    let arrivals = stage.arrivals().await?;
    stage.end().await?;
    let all: Vec<(u64, u32)> = arrivals.iter().map(|arrival| (arrival.at_us, arrival.segments)).collect();
    let first_us = arrivals[0].at_us + u64::try_from(WARM_UP.as_micros())?;
    let last_us = first_us + u64::try_from(measured_s)? * 1_000_000;
    let measured: usize = arrivals
        .iter()
        .filter(|arrival| arrival.from == SLOW_SENDER && (first_us..last_us).contains(&arrival.at_us))
        .map(|arrival| usize::try_from(arrival.segments).unwrap_or_default())
        .sum();
    Ok(json!({
        "used_percent": round(100.0 * number(measured) / number(RATE * measured_s)),
        "worst_second_segments": worst_second(&all),
        "limit_per_s": RATE,
        "measured_s": measured_s,
    }))
}

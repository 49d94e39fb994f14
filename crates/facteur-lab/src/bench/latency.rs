//! From the start of a publish to the arrival at Twilio, for single messages.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Options;
use super::figures::{percentile, round, seconds};
use super::jobs::{FREE_SENDER, Kind, SLOW_SENDER, USUAL};
use super::stage::Stage;
use crate::{clock, say};

/// Between two single messages.
const INTERVAL: Duration = Duration::from_millis(50);
/// The product's own default.
const CONCURRENCY: u32 = 64;
/// Segments a second of the sender that a bulk waits for.
const BULK_RATE: f64 = 100.0;
/// Jobs of a bulk that may be on their way when it counts as displaced.
const UNDER_WAY_MAX: u32 = 64;
/// Numbers of single messages begin here, above those of any bulk.
const SINGLES_FROM: usize = 5_000_000;

pub(super) async fn measure_idle(options: &Options) -> Result<Value> {
    let mut stage = Stage::set(CONCURRENCY).await?;
    stage.start_workers(1).await?;
    let count = options.scaled(400);
    let latencies = singles(&mut stage, USUAL, count).await?;
    stage.end().await?;
    Ok(told(&latencies))
}

pub(super) async fn measure_urgent(options: &Options) -> Result<Value> {
    let same = urgent(options, SLOW_SENDER).await?;
    let other = urgent(options, FREE_SENDER).await?;
    Ok(json!({"same_sender": same, "other_sender": other, "bulk_rate_per_s": BULK_RATE}))
}

async fn urgent(options: &Options, from: &'static str) -> Result<Value> {
    let waiting = options.scaled(100_000);
    say::progress(&format!("{waiting} bulk messages wait"));
    let mut stage = Stage::set(CONCURRENCY).await?;
    stage.set_rate(SLOW_SENDER, BULK_RATE).await?;
    let bulk = Kind { lane: "bulk", from: SLOW_SENDER, ..USUAL };
    stage.publish(bulk.jobs(0, waiting)).await?;
    let began = Instant::now();
    stage.start_workers(1).await?;
    let mut sample = interval(Duration::from_millis(100));
    // What is under way is at most what the lane holds.
    while stage.producer.waiting("bulk").await? > UNDER_WAY_MAX {
        sample.tick().await;
    }
    let displaced_s = began.elapsed().as_secs_f64();
    let latencies = singles(&mut stage, Kind { lane: "urgent", from, ..USUAL }, options.scaled(300)).await?;
    // Most of the bulk stays where it is: what is left goes with the stage.
    stage.end().await?;
    let mut told = told(&latencies);
    told["displacing_s"] = round(displaced_s).into();
    told["bulk_messages"] = waiting.into();
    Ok(told)
}

/// Publishes single messages and gives their latencies in milliseconds; the first ones warm up.
async fn singles(stage: &mut Stage, kind: Kind, count: usize) -> Result<Vec<f64>> {
    let warm_up = 20;
    let mut sample = interval(INTERVAL);
    sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut published = Vec::new();
    for job in kind.jobs(SINGLES_FROM, warm_up + count) {
        sample.tick().await;
        published.push((job.to.clone(), now_us()));
        stage.publish([job].into_iter()).await?;
    }
    let wanted: HashMap<String, u64> = published.iter().cloned().collect();
    let found = async |stage: &Stage| {
        let arrivals = stage.arrivals().await?;
        Ok(arrivals.iter().filter(|arrival| wanted.contains_key(&arrival.to)).count())
    };
    stage.until(published.len(), found).await?;
    let arrived: HashMap<String, u64> =
        stage.arrivals().await?.into_iter().map(|arrival| (arrival.to, arrival.at_us)).collect();
    let latency = |(to, at_us): &(String, u64)| {
        Ok(seconds(*at_us, *arrived.get(to).context("a message never arrived")?) * 1_000.0)
    };
    published.iter().skip(warm_up).map(latency).collect()
}

fn told(latencies_ms: &[f64]) -> Value {
    json!({
        "p50_ms": round(percentile(latencies_ms, 50)),
        "p99_ms": round(percentile(latencies_ms, 99)),
        "max_ms": round(percentile(latencies_ms, 100)),
        "messages": latencies_ms.len(),
    })
}

/// Microseconds since 1970, on the clock that the simulator reads as well.
pub(super) fn now_us() -> u64 {
    u64::try_from(clock::now()).unwrap_or_default()
}

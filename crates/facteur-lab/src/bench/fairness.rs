//! One tenant's bulk at one a second in front of another tenant's messages, in the same lane.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Options;
use super::figures::{number, round, seconds};
use super::jobs::{FREE_SENDER, Kind, SLOW_SENDER, USUAL};
use super::latency::now_us;
use super::stage::Stage;
use crate::say;

const CONCURRENCY: u32 = 64;
const OTHERS: usize = 1_000;
const SLOW: Kind = Kind { lane: "bulk", tenant: "slow", from: SLOW_SENDER, ..USUAL };
const OTHER: Kind = Kind { lane: "bulk", tenant: "other", from: FREE_SENDER, ..USUAL };
/// Numbers of the other tenant's messages begin here.
const OTHERS_FROM: usize = 5_000_000;

pub(super) async fn measure(options: &Options) -> Result<Value> {
    let (_, alone_per_s) = run(0).await?;
    let bulk = options.scaled(100_000);
    let (first_s, behind_per_s) = run(bulk).await?;
    Ok(json!({
        "bulk_messages": bulk,
        "first_after_s": round(first_s),
        "alone_messages_per_s": round(alone_per_s),
        "behind_messages_per_s": round(behind_per_s),
        "speed_kept_percent": round(100.0 * behind_per_s / alone_per_s),
    }))
}

/// How long after the start of the worker the first one leaves, and how fast all of them do.
async fn run(bulk: usize) -> Result<(f64, f64)> {
    say::progress(&format!("{bulk} messages of another tenant in front"));
    let mut stage = Stage::set(CONCURRENCY).await?;
    stage.set_rate(SLOW_SENDER, 1.0).await?;
    stage.publish(SLOW.jobs(0, bulk)).await?;
    stage.publish(OTHER.jobs(OTHERS_FROM, OTHERS)).await?;
    let (began_us, began) = (now_us(), Instant::now());
    stage.start_workers(1).await?;
    let others = async |stage: &Stage| {
        let query = "SELECT count(*) FROM facteur.jobs j JOIN facteur.messages m USING (id) \
                     WHERE m.tenant = 'other' AND j.status = 'sent'";
        let count: i64 = stage.sql.query_one(query, &[]).await?.try_get(0)?;
        Ok(usize::try_from(count)?)
    };
    stage.until(OTHERS, others).await?;
    say::progress(&format!("after {:.1} s all have left", began.elapsed().as_secs_f64()));
    let arrivals = stage.arrivals().await?;
    stage.end().await?;
    let at_us: Vec<u64> =
        arrivals.iter().filter(|arrival| arrival.from == FREE_SENDER).map(|arrival| arrival.at_us).collect();
    ensure!(at_us.len() == OTHERS, "{} of {OTHERS} arrived: lost or doubled", at_us.len());
    let (first, last) = (at_us[0], at_us[OTHERS - 1]);
    Ok((seconds(began_us, first), number(OTHERS - 1) / seconds(first, last)))
}

//! How fast, at what cost, beside what bounds it. Every figure of one run was taken on one machine within minutes, so
//! that what it means on another machine is the ratio to the bare legs of the same run.

mod accept;
mod arrivals;
mod backlog;
mod bare;
mod fairness;
mod figures;
mod jobs;
mod latency;
mod limits;
mod memory;
mod producer;
mod report;
mod stage;
mod throughput;
mod upload;
mod usage;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use self::figures::round;
use crate::say;

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// What bounds the rest: each library alone, doing what Facteur does with it.
    Bare,
    /// The whole path at 0 and 50 ms of Twilio's latency.
    Throughput,
    /// The whole path with three status callbacks for each message.
    Callbacks,
    /// Messages that are handed in over HTTP, without workers and with one that drains.
    Accept,
    /// Bulks that are handed in over HTTP, up to 100,000 recipients in one request.
    Upload,
    /// Single messages on an idle system.
    Idle,
    /// Urgent messages in front of which a bulk waits.
    Urgent,
    /// Use of a limit of 100 segments a second by one and by three workers.
    Limit,
    /// Cost of a message as the backlog grows.
    Backlog,
    /// One tenant's slow bulk in front of another tenant's messages.
    Fairness,
    /// Memory with a backlog of 64 KiB bodies.
    Memory,
}

/// How fast Facteur is, at what cost, beside what bounds it.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub struct Options {
    /// Print one JSON object on stdout instead of a table.
    #[arg(long)]
    json: bool,
    /// Run these parts; all if none is named.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// A tenth of the messages: a first look.
    #[arg(long)]
    quick: bool,
    /// A backlog of 1,000,000 as well; it takes long.
    #[arg(long)]
    full: bool,
    /// Permits of the lane `normal` where speed is measured.
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    concurrency: u32,
}

impl Options {
    /// So many, or a tenth of it.
    fn scaled(&self, count: usize) -> usize {
        if self.quick { (count / 10).max(1) } else { count }
    }
}

/// Runs the parts one after the other and prints what they measured.
///
/// # Errors
/// Something can't be started, does not answer, or a sum does not add up: a message lost or doubled.
pub async fn run(options: Options) -> Result<()> {
    let began = Instant::now();
    let mut parts = Map::new();
    for part in Part::value_variants() {
        if !options.only.is_empty() && !options.only.contains(part) {
            continue;
        }
        let name = format!("{part:?}").to_lowercase();
        say::progress(&format!("── {name}"));
        let measured = part.run(&options).await?;
        // A run that is broken off has still told what it measured.
        say::progress(&measured.to_string());
        parts.insert(name, measured);
    }
    if parts.is_empty() {
        bail!("no part is named");
    }
    let ratios = report::ratios(&parts);
    let whole = json!({
        "machine": usage::machine(),
        "concurrency": options.concurrency,
        "quick": options.quick,
        "duration_s": round(began.elapsed().as_secs_f64()),
        "parts": Value::Object(parts),
        "ratios": ratios,
    });
    say::result(&if options.json { whole.to_string() } else { report::table(&whole) });
    Ok(())
}

impl Part {
    async fn run(self, options: &Options) -> Result<Value> {
        match self {
            Self::Bare => bare::measure(options).await,
            Self::Throughput => throughput::measure(options).await,
            Self::Callbacks => throughput::measure_with_callbacks(options).await,
            Self::Accept => accept::measure(options).await,
            Self::Upload => upload::measure(options).await,
            Self::Idle => latency::measure_idle(options).await,
            Self::Urgent => latency::measure_urgent(options).await,
            Self::Limit => limits::measure(options).await,
            Self::Backlog => backlog::measure(options).await,
            Self::Fairness => fairness::measure(options).await,
            Self::Memory => memory::measure(options).await,
        }
    }
}

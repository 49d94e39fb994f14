//! Chaos: real processes, a plan of what goes wrong, calm, and then the count.
//!
//! ```text
//! seed → draw (a plan) ─┐
//!        plan (a file) ─┴→ run: stage (processes, faults) + producer (traffic) → evidence → verdict → report
//! ```

mod actor;
mod draw;
mod evidence;
mod metronome;
mod plan;
mod producer;
mod report;
mod run;
mod sql;
mod stage;
mod traffic;
mod verdict;
mod windows;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;

use crate::say;
use draw::Wish;
use plan::{Plan, Weather};

/// Whether `facteur web` takes callbacks; without it, no message asks for any.
const WITH_WEB: bool = true;
/// Kept plans, each for a bug that it found.
const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plans");

/// What a run of chaos can be told.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Repeats a run: the same jobs and the same operations at the same instants.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long things go wrong; calm and count follow.
    #[arg(long, default_value_t = 1.0, value_parser = minutes)]
    minutes: f64,
    /// Prints nothing but the result on stdout, as one JSON object.
    #[arg(long)]
    json: bool,
    /// Worker processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    workers: u8,
    /// Jobs published in a second, bursts aside.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    jobs_per_s: u64,
    /// Of 100 messages that Twilio takes, the reply to so many is lost.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    lost_replies: f64,
    /// Status callbacks never come.
    #[arg(long)]
    no_callbacks: bool,
    /// Lists don't show messages that are younger than so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    list_lag_s: u64,
    /// Replays a plan from a file, such as one that a broken run left.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Replays every plan that was kept for a bug that it found.
    #[arg(long, conflicts_with = "plan")]
    literal: bool,
    /// In the calm, waits for backoffs and leases in real time instead of letting time pass in the database.
    #[arg(long)]
    patient: bool,
}

fn minutes(text: &str) -> Result<f64, String> {
    let minutes: f64 = text.parse().map_err(|_| "is no number")?;
    if (0.05..=1_440.0).contains(&minutes) {
        Ok(minutes)
    } else {
        Err("must be between 0.05 and 1440".to_owned())
    }
}

fn percent(text: &str) -> Result<f64, String> {
    let percent: f64 = text.trim_end_matches('%').parse().map_err(|_| "is no number")?;
    if (0.0..=100.0).contains(&percent) { Ok(percent) } else { Err("must be between 0 and 100".to_owned()) }
}

/// Runs what the options ask for; `false` if a promise was broken.
///
/// # Errors
/// If the run itself fails: a program that isn't built, a service that doesn't answer.
pub async fn run(options: &Options) -> Result<bool> {
    let mut is_fine = true;
    for (name, plan) in plans(options)? {
        let directory = directory()?.join(&name);
        say::progress(&format!("{name}: {} operations in {} s", plan.steps.len(), plan.storm_ms / 1_000));
        let report = run::run(&plan, &directory, options.patient).await.with_context(|| name.clone())?;
        say::result(&if options.json { report.to_json()? } else { report.to_text(&name) });
        is_fine &= report.is_fine();
    }
    Ok(is_fine)
}

/// The plans, each with a name for its logs.
fn plans(options: &Options) -> Result<Vec<(String, Plan)>> {
    if options.literal {
        return kept(Path::new(KEPT));
    }
    if let Some(path) = &options.plan {
        return Ok(vec![("plan".to_owned(), read(path)?)]);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "at most a day in milliseconds"
    )]
    let storm_ms = (options.minutes * 60_000.0) as u64;
    let weather = Weather {
        lost_replies_percent: options.lost_replies,
        no_callbacks: options.no_callbacks,
        list_lag_s: options.list_lag_s,
    };
    let wish = Wish {
        seed: options.seed,
        storm_ms,
        workers: usize::from(options.workers),
        jobs_per_s: options.jobs_per_s,
        weather,
        with_web: WITH_WEB,
    };
    Ok(vec![(format!("seed-{}", options.seed), draw::draw(&wish))])
}

fn kept(directory: &Path) -> Result<Vec<(String, Plan)>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("can't read {}", directory.display()))? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let name = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    paths.iter().map(|path| Ok((name(path), read(path)?))).collect()
}

fn read(path: &Path) -> Result<Plan> {
    let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    Plan::read(&text).map_err(|error| anyhow!("{}: {error}", path.display()))
}

/// Where the logs go: beside the directory of the programs.
fn directory() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program.ancestors().nth(2).context("the program stands nowhere")?.join("chaos"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plan_that_was_kept_can_be_read_and_says_why_it_was_kept() {
        let plans = kept(Path::new(KEPT)).unwrap();
        assert!(!plans.is_empty(), "nothing is kept in {KEPT}");
        for (name, plan) in plans {
            assert!(!plan.why.is_empty(), "{name}");
        }
    }

    #[test]
    fn percents_and_minutes_have_bounds() {
        assert_eq!(percent("5%"), Ok(5.0));
        assert!(percent("101").is_err() && percent("x").is_err());
        assert!(minutes("0").is_err() && minutes("NaN").is_err() && minutes("0.4").is_ok());
    }
}

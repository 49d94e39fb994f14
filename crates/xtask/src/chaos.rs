//! `cargo xtask chaos`: builds what takes part, starts the services, and lets the laboratory do the rest.

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;

use crate::{cargo, env, say, services};

/// The seeds of `check`, and for how many minutes things go wrong in each.
const CHECKED: [(&str, &str); 3] = [("1", "0.4"), ("2", "0.4"), ("3", "0.4")];

/// What chaos can be told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Uses the programs as they are released, which takes minutes to build.
    #[arg(long)]
    release: bool,
    /// Passed on: --seed, --minutes, --json, --lost-replies, --no-callbacks, --list-lag-s, --plan, --literal and what
    /// `cargo xtask chaos -- --help` tells of.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs it; `false` if a promise was broken.
pub(crate) async fn run(root: &Path, options: &Options) -> Result<bool> {
    let rest: Vec<&str> = options.rest.iter().map(String::as_str).collect();
    with_services(root, options.release, &[rest]).await
}

/// Some seeds, each for less than a minute, and every plan that once found a bug.
pub(crate) async fn check(root: &Path) -> Result<bool> {
    let seeds = CHECKED.iter().map(|(seed, minutes)| vec!["--seed", seed, "--minutes", minutes]);
    with_services(root, false, &seeds.chain([vec!["--literal"]]).collect::<Vec<_>>()).await
}

async fn with_services(root: &Path, is_release: bool, runs: &[Vec<&str>]) -> Result<bool> {
    say::progress("building facteur, twilio-sim and the laboratory");
    let packages = ["--package", "facteur", "--package", "twilio-sim", "--package", "facteur-lab"];
    let profile: &[&str] = if is_release { &["--release"] } else { &[] };
    cargo::run(root, &[&["build", "--quiet", "--bins"], &packages[..], profile].concat())?;
    let directory = root.join("target").join(if is_release { "release" } else { "debug" });
    let started = services::up(root).await?;
    let mut outcome = Ok(true);
    for arguments in runs {
        outcome = run_once(&directory.join("chaos"), arguments).await;
        if !matches!(outcome, Ok(true)) {
            break;
        }
    }
    services::stop(root, &started).await?;
    outcome
}

async fn run_once(program: &Path, arguments: &[&str]) -> Result<bool> {
    let mut command = tokio::process::Command::new(program);
    for variable in env::product_variables() {
        command.env_remove(variable);
    }
    let status = command.args(arguments).kill_on_drop(true).status().await.context("can't run chaos")?;
    Ok(status.success())
}

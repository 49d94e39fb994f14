//! `cargo xtask bench`: builds the optimised programs and has the laboratory measure them.

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use tokio::process::Command;

use crate::{cargo, say, services};

/// What the bench can be told.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What the program `bench` takes: --json, --quick, --full, --only throughput,idle, --concurrency N; --help
    /// lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the bench; `false` if it failed and said why.
pub(crate) async fn run(root: &Path, options: &Options) -> Result<bool> {
    say::progress("building facteur, twilio-sim and the bench, optimised: this takes minutes the first time");
    let packages = ["--package", "facteur", "--package", "twilio-sim", "--package", "facteur-lab"];
    cargo::run(root, &[&["build", "--release", "--quiet"], &packages[..]].concat())?;
    let started = services::up(root).await?;
    let program = root.join("target/release/bench");
    let status = Command::new(&program).args(&options.arguments).kill_on_drop(true).status().await;
    services::stop(root, &started).await?;
    Ok(status.with_context(|| format!("can't start {}", program.display()))?.success())
}

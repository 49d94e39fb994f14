//! `cargo xtask …`: everything that a developer of Facteur types, and all that CI runs.

mod bench;
mod cargo;
mod chaos;
mod check;
mod demo;
mod env;
mod rules;
mod say;
mod schemathesis;
mod services;
mod test;
mod text;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Developers' commands of Facteur.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Start, stop or look at RabbitMQ and PostgreSQL for development and tests.
    ///
    /// Set AMQP_URL or DATABASE_URL to use a service that runs already; it is never touched.
    #[command(subcommand)]
    Services(ServicesTask),
    /// Show the whole system at work: jobs, faults, retries, outcomes that add up.
    Demo(demo::Options),
    /// Break everything at random, let it come to rest, and count: nothing lost, nothing doubled, no limit exceeded.
    Chaos(chaos::Options),
    /// Measure speed, cost and latencies beside what bounds them; takes minutes.
    #[command(disable_help_flag = true)]
    Bench(bench::Options),
    /// Run every test, with the services that they need.
    Test,
    /// Run all that CI runs, or only some steps of it.
    Check {
        /// The steps; all if none is named.
        steps: Vec<check::Step>,
    },
    /// Stop the services and remove their data.
    Clean,
}

#[derive(Debug, Subcommand)]
enum ServicesTask {
    /// Start what is not running.
    Up,
    /// Stop what was started, and remove its data.
    Down,
    /// Say what runs where; exit code 1 if a service doesn't answer.
    Status,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs one task; `false` is a failure that has been told already.
async fn run(task: Task) -> Result<bool> {
    let root = root();
    match task {
        Task::Services(ServicesTask::Up) => {
            services::up(&root).await?;
            services::status(&root).await
        }
        Task::Services(ServicesTask::Down) => services::down(&root).await.map(|()| true),
        Task::Services(ServicesTask::Status) => services::status(&root).await,
        Task::Demo(options) => demo::run(&root, &options).await,
        Task::Chaos(options) => chaos::run(&root, &options).await,
        Task::Bench(options) => bench::run(&root, &options).await,
        Task::Test => {
            test::run(&root).await?.iter().for_each(|line| say::result(line));
            Ok(true)
        }
        Task::Check { steps } => check::run(&root, &steps).await,
        Task::Clean => services::clean(&root).await.map(|()| true),
    }
}

/// The checkout that this program was built from.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

//! `bench`: how fast, at what cost, beside what bounds it. `cargo xtask bench` builds and starts it.

use std::process::ExitCode;

use clap::Parser;
use facteur_lab::bench;

#[tokio::main]
async fn main() -> ExitCode {
    match bench::run(bench::Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            bench::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

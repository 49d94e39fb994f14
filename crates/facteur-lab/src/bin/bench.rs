//! `bench`: how fast, at what cost, beside what bounds it. `cargo xtask bench` builds and starts it.

use std::process::ExitCode;

use clap::Parser;
use facteur_lab::{bench, program, say};

#[tokio::main]
async fn main() -> ExitCode {
    let options = bench::Options::parse();
    // Whoever is interrupted takes the programs that it started with it.
    let outcome = tokio::select! {
        outcome = bench::run(options) => outcome,
        () = program::interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::progress(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

//! `chaos`: breaks everything, and then counts.

use std::process::ExitCode;

use clap::Parser;
use facteur_lab::{chaos, program, say};

/// Kills, freezes, cuts off and deceives a running system, then lets it come to rest and counts: nothing may be lost,
/// nothing doubled, no limit exceeded. Exit code 1 if a promise was broken, 2 if the run itself failed.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Arguments {
    #[command(flatten)]
    options: chaos::Options,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Arguments::parse().options;
    // Whoever is interrupted takes the programs that it started with it.
    let outcome = tokio::select! {
        outcome = chaos::run(&options) => outcome,
        () = program::interrupted() => Err(anyhow::anyhow!("interrupted")),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say::progress(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

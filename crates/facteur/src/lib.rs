//! The binary's library: subcommands (`commands/`), configuration (`config/`), logs, metrics and the worker's
//! port, start and stop. It is the only crate that knows all the others.

pub mod cli;
pub mod commands;
pub mod config;
pub mod exit;
pub mod http;
pub mod lifecycle;
pub mod metrics;
pub mod output;
pub mod reference;
pub mod stack;
pub mod telemetry;
pub mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;
use crate::exit::Exit;
use crate::output::Output;

/// Reads the command line, runs the command, and says how it ended.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let output = Output { is_json: cli.global.json };
    let exit = commands::run(&cli, output).unwrap_or_else(|error| {
        let exit = Exit::of(&error);
        report(&error, exit, output);
        exit
    });
    exit.into()
}

/// Tells an error: always on stderr for people, and on stdout for a program that reads JSON there.
fn report(error: &anyhow::Error, exit: Exit, output: Output) {
    let sentences = format!("{error:#}");
    for sentence in sentences.lines() {
        output::tell(&format!("error: {sentence}"));
    }
    if output.is_json {
        let document = serde_json::json!({ "error": sentences, "exit_code": exit.code() });
        // Nothing more can be done if stdout is gone too.
        let _ = output.show(&document, ToString::to_string);
    }
}

//! Pages under `docs/` that are made from the code.

use std::fmt::Write as _;

use clap::{Command, CommandFactory};
use facteur_core::metric::Metric;

use crate::cli::Cli;

/// Width of the help on the page, whatever the terminal.
const WIDTH: usize = 100;

/// The heading of what is not repeated for each command.
const COMMON_OPTIONS: &str = "Options of every command";

/// `docs/cli.md`: the help of every command, as it is printed.
#[must_use]
pub fn cli_page() -> String {
    let mut text = String::from(
        "# Command line\n\n\
         <!-- Made from the code by `facteur reference cli`; a test compares. -->\n\n\
         What a command prints goes to stdout, log lines and errors go to stderr. With `--json`, stdout is one\n\
         JSON document; if the command fails, it is `{\"error\": …, \"exit_code\": …}`. (A command line that can't be\n\
         read is told on stderr alone; completions and pages are what they are.) Numbers are masked.\n\n\
         The options of every command stand once, under `facteur` itself.\n",
    );
    let mut root = Cli::command().term_width(WIDTH);
    root.build();
    write_help(&mut text, &mut root, 2);
    text
}

/// `docs/states.md`: the table of transitions, drawn.
#[must_use]
pub fn states_page() -> String {
    format!(
        "# Message states\n\n<!-- Made from the code by `facteur reference states`; a test compares. -->\n\n\
         Drawn from the one table of allowed transitions (`crates/facteur-core/src/status.rs`).\n\n\
         ```mermaid\n{}```\n",
        facteur_core::status::mermaid()
    )
}

/// `docs/metrics.md`: the tables of all processes.
#[must_use]
pub fn metrics_page() -> String {
    let rows = |metrics: &[Metric]| metrics.iter().map(Metric::row).collect::<String>();
    let head = "| name | kind | labels | what it says |\n|---|---|---|---|\n";
    format!(
        "# Metrics\n\nServed on `FACTEUR_METRICS_LISTEN`, at `/metrics`; `facteur up` serves both tables. Made by \
         `facteur reference metrics`.\n\n## The worker\n\n{head}{}\n## The web process\n\n{head}{}",
        rows(facteur_worker::metrics::ALL),
        rows(facteur_web::metrics::ALL),
    )
}

/// `docs/openapi.json`: every route of the HTTP API.
///
/// # Errors
/// None that can happen: the document is JSON.
pub fn openapi_page() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&serde_json::to_value(facteur_web::openapi::document())?)? + "\n")
}

/// `docs/job.v1.schema.json`.
///
/// # Errors
/// None that can happen: a schema is JSON.
pub fn schema_page() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&facteur_core::document::json_schema())? + "\n")
}

fn write_help(text: &mut String, command: &mut Command, depth: usize) {
    let name = command.get_bin_name().unwrap_or("facteur").to_owned();
    let help = command.clone().term_width(WIDTH).render_long_help().to_string();
    let is_common = |line: &&str| line.starts_with(COMMON_OPTIONS) && depth > 2;
    let help =
        help.lines().map(str::trim_end).take_while(|line| !is_common(line)).collect::<Vec<_>>().join("\n");
    let _ = write!(text, "\n{} `{name}`\n\n```text\n{}\n```\n", "#".repeat(depth), help.trim_end());
    for child in command.get_subcommands_mut().filter(|child| !child.is_hide_set()) {
        write_help(text, child, (depth + 1).min(4));
    }
}

//! `facteur migrate`.

use facteur_postgres::migrate::{self, Report};

use super::adapters;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Output;

/// Brings the database up to date and says what was done.
///
/// # Errors
/// If the database can't be reached, or a migration fails.
pub async fn run(config: &Config, output: Output) -> anyhow::Result<Exit> {
    let report = migrate::run(&adapters::postgres(config, "migrate")).await?;
    let document = serde_json::json!({
        "applied": report.applied,
        "already": report.already,
        "newer": report.newer,
    });
    output.show(&document, |_| as_text(&report))?;
    Ok(Exit::Done)
}

fn as_text(report: &Report) -> String {
    let mut lines: Vec<_> = report.applied.iter().map(|name| format!("applied {name}")).collect();
    lines.push(format!(
        "the database is up to date: {} applied now, {} before",
        report.applied.len(),
        report.already
    ));
    if !report.newer.is_empty() {
        let names = report.newer.join(", ");
        lines.push(format!("a newer release has been here, which is allowed; unknown to this one: {names}"));
    }
    lines.join("\n")
}

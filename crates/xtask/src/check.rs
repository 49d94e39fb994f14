//! `cargo xtask check`: all that CI runs, one step after the other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::ValueEnum;
use tokio::time::Instant;

use crate::{cargo, chaos, demo, rules, say, schemathesis, test, tidy};

/// A step; they run in this order, the quick ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// rustfmt has nothing to change.
    Fmt,
    /// File sizes, no unfinished or hidden work, no paths that don't exist.
    Tidy,
    /// Who may depend on whom.
    Rules,
    /// No warnings.
    Clippy,
    /// The documentation builds without warnings.
    Doc,
    /// Licences, sources, versions and advisories of what we depend on.
    Deny,
    /// Every test.
    Test,
    /// The demo's sums add up.
    Demo,
    /// No request makes a route answer otherwise than the document says.
    Schemathesis,
    /// The promises hold while everything breaks: three seeds, and the plans that found bugs.
    Chaos,
}

/// Runs the named steps, or all if none is named, until one fails; ends with the steps, how long they took, and
/// what they had to say.
pub(crate) async fn run(root: &Path, named: &[Step]) -> Result<bool> {
    let mut report = Vec::new();
    for step in Step::value_variants().iter().filter(|step| named.is_empty() || named.contains(step)) {
        let name = format!("{step:?}").to_lowercase();
        say::progress(&format!("── {name}"));
        let began = Instant::now();
        let outcome = step.run(root).await;
        let took = began.elapsed();
        match outcome {
            Ok(remarks) => {
                report.push(line("ok", &name, took));
                report.extend(remarks.iter().map(|remark| format!("       {remark}")));
            }
            Err(error) => {
                report.push(line("FAILED", &name, took));
                say::progress(&format!("error: {error:#}"));
                report.iter().for_each(|line| say::result(line));
                return Ok(false);
            }
        }
    }
    report.iter().for_each(|line| say::result(line));
    Ok(true)
}

fn line(outcome: &str, name: &str, took: Duration) -> String {
    format!("{outcome:>6} {name:<12} {:>7.1} s", took.as_secs_f64())
}

impl Step {
    /// Runs it and gives what is worth a line at the end.
    async fn run(self, root: &Path) -> Result<Vec<String>> {
        match self {
            Self::Fmt => cargo::run(root, &["fmt", "--all", "--check"]).map(|()| vec![]),
            Self::Tidy => all_kept(tidy::broken(root)?),
            Self::Rules => all_kept(rules::broken(root)?),
            Self::Clippy => {
                cargo::run(root, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
                Ok(vec![])
            }
            Self::Doc => documentation(root).map(|()| vec![]),
            Self::Deny => deny(root),
            Self::Test => test::run(root).await,
            Self::Demo => demonstration(root).await.map(|()| vec![]),
            Self::Schemathesis => schemathesis::run(root).await,
            Self::Chaos => {
                if chaos::check(root).await? {
                    Ok(vec![])
                } else {
                    bail!("a promise was broken")
                }
            }
        }
    }
}

fn all_kept(broken: Vec<String>) -> Result<Vec<String>> {
    if broken.is_empty() { Ok(vec![]) } else { bail!("broken rules:\n  {}", broken.join("\n  ")) }
}

fn documentation(root: &Path) -> Result<()> {
    let mut command = cargo::command(root, &["doc", "--workspace", "--no-deps", "--quiet"]);
    let status = command.env("RUSTDOCFLAGS", "-D warnings").stdout(std::io::stderr()).status()?;
    if status.success() { Ok(()) } else { bail!("`cargo doc` failed") }
}

/// Licences, sources and versions are judged offline; advisories need their database.
fn deny(root: &Path) -> Result<Vec<String>> {
    if cargo::output(root, &["deny", "--version"]).is_none() {
        return Ok(vec!["not run: cargo-deny is not installed".to_owned()]);
    }
    cargo::run(root, &["deny", "check", "licenses", "bans", "sources"])?;
    if cargo::output(root, &["deny", "fetch", "db"]).is_none() {
        return Ok(vec!["advisories not checked: their database can't be fetched".to_owned()]);
    }
    cargo::run(root, &["deny", "check", "--disable-fetch", "advisories"]).map(|()| vec![])
}

/// The demo itself, as a user would run it.
async fn demonstration(root: &Path) -> Result<()> {
    let options = demo::Options { once: true, json: true, messages: 300, seed: 1 };
    if demo::run(root, &options).await? { Ok(()) } else { bail!("the sums of the demo don't add up") }
}

/// Every file below a directory with that ending, in order.
pub(crate) fn files(directory: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else if entry.file_name().to_string_lossy().ends_with(ending) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

//! Runs cargo, and other programs, as steps of a task.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::{env, say};

/// Lines of output that are kept for the end.
const LINES_KEPT_MAX: usize = 400;

/// A cargo command in the checkout.
pub(crate) fn command(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env::cargo());
    for variable in env::cargo_variables() {
        command.env_remove(variable);
    }
    command.args(arguments).current_dir(root).stdin(Stdio::null());
    command
}

/// Runs cargo; its output goes to stderr, because stdout is for results.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let status = command(root, arguments).stdout(std::io::stderr()).status().context("can't run cargo")?;
    if status.success() { Ok(()) } else { bail!("`cargo {}` failed", arguments.join(" ")) }
}

/// Runs cargo with a variable, shows its output while it runs, and gives back the last lines.
pub(crate) fn watch(root: &Path, arguments: &[&str], variable: (&str, &str)) -> Result<Vec<String>> {
    let (reader, writer) = std::io::pipe()?;
    let mut command = command(root, arguments);
    command.env(variable.0, variable.1);
    let mut child = command.stdout(writer.try_clone()?).stderr(writer).spawn().context("can't run cargo")?;
    // The command holds the writing end, too; the pipe ends only when all of them are gone.
    drop(command);
    let mut lines = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        say::progress(&line);
        if lines.len() == LINES_KEPT_MAX {
            lines.remove(0);
        }
        lines.push(line);
    }
    if child.wait()?.success() { Ok(lines) } else { bail!("`cargo {}` failed", arguments.join(" ")) }
}

/// The output of cargo, or nothing if it fails.
pub(crate) fn output(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = command(root, arguments).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

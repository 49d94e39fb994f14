//! A program of the demo: its output goes to a log file, and it ends with the demo.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::{env, text};

const POLL: Duration = Duration::from_millis(50);
/// The worker gives its calls 30 s to end.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running program.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    pub(crate) log: PathBuf,
}

/// The command of a program that cargo built beside this one.
pub(crate) fn command(name: &str, directory: &Path, environment: &BTreeMap<&str, String>) -> Result<Command> {
    let path = std::env::current_exe()?.with_file_name(name);
    let mut command = Command::new(&path);
    for variable in env::product_variables() {
        command.env_remove(variable);
    }
    // A directory of its own, so that a configuration file in the checkout plays no part.
    command.envs(environment).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

impl Program {
    /// Starts it.
    pub(crate) fn start(name: &'static str, mut command: Command, log: PathBuf) -> Result<Self> {
        let output = File::create(&log).with_context(|| format!("can't write {}", log.display()))?;
        // Ctrl-C at the terminal is for the demo, which then stops its programs in order.
        command.stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = command.spawn().with_context(|| format!("can't start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Waits for a line of its output that begins so, and gives the rest of that line.
    pub(crate) async fn line(&mut self, beginning: &str, patience: Duration) -> Result<String> {
        let looking = async {
            loop {
                let output = fs::read_to_string(&self.log)?;
                if let Some(line) = output.lines().find_map(|line| line.strip_prefix(beginning)) {
                    return Ok(line.to_owned());
                }
                self.check()?;
                tokio::time::sleep(POLL).await;
            }
        };
        let found = tokio::time::timeout(patience, looking).await;
        found.unwrap_or_else(|_| bail!("no line {beginning:?}; see {}", self.log.display()))
    }

    /// An error, with the end of its log, if it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => {
                bail!(
                    "{}\n{} ended by itself ({status}); log: {}",
                    text::tail(&self.log),
                    self.name,
                    self.log.display()
                )
            }
            None => Ok(()),
        }
    }

    /// Asks it to end and checks that it says it ended well.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.check()?;
        let pid =
            self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).context("no pid")?;
        kill_process(pid, Signal::TERM)?;
        match tokio::time::timeout(STOP_MAX, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                if !status.success() {
                    bail!(
                        "{}\n{} ended badly when asked to stop ({status})",
                        text::tail(&self.log),
                        self.name
                    );
                }
                Ok(())
            }
            Err(_) => bail!("{} doesn't stop within 60 s; log: {}", self.name, self.log.display()),
        }
    }
}

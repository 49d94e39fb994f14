//! A program of the system under test: its output goes to a log file, and it ends with the bench.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

const POLL: Duration = Duration::from_millis(20);
const START_MAX: Duration = Duration::from_secs(60);
/// The worker gives its calls 30 s to end.
const STOP_MAX: Duration = Duration::from_secs(60);

/// A running program.
pub(super) struct Program {
    child: Child,
    pub(super) pid: u32,
    pub(super) log: PathBuf,
}

/// The command of a program that cargo built beside this one, with no environment but the given one.
pub(super) fn command(name: &str, directory: &Path, environment: &[(&str, String)]) -> Result<Command> {
    let path = std::env::current_exe()?.with_file_name(name);
    let mut command = Command::new(&path);
    command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

impl Program {
    pub(super) fn start(mut command: Command, log: PathBuf) -> Result<Self> {
        let output = File::create(&log).with_context(|| format!("can't write {}", log.display()))?;
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("can't start what logs to {}", log.display()))?;
        let pid = child.id().context("it ended at once")?;
        Ok(Self { child, pid, log })
    }

    /// Waits for a line of its output that begins so, and gives the rest of that line.
    pub(super) async fn line(&mut self, beginning: &str) -> Result<String> {
        let looking = async {
            loop {
                let output = fs::read_to_string(&self.log)?;
                if let Some(line) = output.lines().find_map(|line| line.strip_prefix(beginning)) {
                    return Ok(line.to_owned());
                }
                self.check()?;
                sleep(POLL).await;
            }
        };
        let found = timeout(START_MAX, looking).await;
        found.unwrap_or_else(|_| bail!("no line {beginning:?}; see {}", self.log.display()))
    }

    /// An error if it has ended by itself.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("it ended by itself ({status}); log: {}", self.log.display()),
            None => Ok(()),
        }
    }

    /// Asks it to end and waits until it has.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.check()?;
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("no pid")?;
        kill_process(pid, Signal::TERM)?;
        match timeout(STOP_MAX, self.child.wait()).await {
            Ok(status) => {
                ensure!(status?.success(), "it ended badly when asked to stop; log: {}", self.log.display());
                Ok(())
            }
            Err(_) => bail!("it doesn't stop within 60 s; log: {}", self.log.display()),
        }
    }
}

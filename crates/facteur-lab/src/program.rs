//! Real programs: started, signalled and waited for. Their output goes to a log file, and they end with us.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

const POLL: Duration = Duration::from_millis(20);

/// A program that was started.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

/// A program that cargo built beside this one.
///
/// # Errors
/// If it was not built.
pub fn built(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        bail!("{name} is not built: run `cargo build -p {name}`");
    }
    Ok(path)
}

/// The command of a program that knows no environment but this one, in a directory without a configuration file.
#[must_use]
pub fn command(binary: &Path, directory: &Path, environment: &[(&str, String)]) -> Command {
    let mut command = Command::new(binary);
    let variables = environment.iter().map(|(name, value)| (name, value));
    command.env_clear().envs(variables).current_dir(directory).stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Program {
    /// Starts it; what it writes is added to the log.
    ///
    /// # Errors
    /// If it can't be started, or the log not be written.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("can't write {}", log.display()))?;
        // Ctrl-C at the terminal is for us, who then stop our programs.
        command.stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = command.spawn().with_context(|| format!("can't start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process number, while it was not waited for.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Where it writes.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// If it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        Ok(kill_process(pid.with_context(|| format!("{} has ended", self.name))?, signal)?)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// If the system can't say.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// If it doesn't in time.
    pub async fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => bail!(
                "{} doesn't end within {} s; log: {}",
                self.name,
                patience.as_secs(),
                self.log.display()
            ),
        }
    }

    /// Waits for a line of its log that begins so, and gives the rest of that line.
    ///
    /// # Errors
    /// If there is none in time, or the program ends before.
    pub async fn line(&mut self, beginning: &str, patience: Duration) -> Result<String> {
        let looking = async {
            loop {
                let output = fs::read_to_string(&self.log)?;
                if let Some(line) = output.lines().find_map(|line| line.strip_prefix(beginning)) {
                    return Ok(line.to_owned());
                }
                if let Some(status) = self.child.try_wait()? {
                    bail!("{} ended by itself ({status}); log: {}", self.name, self.log.display());
                }
                tokio::time::sleep(POLL).await;
            }
        };
        let found = tokio::time::timeout(patience, looking).await;
        found.unwrap_or_else(|_| bail!("no line {beginning:?}; see {}", self.log.display()))
    }
}

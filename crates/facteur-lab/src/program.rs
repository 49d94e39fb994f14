//! Real programs: started, signalled and waited for. Their output goes to a log file, and they end with us.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

const POLL: Duration = Duration::from_millis(20);
/// Whoever is asked to end has 30 s for its calls, and some for the rest.
pub const STOP_MAX: Duration = Duration::from_secs(60);

/// A program that was started.
#[derive(Debug)]
pub struct Program {
    name: String,
    pid: u32,
    child: Child,
    log: PathBuf,
    /// Where its own part of the log begins.
    log_from: usize,
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
        let log_from = usize::try_from(output.metadata()?.len())?;
        // Ctrl-C at the terminal is for us, who then stop our programs.
        command.stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = command.spawn().with_context(|| format!("can't start {name}"))?;
        let pid = child.id().with_context(|| format!("{name} ended at once"))?;
        Ok(Self { name: name.to_owned(), pid, child, log: log.to_owned(), log_from })
    }

    /// The process number; another process may bear it after the end of this one.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
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

    /// Complains if it has ended.
    ///
    /// # Errors
    /// If it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.ended()? {
            Some(status) => bail!("{} ended by itself ({status}); log: {}", self.name, self.log.display()),
            None => Ok(()),
        }
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

    /// Asks it to end, waits until it has, and expects that it ended well.
    ///
    /// # Errors
    /// If it had ended before, doesn't end in time, or ends badly.
    pub async fn stop(mut self) -> Result<()> {
        self.check()?;
        self.signal(Signal::TERM)?;
        let status = self.wait(STOP_MAX).await?;
        ensure!(
            status.success(),
            "{}: asked to end, it ended with {status}; log: {}",
            self.name,
            self.log.display()
        );
        Ok(())
    }

    /// What it has written so far, and whoever else has since it began writes to the same log.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn output(&self) -> Result<String> {
        let log = fs::read(&self.log)?;
        Ok(String::from_utf8_lossy(log.get(self.log_from..).unwrap_or_default()).into_owned())
    }

    /// Waits for a line of its log that begins so, and gives the rest of that line.
    ///
    /// # Errors
    /// If there is none in time, or the program ends before.
    pub async fn line(&mut self, beginning: &str, patience: Duration) -> Result<String> {
        let looking = async {
            loop {
                let output = self.output()?;
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
}

/// Ctrl-C, or a polite request to end. Whoever starts programs waits for this as well, and takes them with it.
pub async fn interrupted() {
    let Ok(mut term) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}

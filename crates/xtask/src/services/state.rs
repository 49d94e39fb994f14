//! What `services.json` remembers, and the processes that it names.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::say;

const EXIT_POLL: Duration = Duration::from_millis(50);

/// The directories that belong to the services of this checkout.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// `target/services`.
    pub(crate) directory: PathBuf,
}

impl Paths {
    pub(crate) fn of(root: &Path) -> Self {
        Self { directory: root.join("target/services") }
    }

    fn file(&self) -> PathBuf {
        self.directory.join("services.json")
    }

    /// Waits until no other command starts or stops the services of this checkout.
    pub(crate) async fn lock(&self) -> Result<File> {
        // Beside the directory and not in it, because `clean` removes the directory.
        let path = self.directory.with_extension("lock");
        if let Some(parent) = path.parent() {
            directory(parent)?;
        }
        let file = File::create(&path).with_context(|| format!("can't create {}", path.display()))?;
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        say::progress("another command starts or stops the services; waiting for it");
        tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await?.context("can't lock")
    }
}

/// The content of `services.json`. `amqp_url` and `database_url` are there only once the service answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) amqp_url: Option<String>,
    pub(crate) management_url: Option<String>,
    pub(crate) database_url: Option<String>,
    pub(crate) broker: Option<Instance>,
    pub(crate) database: Option<Instance>,
}

/// A service that we started.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Instance {
    /// Everything it writes; removed when it stops.
    pub(crate) directory: PathBuf,
    /// In the order in which they are stopped.
    pub(crate) processes: Vec<Process>,
    pub(crate) ports: std::collections::BTreeMap<String, u16>,
    /// What its command-line tool needs to find it.
    pub(crate) environment: std::collections::BTreeMap<String, String>,
}

/// A process and when it began, in clock ticks since boot: a pid alone may be somebody else's by now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) name: String,
    pub(crate) pid: i32,
    pub(crate) began: u64,
}

impl State {
    /// Reads the file; a missing or unreadable one is an empty state.
    pub(crate) fn load(paths: &Paths) -> Self {
        let Ok(text) = fs::read_to_string(paths.file()) else { return Self::default() };
        serde_json::from_str(&text).unwrap_or_else(|error| {
            say::progress(&format!("{} can't be read ({error}); starting anew", paths.file().display()));
            Self::default()
        })
    }

    /// Writes the file at once, readable by its owner alone: it holds passwords.
    pub(crate) fn save(&self, paths: &Paths) -> Result<()> {
        directory(&paths.directory)?;
        let draft = paths.file().with_extension("json.new");
        write_private(&draft, &serde_json::to_string_pretty(self)?)?;
        fs::rename(&draft, paths.file())?;
        Ok(())
    }
}

impl Instance {
    /// Whether every process is there.
    pub(crate) fn is_alive(&self) -> bool {
        !self.processes.is_empty() && self.processes.iter().all(Process::is_alive)
    }

    /// Stops every process that is there, one after the other.
    pub(crate) async fn stop_processes(&self) -> Result<()> {
        for process in &self.processes {
            process.stop().await?;
        }
        Ok(())
    }

    /// Stops every process and removes the directory.
    pub(crate) async fn stop(&self) -> Result<()> {
        self.stop_processes().await?;
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("can't remove {}", self.directory.display()))
            }
            _ => Ok(()),
        }
    }
}

impl Process {
    /// Remembers a running process.
    pub(crate) fn running(name: &str, pid: u32) -> Result<Self> {
        let pid = i32::try_from(pid)?;
        let Some(began) = began(pid) else { bail!("{name} (pid {pid}) ended at once") };
        Ok(Self { name: name.to_owned(), pid, began })
    }

    /// Whether it is there and no other took its number.
    pub(crate) fn is_alive(&self) -> bool {
        began(self.pid) == Some(self.began)
    }

    async fn stop(&self) -> Result<()> {
        // PostgreSQL takes SIGTERM for "wait until every client has gone", SIGINT for "close them now".
        let polite = if self.name == "postgres" { Signal::INT } else { Signal::TERM };
        for (signal, patience) in [(polite, Duration::from_secs(30)), (Signal::KILL, Duration::from_secs(10))]
        {
            if !self.is_alive() {
                return Ok(());
            }
            let pid = Pid::from_raw(self.pid).context("not a pid")?;
            // It may end between the look and the signal.
            let _ = kill_process(pid, signal);
            let gone = async {
                while self.is_alive() {
                    tokio::time::sleep(EXIT_POLL).await;
                }
            };
            if tokio::time::timeout(patience, gone).await.is_ok() {
                return Ok(());
            }
        }
        bail!("{} (pid {}) doesn't end, not even when killed", self.name, self.pid)
    }
}

/// When the process began, as field 22 of `/proc/<pid>/stat` says; nothing for one that ended or is a zombie.
fn began(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name, is in brackets and may hold spaces; count from behind it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Creates a directory and those above it.
pub(crate) fn directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("can't create {}", path.display()))
}

/// Creates a file that only its owner can read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("can't write {}", path.display()))?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_with_the_same_number() {
        let this = Process::running("this test", std::process::id()).unwrap();
        assert!(this.is_alive());
        let other = Process { began: this.began + 1, ..this.clone() };
        assert!(!other.is_alive());
        let gone = Process { pid: 4_194_305, ..this };
        assert!(!gone.is_alive());
        assert!(Process::running("nobody", 4_194_305).is_err());
    }
}

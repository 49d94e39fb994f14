//! Real programs, started by a test and gone with it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// A running program whose lines of stdout and stderr are kept. It is killed when this is dropped.
#[derive(Debug)]
pub struct Spawned {
    child: Child,
    lines: watch::Receiver<Vec<String>>,
}

/// Where cargo put a program of this workspace: beside the running test.
///
/// # Panics
/// If it was not built; the sentence says how.
#[must_use]
#[expect(clippy::panic, clippy::expect_used, reason = "a test without its program can't go on")]
pub fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own file");
    let candidates = test.ancestors().skip(1).take(2).map(|directory| directory.join(name));
    let found = candidates.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run `cargo build -p {name}`"))
}

impl Spawned {
    /// Starts a program with no input.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its program can't go on")]
    pub fn start<V: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        arguments: &[&str],
        environment: &[(&str, V)],
    ) -> Self {
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let (sender, lines) = watch::channel(Vec::new());
        keep(child.stdout.take().expect("stdout is piped"), sender.clone());
        keep(child.stderr.take().expect("stderr is piped"), sender);
        Self { child, lines }
    }

    /// Every line so far, stdout and stderr together.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lines.borrow().clone()
    }

    /// The first line that holds that text, as soon as there is one.
    ///
    /// # Panics
    /// If there is none in time, or the program closed its output; the sentence holds what it wrote.
    #[expect(clippy::panic, reason = "a test whose program is silent can't go on")]
    pub async fn wait_for_line(&self, text: &str, patience: Duration) -> String {
        let mut lines = self.lines.clone();
        let find = |lines: &Vec<String>| lines.iter().find(|line| line.contains(text)).cloned();
        let seen = tokio::time::timeout(patience, lines.wait_for(|lines| find(lines).is_some()));
        let found = match seen.await {
            Ok(Ok(lines)) => find(&lines),
            _ => None,
        };
        found.unwrap_or_else(|| {
            panic!("no line with {text:?}; the program wrote:\n{}", self.lines().join("\n"))
        })
    }

    /// The process number, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it at once, as `kill -9` does, and waits until it is gone.
    ///
    /// # Panics
    /// If it ended before.
    #[expect(clippy::expect_used, reason = "a test whose program is gone too early can't go on")]
    pub async fn kill_9(&mut self) -> ExitStatus {
        self.signal(Signal::KILL);
        self.child.wait().await.expect("the program was started")
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Panics
    /// If it ended before, or doesn't in time.
    pub async fn terminate(&mut self, patience: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(patience).await
    }

    /// Interrupts it, as Ctrl-C does (SIGINT), and waits until it has ended.
    ///
    /// # Panics
    /// If it ended before, or doesn't in time.
    pub async fn interrupt(&mut self, patience: Duration) -> ExitStatus {
        self.signal(Signal::INT);
        self.wait(patience).await
    }

    /// Stops its clock, so to speak (SIGSTOP), until [`Self::thaw`].
    ///
    /// # Panics
    /// If it ended before.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen program run on.
    ///
    /// # Panics
    /// If it ended before.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it doesn't in time; the sentence holds what it wrote.
    #[expect(clippy::panic, clippy::expect_used, reason = "a test whose program hangs can't go on")]
    pub async fn wait(&mut self, patience: Duration) -> ExitStatus {
        let status = match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => status.expect("the program was started"),
            Err(_) => panic!("the program doesn't end; it wrote:\n{}", self.lines().join("\n")),
        };
        // Its last lines may still be in the pipe. A child of its own can keep that open: then they are waited for in vain.
        let mut lines = self.lines.clone();
        let drained = async { while lines.changed().await.is_ok() {} };
        let _ = tokio::time::timeout(patience, drained).await;
        status
    }

    #[expect(clippy::expect_used, reason = "a test whose program is gone too early can't go on")]
    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        kill_process(pid.expect("the program still runs"), signal).expect("we may signal our own child");
    }
}

/// Keeps the lines of one stream until it ends.
fn keep(stream: impl AsyncRead + Unpin + Send + 'static, sender: watch::Sender<Vec<String>>) {
    tokio::spawn(async move {
        let mut reader = BufReader::new(stream).split(b'\n');
        while let Ok(Some(line)) = reader.next_segment().await {
            sender.send_modify(|lines| lines.push(String::from_utf8_lossy(&line).into_owned()));
        }
    });
}

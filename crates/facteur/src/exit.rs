//! How a process ends. The codes are a contract for scripts: they are printed in `--help` and `docs/cli.md`.

use std::process::ExitCode;

use crate::config::Problems;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked to do.
    Done,
    /// It failed.
    Failed,
    /// The command line or the configuration is wrong.
    Usage,
    /// `doctor`, or `integrations test`, found a fault.
    NotReady,
    /// There is no such message, bulk, dead letter, pause, template or key (yet).
    NotFound,
    /// `send --wait` ended before the message did, or `bulk` before all of its messages.
    StillOpen,
}

impl Exit {
    /// Every exit with its meaning.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Done, "done"),
        (
            Self::Failed,
            "failed; the message of `send --wait`, or one of `bulk`, was not sent; that of `cancel` could not be \
             withdrawn; a part of a worker ended by itself",
        ),
        (Self::Usage, "wrong command line or configuration"),
        (Self::NotReady, "`doctor`, or `integrations test`, found a fault"),
        (Self::NotFound, "no such message, bulk, dead letter, pause, template or key, or not seen yet"),
        (
            Self::StillOpen,
            "`send --wait` ended before the message did, or `bulk` before its messages: what is accepted goes on, and a \
             paused bulk waits",
        ),
    ];

    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotReady => 3,
            Self::NotFound => 4,
            Self::StillOpen => 5,
        }
    }

    /// The exit that an error leads to: a wrong configuration or command line is told from a failure.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        if error.downcast_ref::<Problems>().is_some() { Self::Usage } else { Self::Failed }
    }

    /// The codes as a table for `--help`, those of signals included.
    #[must_use]
    pub fn table() -> String {
        let mut lines = vec!["Exit codes:".to_owned()];
        lines.extend(Self::ALL.iter().map(|(exit, meaning)| format!("  {:>3}  {meaning}", exit.code())));
        lines.push("  130  ended at once by a second SIGINT".to_owned());
        lines.push("  143  ended at once by a second SIGTERM".to_owned());
        lines.join("\n")
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

//! Log lines, to stderr: stdout belongs to what a command prints.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use tracing_subscriber::EnvFilter;

use crate::config::{Loaded, LogFormat, Origin};

/// Libraries that log what they carry (statements with their parameters, frames with their bodies, numbers as
/// they are parsed, returned messages), whatever level was asked for: no line below these levels. What goes wrong
/// with the broker is told by our own supervisors.
const DISCREET: &str =
    "rlibphonenumber=off,tokio_postgres=warn,lapin=off,amq_protocol=warn,hyper=info,hyper_util=info";

/// What the process is, for the log level where none is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs until it is stopped: tells what it does.
    Service,
    /// Ends by itself and prints what it has to say: logs only what is wrong.
    Command,
}

/// Starts logging.
///
/// # Errors
/// If the filter can't be read, which the configuration has ruled out, or if logging was started before.
pub fn start(loaded: &Loaded, role: Role) -> anyhow::Result<()> {
    let section = &loaded.config.telemetry;
    // Of two directives for one library the later one counts.
    let filter = EnvFilter::builder().parse(format!("{},{DISCREET}", filter_text(loaded, role)))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    let started = match section.log_format {
        LogFormat::Human => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
    };
    started.map_err(|error| anyhow!("logging can't be started: {error}"))
}

fn filter_text(loaded: &Loaded, role: Role) -> &str {
    match (role, loaded.origin("telemetry.log")) {
        // A command says itself what it could not reach.
        (Role::Command, Origin::Default) => "warn,facteur_amqp=error",
        _ => &loaded.config.telemetry.log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn commands_log_only_warnings_unless_told_otherwise() {
        let silent = load(&Sources::default()).unwrap();
        assert_eq!(filter_text(&silent, Role::Command), "warn,facteur_amqp=error");
        assert_eq!(filter_text(&silent, Role::Service), "info");
        let told =
            load(&Sources { flags: vec!["telemetry.log=debug".to_owned()], ..Sources::default() }).unwrap();
        assert_eq!(filter_text(&told, Role::Command), "debug");
    }
}

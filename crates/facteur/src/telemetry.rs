//! Log lines, to stderr: stdout belongs to what a command prints.

use std::io::{self, IsTerminal};

use anyhow::anyhow;
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{Loaded, LogFormat, Origin};

/// Libraries that log what they carry (statements with their parameters, frames with their bodies, numbers as they are
/// parsed, returned messages): whatever directives say, nothing of them below these levels. What goes wrong with the
/// broker is told by our own supervisors.
const DISCREET: [(&str, LevelFilter); 6] = [
    ("rlibphonenumber", LevelFilter::OFF),
    ("lapin", LevelFilter::OFF),
    ("amq_protocol", LevelFilter::WARN),
    ("tokio_postgres", LevelFilter::WARN),
    ("hyper", LevelFilter::INFO),
    ("reqwest", LevelFilter::INFO),
];

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
    let asked = EnvFilter::builder().parse(filter_text(loaded, role))?;
    let discreet = Targets::new().with_default(LevelFilter::TRACE).with_targets(DISCREET);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match section.log_format {
        LogFormat::Human => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
        }
    };
    let started = tracing_subscriber::registry().with(lines.with_filter(asked.and(discreet))).try_init();
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

//! One process of the system under test, over all its lives.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use facteur_testkit::FaultProxy;
use rustix::process::Signal;
use tokio::time::Instant;

use super::plan::Link;
use crate::program::{Program, STOP_MAX};
use crate::say;
use crate::system::{Links, System};

/// A process that is asked to end before it has taken its signals in hand just ends.
const BIRTH_MAX: Duration = Duration::from_secs(15);
/// What a process says whose port is not free.
const PORT_TAKEN: &str = "is in use by another process";

/// A process, and its ways to the others.
pub(super) struct Actor {
    name: String,
    arguments: &'static [&'static str],
    /// What each of its lives is told.
    pub(super) environment: Vec<(&'static str, String)>,
    links: Links,
    running: Option<(Program, Instant)>,
    /// With the age at which each was asked to end.
    leaving: Vec<(Program, Duration)>,
}

impl Actor {
    /// One that has not been started yet.
    #[must_use]
    pub(super) fn new(
        name: String,
        arguments: &'static [&'static str],
        environment: Vec<(&'static str, String)>,
        links: Links,
    ) -> Self {
        Self { name, arguments, environment, links, running: None, leaving: vec![] }
    }

    /// One of its ways.
    #[must_use]
    pub(super) fn link(&self, link: Link) -> &FaultProxy {
        match link {
            Link::Broker => &self.links.broker,
            Link::Database => &self.links.database,
            Link::Twilio => &self.links.twilio,
        }
    }

    /// Starts it, unless it runs.
    ///
    /// # Errors
    /// If it can't be started.
    pub(super) fn start(&mut self, system: &System) -> Result<()> {
        if self.running.is_none() {
            let program = system.spawn(&self.name, self.arguments, &self.environment)?;
            self.running = Some((program, Instant::now()));
        }
        Ok(())
    }

    /// `kill -9`; it is gone when this returns.
    ///
    /// # Errors
    /// If it can't be signalled.
    pub(super) async fn kill(&mut self) -> Result<()> {
        if let Some((mut program, _)) = self.running.take() {
            program.signal(Signal::KILL)?;
            program.wait(STOP_MAX).await?;
        }
        Ok(())
    }

    /// Asks it to end and doesn't wait.
    ///
    /// # Errors
    /// If it can't be signalled.
    pub(super) fn terminate(&mut self) -> Result<()> {
        if let Some((program, born)) = self.running.take() {
            program.signal(Signal::TERM)?;
            self.leaving.push((program, born.elapsed()));
        }
        Ok(())
    }

    /// Whoever is leaving already is left alone: frozen for longer than a stop may take, it could but be cut off.
    pub(super) fn freeze(&self) {
        if let Some(Err(error)) = self.running.as_ref().map(|(program, _)| program.signal(Signal::STOP)) {
            say::progress(&format!("{}: {error:#}", self.name));
        }
    }

    /// To all that is left of it; whoever has ended hears nothing.
    pub(super) fn signal(&self, signal: Signal) {
        let all = self.running.iter().map(|(program, _)| program);
        for program in all.chain(self.leaving.iter().map(|(program, _)| program)) {
            if let Err(error) = program.signal(signal) {
                say::progress(&format!("{}: {error:#}", self.name));
            }
        }
    }

    /// A sentence if it has ended by itself. If it found the port of its predecessor still taken, it is started again
    /// instead, as a supervisor does.
    ///
    /// # Errors
    /// If our own means fail.
    pub(super) fn look(&mut self, system: &System) -> Result<Option<String>> {
        let Some((program, _)) = &mut self.running else { return Ok(None) };
        let Some(status) = program.ended()? else { return Ok(None) };
        let is_crowded_out = program.output()?.contains(PORT_TAKEN) && !self.leaving.is_empty();
        self.running = None;
        if is_crowded_out {
            self.start(system)?;
            return Ok(None);
        }
        Ok(Some(format!("{}: ended by itself with {status}", self.name)))
    }

    /// Waits until all that were asked to end are gone, and tells how those ended that didn't do it well.
    ///
    /// # Errors
    /// If a log can't be read.
    pub(super) async fn gone(&mut self) -> Result<Vec<String>> {
        let mut misbehaved = Vec::new();
        for (number, (mut program, age)) in self.leaving.drain(..).enumerate() {
            match program.wait(STOP_MAX).await {
                Ok(status) => {
                    let has_predecessor = number > 0;
                    let is_crowded_out = has_predecessor && program.output()?.contains(PORT_TAKEN);
                    if !is_good_end(status, age, is_crowded_out) {
                        misbehaved.push(format!("{}: asked to end, it ended with {status}", self.name));
                    }
                }
                Err(error) => misbehaved.push(format!("{error:#}")),
            }
        }
        Ok(misbehaved)
    }
}

/// Whether a process that was asked to end at that age may end so. One whose predecessor still had its port may have
/// ended for that before it heard us.
fn is_good_end(status: ExitStatus, age: Duration, is_crowded_out: bool) -> bool {
    let is_newborn = age < BIRTH_MAX;
    status.success()
        || (is_newborn && (status.signal() == Some(15) || (is_crowded_out && status.code() == Some(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: i32 = 0;
    const FAILURE: i32 = 1 << 8;
    const BY_TERM: i32 = 15;
    const BY_KILL: i32 = 9;

    fn is_good(raw: i32, age_s: u64, is_crowded_out: bool) -> bool {
        is_good_end(ExitStatus::from_raw(raw), Duration::from_secs(age_s), is_crowded_out)
    }

    #[test]
    fn whoever_is_asked_to_end_ends_well_or_is_a_newborn_that_ends_by_the_signal() {
        assert!(is_good(GOOD, 100, false));
        assert!(is_good(BY_TERM, 1, false) && !is_good(BY_TERM, 100, false));
        assert!(!is_good(FAILURE, 1, false) && !is_good(BY_KILL, 1, false));
    }

    #[test]
    fn a_newborn_that_was_crowded_out_of_its_port_may_fail_and_nobody_else() {
        assert!(is_good(FAILURE, 1, true));
        assert!(!is_good(FAILURE, 100, true), "so old, it had its port");
        assert!(!is_good(BY_KILL, 1, true) && !is_good(101 << 8, 1, true), "that is no failure to start");
    }
}

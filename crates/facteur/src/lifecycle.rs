//! How a long-running process stops: softly at the first signal, at once at the second, and with a failure if a
//! part of it ends by itself.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Cancels `stop` at the first SIGTERM or SIGINT. The second ends the process at once, with 128 and the
/// signal's number: 130 or 143.
///
/// # Errors
/// If the handlers can't be installed.
pub fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM can't be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT can't be handled")?;
    let mut next = async move || {
        tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
        }
    };
    tokio::spawn(async move {
        next().await;
        tracing::info!("stopping: finishing the calls in flight; a second signal ends at once");
        stop.cancel();
        let second = next().await;
        tracing::warn!("ended at once by a second signal: calls in flight may be left uncertain");
        std::process::exit(128 + second.as_raw_value());
    });
    Ok(())
}

/// The parts of a process that live as long as it does.
pub struct Parts {
    tasks: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
    stop: CancellationToken,
}

impl Parts {
    /// No part yet. All parts stop when `stop` is cancelled.
    #[must_use]
    pub fn new(stop: CancellationToken) -> Self {
        Self { tasks: JoinSet::new(), names: HashMap::new(), stop }
    }

    /// Starts a part. It must end soon after `stop` is cancelled, and not before.
    pub fn spawn(
        &mut self,
        name: &'static str,
        part: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let handle = self.tasks.spawn(part);
        self.names.insert(handle.id(), name);
    }

    /// Runs until `stop` is cancelled and every part has ended. A part that ends by itself stops the others.
    /// Parts that still run `drain_max` after the stop are cut off.
    ///
    /// # Errors
    /// The first part that ended by itself, failed or had to be cut off.
    pub async fn run(mut self, drain_max: Duration) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        let mut fault = None;
        tokio::select! {
            // Looked at first: a part that ended because of the stop did not end by itself.
            biased;
            () = stop.cancelled() => {}
            ended = self.next() => fault = ended.map(|(name, ended)| Self::ended_by_itself(name, ended)),
        }
        if let Some(error) = &fault {
            tracing::error!(error = format!("{error:#}"), "stopping: a part of the process ended by itself");
        }
        stop.cancel();
        let drain = async {
            while let Some((name, ended)) = self.next().await {
                if let Err(error) = ended {
                    tracing::error!(
                        part = name,
                        error = format!("{error:#}"),
                        "a part of the process failed while stopping"
                    );
                    fault.get_or_insert(error.context(format!("{name} failed while stopping")));
                }
            }
        };
        if tokio::time::timeout(drain_max, drain).await.is_err() {
            let mut names: Vec<_> = self.names.values().copied().collect();
            names.sort_unstable();
            let (names, seconds) = (names.join(", "), drain_max.as_secs());
            fault.get_or_insert(anyhow!("cut off: {names} still ran {seconds} s after the stop"));
        }
        fault.map_or(Ok(()), Err)
    }

    async fn next(&mut self) -> Option<(&'static str, anyhow::Result<()>)> {
        let ended = self.tasks.join_next_with_id().await?;
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id).unwrap_or("a part");
        Some((name, ended.map_or_else(|error| Err(error.into()), |(_, result)| result)))
    }

    fn ended_by_itself(name: &str, ended: anyhow::Result<()>) -> anyhow::Error {
        match ended {
            Ok(()) => anyhow!("{name} ended by itself"),
            Err(error) => error.context(format!("{name} ended by itself")),
        }
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;

//! The heartbeat: this process tells that it is at work and how it is set up, hears whether others are set up
//! otherwise, and holds its clock against the database's.

use std::collections::BTreeSet;
use std::time::Duration;

use facteur_core::peers::{SharedSettings, differences};
use facteur_postgres::workers::{self, Peer};
use facteur_postgres::{BatchFailure, Database};
use jiff::SignedDuration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::{APART_MIN, Clock, Offset};
use crate::metrics;
use crate::patience::in_time;

/// How often it beats.
const INTERVAL: Duration = Duration::from_secs(10);
/// The same difference is told again after this.
const TOLD_AGAIN_AFTER: Duration = Duration::from_mins(10);
/// Longest wait for the row's removal when the process stops.
const LEAVE_MAX: Duration = Duration::from_secs(2);

/// One process's heartbeat.
pub struct Heartbeat {
    database: Database,
    clock: Clock,
    ours: Peer,
    /// What was told about settings, and when.
    settings_told: Option<(String, Instant)>,
    /// How far the clocks were apart when it was told; zero if it was not.
    offset_told: SignedDuration,
}

impl Heartbeat {
    /// The heartbeat of a process in this role (`worker` or `web`) with these settings, which must be the same
    /// everywhere and hold no secret.
    #[must_use]
    pub fn new(database: Database, clock: Clock, role: &str, settings: SharedSettings) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let ours = Peer { id: clock.id(), role: role.to_owned(), version, settings };
        Self { database, clock, ours, settings_told: None, offset_told: SignedDuration::ZERO }
    }

    /// Beats until it is stopped, and takes this process off the list then.
    pub async fn run(mut self, stopping: CancellationToken) {
        loop {
            if let Err(error) = self.beat().await {
                tracing::debug!(%error, "no heartbeat now; tried again");
            }
            if stopping.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
                break;
            }
        }
        // If nobody removes it, it is passed over after a minute.
        let _ = tokio::time::timeout(LEAVE_MAX, workers::leave(&self.database, self.ours.id)).await;
    }

    async fn beat(&mut self) -> Result<(), BatchFailure> {
        self.compare_clocks().await?;
        let others = in_time(workers::beat(&self.database, &self.ours)).await?;
        self.compare_settings(&others);
        Ok(())
    }

    /// Holds our clock against the database's: once before the first decision, and then with every beat.
    ///
    /// # Errors
    /// The database's, classified; our time goes on as it is.
    pub async fn compare_clocks(&mut self) -> Result<(), BatchFailure> {
        // The connection is made, or proven, before the clock is looked at.
        let asked_twice = async {
            workers::database_time(&self.database).await?;
            let asked = self.clock.awake_or_not();
            Ok((workers::database_time(&self.database).await?, asked))
        };
        let (database_now, asked) = in_time(asked_twice).await?;
        let Some(offset) = self.clock.hear(database_now, asked) else { return Ok(()) };
        metrics::clock_offset(offset.ahead);
        if let Some(sentence) = clock_sentence(offset, self.offset_told) {
            self.offset_told = offset.ahead;
            tracing::warn!(offset_s = offset.ahead.as_secs(), "{sentence}");
        }
        Ok(())
    }

    fn compare_settings(&mut self, others: &[Peer]) {
        let found = differences(&self.ours.settings, others.iter().map(|peer| &peer.settings));
        metrics::settings_differ(!found.is_empty());
        let sentence = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let is_news = match &self.settings_told {
            Some((told, at)) => *told != sentence || at.elapsed() >= TOLD_AGAIN_AFTER,
            None => !sentence.is_empty(),
        };
        if !is_news {
            return;
        }
        if sentence.is_empty() {
            tracing::info!("all processes have the same settings again");
            self.settings_told = None;
            return;
        }
        let roles: BTreeSet<&str> = others.iter().map(|peer| peer.role.as_str()).collect();
        tracing::warn!(
            others = others.len(),
            roles = roles.into_iter().collect::<Vec<_>>().join(", "),
            "another process of this system has other settings: {sentence}. Messages are treated by whoever takes \
             them: set both alike, and restart the one that is wrong"
        );
        self.settings_told = Some((sentence, Instant::now()));
    }
}

/// What there is to tell about the clocks, after what was told before: each change by more than a second, once.
fn clock_sentence(offset: Offset, told: SignedDuration) -> Option<String> {
    let apart_min = SignedDuration::try_from(APART_MIN).unwrap_or(SignedDuration::MAX);
    if (offset.ahead - told).abs() <= apart_min {
        return None;
    }
    if offset.ahead.abs() <= apart_min {
        return Some("this machine's clock and the database's agree again".to_owned());
    }
    let seconds = offset.ahead.abs().as_secs_f64().round();
    let side = if offset.ahead.is_negative() { "ahead of" } else { "behind" };
    Some(format!(
        "this machine's clock is {seconds} s {side} the database's: deadlines follow the database's, and nothing \
         expires too early or too late for it; set the clock right (NTP)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_part_or_meet_are_told_once() {
        let sentence = |ahead_s: i64, told_s: i64| {
            let (ahead, told) = (SignedDuration::from_secs(ahead_s), SignedDuration::from_secs(told_s));
            clock_sentence(Offset { ahead, moved: SignedDuration::ZERO }, told)
        };
        assert!(
            sentence(-3_600, 0)
                .unwrap()
                .starts_with("this machine's clock is 3600 s ahead of the database's")
        );
        assert!(sentence(90, 0).unwrap().starts_with("this machine's clock is 90 s behind the database's"));
        assert!(sentence(0, -3_600).unwrap().contains("agree again"));
        for (ahead_s, told_s) in [(0, 0), (1, 0), (-1, 0), (-3_600, -3_600), (-3_601, -3_600)] {
            assert_eq!(sentence(ahead_s, told_s), None, "{ahead_s} {told_s}");
        }
    }
}

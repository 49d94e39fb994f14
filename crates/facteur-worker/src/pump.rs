//! The pump: takes jobs out of the lines of limited senders, just in time, together with their places on the sender's
//! clock, and hands them to the lanes. Each worker has one; the clock's row decides who gets what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use facteur_core::gcra::{Rate, late_max};
use facteur_core::hold::Fuse;
use facteur_core::integration::Home;
use facteur_core::lane::Lane;
use facteur_core::ledger::{Capacity, Pull, PulledJob};
use facteur_core::limits::{SLOT_LOOKAHEAD, SLOT_PULL_INTERVAL_MIN, SLOT_REFILL_AT};
use facteur_core::sender::Sender;
use facteur_postgres::{BatchFailure, Directory, PULL_JOBS_MAX, RateLines};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::anchor::{Anchor, Trust};
use crate::breakers::Breakers;
use crate::clock::Clock;
use crate::lane_loop::Pulled;
use crate::metrics;
use crate::patience::in_time;
use crate::ports::Slot;
use crate::rate_lines::{Bell, Lines};

/// How often the lines that other workers filled are looked for.
const LIST_INTERVAL: Duration = Duration::from_millis(500);
/// A line is pulled at least so often, for its rate may have been changed.
const PULL_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// How long a failed pull is waited for.
const FAILURE_PAUSE: Duration = Duration::from_millis(500);
/// How often it is looked whether a sender that is paused, or behind an open breaker, may send again.
const HELD_PAUSE: Duration = Duration::from_millis(500);
/// How long a pull stands among those that wait for permits; a lane that is busy gives some to both.
const PERMITS_WAIT_MAX: Duration = Duration::from_millis(5);
/// Most pulls at the same time.
const PULLS_MAX: usize = 4;

/// The way into a lane.
pub(crate) struct Door {
    pub(crate) permits: Arc<Semaphore>,
    /// Holds as many jobs as there are permits.
    pub(crate) pulled: mpsc::Sender<Pulled>,
}

/// What the pump works with.
pub(crate) struct Pump {
    pub(crate) rate_lines: RateLines,
    pub(crate) directory: Directory,
    pub(crate) breakers: Breakers,
    /// The account of the environment.
    pub(crate) home: Arc<Home>,
    pub(crate) default_rate: Option<Rate>,
    pub(crate) anchor: Arc<Anchor>,
    pub(crate) clock: Clock,
    pub(crate) doors: BTreeMap<Lane, Door>,
    pub(crate) bell: Arc<Bell>,
}

/// What a pull says about the next one.
pub(crate) struct After {
    /// Lanes of which nobody waits any more.
    pub(crate) exhausted: Vec<Lane>,
    pub(crate) again_at: Instant,
}

enum Done {
    Listed(Result<Vec<(Sender, Lane)>, BatchFailure>),
    Pulled(Sender, After),
}

impl Pump {
    /// Pumps until `stopping` is cancelled; then pulls that are under way are still handed over.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let pump = Arc::new(self);
        let mut lines = Lines::default();
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let mut pulling = 0;
        let mut listing = interval(LIST_INTERVAL);
        listing.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next = lines.next_at().unwrap_or_else(|| Instant::now() + LIST_INTERVAL);
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                Some(done) = tasks.join_next() => match done {
                    Ok(Done::Pulled(sender, after)) => {
                        pulling -= 1;
                        lines.pulled(&sender, after);
                    }
                    Ok(Done::Listed(Ok(found))) => found.into_iter().for_each(|(sender, lane)| lines.told(sender, lane)),
                    Ok(Done::Listed(Err(error))) => tracing::debug!(%error, "the lines can't be listed; tried again"),
                    // A panic is a defect: the worker ends when its pump does.
                    Err(_) => break,
                },
                told = pump.bell.rung() => told.into_iter().for_each(|(sender, lane)| lines.told(sender, lane)),
                _ = listing.tick() => {
                    let pump = Arc::clone(&pump);
                    tasks.spawn(async move { Done::Listed(in_time(pump.rate_lines.list()).await) });
                }
                () = sleep_until(next), if pulling < PULLS_MAX => {
                    let Some((sender, lanes)) = lines.take_due(Instant::now()) else { continue };
                    pulling += 1;
                    let (pump, stopping) = (Arc::clone(&pump), stopping.clone());
                    tasks.spawn(async move {
                        let after = pump.pull(&sender, &lanes, &stopping).await;
                        Done::Pulled(sender, after)
                    });
                }
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn pull(&self, sender: &Sender, lanes: &BTreeSet<Lane>, stopping: &CancellationToken) -> After {
        let again_in = |exhausted, wait| After { exhausted, again_at: Instant::now() + wait };
        // The directory answers nobody before its first load, which may never come.
        if stopping.run_until_cancelled(self.is_held(sender)).await != Some(false) {
            return again_in(Vec::new(), HELD_PAUSE);
        }
        let rate = self.directory.rate_of(sender.as_str()).await.or(self.default_rate);
        let mut permits = self.gather(lanes, jobs_at_once(rate)).await;
        let mut capacity = Capacity::default();
        for (lane, permits) in &permits {
            *capacity.of_mut(*lane) = u32::try_from(permits.len()).unwrap_or(PULL_JOBS_MAX);
        }
        if capacity == Capacity::default() {
            return again_in(Vec::new(), SLOT_PULL_INTERVAL_MIN);
        }
        let (draw, not_before) = (self.clock.draw().0, self.anchor.not_before());
        let asked_at = Instant::now();
        let pull = match in_time(self.rate_lines.pull(sender, rate, capacity, draw, not_before)).await {
            Ok(pull) => pull,
            Err(error) => {
                tracing::warn!(%sender, %error, "the line of a sender can't be pulled; tried again");
                return again_in(Vec::new(), FAILURE_PAUSE);
            }
        };
        let trust = self.anchor.observe(asked_at, Instant::now(), pull.reading);
        let Pull { jobs, tat, exhausted, .. } = pull;
        for job in jobs {
            self.hand_over(job, rate, trust, &mut permits).await;
        }
        let refill_at =
            tat.and_then(|tat| self.anchor.instant(tat)).and_then(|at| at.checked_sub(SLOT_REFILL_AT));
        let wait = refill_at.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()));
        again_in(exhausted, wait.clamp(SLOT_PULL_INTERVAL_MIN, PULL_INTERVAL_MAX))
    }

    /// Whether what is pulled now would only change lines, and leave its place on the sender's clock to nobody.
    async fn is_held(&self, sender: &Sender) -> bool {
        let via = self.directory.way_of(sender, &self.home).await;
        let is_broken = match &via {
            Some(via) => self.breakers.hold_for(&via.account, sender).is_some(),
            None => self.breakers.is_open(&Fuse::Sender(sender.clone())),
        };
        is_broken || self.directory.is_paused(sender, via.as_ref()).await
    }

    async fn hand_over(
        &self,
        job: PulledJob,
        rate: Option<Rate>,
        trust: Trust,
        permits: &mut BTreeMap<Lane, Vec<OwnedSemaphorePermit>>,
    ) {
        let PulledJob { lane, content, place } = job;
        let Some(door) = self.doors.get(&lane) else { return };
        let Some(permit) = permits.get_mut(&lane).and_then(Vec::pop) else { return };
        let slot = match (place, rate) {
            // Its place may be somebody else's: it goes back into the line.
            (Some(_), _) if trust == Trust::Broken => Slot::Line,
            (Some(place), Some(rate)) => match self.anchor.instant(place) {
                Some(at) => Slot::At { at, late_max: late_max(rate) },
                None => Slot::Line,
            },
            _ => Slot::Now,
        };
        metrics::pulled(lane);
        // The lane takes what comes until this side is dropped. If it panicked, the sweep wakes the job.
        let _ = door.pulled.send(Pulled { content, slot, permit }).await;
    }

    /// Takes permits of these lanes, up to so many of each.
    async fn gather(&self, lanes: &BTreeSet<Lane>, most: u32) -> BTreeMap<Lane, Vec<OwnedSemaphorePermit>> {
        let until = Instant::now() + PERMITS_WAIT_MAX;
        let mut gathered = BTreeMap::new();
        for lane in lanes {
            let Some(door) = self.doors.get(lane) else { continue };
            let mut permits = Vec::new();
            for _ in 0..most {
                let permit = match Arc::clone(&door.permits).try_acquire_owned() {
                    Ok(permit) => Ok(Ok(permit)),
                    Err(_) => timeout_at(until, Arc::clone(&door.permits).acquire_owned()).await,
                };
                let Ok(Ok(permit)) = permit else { break };
                permits.push(permit);
            }
            gathered.insert(*lane, permits);
        }
        gathered
    }
}

/// What the sender carries within the lookahead.
fn jobs_at_once(rate: Option<Rate>) -> u32 {
    let within = |rate: Rate| (rate.as_per_second() * SLOT_LOOKAHEAD.as_secs_f64()).ceil() as u32 + 1;
    rate.map_or(PULL_JOBS_MAX, |rate| within(rate).min(PULL_JOBS_MAX))
}

#[cfg(test)]
#[path = "pump_tests.rs"]
mod tests;

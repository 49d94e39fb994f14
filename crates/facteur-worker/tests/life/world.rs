//! The world of one run: everything outside the worker, and what can go wrong in it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::call::Call;
use facteur_core::envelope::EnvelopeContent;
use facteur_core::gate::Facts;
use facteur_core::ids::{JobId, Turn};
use facteur_core::integration::Via;
use facteur_core::job::{Content, Job};
use facteur_core::ledger::{Claim, ClaimRequest};
use facteur_core::outcome::Outcome;
use facteur_core::reason::ReasonCode;
use facteur_core::rules::{Quiet, TenantRules};
use facteur_core::sender::Sender;
use facteur_core::status::Status;
use facteur_worker::clock::Clock;
use facteur_worker::ports::Slot;
use facteur_worker::process::End;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::{Broker, Held, Tag};
use crate::jobs::{self, FOREIGN_SENDER, Kind, Published};
use crate::ledger::{Ledger, PAUSE};
use crate::limiter::Limiter;
use crate::ops::When;
use crate::search::Surroundings;
use crate::twilio::Twilio;

/// Workers sweep at this interval.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// When every run begins.
const START: &str = "2026-12-01T08:00:00Z";

/// The world, and a bell that rings when it changes.
pub(crate) struct Shared {
    world: Mutex<World>,
    pub(crate) changed: Notify,
}

impl Shared {
    pub(crate) fn new(seed: u64) -> Self {
        Self { world: Mutex::new(World::new(seed)), changed: Notify::new() }
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What every tenant here has set: marketing waits for the day.
pub(crate) fn rules() -> Arc<TenantRules> {
    Arc::new(TenantRules { has_quiet_hours: true, ..TenantRules::default() })
}

/// What goes wrong next.
#[derive(Default)]
pub(crate) struct Faults {
    /// Crashes of whichever worker has the effect of that number.
    pub(crate) crashes: BTreeMap<u64, When>,
    /// How long the answers to the next claims take.
    pub(crate) stalled_claims: VecDeque<Duration>,
    /// How long the next records are on their way.
    pub(crate) stalled_records: VecDeque<Duration>,
    /// How many requests are repeated because their first answer was lost.
    pub(crate) repeats: u32,
    /// How many rows of claims of new jobs, and of records, the database can't store.
    pub(crate) refused_rows: u32,
    /// How many jobs still hear of a pause after it has ended.
    pub(crate) echoes: u32,
}

/// What is known of a claim that was granted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) asked_at: Instant,
    pub(crate) envelope_turn: Turn,
    worker: usize,
}

pub(crate) struct World {
    pub(crate) clock: Clock,
    start: Timestamp,
    origin: Instant,
    dice: StdRng,
    pub(crate) broker: Broker,
    pub(crate) ledger: Ledger,
    pub(crate) twilio: Twilio,
    pub(crate) limiter: Limiter,
    pub(crate) surroundings: Surroundings,
    pub(crate) template: String,
    pub(crate) faults: Faults,
    /// Effects so far.
    pub(crate) effects: u64,
    /// The workers that a crash has just hit.
    pub(crate) crashed: Vec<usize>,
    pub(crate) published: Vec<Published>,
    /// By job and attempt.
    pub(crate) grants: BTreeMap<(JobId, i32), Grant>,
    /// When each call started after its claim was asked for.
    pub(crate) call_delays: Vec<(JobId, Duration)>,
    /// Jobs whose claim lost its worker or its record, or took longer than its lease.
    pub(crate) cut_off: BTreeSet<JobId>,
    /// Rules that were broken on the way.
    pub(crate) broken: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let start: Timestamp = START.parse().unwrap();
        Self {
            clock: Clock::virtual_from(start, seed),
            start,
            origin: Instant::now(),
            dice: StdRng::seed_from_u64(seed),
            broker: Broker::default(),
            ledger: Ledger::default(),
            twilio: Twilio::default(),
            limiter: Limiter::new(),
            surroundings: Surroundings::default(),
            template: "Bonjour {{name}}".to_owned(),
            faults: Faults::default(),
            effects: 0,
            crashed: Vec::new(),
            published: Vec::new(),
            grants: BTreeMap::new(),
            call_delays: Vec::new(),
            cut_off: BTreeSet::new(),
            broken: Vec::new(),
        }
    }

    pub(crate) fn publish(&mut self, kind: Kind) {
        let published = jobs::published(kind, self.published.len(), self.clock.now());
        self.broker.publish(published.content.clone());
        self.published.push(published);
    }

    /// Moves on whatever waits for time alone.
    pub(crate) fn tick(&mut self) {
        self.broker.tick(Instant::now());
        if self.next_sweep().is_some_and(|at| at <= Instant::now()) {
            self.sweep();
        }
        if !self.ledger.is_paused && self.ledger.release_line(self.clock.now()) {
            self.relay();
        }
        if self.next_look().is_some_and(|at| at <= Instant::now()) {
            self.search();
        }
    }

    pub(crate) fn sweep(&mut self) {
        self.ledger.sweep(self.clock.now());
        self.relay();
    }

    pub(crate) fn pause(&mut self) {
        self.ledger.is_paused = true;
    }

    pub(crate) fn resume(&mut self) {
        if std::mem::take(&mut self.ledger.is_paused) {
            self.faults.echoes = 2;
        }
    }

    /// What a worker has heard of the pause: of its beginning half of the time, and of its end late.
    fn heard_pause(&mut self) -> bool {
        if self.ledger.is_paused { self.dice.random() } else { take_one(&mut self.faults.echoes) }
    }

    fn relay(&mut self) {
        // Published first and deleted then, so that a lost confirm makes a copy.
        for content in std::mem::take(&mut self.ledger.outbox) {
            if self.is_repeated() {
                self.broker.publish(content.clone());
            }
            self.broker.publish(content);
        }
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        [self.next_sweep(), self.next_look(), self.broker.next_due()].into_iter().flatten().min()
    }

    /// The first sweep that finds something.
    fn next_sweep(&self) -> Option<Instant> {
        Some(self.instant_of(self.ledger.next_due()?))
    }

    /// The first look for evidence that is due.
    fn next_look(&self) -> Option<Instant> {
        Some(self.instant_of(self.ledger.next_look()?))
    }

    /// When a duty that is due then is done.
    fn instant_of(&self, due: Timestamp) -> Instant {
        let since_start = Duration::try_from(due.duration_since(self.start)).unwrap_or_default();
        let sweeps = since_start.as_nanos().div_ceil(SWEEP_INTERVAL.as_nanos());
        self.origin + SWEEP_INTERVAL * u32::try_from(sweeps).unwrap_or(u32::MAX)
    }

    /// The limiter's answer to a fresh message, or to one that is claimed.
    pub(crate) fn slot(&mut self, segments: u32, is_claimed: bool) -> Slot {
        let (now, has_line) = (self.clock.now(), !is_claimed && self.ledger.first_in_line().is_some());
        self.limiter.slot(segments, has_line, now)
    }

    /// The first of the line, if its place is near.
    pub(crate) fn pull(&mut self) -> Option<(EnvelopeContent, Slot)> {
        let (id, segments) = self.ledger.first_in_line()?;
        let now = self.clock.now();
        let slot = self.limiter.pull(segments, now)?;
        Some((self.ledger.pull(id, now)?, slot))
    }

    /// When somebody can be pulled out of the line.
    pub(crate) fn next_pull(&self) -> Option<Instant> {
        self.ledger.first_in_line()?;
        let since_start = self.limiter.next_pull().duration_since(self.start);
        Some(self.origin + Duration::try_from(since_start).unwrap_or_default())
    }

    pub(crate) fn age(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Counts an effect, and says whether this worker dies of it.
    pub(crate) fn count_effect(&mut self) -> Option<When> {
        self.effects += 1;
        self.faults.crashes.remove(&self.effects)
    }

    pub(crate) fn is_repeated(&mut self) -> bool {
        take_one(&mut self.faults.repeats)
    }

    pub(crate) fn is_row_refused(&mut self) -> bool {
        take_one(&mut self.faults.refused_rows)
    }

    /// How long the way to an adapter, or back, takes.
    pub(crate) fn latency(&mut self) -> Duration {
        Duration::from_millis(self.dice.random_range(0..=12))
    }

    /// What a crash of this worker leaves behind.
    pub(crate) fn cut_off(&mut self, worker: usize) {
        for ((job, attempt), grant) in &self.grants {
            let is_open = |row: &crate::ledger::Row| row.status == Status::Sending && row.attempt == *attempt;
            if grant.worker == worker && self.ledger.rows.get(job).is_some_and(is_open) {
                self.cut_off.insert(*job);
            }
        }
        self.broker.redeliver(worker);
    }

    pub(crate) fn facts(&mut self, job: &Job, turn: Turn) -> Facts {
        let row = self.ledger.rows.get(&job.id).filter(|_| turn != Turn::default());
        let stored_text = row.and_then(|row| row.job.text.clone());
        let sender = row.and_then(|row| row.job.sender.clone()).or_else(|| job.sender.clone());
        let sender = sender.or_else(|| Sender::parse("+15005550006").ok());
        let is_foreign = sender.as_ref().is_some_and(|sender| sender.as_str() == FOREIGN_SENDER);
        let sender_owner = is_foreign.then(|| "somebody-else".to_owned());
        let template = match &job.content {
            Content::Template { name, .. } if name == "hello" => Some(self.template.clone()),
            _ => None,
        };
        let hold = self.heard_pause().then_some(PAUSE);
        let via = Some(Via { account: "AC1".to_owned(), integration: None });
        Facts {
            sender,
            sender_owner,
            via,
            template,
            stored_text,
            hold,
            is_canceled: false,
            rules: rules(),
            last_inbound_at: None,
        }
    }

    pub(crate) fn claim(&mut self, request: &ClaimRequest, worker: usize, asked_at: Instant) -> Claim {
        let claim = self.ledger.claim(request, self.clock.now());
        if let Claim::Yours(attempt) = &claim {
            let was_granted = self.grants.contains_key(&(request.row.id, attempt.number.0));
            if !was_granted && self.ledger.pause_of(&request.row).is_some() {
                self.broken.push(format!("{} was claimed while its lane was paused", request.row.id));
            }
            let grant = Grant { asked_at, envelope_turn: request.row.turn, worker };
            self.grants.insert((request.row.id, attempt.number.0), grant);
        }
        claim
    }

    pub(crate) fn call(
        &mut self,
        call: &Call,
        started_at: Timestamp,
        started: Instant,
    ) -> (Outcome, Duration) {
        if let Some(grant) = self.grants.get(&(call.job_id, call.attempt.0)) {
            self.call_delays.push((call.job_id, started - grant.asked_at));
        } else {
            self.broken.push(format!("{} was called without a claim", call.job_id));
        }
        let is_it = |job: &&Job| job.id == call.job_id;
        let job = self.published.iter().filter_map(|published| published.meaning.as_ref().ok()).find(is_it);
        if job.is_some_and(|job| !matches!(rules().quiet(job, started_at), Quiet::Open { .. })) {
            self.broken.push(format!("{} is marketing and left by night", call.job_id));
        }
        self.twilio.call(call, started_at)
    }

    pub(crate) fn ack(&mut self, tag: Tag, end: End) {
        if let Some(held) = self.broker.ack(tag)
            && !self.is_answered_for(&held, end)
        {
            let row = held.job.and_then(|job| self.ledger.rows.get(&job));
            let row = row.map(|row| (row.status, row.turn, row.not_before, row.due_at));
            self.broken.push(format!(
                "an envelope of {:?} (turn {}) was acknowledged as {end:?}, but nothing answers for it: {row:?}",
                held.job, held.turn.0
            ));
        }
    }

    fn is_searched(&self, job: Option<JobId>) -> bool {
        let search = job.and_then(|job| self.ledger.searches.get(&job));
        search.is_some_and(|search| search.next_at.is_some())
    }

    /// Whether something stands for this envelope: a final state, a wake-up that the broker has, a row that
    /// the waiting room releases on time, or a burial.
    fn is_answered_for(&self, held: &Held, end: End) -> bool {
        let row = held.job.and_then(|job| self.ledger.rows.get(&job));
        match (end, row) {
            (End::Buried(code), _) => self.broker.burials(&held.content).contains(&code),
            (End::Final(status), Some(row)) => row.status == status && status.is_final(),
            (End::NotOurs, Some(row)) => {
                row.status.is_final() || row.due_at.is_some() || self.is_searched(held.job)
            }
            (End::Waits(_), None) => self.broker.holds(held.job, None) || self.broker.is_in_hands(held.job),
            (End::Waits(code), Some(row)) => {
                let is_on_time = row.due_at.is_some() && row.due_at <= row.not_before;
                row.status.is_final()
                    || row.status == Status::Sending
                    || row.hold.is_some()
                    || self.is_searched(held.job)
                    || is_on_time
                    || self.broker.holds(held.job, Some(row.turn))
                    // It stands in the line, or was pulled out of it already.
                    || (code == ReasonCode::RateLimit && row.turn > held.turn && row.due_at.is_some())
                    || self.broker.is_in_hands(held.job)
            }
            (End::Final(_) | End::NotOurs, None) => false,
        }
    }
}

fn take_one(count: &mut u32) -> bool {
    let is_left = *count > 0;
    *count = count.saturating_sub(1);
    is_left
}

//! One job's life, top to bottom: decode → gate → limit → claim → call → decide → record → carry out.
//!
//! The function that reads like that is `Life::run`; the steps stand below it in the order in which it takes
//! them. An envelope is acknowledged by the caller when [`Life::live`] returns [`End`]; after an error it is
//! left alone, and the broker hands it out again.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::call::{Call, CallContent};
use facteur_core::decide::{Decision, History, decide};
use facteur_core::envelope::{EnvelopeContent, Undecodable, WakeUp, decode_for};
use facteur_core::gate::{self, Ready, Verdict};
use facteur_core::hold::Hold;
use facteur_core::ids::{JobId, Turn};
use facteur_core::job::JobDefaults;
use facteur_core::ladder::{self, Route};
use facteur_core::lane::Lane;
use facteur_core::ledger::{Attempt, Claim, ClaimRequest, JobRow, Record, Recorded};
use facteur_core::limits::CALL_START_DELAY_MAX;
use facteur_core::outcome::Outcome;
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::schedule::RetrySchedule;
use facteur_core::status::Status;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics;
use crate::ports::{PortError, Ports, Slot};
use crate::rows;

/// A claim is asked for this long before its slot, so that the call can start on time.
const CLAIM_LEAD: Duration = Duration::from_millis(40);

/// How long a job steps aside that is past its deadline by our clock, but not yet by the database's.
const PAST_DEADLINE_WAIT: Duration = Duration::from_secs(1);

/// Why a claimed job makes no call, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aside {
    /// Into the line of its sender.
    Line,
    /// Back to its queue, after so long.
    For(Duration),
    /// To the next worker: this one stops.
    Stopping,
    /// Back to its queue, to be judged again: quiet hours have begun.
    Quiet,
}

/// What a job's life takes from the configuration.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What jobs take where they are silent.
    pub defaults: JobDefaults,
    /// How long one unit of the delay ladder lasts (one second, shorter in tests).
    pub ladder_unit: Duration,
}

/// How a life ended, as far as this envelope goes: it may be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The job is in this final state.
    Final(Status),
    /// The job waits; a wake-up is confirmed or the waiting room has it.
    Waits(ReasonCode),
    /// Another envelope, worker or turn answers for the job.
    NotOurs,
    /// The envelope went to the dead-letter exchange.
    Buried(ReasonCode),
}

/// Everything that the lives of one lane share.
pub struct Life<P> {
    /// The world.
    pub ports: P,
    /// Time and chance.
    pub clock: Clock,
    /// From the configuration.
    pub settings: Settings,
    /// Cancelled when the worker stops: nothing new is claimed or called.
    pub stopping: CancellationToken,
}

impl<P: Ports> Life<P> {
    /// Lives one job's life, from its envelope in the queue of `lane` on, or from the line of its sender's rate, whose
    /// slot is then `reserved`. A job that the database can't store is buried.
    ///
    /// # Errors
    /// [`PortError::Closed`] when the worker stops in the middle: nothing may be acknowledged.
    pub async fn live(
        &self,
        lane: Lane,
        content: &EnvelopeContent,
        reserved: Option<Slot>,
    ) -> Result<End, PortError> {
        match self.run(lane, content, reserved).await {
            Err(PortError::Data(error)) => {
                self.bury(content, None, Reason::new(ReasonCode::InvalidField, error)).await
            }
            ended => ended,
        }
    }

    async fn run(
        &self,
        lane: Lane,
        content: &EnvelopeContent,
        reserved: Option<Slot>,
    ) -> Result<End, PortError> {
        let now = self.clock.now();
        let wake_up = match self.decode(content, now).await {
            Ok(wake_up) => wake_up,
            Err(undecodable) => return self.bury(content, undecodable.job_id, undecodable.reason).await,
        };
        let schedule = RetrySchedule::of(wake_up.lane);
        let deadline = gate::deadline(&wake_up.job, wake_up.enqueued_at, &schedule, now);
        let mut row = rows::job_row(content, &wake_up, deadline, now);
        if wake_up.lane != lane {
            return self.change_lane(content, row).await;
        }
        let verdict = self.gate(&wake_up, row.deadline, now).await?;
        if let Some(ready) = verdict.ready() {
            row.add_ready(ready);
        }
        let ready = match verdict {
            Verdict::Pass(ready) => ready,
            Verdict::Later(at, _) => return self.schedule(content, row, at, now).await,
            Verdict::Wait(at, reason, _) => return self.wait_until(content, row, (at, reason), now).await,
            Verdict::Hold(hold, _) => return self.join_line(content, row, hold).await,
            Verdict::Refuse(status, reason) => return self.refuse(content, row, status, reason).await,
        };
        let slot = match reserved {
            Some(slot) if !slot.is_late() => slot,
            _ => self.ports.slot(&ready.sender, ready.segments, false).await?,
        };
        if slot == Slot::Line {
            return self.join_line(content, row, Hold::Rate(ready.sender)).await;
        }
        let line = reserved.map(|_| Hold::Rate(ready.sender.clone()));
        if self.wait_for(slot, CLAIM_LEAD).await.is_err() {
            return self.hand_on(content, row, line).await;
        }
        // The wait may have been long. A trial of a half-open breaker lasts until its outcome is recorded.
        let _pass = match self.ports.pass(&ready.via, &ready.sender) {
            Ok(pass) => pass,
            Err(hold) => return self.join_line(content, row, hold).await,
        };
        let (asked_at, token) = (self.clock.awake_or_not(), self.clock.claim_token());
        let request =
            ClaimRequest { row: row.clone(), token, via: ready.via.clone(), is_budgeted: ready.is_budgeted };
        let attempt = match self.ports.claim(request).await? {
            Claim::Yours(attempt) => attempt,
            Claim::Held(hold) => return self.join_line(content, row, hold).await,
            other => return self.not_ours(content, &row, other).await,
        };
        if let Err(aside) = self.reach_slot(slot, &ready, asked_at, attempt.deadline).await? {
            let line = line.or((aside == Aside::Line).then_some(Hold::Rate(ready.sender)));
            return self.give_back(content, row, token, (aside, line)).await;
        }
        let via = ready.via.clone();
        let call = call(&wake_up, ready, &attempt, self.clock.now());
        let (started_at, started) = (self.clock.now(), Instant::now());
        let outcome = self.ports.call(&via, &call).await;
        let duration = started.elapsed();
        metrics::called(wake_up.lane, &outcome, duration, wake_up.enqueued_at, started_at);
        let history =
            History { failures: attempt.failures, parks: attempt.parks, deadline: attempt.deadline };
        let decision = decide(&schedule, history, &outcome, self.clock.now(), self.clock.draw());
        log(row.id, &attempt, &outcome, &decision);
        metrics::decided(wake_up.lane, &decision);
        let next = decision.into_next(self.settings.ladder_unit);
        let (number, next_too, account) = (attempt.number, next.clone(), via.account);
        let record =
            Record { id: row.id, token, number, account, started_at, duration, outcome, next: next_too };
        let recorded = self.record(record).await?;
        self.carry_out(content, &row, &next, recorded).await
    }

    async fn decode(&self, content: &EnvelopeContent, now: Timestamp) -> Result<WakeUp, Undecodable> {
        let countries = self.ports.countries().await;
        let defaults_of = |tenant: &str| match countries.get(tenant) {
            Some(&country) => JobDefaults { country },
            None => self.settings.defaults.clone(),
        };
        decode_for(content, defaults_of, now)
    }

    async fn gate(
        &self,
        wake_up: &WakeUp,
        deadline: Timestamp,
        now: Timestamp,
    ) -> Result<Verdict, PortError> {
        let facts = self.ports.facts(&wake_up.job, wake_up.turn).await?;
        // From its first turn on, the deadline in the row counts (a requeue moves it); the claim tests it.
        let deadline = if wake_up.turn == Turn::default() { deadline } else { Timestamp::MAX };
        Ok(gate::admit(&wake_up.job, facts, deadline, now))
    }

    async fn not_ours(
        &self,
        content: &EnvelopeContent,
        row: &JobRow,
        claim: Claim,
    ) -> Result<End, PortError> {
        match claim {
            Claim::Ended(status) => {
                tracing::info!(job = %row.id, %status, "ended at the claim");
                Ok(End::Final(status))
            }
            Claim::NotYet { turn, delay } => match ladder::route(delay, self.settings.ladder_unit) {
                Route::Ladder { .. } => {
                    self.wake_up_again(content, row, turn, delay).await?;
                    Ok(End::Waits(ReasonCode::Scheduled))
                }
                // The waiting room has it.
                Route::WaitingRoom => Ok(End::NotOurs),
            },
            Claim::Conflict => self.bury_conflict(content, row.id).await,
            Claim::Yours(_) | Claim::Held(_) | Claim::Final(_) | Claim::Stale | Claim::Busy => {
                Ok(End::NotOurs)
            }
        }
    }

    /// Waits until the slot's instant, with the claim in hand. A slot that came too late is thrown away, for
    /// using it now would let more leave in this second than the rate allows. The inner error says where the job
    /// goes if no call may start on this claim.
    async fn reach_slot(
        &self,
        mut slot: Slot,
        ready: &Ready,
        asked_at: Duration,
        deadline: Timestamp,
    ) -> Result<Result<(), Aside>, PortError> {
        let claim_age = || self.clock.awake_or_not().saturating_sub(asked_at);
        loop {
            if self.stopping.is_cancelled() {
                return Ok(Err(Aside::Stopping));
            }
            // The claim tested the deadline, but its answer may have come late. The next claim expires the job, by
            // the database's clock, which may be behind ours.
            if self.clock.now() >= deadline {
                return Ok(Err(Aside::For(PAST_DEADLINE_WAIT)));
            }
            // The gate may have judged it long ago, if the database was away.
            if ready.quiet_from.is_some_and(|at| self.clock.now() >= at) {
                return Ok(Err(Aside::Quiet));
            }
            let until = match slot {
                Slot::Now => Instant::now(),
                Slot::Line => return Ok(Err(Aside::Line)),
                Slot::At { .. } if slot.is_late() => {
                    slot = self.ports.slot(&ready.sender, ready.segments, true).await?;
                    continue;
                }
                Slot::At { at, .. } => at,
            };
            let wait = until.saturating_duration_since(Instant::now());
            if claim_age() + wait > CALL_START_DELAY_MAX {
                let is_limited = matches!(slot, Slot::At { .. });
                return Ok(Err(if is_limited { Aside::Line } else { Aside::For(wait) }));
            }
            if wait.is_zero() {
                return Ok(Ok(()));
            }
            sleep_until(until).await;
        }
    }

    async fn wait_for(&self, slot: Slot, lead: Duration) -> Result<(), PortError> {
        if let Slot::At { at, .. } = slot
            && let Some(until) = at.checked_sub(lead)
            && until > Instant::now()
        {
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.stopping.cancelled() => return Err(PortError::Closed),
            }
        }
        Ok(())
    }

    /// A known outcome is never given up: if its full row can't be written, a minimal one is.
    async fn record(&self, record: Record) -> Result<Recorded, PortError> {
        let minimal = minimal(&record);
        match self.ports.record(record).await {
            Err(PortError::Data(error)) => {
                tracing::error!(job = %minimal.id, error, "the full outcome could not be written");
                match self.ports.record(minimal).await {
                    // The lease answers for it: it becomes uncertain, not lost and not doubled.
                    Err(PortError::Data(_)) => Ok(Recorded::Late { is_double: false }),
                    answer => answer,
                }
            }
            answer => answer,
        }
    }
}

fn call(wake_up: &WakeUp, ready: Ready, attempt: &Attempt, now: Timestamp) -> Call {
    let content = match (ready.content, &attempt.text) {
        // What the first claim stored is what is sent, even if the template changed meanwhile.
        (CallContent::Message { media_urls, .. }, Some(text)) => {
            CallContent::Message { text: text.clone(), media_urls }
        }
        (content, _) => content,
    };
    Call {
        job_id: wake_up.job.id,
        attempt: attempt.number,
        to: wake_up.job.recipient.clone(),
        from: ready.sender,
        content,
        validity_period_s: wake_up.job.expires_at.map(|at| rows::validity_period_s(at, now)),
    }
}

/// Free text is what a database may refuse; id, attempt and SID are not.
fn minimal(record: &Record) -> Record {
    let mut minimal = record.clone();
    minimal.next.reason.sentence = "the full sentence could not be stored".to_owned();
    match &mut minimal.outcome {
        Outcome::Refused { message: text, .. }
        | Outcome::Unreachable { cause: text }
        | Outcome::Uncertain { cause: text, .. } => {
            text.clear();
        }
        Outcome::Accepted { .. } | Outcome::Throttled { .. } => {}
    }
    minimal
}

fn log(id: JobId, attempt: &Attempt, outcome: &Outcome, decision: &Decision) {
    let (outcome, decided, reason) = (outcome.name(), decision.name(), decision.reason());
    match decision {
        Decision::Finish { status: Status::Sent, .. } => {
            tracing::debug!(job = %id, attempt = %attempt.number, outcome, decided, "sent");
        }
        _ => tracing::info!(job = %id, attempt = %attempt.number, outcome, decided, %reason, "not sent"),
    }
}

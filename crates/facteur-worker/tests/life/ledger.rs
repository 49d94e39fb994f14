//! The ledger in memory: the rules of `facteur-postgres`, row by row, without SQL.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::envelope::{EnvelopeContent, HEADER_TURN, HeaderValue};
use facteur_core::hold::{Hold, Scope};
use facteur_core::ids::{AttemptNumber, ClaimToken, JobId, Turn};
use facteur_core::lane::Lane;
use facteur_core::ledger::{Attempt, Claim, ClaimRequest, JobRow, Record, Recorded, Settled, Settlement};
use facteur_core::limits::{CLAIM_LEASE, WAKE_UP_GRACE};
use facteur_core::outcome::Outcome;
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::reconcile::{FIRST_LOOK, Window};
use facteur_core::status::Status;

use crate::search::{Ended, Search};
/// The one pause that there is.
pub(crate) const PAUSE: Hold = Hold::Pause(Scope::Lane(Lane::Normal));

/// A job's row, with its message.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// As first written.
    pub(crate) job: JobRow,
    pub(crate) status: Status,
    /// None while it is being sent.
    pub(crate) reason: Option<ReasonCode>,
    pub(crate) turn: Turn,
    pub(crate) attempt: i32,
    pub(crate) failures: u32,
    pub(crate) parks: u32,
    pub(crate) not_before: Option<Timestamp>,
    pub(crate) due_at: Option<Timestamp>,
    /// The line in which it stands.
    pub(crate) hold: Option<Hold>,
    /// Since when it stands in the line of its sender; its place is kept when it comes out.
    line_since: Option<Timestamp>,
    token: Option<ClaimToken>,
    pub(crate) updated_at: Timestamp,
}

/// A dead letter that is open.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetter {
    pub(crate) reason: Reason,
    pub(crate) body: bytes::Bytes,
}

/// All tables.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) rows: BTreeMap<JobId, Row>,
    pub(crate) attempts: BTreeMap<(JobId, i32), Record>,
    pub(crate) dead_letters: BTreeMap<JobId, DeadLetter>,
    pub(crate) outbox: Vec<EnvelopeContent>,
    /// The latest search for evidence about each job.
    pub(crate) searches: BTreeMap<JobId, Search>,
    /// Searches that ended by a verdict.
    pub(crate) ended: Vec<Ended>,
    /// SIDs that were found, and when their attempts began.
    pub(crate) found: BTreeMap<String, Timestamp>,
    /// Tenant, recipient and sender (empty for all senders).
    suppressions: BTreeSet<(String, String, String)>,
    /// By which job's attempt a recipient opted out, and when that was recorded.
    pub(crate) opt_outs: Vec<(JobId, AttemptNumber, Timestamp)>,
    /// Whether the lane normal is paused.
    pub(crate) is_paused: bool,
    /// Every change of a row's status, the first one from `None`.
    pub(crate) moves: Vec<(JobId, Option<Status>, Status)>,
}

impl Ledger {
    pub(crate) fn claim(&mut self, request: &ClaimRequest, now: Timestamp) -> Claim {
        let id = request.row.id;
        let Some(row) = self.rows.get(&id) else { return self.claim_new(request, now) };
        if row.job.fingerprint != request.row.fingerprint {
            return Claim::Conflict;
        }
        let is_again = row.status == Status::Sending && row.token == Some(request.token);
        if !is_again {
            if row.status.is_final() {
                return Claim::Final(row.status);
            }
            if request.row.turn != row.turn {
                return Claim::Stale;
            }
            if matches!(row.status, Status::Sending | Status::Uncertain) {
                return Claim::Busy;
            }
            if row.job.deadline <= now {
                return self.end_at_claim(id, Status::Expired, ReasonCode::Expired, now);
            }
            if let Some(at) = row.not_before.filter(|at| *at > now) {
                return Claim::NotYet { turn: row.turn, delay: between(now, at) };
            }
            if self.is_suppressed(&row.job) {
                return self.end_at_claim(id, Status::Suppressed, ReasonCode::Suppressed, now);
            }
            if let Some(hold) = self.pause_of(&row.job) {
                return Claim::Held(hold);
            }
        }
        let Some(row) = self.move_to(id, Status::Sending, None, now) else {
            return Claim::Busy;
        };
        (row.not_before, row.hold) = (None, None);
        row.due_at = Some(later(now, CLAIM_LEASE));
        row.attempt += i32::from(!is_again);
        row.token = Some(request.token);
        Claim::Yours(Attempt {
            number: AttemptNumber(row.attempt),
            failures: row.failures,
            parks: row.parks,
            deadline: row.job.deadline,
            text: row.job.text.clone(),
        })
    }

    fn claim_new(&mut self, request: &ClaimRequest, now: Timestamp) -> Claim {
        let (status, reason) = if request.row.deadline <= now {
            (Status::Expired, Some(ReasonCode::Expired))
        } else if self.is_suppressed(&request.row) {
            (Status::Suppressed, Some(ReasonCode::Suppressed))
        } else if let Some(hold) = self.pause_of(&request.row) {
            return Claim::Held(hold);
        } else {
            (Status::Sending, None)
        };
        let row = self.insert(&request.row, status, reason, now);
        row.token = Some(request.token);
        if status != Status::Sending {
            return Claim::Ended(status);
        }
        row.attempt = 1;
        row.due_at = Some(later(now, CLAIM_LEASE));
        let deadline = row.job.deadline;
        Claim::Yours(Attempt { number: AttemptNumber(1), failures: 0, parks: 0, deadline, text: None })
    }

    fn end_at_claim(&mut self, id: JobId, status: Status, reason: ReasonCode, now: Timestamp) -> Claim {
        if let Some(row) = self.move_to(id, status, Some(reason), now) {
            (row.not_before, row.due_at, row.hold) = (None, None, None);
        }
        Claim::Ended(status)
    }

    pub(crate) fn release(
        &mut self,
        id: JobId,
        token: ClaimToken,
        reason: ReasonCode,
        wake_up_after: Duration,
        now: Timestamp,
    ) {
        if self.rows.get(&id).is_some_and(|row| row.token == Some(token) && row.status == Status::Sending)
            && let Some(row) = self.move_to(id, Status::Waiting, Some(reason), now)
        {
            row.attempt -= 1;
            (row.token, row.not_before) = (None, None);
            row.due_at = Some(later(now, wake_up_after));
        }
    }

    pub(crate) fn record(&mut self, record: &Record, now: Timestamp) -> Recorded {
        let (id, key) = (record.id, (record.id, record.number.0));
        let has_sid = |record: &Record| matches!(record.outcome, Outcome::Accepted { .. });
        let others =
            || self.attempts.range((id, i32::MIN)..=(id, i32::MAX)).filter(|(other, _)| **other != key);
        let is_double = has_sid(record) && others().any(|(_, other)| has_sid(other));
        let Some(row) = self.rows.get(&id) else { return Recorded::Late { is_double: false } };
        let is_mine = row.token == Some(record.token);
        let is_unanswered = !self.attempts.contains_key(&key)
            && matches!(
                row.reason,
                Some(ReasonCode::Uncertain | ReasonCode::NotTaken | ReasonCode::ResentByPolicy)
            );
        let given_up = is_unanswered
            && match row.status {
                Status::Uncertain => true,
                Status::Dead => record.next.status != Status::Uncertain,
                Status::Retrying => has_sid(record),
                _ => false,
            };
        let moves = is_mine && row.attempt == record.number.0 && (row.status == Status::Sending || given_up);
        let turn = row.turn;
        self.attempts.entry(key).or_insert_with(|| record.clone());
        let turn = if moves { self.apply(record, now) } else { turn };
        if is_mine { Recorded::Done { turn, is_double } } else { Recorded::Late { is_double } }
    }

    fn apply(&mut self, record: &Record, now: Timestamp) -> Turn {
        let (id, next) = (record.id, &record.next);
        let was = self.rows.get(&id).map(|row| row.status);
        let Some(row) = self.move_to(id, next.status, Some(next.reason.code), now) else {
            return Turn::default();
        };
        (row.not_before, row.due_at) = (None, None);
        if let Some(wait) = next.wait {
            row.turn = Turn(row.turn.0 + 1);
            row.not_before = Some(later(now, wait.delay));
            let grace = if wait.in_ladder { WAKE_UP_GRACE } else { Duration::ZERO };
            row.due_at = Some(later(now, wait.delay + grace));
        }
        let is_counted = next.wait.is_some_and(|wait| wait.is_counted);
        row.failures += u32::from(is_counted);
        row.parks = if next.wait.is_none() || is_counted { 0 } else { row.parks + 1 };
        let (turn, job) = (row.turn, row.job.clone());
        if next.status == Status::Uncertain {
            let window =
                Window { started_at: record.started_at, ended_at: later(record.started_at, record.duration) };
            self.open_search(id, record.number.0, window, FIRST_LOOK, now);
        } else if was != Some(Status::Sending) {
            self.close_search(id, "overtaken");
        }
        if next.status == Status::Dead {
            self.bury(&job, next.reason.clone());
        } else {
            self.dead_letters.remove(&id);
        }
        if next.suppress {
            self.opt_outs.push((id, record.number, now));
            self.suppressions
                .insert(suppression(&job, job.sender.as_ref().map_or("", |sender| sender.as_str())));
        }
        turn
    }

    pub(crate) fn settle(&mut self, settlement: &Settlement, now: Timestamp) -> Settled {
        let (job, next) = (&settlement.row, &settlement.next);
        let delay = next.wait.map(|wait| wait.delay);
        let row = match self.rows.get(&job.id) {
            None => self.insert(job, next.status, Some(next.reason.code), now),
            Some(row) if row.job.fingerprint != job.fingerprint => return Settled::Conflict,
            Some(row)
                if row.turn == job.turn
                    && matches!(row.status, Status::Scheduled | Status::Waiting | Status::Retrying) =>
            {
                let Some(row) = self.move_to(job.id, next.status, Some(next.reason.code), now) else {
                    return Settled::Superseded;
                };
                row
            }
            Some(_) => return Settled::Superseded,
        };
        row.due_at = None;
        if next.hold.is_some() {
            row.turn = Turn(row.turn.0 + 1);
            (row.not_before, row.due_at) = (None, Some(row.job.deadline));
            row.line_since = row.line_since.or(Some(now));
        } else if let Some(delay) = delay {
            row.turn = Turn(row.turn.0 + 1);
            let at = later(now, delay);
            row.not_before = Some(row.not_before.map_or(at, |earlier| earlier.max(at)));
            row.due_at = row.not_before;
        }
        row.hold.clone_from(&next.hold);
        let turn = row.turn;
        if next.status == Status::Dead {
            self.bury(job, next.reason.clone());
        }
        Settled::Done(turn)
    }

    /// Answers for every row that is due, as the sweep does.
    pub(crate) fn sweep(&mut self, now: Timestamp) {
        let is_due = |row: &Row| row.due_at.is_some_and(|at| at <= now);
        let due: Vec<JobId> = self.rows.iter().filter(|(_, row)| is_due(row)).map(|(id, _)| *id).collect();
        for id in due {
            let row = &self.rows[&id];
            let job = row.job.clone();
            match row.status {
                Status::Sending => {
                    let window = Window { started_at: row.updated_at, ended_at: row.due_at.unwrap_or(now) };
                    let attempt = row.attempt;
                    self.end_in_sweep(id, Status::Uncertain, Some(ReasonCode::Uncertain), now);
                    self.open_search(id, attempt, window, Duration::ZERO, now);
                }
                Status::Scheduled | Status::Waiting | Status::Retrying if job.deadline <= now => {
                    self.end_in_sweep(id, Status::Expired, Some(ReasonCode::Expired), now);
                }
                Status::Scheduled | Status::Waiting | Status::Retrying => {
                    let waited = between(row.not_before.unwrap_or(row.updated_at), now);
                    self.outbox.push(wake_up(&job, row.turn));
                    if let Some(row) = self.rows.get_mut(&id) {
                        row.due_at = Some(later(now, WAKE_UP_GRACE.max(waited * 2)));
                    }
                }
                _ => self.end_in_sweep(id, row.status, row.reason, now),
            }
        }
    }

    /// What is paused of a job.
    pub(crate) fn pause_of(&self, job: &JobRow) -> Option<Hold> {
        (self.is_paused && job.lane == Lane::Normal).then_some(PAUSE)
    }

    /// Lets everybody out of the line of a pause that has ended, as the duty does. Whether there was somebody.
    pub(crate) fn release_line(&mut self, now: Timestamp) -> bool {
        let waits = |row: &Row| row.hold == Some(PAUSE) && row.status == Status::Waiting;
        let line: Vec<JobId> = self.rows.iter().filter(|(_, row)| waits(row)).map(|(id, _)| *id).collect();
        for id in &line {
            if let Some(row) = self.move_to(*id, Status::Waiting, Some(ReasonCode::Resumed), now) {
                (row.hold, row.due_at) = (None, Some(later(now, WAKE_UP_GRACE)));
                let wake_up = wake_up(&row.job, row.turn);
                self.outbox.push(wake_up);
            }
        }
        !line.is_empty()
    }

    fn end_in_sweep(&mut self, id: JobId, status: Status, reason: Option<ReasonCode>, now: Timestamp) {
        if let Some(row) = self.move_to(id, status, reason, now) {
            (row.due_at, row.hold) = (None, None);
        }
    }

    /// Who stands in the line first, and what it costs. Whose deadline has passed is left to the sweep.
    pub(crate) fn first_in_line(&self) -> Option<(JobId, u32)> {
        let waiting = self.rows.iter().filter(|(_, row)| matches!(row.hold, Some(Hold::Rate(_))));
        waiting.min_by_key(|(_, row)| row.line_since).map(|(id, row)| (*id, row.job.segments))
    }

    /// Takes a job out of the line.
    pub(crate) fn pull(&mut self, id: JobId, now: Timestamp) -> Option<EnvelopeContent> {
        let row = self.rows.get_mut(&id)?;
        row.hold = None;
        row.due_at = Some(later(now, WAKE_UP_GRACE));
        Some(wake_up(&row.job, row.turn))
    }

    /// When the sweep has something to do.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.rows.values().filter_map(|row| row.due_at).min()
    }

    fn insert(
        &mut self,
        job: &JobRow,
        status: Status,
        reason: Option<ReasonCode>,
        now: Timestamp,
    ) -> &mut Row {
        self.moves.push((job.id, None, status));
        self.rows.entry(job.id).or_insert_with(|| Row {
            job: job.clone(),
            status,
            reason,
            turn: job.turn,
            attempt: 0,
            failures: 0,
            parks: 0,
            not_before: None,
            due_at: None,
            hold: None,
            line_since: None,
            token: None,
            updated_at: now,
        })
    }

    pub(crate) fn move_to(
        &mut self,
        id: JobId,
        status: Status,
        reason: Option<ReasonCode>,
        now: Timestamp,
    ) -> Option<&mut Row> {
        let row = self.rows.get_mut(&id)?;
        if row.status != status {
            self.moves.push((id, Some(row.status), status));
        }
        (row.status, row.reason, row.updated_at) = (status, reason, now);
        Some(row)
    }

    pub(crate) fn bury(&mut self, job: &JobRow, reason: Reason) {
        self.dead_letters.entry(job.id).or_insert(DeadLetter { reason, body: job.document.clone() });
    }

    fn is_suppressed(&self, job: &JobRow) -> bool {
        let sender = job.sender.as_ref().map(|sender| sender.as_str());
        self.suppressions.contains(&suppression(job, ""))
            || sender.is_some_and(|sender| self.suppressions.contains(&suppression(job, sender)))
    }
}

fn suppression(job: &JobRow, sender: &str) -> (String, String, String) {
    (job.tenant.as_str().to_owned(), job.recipient.number.reveal().to_owned(), sender.to_owned())
}

fn wake_up(job: &JobRow, turn: Turn) -> EnvelopeContent {
    let mut headers = job.headers.clone();
    headers.insert(HEADER_TURN.to_owned(), HeaderValue::Int(i64::from(turn.0)));
    EnvelopeContent {
        body: job.document.clone(),
        routing_key: job.lane.routing_key().to_owned(),
        message_id: Some(job.id.to_string()),
        content_type: Some("application/json".to_owned()),
        kind: Some("facteur.job.v1".to_owned()),
        headers,
        ..EnvelopeContent::default()
    }
}

fn later(now: Timestamp, delay: Duration) -> Timestamp {
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

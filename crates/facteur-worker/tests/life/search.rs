//! The search for evidence, on the world in memory. The judgement is the product's own; what a look sees and what an
//! end writes follow `facteur-postgres` and the reconciler.

use std::collections::BTreeMap;
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::call::CallContent;
use facteur_core::decide::{Decision, History};
use facteur_core::ids::{JobId, MessageSid};
use facteur_core::job::Recipient;
use facteur_core::reconcile::{
    CREATED_AFTER_MAX, CREATED_BEFORE_MAX, Evidence, GRACE_MIN, Judgement, ListedMessage, Policy, Sifted,
    Verdict, Window, decision, judge, look_again_after, sift,
};
use facteur_core::schedule::RetrySchedule;
use facteur_core::status::{Status, TwilioStatus};

use crate::ledger::Ledger;
use crate::run::LADDER_UNIT;
use crate::twilio::{Seen, sid};
use crate::world::World;

/// How it is with callbacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callbacks {
    /// None can be received.
    Impossible,
    /// None arrives.
    Lost,
    /// They arrive.
    Arrive,
}

/// What evidence there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// Messages that are younger don't stand in the list.
    pub(crate) list_lag: Duration,
    pub(crate) is_list_down: bool,
    pub(crate) callbacks: Callbacks,
    pub(crate) policy: Policy,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            list_lag: Duration::ZERO,
            is_list_down: false,
            callbacks: Callbacks::Impossible,
            policy: Policy::Hold,
        }
    }
}

/// A row of `reconciliations`.
#[derive(Debug, Clone)]
pub(crate) struct Search {
    attempt: i32,
    window: Window,
    since: Timestamp,
    searched: Duration,
    looks: u32,
    was_clear: bool,
    looked_at: Timestamp,
    is_later_listed: bool,
    /// `None` once it is over.
    pub(crate) next_at: Option<Timestamp>,
    verdict: Option<&'static str>,
}

/// A search that is over, and where its job went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) job: JobId,
    pub(crate) attempt: i32,
    pub(crate) verdict: &'static str,
    pub(crate) status: Status,
}

impl Ledger {
    pub(crate) fn open_search(
        &mut self,
        id: JobId,
        attempt: i32,
        window: Window,
        first: Duration,
        now: Timestamp,
    ) {
        let search = Search {
            attempt,
            window,
            since: now,
            searched: Duration::ZERO,
            looks: 0,
            was_clear: false,
            looked_at: now,
            is_later_listed: false,
            next_at: now.checked_add(first).ok(),
            verdict: None,
        };
        self.searches.insert(id, search);
    }

    pub(crate) fn close_search(&mut self, id: JobId, verdict: &'static str) {
        if let Some(search) = self.searches.get_mut(&id) {
            (search.next_at, search.verdict) = (None, Some(verdict));
        }
    }

    /// When somebody looks next.
    pub(crate) fn next_look(&self) -> Option<Timestamp> {
        self.searches.values().filter_map(|search| search.next_at).min()
    }

    fn end_search(&mut self, id: JobId, decision: Decision, verdict: &'static str, now: Timestamp) {
        let next = decision.into_next(LADDER_UNIT);
        let attempt = self.searches[&id].attempt;
        self.ended.push(Ended { job: id, attempt, verdict, status: next.status });
        self.close_search(id, verdict);
        let Some(row) = self.move_to(id, next.status, Some(next.reason.code), now) else { return };
        row.parks = 0;
        if let Some(wait) = next.wait {
            row.turn.0 += 1;
            row.failures += u32::from(wait.is_counted);
            row.not_before = now.checked_add(wait.delay).ok();
            row.due_at = row.not_before;
        }
        let job = row.job.clone();
        if next.status == Status::Dead {
            self.bury(&job, next.reason);
        }
    }

    /// Whether another attempt can't be told from this one, and nobody knows what became of it.
    fn has_twin(&self, id: JobId) -> bool {
        let (own, search) = (&self.rows[&id].job, &self.searches[&id]);
        let apart = CREATED_BEFORE_MAX + CREATED_AFTER_MAX;
        let is_before = |from: Timestamp, to: Timestamp| to.checked_add(apart).is_ok_and(|to| from <= to);
        self.rows.iter().any(|(other, row)| {
            let is_same = *other != id && row.job.recipient == own.recipient && row.job.text == own.text;
            let is_searched = self.searches.get(other).is_some_and(|other| {
                (other.next_at.is_some() || other.verdict == Some("held"))
                    && is_before(other.window.started_at, search.window.ended_at)
                    && is_before(search.window.started_at, other.window.ended_at)
            });
            let is_sending =
                row.status == Status::Sending && is_before(row.updated_at, search.window.ended_at);
            is_same && (is_searched || is_sending)
        })
    }
}

impl World {
    /// Makes the looks that are due.
    pub(crate) fn search(&mut self) {
        let now = self.clock.now();
        let is_due = |search: &Search| search.next_at.is_some_and(|at| at <= now);
        let due: Vec<JobId> =
            self.ledger.searches.iter().filter(|(_, search)| is_due(search)).map(|(id, _)| *id).collect();
        for id in due {
            self.look(id, now);
        }
    }

    fn look(&mut self, id: JobId, now: Timestamp) {
        let (search, row) = (self.ledger.searches[&id].clone(), self.ledger.rows[&id].clone());
        if row.status != Status::Uncertain || row.attempt != search.attempt {
            return self.ledger.close_search(id, "overtaken");
        }
        let history = History { failures: row.failures, parks: row.parks, deadline: row.job.deadline };
        let evidence = self.evidence(id, &search, now);
        let is_clear = self.is_clear(&evidence);
        let judgement = match self.called_back(id, search.attempt) {
            Some(message) => {
                Judgement { verdict: Verdict::Found(message), finding: "a callback came".to_owned() }
            }
            None => judge(&evidence),
        };
        if let Verdict::Found(message) = &judgement.verdict {
            self.ledger.found.insert(message.sid.as_str().to_owned(), search.window.started_at);
        }
        let schedule = RetrySchedule::of(row.job.lane);
        match decision(&judgement, search.looks + 1, &schedule, history, now, self.clock.draw()) {
            Some(decision) => self.ledger.end_search(id, decision, judgement.verdict.name(), now),
            None => {
                let Some(search) = self.ledger.searches.get_mut(&id) else { return };
                search.looks += 1;
                (search.searched, search.was_clear, search.looked_at) = (evidence.searched, is_clear, now);
                search.is_later_listed |= evidence.is_later_listed;
                search.next_at = now.checked_add(look_again_after(search.looks, GRACE_MIN)).ok();
            }
        }
    }

    fn evidence(&self, id: JobId, search: &Search, now: Timestamp) -> Evidence {
        let job = &self.ledger.rows[&id].job;
        let sids = self.sids();
        let listed = (!self.surroundings.is_list_down).then(|| self.listed(now));
        let latest = listed.iter().flatten().filter_map(|message| sids.get(message.sid.as_str())).max();
        let list = listed
            .as_deref()
            .map(|listed| sifted(listed, search, &job.recipient, job.text.as_deref(), &sids));
        let calls = || self.twilio.seen.iter().filter(|seen| seen.is_taken());
        let arrive = self.surroundings.callbacks == Callbacks::Arrive;
        let mut evidence = Evidence {
            has_twin: self.ledger.has_twin(id),
            can_receive_callbacks: self.surroundings.callbacks != Callbacks::Impossible,
            is_later_listed: search.is_later_listed || latest.is_some_and(|at| *at > search.window.ended_at),
            is_later_called_back: arrive && calls().any(|seen| seen.at > search.window.ended_at),
            list,
            searched: search.searched,
            age: between(search.since, now),
            grace: GRACE_MIN,
            policy: self.surroundings.policy,
            is_expired: now >= job.deadline,
        };
        if search.was_clear && self.is_clear(&evidence) {
            evidence.searched += between(search.looked_at, now);
        }
        evidence
    }

    fn is_clear(&self, evidence: &Evidence) -> bool {
        evidence.list.is_some() && self.surroundings.callbacks != Callbacks::Lost
    }

    /// What Twilio lists, with its resolution of one second.
    fn listed(&self, now: Timestamp) -> Vec<ListedMessage> {
        let taken = self.twilio.seen.iter().enumerate().filter(|(_, seen)| seen.is_taken());
        let is_shown = |seen: &Seen| between(seen.at, now) >= self.surroundings.list_lag;
        taken.filter(|(_, seen)| is_shown(seen)).map(|(number, seen)| listed(number, seen)).collect()
    }

    /// SIDs that belong to an attempt, and when that began.
    fn sids(&self) -> BTreeMap<String, Timestamp> {
        let recorded = self.ledger.attempts.values().filter_map(|record| match &record.outcome {
            facteur_core::outcome::Outcome::Accepted { sid, .. } => {
                Some((sid.as_str().to_owned(), record.started_at))
            }
            _ => None,
        });
        recorded.chain(self.ledger.found.clone()).collect()
    }

    /// A callback that names the attempt.
    fn called_back(&self, id: JobId, attempt: i32) -> Option<ListedMessage> {
        let mut seen = self.twilio.seen.iter().enumerate();
        let (number, seen) =
            seen.find(|(_, seen)| seen.job == id && seen.attempt == attempt && seen.is_taken())?;
        (self.surroundings.callbacks == Callbacks::Arrive).then(|| listed(number, seen))
    }
}

fn sifted(
    listed: &[ListedMessage],
    search: &Search,
    recipient: &Recipient,
    text: Option<&str>,
    sids: &BTreeMap<String, Timestamp>,
) -> Sifted {
    sift(listed, search.window, recipient, text, |sid: &MessageSid| sids.contains_key(sid.as_str()))
}

fn listed(number: usize, seen: &Seen) -> ListedMessage {
    let body = match &seen.call.content {
        CallContent::Message { text, .. } => text.clone(),
        CallContent::Template { .. } => String::new(),
    };
    ListedMessage {
        sid: sid(number),
        to: seen.call.to.twilio_address(),
        body,
        is_outbound: true,
        created_at: Timestamp::from_second(seen.at.as_second()).unwrap(),
        twilio_status: TwilioStatus::Queued,
        code: None,
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

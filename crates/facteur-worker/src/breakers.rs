//! The breakers as this worker sees them: asked before every call, told after every call, and kept in step with the
//! rows that all workers share by `probe.rs`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use facteur_core::breaker::{self, Change, Fault, Guard, Sign, State, signs};
use facteur_core::hold::{Fuse, Hold};
use facteur_core::outcome::Outcome;
use facteur_core::sender::Sender;
use tokio::sync::Notify;

use crate::clock::Clock;

/// The breakers of a worker; clones share them.
#[derive(Clone)]
pub struct Breakers {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    guards: Mutex<Guards>,
    /// Rung when a change waits to be told to the others, or a trial went well.
    changed: Notify,
}

#[derive(Default)]
struct Guards {
    integrations: HashMap<String, Guard>,
    /// Those that are not closed.
    senders: HashMap<Sender, Guard>,
    /// What the others have not been told yet, the latest of each.
    untold: BTreeMap<Fuse, Change>,
}

/// The right to make one call, given back when it is dropped: after the call, or instead of it.
pub struct Pass {
    breakers: Breakers,
    /// For which half-open breakers it is a trial.
    trials: Vec<(Fuse, breaker::Pass)>,
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.trials.is_empty() {
            return;
        }
        let mut guards = self.breakers.guards();
        for (fuse, pass) in self.trials.drain(..) {
            if let Some(guard) = guards.get(&fuse) {
                guard.is_over(pass);
            }
        }
    }
}

impl Breakers {
    /// All closed.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            inner: Arc::new(Inner { clock, guards: Mutex::new(Guards::default()), changed: Notify::new() }),
        }
    }

    /// What keeps a job of this account and sender back now.
    #[must_use]
    pub fn hold_for(&self, account: &str, sender: &Sender) -> Option<Hold> {
        self.guards().hold_for(account, sender)
    }

    /// Whether calls that this breaker protects are in doubt: it is open, or half open.
    #[must_use]
    pub fn is_open(&self, fuse: &Fuse) -> bool {
        self.guards().get(fuse).is_some_and(|guard| guard.state() != State::Closed)
    }

    /// The right to make a call, or what the job has to wait for.
    ///
    /// # Errors
    /// The line in which the job waits.
    pub fn pass(&self, account: &str, sender: &Sender) -> Result<Pass, Hold> {
        let mut guards = self.guards();
        if let Some(hold) = guards.hold_for(account, sender) {
            return Err(hold);
        }
        if !guards.is_any_half_open(account, sender) {
            return Ok(Pass { breakers: self.clone(), trials: Vec::new() });
        }
        let fuses = [Fuse::Integration(account.to_owned()), Fuse::Sender(sender.clone())];
        let take = |fuse: Fuse| match guards.get(&fuse)?.pass()? {
            breaker::Pass::Free => None,
            trial @ breaker::Pass::Trial { .. } => Some((fuse, trial)),
        };
        let trials = fuses.into_iter().filter_map(take).collect();
        drop(guards);
        Ok(Pass { breakers: self.clone(), trials })
    }

    /// The instant of now, for [`Breakers::told`].
    #[must_use]
    pub fn now(&self) -> Duration {
        self.inner.clock.awake_or_not()
    }

    /// Hears what a call told that started at `started`. Whether fewer calls should be made at once.
    pub fn told(&self, account: &str, sender: &Sender, started: Duration, outcome: &Outcome) -> bool {
        let signs = signs(outcome);
        let now = self.now();
        let mut guards = self.guards();
        let is_trial = signs.integration == Sign::Alive && guards.is_any_half_open(account, sender);
        guards.told_integration(account, signs.integration, started, now);
        guards.told_sender(sender, signs.sender, started, now);
        let is_news = is_trial || !guards.untold.is_empty();
        drop(guards);
        if is_news {
            self.inner.changed.notify_one();
        }
        signs.is_crowded
    }

    /// Hears that no call can be made over an account, without one having been tried.
    pub fn refused(&self, account: &str, fault: Fault) {
        let now = self.now();
        let mut guards = self.guards();
        if guards.integrations.get(account).is_none_or(Guard::lets_through) {
            guards.told_integration(account, Sign::Fault(fault), now, now);
        }
        let is_news = !guards.untold.is_empty();
        drop(guards);
        if is_news {
            self.inner.changed.notify_one();
        }
    }

    /// Takes what the others must be told.
    #[must_use]
    pub fn untold(&self) -> BTreeMap<Fuse, Change> {
        std::mem::take(&mut self.guards().untold)
    }

    /// Puts back what could not be told, unless there is something newer.
    pub fn keep_untold(&self, fuse: Fuse, change: Change) {
        self.guards().untold.entry(fuse).or_insert(change);
    }

    /// Follows the rows: `rows` are all that are not closed. What this worker has still to tell comes first.
    pub fn follow(&self, rows: &BTreeMap<Fuse, State>) {
        let now = self.now();
        let mut guards = self.guards();
        let Guards { integrations, senders, untold } = &mut *guards;
        let is_closed = |fuse: &Fuse| !rows.contains_key(fuse) && !untold.contains_key(fuse);
        for (account, guard) in integrations.iter_mut() {
            if is_closed(&Fuse::Integration(account.clone())) {
                guard.follow(State::Closed, now);
            }
        }
        senders.retain(|sender, _| !is_closed(&Fuse::Sender(sender.clone())));
        for (fuse, state) in rows {
            guards.follow(fuse, *state, now);
        }
    }

    /// Follows one row.
    pub fn follow_one(&self, fuse: &Fuse, state: State) {
        let now = self.now();
        self.guards().follow(fuse, state, now);
    }

    /// How many trials may be under way at a time here; 0 unless it is half open.
    #[must_use]
    pub fn trials_max(&self, fuse: &Fuse) -> u32 {
        self.guards().get(fuse).map_or(0, |guard| guard.trials_max())
    }

    /// Waits until there is something to tell, or a trial went well.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    fn guards(&self) -> MutexGuard<'_, Guards> {
        // What another thread left is valid: a guard moves in one step.
        self.inner.guards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guards {
    fn get(&mut self, fuse: &Fuse) -> Option<&mut Guard> {
        match fuse {
            Fuse::Integration(account) => self.integrations.get_mut(account),
            Fuse::Sender(sender) => self.senders.get_mut(sender),
        }
    }

    fn hold_for(&self, account: &str, sender: &Sender) -> Option<Hold> {
        let is_shut = |guard: Option<&Guard>| guard.is_some_and(|guard| !guard.lets_through());
        if is_shut(self.integrations.get(account)) {
            return Some(Hold::Breaker(Fuse::Integration(account.to_owned())));
        }
        is_shut(self.senders.get(sender)).then(|| Hold::Breaker(Fuse::Sender(sender.clone())))
    }

    fn is_any_half_open(&self, account: &str, sender: &Sender) -> bool {
        let guards = [self.integrations.get(account), self.senders.get(sender)];
        guards.into_iter().flatten().any(|guard| guard.state() == State::HalfOpen)
    }

    fn told_integration(&mut self, account: &str, sign: Sign, started: Duration, now: Duration) {
        if !self.integrations.contains_key(account) {
            let guard = Guard::closed(&Fuse::Integration(account.to_owned()), Duration::ZERO);
            self.integrations.insert(account.to_owned(), guard);
        }
        let change = self.integrations.get_mut(account).and_then(|guard| guard.told(sign, started, now));
        if let Some(change) = change {
            self.untold.insert(Fuse::Integration(account.to_owned()), change);
        }
    }

    fn told_sender(&mut self, sender: &Sender, sign: Sign, started: Duration, now: Duration) {
        if !matches!(sign, Sign::Fault(_)) && !self.senders.contains_key(sender) {
            return;
        }
        let fuse = Fuse::Sender(sender.clone());
        if let Some(change) = self.get_or_closed(&fuse).told(sign, started, now) {
            self.untold.insert(fuse, change);
        }
    }

    fn follow(&mut self, fuse: &Fuse, state: State, now: Duration) {
        if !self.untold.contains_key(fuse) {
            self.get_or_closed(fuse).follow(state, now);
        }
    }

    fn get_or_closed(&mut self, fuse: &Fuse) -> &mut Guard {
        let closed = || Guard::closed(fuse, Duration::ZERO);
        match fuse {
            Fuse::Integration(account) => self.integrations.entry(account.clone()).or_insert_with(closed),
            Fuse::Sender(sender) => self.senders.entry(sender.clone()).or_insert_with(closed),
        }
    }
}

#[cfg(test)]
#[path = "breakers_tests.rs"]
mod tests;

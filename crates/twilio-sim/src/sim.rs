//! The simulator's state: what all requests share.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio_util::sync::CancellationToken;

use crate::arrivals::Arrivals;
use crate::callbacks::Callbacks;
use crate::clock::Clock;
use crate::config::{Account, SimConfig};
use crate::dedup::Copies;
use crate::injector::Injector;
use crate::senders::Senders;
use crate::stats::{Counters, Stats};
use crate::store::Store;
use crate::webhook::Webhooks;

/// Most numbers that can be opted out.
const OPT_OUTS_MAX: usize = 1_000_000;

/// Everything.
#[derive(Debug)]
pub(crate) struct Simulator {
    pub(crate) config: SimConfig,
    /// Where it listens.
    pub(crate) url: String,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) senders: Senders,
    pub(crate) arrivals: Arrivals,
    pub(crate) texts: Copies,
    pub(crate) message_ids: Copies,
    pub(crate) injector: Injector,
    pub(crate) counters: Counters,
    pub(crate) callbacks: Callbacks,
    pub(crate) webhooks: Webhooks,
    pub(crate) stop: CancellationToken,
    accounts: HashMap<String, Tenant>,
    opt_outs: RwLock<HashSet<String>>,
}

/// An account and the requests that it has open.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) account: Account,
    pub(crate) sid: Arc<str>,
    pub(crate) auth_token: Arc<str>,
    in_flight: AtomicUsize,
}

/// A request that counts as open until this is dropped.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    open: &'a AtomicUsize,
    /// How many there were, this one included, when it arrived.
    pub(crate) concurrent: usize,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Simulator {
    pub(crate) fn new(config: SimConfig, url: String) -> Self {
        let clock = Clock::start();
        let tenant = |account: &Account| Tenant {
            sid: account.sid.as_str().into(),
            auth_token: account.auth_token.as_str().into(),
            account: account.clone(),
            in_flight: AtomicUsize::new(0),
        };
        Self {
            store: Store::new(config.messages_kept_max),
            senders: Senders::new(&config),
            arrivals: Arrivals::new(config.arrivals_kept_max),
            texts: Copies::new(config.dedup_keys_max),
            message_ids: Copies::new(config.dedup_keys_max),
            injector: Injector::new(config.seed, config.faults.clone(), clock.now()),
            counters: Counters::default(),
            callbacks: Callbacks::new(config.callbacks.concurrency),
            webhooks: Webhooks::new(config.callbacks),
            stop: CancellationToken::new(),
            accounts: config.accounts.iter().map(|a| (a.sid.clone(), tenant(a))).collect(),
            opt_outs: RwLock::default(),
            clock,
            config,
            url,
        }
    }

    /// The account with this SID; `None`: the one that is configured first, unless it is for tests.
    pub(crate) fn tenant(&self, sid: Option<&str>) -> Option<&Tenant> {
        let sid = sid.or_else(|| self.config.accounts.iter().find(|a| !a.test).map(|a| a.sid.as_str()))?;
        self.accounts.get(sid)
    }

    /// The account that an `Authorization` header opens, if it is the one in the path.
    pub(crate) fn log_in(&self, sid: &str, authorization: Option<&str>) -> Option<&Tenant> {
        let tenant = self.accounts.get(sid)?;
        let encoded = authorization?.strip_prefix("Basic ")?;
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok()?;
        let (user, password) = decoded.split_once(':')?;
        let account = &tenant.account;
        let is_token = user == account.sid && password == account.auth_token;
        let is_key = || account.api_keys.get(user).is_some_and(|secret| secret == password);
        (is_token || is_key()).then_some(tenant)
    }

    /// Counts a request of `tenant` as open.
    pub(crate) fn enter<'a>(&self, tenant: &'a Tenant) -> InFlight<'a> {
        let concurrent = tenant.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.counters.concurrent_max.fetch_max(concurrent, Ordering::Relaxed);
        InFlight { open: &tenant.in_flight, concurrent }
    }

    pub(crate) fn is_opted_out(&self, number: &str) -> bool {
        self.opt_outs.read().unwrap_or_else(PoisonError::into_inner).contains(number)
    }

    /// Opts a number out; `false` if there is no room for more.
    pub(crate) fn opt_out(&self, number: String) -> bool {
        let mut opt_outs = self.opt_outs.write().unwrap_or_else(PoisonError::into_inner);
        let has_room = opt_outs.len() < OPT_OUTS_MAX;
        if has_room {
            opt_outs.insert(number);
        }
        has_room
    }

    pub(crate) fn opt_in(&self, number: &str) {
        self.opt_outs.write().unwrap_or_else(PoisonError::into_inner).remove(number);
    }

    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.counters.stats();
        stats.duplicates_by_recipient_and_text = self.texts.extra();
        stats.duplicates_by_message_id = self.message_ids.extra();
        stats.duplicates_incomplete = self.texts.is_saturated() || self.message_ids.is_saturated();
        stats.window_max_per_sender = self.senders.window_max();
        stats.callbacks.pending = self.callbacks.pending();
        stats
    }

    /// Back to the start: no messages, counters at zero, the configured faults.
    pub(crate) fn reset(&self) {
        self.callbacks.forget();
        self.store.clear();
        self.senders.clear();
        self.arrivals.clear();
        self.texts.clear();
        self.message_ids.clear();
        self.opt_outs.write().unwrap_or_else(PoisonError::into_inner).clear();
        self.injector.restore(self.clock.now());
        self.counters.clear();
    }
}

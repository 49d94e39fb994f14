//! Applies the active fault plan: counts requests, draws from the seeded dice, ends bounded plans.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::Deserialize;
use serde::de::{IntoDeserializer, value::Error as NameError};

use crate::clock::Moment;
use crate::dice::dice;
use crate::faults::{CallbackFaults, CallbackRule, DELAY_MAX, FaultPlan, RequestFault, Rule, Scope};

/// A plan in force, with its own counters: "every n-th" counts from the plan's start.
#[derive(Debug)]
struct Active {
    plan: FaultPlan,
    since: Moment,
    requests: AtomicU64,
    creates: AtomicU64,
    callbacks: AtomicU64,
    messages: AtomicU64,
}

impl Active {
    fn new(plan: FaultPlan, since: Moment) -> Arc<Self> {
        let zero = AtomicU64::default;
        Arc::new(Self { plan, since, requests: zero(), creates: zero(), callbacks: zero(), messages: zero() })
    }

    fn is_over(&self, now: Moment) -> bool {
        let spent = |max: u64| self.requests.load(Ordering::Relaxed) >= max;
        self.plan.for_ms.is_some_and(|ms| now.since(self.since) >= Duration::from_millis(ms))
            || self.plan.for_requests.is_some_and(spent)
    }
}

/// What one request must suffer.
#[derive(Debug, Clone)]
pub(crate) struct Ordeal {
    pub(crate) fault: Option<RequestFault>,
    pub(crate) latency: Duration,
    /// How long the connection is held, beyond the latency, before it is cut.
    pub(crate) silence: Duration,
    pub(crate) retry_after_s: Option<u32>,
    /// Faults of the callbacks of this request's message, if the request itself named them.
    pub(crate) callbacks: Option<CallbackFaults>,
}

/// What one callback must suffer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallbackOrdeal {
    pub(crate) missing: bool,
    pub(crate) late_by: Option<Duration>,
    pub(crate) again_after: Option<Duration>,
}

/// The fault plan in force.
#[derive(Debug)]
pub(crate) struct Injector {
    seed: u64,
    configured: FaultPlan,
    active: RwLock<Arc<Active>>,
}

impl Injector {
    pub(crate) fn new(seed: u64, configured: FaultPlan, now: Moment) -> Self {
        let active = RwLock::new(Active::new(configured.clone(), now));
        Self { seed, configured, active }
    }

    /// Puts `plan` in force from now on.
    pub(crate) fn replace(&self, plan: FaultPlan, now: Moment) {
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Active::new(plan, now);
    }

    /// Puts the configured plan in force again, its counters at zero.
    pub(crate) fn restore(&self, now: Moment) {
        self.replace(self.configured.clone(), now);
    }

    /// The plan in force.
    pub(crate) fn plan(&self, now: Moment) -> FaultPlan {
        self.current(now).plan.clone()
    }

    /// How far lists lag behind.
    pub(crate) fn list_lag(&self, now: Moment) -> Duration {
        Duration::from_millis(self.current(now).plan.list_lag_ms)
    }

    fn current(&self, now: Moment) -> Arc<Active> {
        let active = Arc::clone(&self.active.read().unwrap_or_else(PoisonError::into_inner));
        if !active.is_over(now) {
            return active;
        }
        let mut slot = self.active.write().unwrap_or_else(PoisonError::into_inner);
        // Only the plan that was seen to be over may be ended: another request may have been faster. A
        // configured plan that is bounded itself ends in good health.
        if Arc::ptr_eq(&slot, &active) {
            let bounded = self.configured.for_ms.is_some() || self.configured.for_requests.is_some();
            let next = if bounded { FaultPlan::default() } else { self.configured.clone() };
            *slot = Active::new(next, now);
        }
        Arc::clone(&slot)
    }

    /// The plan that the next request falls under, and the request's number in it.
    fn count_request(&self, now: Moment) -> (Arc<Active>, u64) {
        loop {
            let active = self.current(now);
            let n = active.requests.fetch_add(1, Ordering::Relaxed) + 1;
            // Requests at the same time may all find room for one more; only the first gets it.
            if active.plan.for_requests.is_none_or(|max| n <= max) {
                return (active, n);
            }
        }
    }

    /// What the next request must suffer. `named` is its `X-Sim-Fault` header; an unknown name is the error.
    pub(crate) fn draw(&self, now: Moment, creates: bool, named: Option<&str>) -> Result<Ordeal, String> {
        let (active, n_all) = self.count_request(now);
        let n_create = if creates { active.creates.fetch_add(1, Ordering::Relaxed) + 1 } else { 0 };
        let latency = active
            .plan
            .latency
            .map_or(Duration::ZERO, |latency| latency.sample(&mut dice(self.seed, "latency", n_all)));
        let mut ordeal =
            Ordeal { fault: None, latency, silence: Duration::ZERO, retry_after_s: None, callbacks: None };
        if let Some(name) = named {
            return named_ordeal(ordeal, name);
        }
        let hit = active.plan.rules.iter().zip(0_u64..).find(|(rule, index)| {
            let n = match rule.on {
                Scope::Create => n_create,
                Scope::All => n_all,
            };
            n > 0 && n % rule.every == 0 && {
                let key = n.wrapping_mul(64).wrapping_add(*index);
                rule.probability.hits(&mut dice(self.seed, "rule", key))
            }
        });
        if let Some((rule, _)) = hit {
            suffer(&mut ordeal, rule);
        }
        Ok(ordeal)
    }

    /// Whether the callbacks of the next message come out of order.
    pub(crate) fn draw_out_of_order(&self, now: Moment, named: Option<&CallbackFaults>, key: u64) -> bool {
        let active = self.current(now);
        let n = active.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let faults = named.unwrap_or(&active.plan.callbacks);
        self.strikes(faults.out_of_order.as_ref(), "out_of_order", n, key)
    }

    /// What the next callback must suffer. `key` tells this callback from all others.
    pub(crate) fn draw_callback(
        &self,
        now: Moment,
        named: Option<&CallbackFaults>,
        key: u64,
    ) -> CallbackOrdeal {
        let active = self.current(now);
        let n = active.callbacks.fetch_add(1, Ordering::Relaxed) + 1;
        let faults = named.unwrap_or(&active.plan.callbacks);
        let delay = |rule: &Option<CallbackRule>, name| {
            let rule = rule.as_ref().filter(|_| self.strikes(rule.as_ref(), name, n, key))?;
            Some(rule.delay.sample(&mut dice(self.seed, "delay", key)))
        };
        CallbackOrdeal {
            missing: self.strikes(faults.missing.as_ref(), "missing", n, key),
            late_by: delay(&faults.late, "late"),
            again_after: delay(&faults.duplicated, "duplicated"),
        }
    }

    fn strikes(&self, rule: Option<&CallbackRule>, name: &str, n: u64, key: u64) -> bool {
        let every = |every: NonZeroU64| n.is_multiple_of(every.get());
        rule.is_some_and(|rule| every(rule.every) && rule.probability.hits(&mut dice(self.seed, name, key)))
    }
}

fn suffer(ordeal: &mut Ordeal, rule: &Rule) {
    ordeal.fault = Some(rule.fault);
    if matches!(rule.fault, RequestFault::Hang | RequestFault::HangAfter) {
        ordeal.silence = Duration::from_millis(rule.hang_ms).min(DELAY_MAX);
    }
    ordeal.retry_after_s = rule.retry_after_s;
}

/// `X-Sim-Fault`: a fault of requests or callbacks by its name, `latency_ms=250`, or `none`.
fn named_ordeal(mut ordeal: Ordeal, name: &str) -> Result<Ordeal, String> {
    let by_name: Result<RequestFault, NameError> = RequestFault::deserialize(name.into_deserializer());
    if let Ok(fault) = by_name {
        suffer(&mut ordeal, &Rule::always(fault));
    } else if let Some(faults) = CallbackFaults::by_name(name) {
        ordeal.callbacks = Some(faults);
    } else if let Some(ms) = name.strip_prefix("latency_ms=").and_then(|ms| ms.parse().ok()) {
        ordeal.latency = Duration::from_millis(ms).min(DELAY_MAX);
    } else if name != "none" {
        return Err(name.chars().take(64).collect());
    }
    Ok(ordeal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn a_plan_for_so_many_requests_strikes_exactly_so_many_also_from_many_threads() {
        let now = Clock::start().now();
        let injector = Injector::new(0, FaultPlan::default(), now);
        let rules = vec![Rule::always(RequestFault::ThrottleStorm)];
        injector.replace(FaultPlan { rules, for_requests: Some(500), ..FaultPlan::default() }, now);
        let struck = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if injector.draw(now, true, None).unwrap().fault.is_some() {
                            struck.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(struck.into_inner(), 500);
    }
}

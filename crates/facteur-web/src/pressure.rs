//! Back-pressure: what may be accepted now. What is more is told to come again, before any work is done for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use facteur_core::gcra::Rate;
use facteur_postgres::accept::REQUEST_MESSAGES_MAX;
use facteur_postgres::{Database, Outbox};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::error::ApiError;

/// Most messages that are being accepted at once.
const MESSAGES_MAX: usize = 8 * REQUEST_MESSAGES_MAX;
/// Tenants whose use is remembered; beyond that, those that owe nothing are forgotten.
const TENANTS_MAX: usize = 10_000;
/// How often the outbox is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A tenant may be ahead of its rate by this much.
const BURST: Duration = Duration::from_secs(1);

const OVERLOADED: ApiError =
    ApiError::busy("overloaded", "too many messages are being accepted at this moment: come again", 1);
const OUTBOX_FULL: ApiError = ApiError::busy(
    "outbox_full",
    "more messages wait to be handed to the broker than may: the broker or the workers are away",
    10,
);

/// What the web process accepts at most.
#[derive(Debug, Clone, Copy)]
pub struct AcceptLimits {
    /// Messages a second of each tenant, over this process; `None` is no limit.
    pub tenant_rate: Option<Rate>,
    /// Messages that may wait to be handed to the broker.
    pub outbox_rows_max: i64,
}

/// What holds requests back.
pub(crate) struct Pressure {
    limits: AcceptLimits,
    under_way: Arc<Semaphore>,
    is_outbox_full: AtomicBool,
    /// When each tenant will have paid for what it sent.
    paid_at: Mutex<HashMap<String, Instant>>,
}

impl Pressure {
    pub(crate) fn new(limits: AcceptLimits) -> Self {
        Self {
            limits,
            under_way: Arc::new(Semaphore::new(MESSAGES_MAX)),
            is_outbox_full: AtomicBool::new(false),
            paid_at: Mutex::default(),
        }
    }

    /// Room for so many messages of a tenant, until it is dropped.
    ///
    /// # Errors
    /// If there is none now, with the time after which there may be.
    pub(crate) fn enter(&self, tenant: &str, messages: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        if self.is_outbox_full.load(Ordering::Relaxed) {
            return Err(OUTBOX_FULL);
        }
        let count = u32::try_from(messages).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.under_way).try_acquire_many_owned(count).map_err(|_| OVERLOADED)?;
        self.pay(tenant, count, Instant::now())?;
        Ok(room)
    }

    /// Who is not more than a second ahead may send, however many at once, and then waits until they are paid for.
    fn pay(&self, tenant: &str, messages: u32, now: Instant) -> Result<(), ApiError> {
        let Some(rate) = self.limits.tenant_rate else { return Ok(()) };
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let ahead = paid_at.get(tenant).copied().unwrap_or(now).saturating_duration_since(now);
        if ahead > BURST {
            return Err(too_fast(ahead.saturating_sub(BURST)));
        }
        if paid_at.len() >= TENANTS_MAX {
            paid_at.retain(|_, at| *at > now);
        }
        let price = Duration::from_secs_f64(f64::from(messages) / rate.as_per_second());
        paid_at.insert(tenant.to_owned(), now + ahead + price);
        Ok(())
    }

    /// Looks at the outbox for ever.
    pub(crate) async fn watch_outbox(&self, database: Database) {
        let outbox = Outbox::new(database);
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            // While the database is away nothing is accepted anyway.
            let Ok(is_full) = outbox.has_at_least(self.limits.outbox_rows_max).await else { continue };
            if self.is_outbox_full.swap(is_full, Ordering::Relaxed) != is_full {
                let most = self.limits.outbox_rows_max;
                if is_full {
                    tracing::warn!(
                        most,
                        "the outbox is full: messages are refused until workers have carried it"
                    );
                } else {
                    tracing::info!("the outbox has room again: messages are accepted");
                }
            }
        }
    }
}

fn too_fast(wait: Duration) -> ApiError {
    let seconds = u16::try_from(wait.as_secs().saturating_add(1)).unwrap_or(u16::MAX);
    let sentence = "the tenant sends faster than it may: come again";
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", sentence);
    ApiError { retry_after_s: Some(seconds), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_that_is_ahead_waits_until_it_has_paid_and_no_other_does() {
        let limits = AcceptLimits { tenant_rate: Some(Rate::per_second(10.0).unwrap()), outbox_rows_max: 1 };
        let pressure = Pressure::new(limits);
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        assert!(pressure.pay("a", 100, at(0)).is_ok(), "a large request is taken as a whole");
        let refused = pressure.pay("a", 1, at(0)).unwrap_err();
        assert_eq!((refused.code, refused.retry_after_s), ("rate_limited", Some(10)));
        assert!(pressure.pay("b", 1, at(0)).is_ok());
        assert!(pressure.pay("a", 1, at(8_900)).is_err());
        assert!(pressure.pay("a", 1, at(9_000)).is_ok());
    }

    #[tokio::test]
    async fn what_is_under_way_is_bounded() {
        let pressure = Pressure::new(AcceptLimits { tenant_rate: None, outbox_rows_max: 1 });
        let all = pressure.enter("a", MESSAGES_MAX).unwrap();
        assert_eq!(pressure.enter("a", 1).unwrap_err().code, "overloaded");
        drop(all);
        assert!(pressure.enter("a", 1).is_ok());
    }
}

//! `Prefer: wait=N`: a request that waits until its messages are handed to Twilio or never will be. One question to the
//! database serves all that wait, so that a thousand waiting requests cost no more than one; a notification by the
//! database would cost every message a trigger, and its connection would have to be watched.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use facteur_postgres::accept::REQUEST_MESSAGES_MAX;
use facteur_postgres::{Database, listing};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::shares::Shares;

/// How often the database is asked.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Longest wait, in seconds.
const WAIT_S_MAX: u64 = 30;
/// Messages that are waited for at once; who comes later is not kept waiting.
const MESSAGES_MAX: usize = 4_000;
/// Of each tenant: one whole request of many.
const MESSAGES_EACH_MAX: usize = REQUEST_MESSAGES_MAX;
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Those who wait, by the message.
pub(crate) struct Waiters {
    /// `None` once the process stops: nobody is kept waiting then.
    waiting: Mutex<Option<Waiting>>,
    shares: Arc<Shares>,
    came: Notify,
}

type Waiting = HashMap<Uuid, Vec<oneshot::Sender<()>>>;

impl Default for Waiters {
    fn default() -> Self {
        let shares = Shares::new(MESSAGES_MAX, MESSAGES_EACH_MAX);
        Self { waiting: Mutex::new(Some(Waiting::new())), shares, came: Notify::new() }
    }
}

/// How long a request wants to wait: at most 30 s; `None` if it doesn't say so.
pub(crate) fn preferred(headers: &HeaderMap) -> Option<Duration> {
    let wishes = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
    let seconds = wishes.flat_map(|value| value.split([',', ';'])).find_map(|wish| {
        let (name, value) = wish.split_once('=')?;
        name.trim().eq_ignore_ascii_case("wait").then(|| value.trim().parse::<u64>().ok()).flatten()
    })?;
    (seconds > 0).then(|| Duration::from_secs(seconds.min(WAIT_S_MAX)))
}

impl Waiters {
    /// Waits until the work for all of these messages of a tenant is over, but not beyond `until`; returns whether it is.
    pub(crate) async fn wait(&self, tenant: &str, ids: &[Uuid], until: Instant) -> bool {
        let Some(_share) = self.shares.take_many(Some(tenant), ids.len()) else { return false };
        let Some(told) = self.register(ids) else { return false };
        self.came.notify_one();
        for one in told {
            if !matches!(timeout_at(until, one).await, Ok(Ok(()))) {
                return false;
            }
        }
        true
    }

    fn register(&self, ids: &[Uuid]) -> Option<Vec<oneshot::Receiver<()>>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waiting.as_mut()?;
        let mut register = |id: &Uuid| {
            let (tell, told) = oneshot::channel();
            waiting.entry(*id).or_default().push(tell);
            told
        };
        Some(ids.iter().map(&mut register).collect())
    }

    /// Asks for all of them until `stop` is cancelled; then nobody waits any longer.
    pub(crate) async fn serve(&self, database: Database, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.ask_for_ever(&database)).await;
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    async fn ask_for_ever(&self, database: &Database) {
        let mut is_away = false;
        loop {
            let ids = self.still_waited_for();
            if ids.is_empty() {
                self.came.notified().await;
                continue;
            }
            match listing::ended(database, &ids).await {
                Ok(ended) => {
                    self.tell(&ended);
                    is_away = false;
                }
                Err(failure) if !is_away => {
                    tracing::warn!("outcomes that are waited for can't be asked for now: {failure}");
                    is_away = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn still_waited_for(&self) -> Vec<Uuid> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = waiting.as_mut() else { return Vec::new() };
        waiting.retain(|_, waiters| {
            waiters.retain(|waiter| !waiter.is_closed());
            !waiters.is_empty()
        });
        waiting.keys().copied().collect()
    }

    fn tell(&self, ended: &[Uuid]) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(waiting) = waiting.as_mut() else { return };
        for waiter in ended.iter().filter_map(|id| waiting.remove(id)).flatten() {
            // Whoever went away needs no answer.
            let _ = waiter.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_whose_share_waits_keeps_no_other_from_waiting() {
        let waiters = Waiters::default();
        let until = Instant::now() + Duration::from_secs(30);
        let ids: Vec<Uuid> = (0..MESSAGES_EACH_MAX).map(|_| Uuid::new_v4()).collect();
        let one = [Uuid::new_v4()];
        let mut greedy = Box::pin(waiters.wait("a", &ids, until));
        assert!(poll!(&mut greedy).is_pending(), "a whole request may wait");
        assert!(poll!(pin!(waiters.wait("a", &one, until))).is_ready(), "its share is taken");
        let mut other = pin!(waiters.wait("b", &one, until));
        assert!(poll!(&mut other).is_pending(), "another tenant waits all the same");
        waiters.tell(&one);
        assert!(other.await, "and is told");
        drop(greedy);
        assert!(
            poll!(pin!(waiters.wait("a", &one, until))).is_pending(),
            "who went away gave its share back"
        );
    }

    #[test]
    fn a_wait_is_read_among_other_preferences_and_bounded() {
        let read = |value: &str| {
            let headers = [(PREFER, value.parse().unwrap())].into_iter().collect();
            preferred(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(read("wait=5"), Some(5));
        assert_eq!(read("respond-async, Wait = 7"), Some(7));
        assert_eq!(read("wait=100000"), Some(30));
        for none in ["wait=0", "wait=-1", "wait=x", "wait", "return=minimal"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}

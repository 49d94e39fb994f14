//! How many calls this worker makes at once. What [`Concurrency`] takes away from a lane, the governor takes from the
//! lane's permits and keeps, so that the lane's loop knows nothing of it.
//!
//! Permits are everybody's, while Twilio counts the calls of each account: an account that makes less than half of the
//! calls is not held back by them, but by the pauses of its own jobs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use facteur_core::concurrency::Concurrency;
use facteur_core::lane::Lane;
use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::metrics;

/// How often the limit may grow.
const GROWTH_INTERVAL: Duration = Duration::from_secs(1);

/// The governor; clones share it.
#[derive(Clone)]
pub(crate) struct Governor {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Clock,
    concurrency: Mutex<Concurrency>,
    in_flight: AtomicU32,
    /// Of each account, by its SID.
    in_flight_of: Mutex<HashMap<String, Arc<AtomicU32>>>,
    moved: watch::Sender<()>,
}

/// A call that is under way.
pub(crate) struct Calling<'a> {
    all: &'a AtomicU32,
    of_account: Arc<AtomicU32>,
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(1, Ordering::Relaxed);
        self.of_account.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Governor {
    /// Over lanes with these permits, in the order of [`Lane::ALL`].
    pub(crate) fn new(permits: [u32; 3], clock: Clock) -> Self {
        let concurrency = Mutex::new(Concurrency::new(permits, clock.awake_or_not()));
        let (in_flight, in_flight_of) = (AtomicU32::new(0), Mutex::default());
        let moved = watch::Sender::new(());
        let governor = Self { inner: Arc::new(Inner { clock, concurrency, in_flight, in_flight_of, moved }) };
        governor.measure();
        governor
    }

    /// Counts a call over an account for as long as the answer is kept.
    pub(crate) fn calling(&self, account: &str) -> Calling<'_> {
        let of_account = self.in_flight_of(account);
        let all = &self.inner.in_flight;
        all.fetch_add(1, Ordering::Relaxed);
        of_account.fetch_add(1, Ordering::Relaxed);
        Calling { all, of_account }
    }

    fn in_flight_of(&self, account: &str) -> Arc<AtomicU32> {
        // What another thread left is valid: counters are only added.
        let mut counters = self.inner.in_flight_of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = counters.get(account) {
            return Arc::clone(known);
        }
        Arc::clone(counters.entry(account.to_owned()).or_default())
    }

    /// Twilio said that these were too many calls at once over the account of this one.
    pub(crate) fn throttled(&self, calling: &Calling<'_>) {
        let in_flight = self.inner.in_flight.load(Ordering::Relaxed);
        if calling.of_account.load(Ordering::Relaxed) * 2 < in_flight {
            return;
        }
        let now = self.inner.clock.awake_or_not();
        if self.concurrency().throttled(in_flight, now) {
            tracing::warn!(
                in_flight,
                "Twilio says that these are too many calls at once: fewer are made, and one more each second"
            );
            self.measure();
            self.inner.moved.send_replace(());
        }
    }

    /// Keeps the lanes within their limits until `stopping` is cancelled.
    pub(crate) async fn run(self, lanes: Vec<(Lane, Arc<Semaphore>)>, stopping: CancellationToken) {
        let keepers = lanes.into_iter().map(|(lane, permits)| self.keep_back(lane, permits));
        let all = async { tokio::join!(join_all(keepers), self.grow()) };
        stopping.run_until_cancelled(all).await;
    }

    async fn grow(&self) {
        let mut ticks = interval(GROWTH_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = self.inner.clock.awake_or_not();
            if self.concurrency().grow(now) {
                self.measure();
                self.inner.moved.send_replace(());
            }
        }
    }

    /// Takes permits as they come free, and gives them back when the limit grows.
    async fn keep_back(&self, lane: Lane, permits: Arc<Semaphore>) {
        let mut moved = self.inner.moved.subscribe();
        let mut kept: Vec<OwnedSemaphorePermit> = Vec::new();
        loop {
            let target = {
                let concurrency = self.concurrency();
                usize::try_from(concurrency.permits_of(lane) - concurrency.limit_of(lane)).unwrap_or_default()
            };
            kept.truncate(target);
            // The sending side is in `self`, so the channel stays open.
            tokio::select! {
                biased;
                _ = moved.changed() => {}
                Ok(permit) = Arc::clone(&permits).acquire_owned(), if kept.len() < target => kept.push(permit),
            }
        }
    }

    fn measure(&self) {
        let concurrency = self.concurrency();
        for lane in Lane::ALL {
            metrics::concurrency_limit(lane, concurrency.limit_of(lane));
        }
    }

    fn concurrency(&self) -> MutexGuard<'_, Concurrency> {
        // What another thread left is valid: each move is one step.
        self.inner.concurrency.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use facteur_core::Timestamp;

    #[tokio::test(start_paused = true)]
    async fn permits_are_kept_back_as_they_come_free_and_given_back_one_a_second() {
        let clock = Clock::virtual_from(Timestamp::UNIX_EPOCH, 0);
        let governor = Governor::new([4, 8, 8], clock);
        let lanes: Vec<(Lane, Arc<Semaphore>)> = Lane::ALL
            .into_iter()
            .zip([4, 8, 8])
            .map(|(lane, n)| (lane, Arc::new(Semaphore::new(n))))
            .collect();
        let [urgent, normal, bulk] = [0, 1, 2].map(|place: usize| Arc::clone(&lanes[place].1));
        let busy = Arc::clone(&bulk).acquire_many_owned(8).await.unwrap();
        let stopping = CancellationToken::new();
        let running = tokio::spawn(governor.clone().run(lanes, stopping.clone()));
        let calls: Vec<Calling<'_>> = (0..20).map(|_| governor.calling("AC1")).collect();
        governor.throttled(&governor.calling("AC2"));
        tokio::task::yield_now().await;
        assert_eq!(
            normal.available_permits(),
            8,
            "an account that makes few calls takes none from the others"
        );
        governor.throttled(&calls[0]);
        tokio::task::yield_now().await;
        assert_eq!((urgent.available_permits(), normal.available_permits()), (4, 5));
        drop(busy);
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        while bulk.available_permits() > 1 {
            tokio::task::yield_now().await;
        }
        drop(calls);
        tokio::time::advance(Duration::from_secs(1)).await;
        while normal.available_permits() < 6 {
            tokio::task::yield_now().await;
        }
        assert_eq!(bulk.available_permits(), 1, "normal grows back before bulk");
        stopping.cancel();
        running.await.unwrap();
        assert_eq!(bulk.available_permits(), 8, "a stopping worker keeps nothing back");
    }
}

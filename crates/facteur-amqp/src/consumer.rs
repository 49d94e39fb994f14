//! The consumer: envelopes one by one for as long as the process lives, and the supervisor behind it that
//! builds everything anew after any error.

use facteur_core::envelope::EnvelopeContent;
use lapin::types::ShortString;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::backoff_policy::{BackoffPolicy, STEADY_AFTER};
use crate::config::AmqpConfig;
use crate::connect::{self, ConnectError};
use crate::consume_session::{self, DRAIN_MAX, Verdict};
use crate::health::{ConsumerHealth, ConsumerHealthHandle};
use crate::publisher::OpenError;
use crate::topology::{self, Names};
use crate::watchdog::WatchdogTiming;

/// Envelopes between supervisor and receiver; the others wait with the supervisor.
const HANDED_OVER_MAX: usize = 16;

/// One delivery.
pub struct Envelope {
    /// What it says.
    pub content: EnvelopeContent,
    /// Settles it.
    pub acker: EnvelopeAcker,
}

/// Acknowledges one envelope. Dropped without that, the envelope stays with the broker, which hands it out
/// again once the channel ends: losing an acker loses nothing.
pub struct EnvelopeAcker {
    tag: u64,
    verdicts: Option<mpsc::UnboundedSender<Verdict>>,
}

impl EnvelopeAcker {
    pub(crate) fn new(tag: u64, verdicts: mpsc::UnboundedSender<Verdict>) -> Self {
        Self { tag, verdicts: Some(verdicts) }
    }

    /// Acknowledges: at once for the caller, within milliseconds for the broker. If the channel that delivered
    /// it is gone, nothing happens: the broker hands the envelope out again.
    pub fn ack(mut self) {
        if let Some(verdicts) = self.verdicts.take() {
            // The session may have ended this very moment; then the envelope comes again.
            let _ = verdicts.send(Verdict::Acknowledged(self.tag));
        }
    }

    /// Whether the channel that delivered it still stands.
    fn is_current(&self) -> bool {
        self.verdicts.as_ref().is_some_and(|verdicts| !verdicts.is_closed())
    }
}

impl Drop for EnvelopeAcker {
    fn drop(&mut self) {
        if let Some(verdicts) = self.verdicts.take() {
            let _ = verdicts.send(Verdict::Abandoned);
        }
    }
}

/// Consumes one queue over a connection of its own.
pub struct Consumer {
    envelopes: mpsc::Receiver<Envelope>,
    health: ConsumerHealthHandle,
    stopping: CancellationToken,
    supervisor: JoinHandle<()>,
    /// A consumer that is forgotten must not go on fetching.
    _stop_on_drop: DropGuard,
}

impl Consumer {
    /// Starts the supervisor on the current tokio runtime. It declares the topology, consumes `queue` and does
    /// both again, after a jittered wait, whenever anything breaks, without end.
    ///
    /// The broker leaves at most `prefetch` (at least 1) envelopes unacknowledged with us; fewer while they are large
    /// ([`facteur_core::limits::ENVELOPES_IN_HAND_BYTES`]), and for a moment more when that changes. Cancelling
    /// `shutdown` begins what [`Self::stop`] does.
    #[must_use]
    pub fn start(config: AmqpConfig, queue: String, prefetch: u16, shutdown: CancellationToken) -> Self {
        Self::start_watched(config, queue, prefetch, shutdown, WatchdogTiming::default())
    }

    /// As [`Self::start`], with a watchdog of another timing.
    #[must_use]
    pub fn start_watched(
        config: AmqpConfig,
        queue: String,
        prefetch: u16,
        shutdown: CancellationToken,
        timing: WatchdogTiming,
    ) -> Self {
        let (sender, envelopes) = mpsc::channel(HANDED_OVER_MAX);
        let (health, view) = watch::channel(ConsumerHealth::default());
        let stopping = shutdown.child_token();
        let supervisor = Supervisor {
            names: Names::new(&config.prefix),
            config,
            queue,
            prefetch: prefetch.max(1),
            timing,
            envelopes: sender,
            health,
            stopping: stopping.clone(),
        };
        Self {
            envelopes,
            health: ConsumerHealthHandle::new(view),
            _stop_on_drop: stopping.clone().drop_guard(),
            stopping,
            supervisor: tokio::spawn(supervisor.run()),
        }
    }

    /// The next envelope, however long it takes; `None` once the consumer is stopping. Cancel safe.
    pub async fn next(&mut self) -> Option<Envelope> {
        loop {
            let envelope = tokio::select! {
                biased;
                () = self.stopping.cancelled() => None,
                envelope = self.envelopes.recv() => envelope,
            };
            match envelope {
                // Of an older channel: the broker hands it out again, so it would only be worked on twice.
                Some(envelope) if !envelope.acker.is_current() => {}
                Some(envelope) => return Some(envelope),
                None => {
                    self.give_back();
                    return None;
                }
            }
        }
    }

    /// How it is doing now.
    #[must_use]
    pub fn health(&self) -> ConsumerHealth {
        self.health.get()
    }

    /// A view of its health for others, also after the consumer moved into a task.
    #[must_use]
    pub fn health_handle(&self) -> ConsumerHealthHandle {
        self.health.clone()
    }

    /// Stops in good order: cancels the subscription, keeps the channel open until every envelope that was
    /// handed out is acknowledged or dropped (for at most 35 s), then closes. Never rejects anything: what is
    /// not acknowledged then is delivered to somebody else (and, rarely, one that was acknowledged last).
    pub async fn stop(mut self) {
        self.stopping.cancel();
        self.give_back();
        if timeout(DRAIN_MAX * 2, &mut self.supervisor).await.is_err() {
            self.supervisor.abort();
        }
    }

    /// What nobody has taken is not waited for.
    fn give_back(&mut self) {
        self.envelopes.close();
        while self.envelopes.try_recv().is_ok() {}
    }
}

struct Supervisor {
    config: AmqpConfig,
    names: Names,
    queue: String,
    prefetch: u16,
    timing: WatchdogTiming,
    envelopes: mpsc::Sender<Envelope>,
    health: watch::Sender<ConsumerHealth>,
    stopping: CancellationToken,
}

impl Supervisor {
    async fn run(self) {
        let mut backoff = BackoffPolicy::new();
        let mut is_peer_silent = false;
        loop {
            let began = Instant::now();
            let opened = tokio::select! {
                () = self.stopping.cancelled() => return,
                opened = self.open(is_peer_silent) => opened,
            };
            is_peer_silent = matches!(opened, Err(OpenError::Connect(ConnectError::Timeout { .. })));
            match opened {
                Ok(connection) => {
                    let ended = self.consume(&connection).await;
                    let last_delivery = self.health.borrow().last_delivery;
                    self.health.send_replace(ConsumerHealth { last_delivery, ..ConsumerHealth::default() });
                    match ended {
                        Ok(()) => return connect::close(connection).await,
                        Err(reason) => tracing::warn!(queue = self.queue, %reason, "consumer starts anew"),
                    }
                }
                Err(reason) => tracing::warn!(queue = self.queue, %reason, "consumer can't connect"),
            }
            if began.elapsed() >= STEADY_AFTER {
                backoff.reset();
            }
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = sleep(backoff.next_wait()) => {}
            }
        }
    }

    async fn open(&self, is_peer_silent: bool) -> Result<lapin::Connection, OpenError> {
        if is_peer_silent {
            connect::greeting(&self.config).await?;
        }
        let connection = connect::open(&self.config, &format!("consumer {}", self.queue)).await?;
        topology::declare(&connection, &self.names, self.config.delay_unit).await?;
        Ok(connection)
    }

    async fn consume(&self, connection: &lapin::Connection) -> Result<(), consume_session::SessionError> {
        let setup = consume_session::Setup {
            connection,
            queue: ShortString::try_new(self.queue.as_str()).unwrap_or_default(),
            prefetch: self.prefetch,
            timing: self.timing,
            health: &self.health,
        };
        consume_session::run(setup, &self.envelopes, &self.stopping).await
    }
}

#[cfg(test)]
#[path = "consumer_tests.rs"]
mod tests;

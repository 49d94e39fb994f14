//! The publisher: a handle that answers once the broker has confirmed, and the supervisor behind it that
//! keeps a connection up for ever.

use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff_policy::{BackoffPolicy, STEADY_AFTER};
use crate::config::AmqpConfig;
use crate::connect::{self, ConnectError};
use crate::health::{PublisherHealth, PublisherHealthHandle};
use crate::publication::Publication;
use crate::publish_session::{self, Command};
use crate::topology::{self, Names};

/// Longest wait of one call for a connection and the broker's confirmation together.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(10);
/// Publications that wait for a channel; more than that wait in their callers.
const QUEUED_MAX: usize = 1_024;

/// Why a publication is not known to stand in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No queue is bound for this exchange and key. Another publication with the same message id, exchange
    /// and key that was in flight at the same time gets this answer too.
    #[error("no queue takes this exchange and routing key")]
    Unroutable,
    /// The broker refused it, for want of room: wait, then publish again.
    #[error("the broker refused the message")]
    Refused,
    /// No connection, or no answer: it may stand in a queue or not. Publish again with the same message id.
    #[error("no confirmation from the broker")]
    Unavailable,
    /// The publisher was shut down.
    #[error("the publisher is closed")]
    Closed,
}

/// Publishes with confirmations. A clone shares connection and channels.
#[derive(Debug, Clone)]
pub struct Publisher {
    commands: mpsc::Sender<Command>,
    health: PublisherHealthHandle,
    stopped: CancellationToken,
}

impl Publisher {
    /// Starts the supervisor on the current tokio runtime; it connects by itself, and again after any error.
    ///
    /// Once `shutdown` is cancelled, what was handed over is still published (for at most 5 s), then the
    /// connection is closed.
    #[must_use]
    pub fn start(config: AmqpConfig, shutdown: CancellationToken) -> Self {
        let (commands, queue) = mpsc::channel(QUEUED_MAX);
        let (health, view) = watch::channel(PublisherHealth::default());
        let stopped = CancellationToken::new();
        let guard = stopped.clone().drop_guard();
        tokio::spawn(async move {
            supervise(&config, queue, &health, &shutdown).await;
            drop(guard);
        });
        Self { commands, health: PublisherHealthHandle::new(view), stopped }
    }

    /// Publishes and waits for the broker's confirmation, at most 10 s.
    ///
    /// # Errors
    /// [`PublishError`]; a dropped call may or may not have published.
    pub async fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        let (answer, outcome) = oneshot::channel();
        let publish = async {
            let command = Command { publication, answer };
            self.commands.send(command).await.map_err(|_| PublishError::Closed)?;
            outcome.await.unwrap_or(Err(PublishError::Unavailable))
        };
        timeout(PUBLISH_TIMEOUT, publish).await.unwrap_or(Err(PublishError::Unavailable))
    }

    /// How it is doing now.
    #[must_use]
    pub fn health(&self) -> PublisherHealth {
        self.health.get()
    }

    /// A view of its health for others.
    #[must_use]
    pub fn health_handle(&self) -> PublisherHealthHandle {
        self.health.clone()
    }

    /// Waits until the shutdown is complete.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }
}

async fn supervise(
    config: &AmqpConfig,
    queue: mpsc::Receiver<Command>,
    health: &watch::Sender<PublisherHealth>,
    shutdown: &CancellationToken,
) {
    let names = Names::new(&config.prefix);
    let queue = Mutex::new(queue);
    let mut backoff = BackoffPolicy::new();
    let mut is_peer_silent = false;
    loop {
        let began = Instant::now();
        let opened = tokio::select! {
            () = shutdown.cancelled() => break,
            opened = open(config, &names, is_peer_silent) => opened,
        };
        is_peer_silent = matches!(opened, Err(OpenError::Connect(ConnectError::Timeout { .. })));
        match opened {
            Ok(connection) => {
                health.send_replace(PublisherHealth { connected: true, blocked: false });
                tracing::info!(place = config.place(), "publisher connected");
                let ended =
                    publish_session::run(&connection, &names, config.delay_unit, &queue, health, shutdown)
                        .await;
                health.send_replace(PublisherHealth::default());
                match ended {
                    Ok(()) => return connect::close(connection).await,
                    Err(reason) => tracing::warn!(%reason, "publisher lost its connection"),
                }
            }
            Err(reason) => tracing::warn!(%reason, "publisher can't connect"),
        }
        if began.elapsed() >= STEADY_AFTER {
            backoff.reset();
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = sleep(backoff.next_wait()) => {}
        }
    }
}

/// Why a supervisor has nothing to run a session on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Topology(#[from] topology::TopologyError),
}

async fn open(
    config: &AmqpConfig,
    names: &Names,
    is_peer_silent: bool,
) -> Result<lapin::Connection, OpenError> {
    if is_peer_silent {
        connect::greeting(config).await?;
    }
    let connection = connect::open(config, "publisher").await?;
    topology::declare(&connection, names, config.delay_unit).await?;
    Ok(connection)
}

//! One channel's worth of consuming: deliveries in, envelopes out, acknowledgements back.

use std::collections::VecDeque;
use std::time::Duration;

use facteur_core::limits::SHUTDOWN_DRAIN_MAX;
use futures_util::{Stream, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::ShortString;
use lapin::{Channel, Connection, Event};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::appetite::Appetite;
use crate::consumer::{Envelope, EnvelopeAcker};
use crate::health::ConsumerHealth;
use crate::subscription::Subscription;
use crate::watchdog::{self, Alarm, WatchdogTiming};
use crate::watermark::{Ack, Watermark};
use crate::wire;

/// Longest wait for the broker's part of one operation.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a stopping consumer keeps its channel open for acknowledgements: the calls in flight may take
/// [`SHUTDOWN_DRAIN_MAX`], and their outcomes are recorded after that.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(SHUTDOWN_DRAIN_MAX.as_secs() + 5);
/// Verdicts that are read in one go.
const VERDICTS_AT_ONCE: usize = 256;

/// What a receiver says about an envelope.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    /// Done with.
    Acknowledged(u64),
    /// Dropped: nobody will acknowledge it any more.
    Abandoned,
}

/// Why a session ended before it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
    #[error("the broker did not answer in time")]
    Timeout,
    #[error("the broker took the subscription back")]
    Cancelled,
    #[error(transparent)]
    Alarm(#[from] Alarm),
}

/// What a session works with.
pub(crate) struct Setup<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) queue: ShortString,
    pub(crate) prefetch: u16,
    pub(crate) timing: WatchdogTiming,
    pub(crate) health: &'a watch::Sender<ConsumerHealth>,
}

/// Consumes until `stopping`, then waits for the outstanding acknowledgements; any error ends the session.
pub(crate) async fn run(
    setup: Setup<'_>,
    envelopes: &mpsc::Sender<Envelope>,
    stopping: &CancellationToken,
) -> Result<(), SessionError> {
    let health = setup.health;
    let events = std::pin::pin!(setup.connection.events_listener());
    health.send_modify(|health| health.connected = true);
    let channel = in_time(setup.connection.create_channel()).await?;
    let appetite = Appetite::new(setup.prefetch);
    let prefetch = appetite.prefetch();
    let subscription = Subscription::begin(&channel, setup.queue.clone(), prefetch).await?;
    health.send_modify(|health| (health.consuming, health.prefetch) = (true, prefetch));
    tracing::info!(queue = %setup.queue, "consuming");
    let mut session = Session {
        channel: &channel,
        health,
        appetite,
        watermark: Watermark::new(prefetch),
        waiting: VecDeque::new(),
        unresolved: 0,
    };
    let alarm = watchdog::watch(setup.connection, &setup.queue, setup.timing, health);
    let (sender, mut verdicts) = mpsc::unbounded_channel();
    tokio::select! {
        ended = session.consume(subscription, &sender, &mut verdicts, envelopes, stopping) => ended?,
        error = connection_lost(events) => return Err(error.into()),
        alarm = alarm => return Err(alarm.into()),
    }
    session.drain(&mut verdicts).await?;
    in_time(channel.close(200, "drained".into())).await
}

pub(crate) async fn in_time<T>(answer: impl Future<Output = lapin::Result<T>>) -> Result<T, SessionError> {
    Ok(timeout(STEP_TIMEOUT, answer).await.map_err(|_| SessionError::Timeout)??)
}

/// An error of one channel is heard here too; it is the business of who uses that channel.
async fn connection_lost(mut events: impl Stream<Item = Event> + Unpin) -> lapin::Error {
    loop {
        match events.next().await {
            Some(Event::Error(error)) if !error.is_amqp_soft_error() => return error,
            Some(_) => {}
            // The stream ends with the connection, whose consumer then says why.
            None => std::future::pending().await,
        }
    }
}

struct Session<'a> {
    channel: &'a Channel,
    health: &'a watch::Sender<ConsumerHealth>,
    appetite: Appetite,
    watermark: Watermark,
    /// Delivered, and not yet taken by the receiver; at most what the broker was asked for.
    waiting: VecDeque<Envelope>,
    /// Delivered, and neither acknowledged nor abandoned.
    unresolved: usize,
}

impl Session<'_> {
    async fn consume(
        &mut self,
        mut subscription: Subscription<'_>,
        sender: &mpsc::UnboundedSender<Verdict>,
        verdicts: &mut mpsc::UnboundedReceiver<Verdict>,
        envelopes: &mpsc::Sender<Envelope>,
        stopping: &CancellationToken,
    ) -> Result<(), SessionError> {
        let mut heard = Vec::with_capacity(VERDICTS_AT_ONCE);
        loop {
            let due = self.watermark.due(self.unresolved > 0, Instant::now());
            tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                _ = verdicts.recv_many(&mut heard, VERDICTS_AT_ONCE) => self.hear(&mut heard),
                () = at(due) => self.acknowledge().await?,
                room = envelopes.reserve(), if !self.waiting.is_empty() => match (room, self.waiting.pop_front()) {
                    (Ok(room), Some(envelope)) => room.send(envelope),
                    // The receiver is gone, which is a wish to stop.
                    _ => break,
                },
                delivery = subscription.next() => {
                    self.receive(delivery?, sender);
                    if subscription.is_settled() {
                        self.ask_for_another_number(&mut subscription).await?;
                    }
                }
            }
        }
        subscription.end().await
    }

    async fn ask_for_another_number(
        &mut self,
        subscription: &mut Subscription<'_>,
    ) -> Result<(), SessionError> {
        let Some(prefetch) = self.appetite.change() else { return Ok(()) };
        tracing::debug!(prefetch, "asks for another number of envelopes, by what they weigh");
        subscription.change(prefetch).await?;
        self.watermark.set_prefetch(prefetch);
        self.health.send_modify(|health| health.prefetch = prefetch);
        Ok(())
    }

    fn receive(&mut self, delivery: Delivery, sender: &mpsc::UnboundedSender<Verdict>) {
        self.appetite.taste(delivery.data.len());
        let acker = EnvelopeAcker::new(delivery.delivery_tag, sender.clone());
        self.waiting.push_back(Envelope { content: wire::content_of(delivery), acker });
        self.unresolved += 1;
        self.health.send_modify(|health| {
            health.in_flight += 1;
            health.last_delivery = Some(Instant::now());
        });
    }

    fn hear(&mut self, heard: &mut Vec<Verdict>) {
        let now = Instant::now();
        self.unresolved = self.unresolved.saturating_sub(heard.len());
        let mut acknowledged = 0;
        for verdict in heard.drain(..) {
            if let Verdict::Acknowledged(tag) = verdict {
                self.watermark.acknowledge(tag, now);
                acknowledged += 1;
            }
        }
        self.health.send_modify(|health| health.in_flight = health.in_flight.saturating_sub(acknowledged));
    }

    async fn acknowledge(&mut self) -> Result<(), SessionError> {
        for ack in self.watermark.take(Instant::now()) {
            let (tag, multiple) = match ack {
                Ack::UpTo(tag) => (tag, true),
                Ack::One(tag) => (tag, false),
            };
            in_time(self.channel.basic_ack(tag, BasicAckOptions { multiple })).await?;
        }
        Ok(())
    }

    /// Waits for what is still with receivers, and acknowledges it. RabbitMQ stashes acknowledgements for a
    /// quorum queue once 32 frames of them are under way, and forgets the stash with the channel: after a burst
    /// of single ones the last few envelopes come again, to be found final.
    async fn drain(&mut self, verdicts: &mut mpsc::UnboundedReceiver<Verdict>) -> Result<(), SessionError> {
        self.waiting.clear();
        let deadline = Instant::now() + DRAIN_MAX;
        let mut heard = Vec::with_capacity(VERDICTS_AT_ONCE);
        loop {
            let due = self.watermark.due(self.unresolved > 0, Instant::now());
            if due.is_none() && self.unresolved == 0 {
                return Ok(());
            }
            tokio::select! {
                biased;
                _ = verdicts.recv_many(&mut heard, VERDICTS_AT_ONCE) => self.hear(&mut heard),
                () = at(due) => self.acknowledge().await?,
                () = sleep_until(deadline) => {
                    tracing::warn!(left = self.unresolved, "envelopes were still at work when the consumer stopped");
                    return Ok(());
                }
            }
        }
    }
}

/// Waits until then; for ever if there is no such moment.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

//! One connection's worth of publishing.
//!
//! A returned message precedes its confirmation on the wire, but lapin hands it out with whichever
//! confirmation comes first, and RabbitMQ confirms many at once. So each channel publishes a batch, awaits
//! *all* its confirmations, and only then tells anybody: every return of the batch is in by then (each
//! confirmation takes one along, and there are no more returns than confirmations), and it is matched by what
//! it says about itself. While one batch is in flight the next one gathers, on several channels at a time.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use futures_util::{Stream, StreamExt as _};
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{Channel, Confirmation, Connection, Event};
use tokio::sync::{Mutex, Notify, mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::health::PublisherHealth;
use crate::publication::Publication;
use crate::publisher::PublishError;
use crate::topology::{self, Names, TopologyError};
use crate::wire;

/// Channels, each with one batch in flight; times the largest batch, that is 4,096 unconfirmed publications.
const CHANNELS: usize = 8;
const BATCH_MAX: usize = 512;
/// How often the topology is declared again without a reason, and how long at least between two declarations.
const TOPOLOGY_INTERVAL: Duration = Duration::from_secs(30);
const TOPOLOGY_PAUSE: Duration = Duration::from_millis(500);
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// A broker that confirms nothing for so long is given up, together with the connection. Longer than a caller
/// waits: a broker that is merely slow should not have to take the same messages twice.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// A publication and who waits for its outcome.
pub(crate) struct Command {
    pub(crate) publication: Publication,
    pub(crate) answer: oneshot::Sender<Result<(), PublishError>>,
}

/// Why a session ended before it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Amqp(#[from] lapin::Error),
    #[error(transparent)]
    Topology(#[from] TopologyError),
    #[error("the broker did not answer in time")]
    Timeout,
    #[error("the connection ended without a word")]
    Ended,
}

/// Publishes until `shutdown`, then what is still queued; any error ends the session.
pub(crate) async fn run(
    connection: &Connection,
    names: &Names,
    delay_unit: Duration,
    queue: &Mutex<mpsc::Receiver<Command>>,
    health: &watch::Sender<PublisherHealth>,
    shutdown: &CancellationToken,
) -> Result<(), SessionError> {
    let events = connection.events_listener();
    let open = try_join_all((0..CHANNELS).map(|_| open_channel(connection)));
    let channels = timeout(OPEN_TIMEOUT, open).await.map_err(|_| SessionError::Timeout)??;
    let unroutable = Notify::new();
    let work = try_join_all(
        channels.iter().map(|channel| publish_batches(channel, names, queue, &unroutable, shutdown)),
    );
    let drain_deadline = async {
        shutdown.cancelled().await;
        sleep(DRAIN_TIMEOUT).await;
    };
    tokio::select! {
        done = work => done.map(drop),
        error = watch_events(events, health) => Err(error),
        error = keep_topology(connection, names, delay_unit, &unroutable) => Err(error.into()),
        () = drain_deadline => Ok(()),
    }
}

/// Declares the topology again whenever a publication finds no queue, and now and then: somebody may have deleted a
/// part of it, and nobody else would notice.
async fn keep_topology(
    connection: &Connection,
    names: &Names,
    delay_unit: Duration,
    unroutable: &Notify,
) -> TopologyError {
    loop {
        // The outcome doesn't matter: a return or the time for a look.
        let _ = timeout(TOPOLOGY_INTERVAL, unroutable.notified()).await;
        if let Err(error) = topology::declare(connection, names, delay_unit).await {
            return error;
        }
        sleep(TOPOLOGY_PAUSE).await;
    }
}

async fn open_channel(connection: &Connection) -> lapin::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Returns when the connection is lost; lapin tells it nowhere else as long as nothing is published.
async fn watch_events(
    events: impl Stream<Item = Event>,
    health: &watch::Sender<PublisherHealth>,
) -> SessionError {
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Event::Error(error) => return error.into(),
            Event::ConnectionBlocked(reason) => {
                tracing::warn!(reason, "the broker takes no messages at the moment");
                health.send_modify(|health| health.blocked = true);
            }
            Event::ConnectionUnblocked => health.send_modify(|health| health.blocked = false),
            _ => {}
        }
    }
    SessionError::Ended
}

async fn publish_batches(
    channel: &Channel,
    names: &Names,
    queue: &Mutex<mpsc::Receiver<Command>>,
    unroutable: &Notify,
    shutdown: &CancellationToken,
) -> Result<(), SessionError> {
    loop {
        let mut batch = next_batch(queue, shutdown).await;
        if batch.is_empty() {
            return Ok(());
        }
        batch.retain(|command| !command.answer.is_closed());
        let publish = timeout(CONFIRM_TIMEOUT, publish_batch(channel, names, batch, unroutable));
        publish.await.map_err(|_| SessionError::Timeout)??;
    }
}

/// What has gathered; nothing only when the queue is closed and empty.
async fn next_batch(queue: &Mutex<mpsc::Receiver<Command>>, shutdown: &CancellationToken) -> Vec<Command> {
    let mut batch = Vec::new();
    let mut queue = queue.lock().await;
    tokio::select! {
        biased;
        _ = queue.recv_many(&mut batch, BATCH_MAX) => {}
        () = shutdown.cancelled() => {
            queue.close();
            queue.recv_many(&mut batch, BATCH_MAX).await;
        }
    }
    batch
}

/// On an error nobody is answered: each caller sees its answer dropped, which means "unknown".
async fn publish_batch(
    channel: &Channel,
    names: &Names,
    batch: Vec<Command>,
    unroutable: &Notify,
) -> lapin::Result<()> {
    let confirmations =
        join_all(batch.iter().map(|command| publish_one(channel, names, &command.publication))).await;
    let confirmations = confirmations.into_iter().collect::<lapin::Result<Vec<_>>>()?;
    let outcomes = outcomes(batch.iter().map(|command| &command.publication), confirmations, names);
    for (command, outcome) in batch.into_iter().zip(outcomes) {
        if outcome == Err(PublishError::Unroutable) {
            unroutable.notify_one();
        }
        // A caller that gave up in the meantime will publish again; the job's turn makes that harmless.
        let _ = command.answer.send(outcome);
    }
    Ok(())
}

/// What became of each publication of a batch, once all its confirmations are in. What was returned is
/// confirmed as taken, too.
fn outcomes<'a>(
    batch: impl Iterator<Item = &'a Publication>,
    confirmations: Vec<Confirmation>,
    names: &Names,
) -> Vec<Result<(), PublishError>> {
    let is_taken: Vec<_> = confirmations.iter().map(Confirmation::is_ack).collect();
    let returned: HashSet<_> = confirmations
        .into_iter()
        .filter_map(Confirmation::take_message)
        .map(|returned| Identity::of_return(&returned))
        .collect();
    let outcome = |(publication, is_taken): (&Publication, bool)| {
        if returned.contains(&Identity::of_publication(publication, names)) {
            Err(PublishError::Unroutable)
        } else if is_taken {
            Ok(())
        } else {
            Err(PublishError::Refused)
        }
    };
    batch.zip(is_taken).map(outcome).collect()
}

async fn publish_one(
    channel: &Channel,
    names: &Names,
    publication: &Publication,
) -> lapin::Result<Confirmation> {
    // Our own keys and names are short; a longer one stands in no binding, which the cut one doesn't either.
    let (exchange, key) = (cut(publication.exchange.name(names)), cut(publication.routing_key.clone()));
    let options = BasicPublishOptions {
        mandatory: publication.exchange.must_be_routed(),
        ..BasicPublishOptions::default()
    };
    let properties = wire::properties_of(&publication.content);
    channel.basic_publish(exchange, key, options, &publication.content.body, properties).await?.await
}

/// What a returned message has in common with its publication.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    message_id: Option<String>,
    exchange: ShortString,
    routing_key: ShortString,
}

impl Identity {
    fn of_return(returned: &BasicReturnMessage) -> Self {
        Self {
            message_id: returned.properties.message_id().as_ref().map(ToString::to_string),
            exchange: returned.exchange.clone(),
            routing_key: returned.routing_key.clone(),
        }
    }

    fn of_publication(publication: &Publication, names: &Names) -> Self {
        Self {
            message_id: publication.content.message_id.clone(),
            exchange: cut(publication.exchange.name(names)),
            routing_key: cut(publication.routing_key.clone()),
        }
    }
}

fn cut(mut text: String) -> ShortString {
    text.truncate(text.floor_char_boundary(255));
    ShortString::try_new(text).unwrap_or_default()
}

#[cfg(test)]
#[path = "publish_session_tests.rs"]
mod tests;

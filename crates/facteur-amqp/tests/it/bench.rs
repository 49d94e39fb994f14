//! What every test needs.

use std::net::SocketAddr;
use std::time::Duration;

use facteur_amqp::{AmqpConfig, Consumer, Envelope, Names, Publisher};
use facteur_core::envelope::EnvelopeContent;
use facteur_core::lane::Lane;
use facteur_testkit::{FaultProxy, TestBroker, broker};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

/// Nothing here takes long; a test that waits so long for something waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One test's broker, and what every test needs of it.
pub(crate) struct Bench {
    pub(crate) broker: TestBroker,
    pub(crate) names: Names,
    pub(crate) shutdown: CancellationToken,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let broker = broker().await;
        Self { names: Names::new(&broker.prefix), broker, shutdown: CancellationToken::new() }
    }

    pub(crate) fn config(&self) -> AmqpConfig {
        AmqpConfig {
            prefix: self.broker.prefix.clone(),
            delay_unit: Duration::from_millis(20),
            ..AmqpConfig::new(self.broker.url.clone())
        }
    }

    /// The same broker, seen through a proxy.
    pub(crate) fn config_through(&self, proxy: &FaultProxy) -> AmqpConfig {
        let mut uri = uri(&self.broker.url);
        proxy.addr().ip().to_string().clone_into(&mut uri.authority.host);
        uri.authority.port = proxy.addr().port();
        AmqpConfig { url: uri.to_string().into(), ..self.config() }
    }

    pub(crate) async fn proxy(&self) -> FaultProxy {
        FaultProxy::start(self.address()).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let uri = uri(&self.broker.url);
        let host =
            if uri.authority.host == "localhost" { "127.0.0.1".to_owned() } else { uri.authority.host };
        SocketAddr::new(host.parse().unwrap(), uri.authority.port)
    }

    /// A publisher that is connected, so that the topology stands.
    pub(crate) async fn publisher(&self) -> Publisher {
        let publisher = Publisher::start(self.config(), self.shutdown.clone());
        let mut health = publisher.health_handle();
        soon(health.wait_for(|health| health.connected)).await.unwrap();
        publisher
    }

    pub(crate) fn consumer(&self, lane: Lane, prefetch: u16) -> Consumer {
        Consumer::start(self.config(), self.names.queue(lane), prefetch, self.shutdown.clone())
    }

    pub(crate) async fn depth(&self, queue: &str) -> u32 {
        facteur_amqp::queue_depth(&self.config(), queue).await.unwrap()
    }

    /// Waits until so many stand in the lane's queue: the broker counts what it has handed out a moment later.
    pub(crate) async fn holds(&self, lane: Lane, depth: u32) {
        let (queue, mut looks) = (self.names.queue(lane), interval(LOOK_EVERY));
        soon(async {
            while facteur_amqp::queue_depth(&self.config(), &queue).await.ok() != Some(depth) {
                looks.tick().await;
            }
        })
        .await;
    }
}

/// A producer or an admin that knows nothing of us.
pub(crate) async fn stranger(url: &str) -> (Connection, Channel) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

pub(crate) fn uri(url: &str) -> AMQPUri {
    url.parse().unwrap()
}

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("something that should happen did not")
}

pub(crate) async fn next(consumer: &mut Consumer) -> Envelope {
    soon(consumer.next()).await.expect("the consumer should not be stopping")
}

pub(crate) fn content(id: impl ToString) -> EnvelopeContent {
    EnvelopeContent {
        body: "{\"to\":\"+33612345678\"}".into(),
        message_id: Some(id.to_string()),
        content_type: Some("application/json".into()),
        kind: Some("facteur.job.v1".into()),
        ..EnvelopeContent::default()
    }
}

pub(crate) fn id_of(envelope: &Envelope) -> u32 {
    envelope.content.message_id.as_deref().unwrap().parse().unwrap()
}

use facteur_core::lane::Lane;
use facteur_testkit::broker;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::publication::Publication;
use crate::publisher::Publisher;

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_the_broker_closes_is_replaced() {
    let broker = broker().await;
    let config = AmqpConfig { prefix: broker.prefix.clone(), ..AmqpConfig::new(broker.url.clone()) };
    let shutdown = CancellationToken::new();
    let queue = Names::new(&config.prefix).queue(Lane::Normal);
    let publisher = Publisher::start(config.clone(), shutdown.clone());
    let mut consumer = Consumer::start(config, queue, 10, shutdown.clone());
    let job = Publication::job(Lane::Normal, &EnvelopeContent::default());
    publisher.publish(job).await.unwrap();
    let mut envelope = consumer.next().await.unwrap();
    assert!(!envelope.content.redelivered);

    // RabbitMQ closes the channel on a tag that it never gave out.
    envelope.acker.tag = 999;
    envelope.acker.ack();

    let again = consumer.next().await.unwrap();
    assert!(again.content.redelivered);
    again.acker.ack();
    consumer.stop().await;
    shutdown.cancel();
    publisher.stopped().await;
}

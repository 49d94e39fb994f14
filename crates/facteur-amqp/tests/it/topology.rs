use std::time::Duration;

use facteur_amqp::topology::declare;
use facteur_amqp::{Consumer, Publication, PublishError, TopologyError};
use facteur_core::burial::dead_envelope;
use facteur_core::envelope::{EnvelopeContent, HEADER_REASON, HeaderValue};
use facteur_core::lane::Lane;
use facteur_core::reason::ReasonCode;
use lapin::BasicProperties;
use lapin::options::{BasicNackOptions, BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;

use crate::bench::{Bench, content, next, stranger};

#[tokio::test(flavor = "multi_thread")]
async fn declaring_twice_changes_nothing_and_a_foreign_queue_is_named() {
    let bench = Bench::new().await;
    let (connection, channel) = stranger(&bench.broker.url).await;
    let unit = Duration::from_secs(1);
    declare(&connection, &bench.names, unit).await.unwrap();
    declare(&connection, &bench.names, unit).await.unwrap();

    let queue = bench.names.queue(Lane::Normal);
    channel.queue_delete(queue.as_str().into(), Default::default()).await.unwrap();
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.as_str().into(), options, FieldTable::default()).await.unwrap();
    let error = declare(&connection, &bench.names, unit).await.unwrap_err();
    assert!(matches!(error, TopologyError::Differs { .. }), "{error}");
    assert!(
        error.to_string().starts_with(&format!("queue `{queue}` exists with other properties")),
        "{error}"
    );
    assert!(channel.status().connected(), "the declaration has a channel of its own");
}

/// The queues in which an envelope died, which for the ladder means: rested.
fn rests(content: &EnvelopeContent) -> Vec<String> {
    let Some(HeaderValue::Other(deaths)) = content.headers.get("x-death") else { return Vec::new() };
    let deaths = deaths.as_array().unwrap();
    let mut queues: Vec<_> = deaths.iter().map(|death| death["queue"].as_str().unwrap().to_owned()).collect();
    queues.sort();
    queues
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delay_of_five_units_rests_twice_and_comes_back_to_its_lane_with_its_headers() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let mut consumer = bench.consumer(Lane::Bulk, 10);
    let mut first = content(1);
    first.headers.insert("shop-order".into(), HeaderValue::Int(42));
    first.headers.insert("traceparent".into(), HeaderValue::Text("00-1-2-01".into()));
    publisher.publish(Publication::delayed(5, Lane::Bulk, &first)).await.unwrap();

    let arrived = next(&mut consumer).await;
    assert_eq!(rests(&arrived.content), [bench.names.level_queue(0), bench.names.level_queue(2)]);
    assert_eq!(Lane::from_routing_key(&arrived.content.routing_key), Some(Lane::Bulk));
    assert_eq!(arrived.content.body, first.body);

    // A copied `x-death` would now be a cycle for the broker, and the envelope would never come back.
    let again = Publication::delayed(5, Lane::Bulk, &arrived.content);
    assert_eq!(again.content.headers, first.headers);
    publisher.publish(again).await.unwrap();
    arrived.acker.ack();
    let back = next(&mut consumer).await;
    assert_eq!(rests(&back.content), [bench.names.level_queue(0), bench.names.level_queue(2)]);
    for (name, value) in &first.headers {
        assert_eq!(back.content.headers.get(name), Some(value));
    }
    back.acker.ack();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_level_of_the_ladder_leads_to_the_next() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let mut consumer = bench.consumer(Lane::Urgent, 10);
    // 2^n − 1 + 0: each level below n once; levels above are passed by.
    for units in [0, 1, 31] {
        publisher.publish(Publication::delayed(units, Lane::Urgent, &content(units))).await.unwrap();
        let arrived = next(&mut consumer).await;
        assert_eq!(arrived.content.message_id, Some(units.to_string()));
        assert_eq!(rests(&arrived.content).len(), units.count_ones() as usize);
        arrived.acker.ack();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unroutable_key_ends_in_the_dead_queue_as_it_was() {
    let bench = Bench::new().await;
    let _publisher = bench.publisher().await;
    let (_connection, channel) = stranger(&bench.broker.url).await;
    let properties = BasicProperties::default().with_message_id("7".into());
    let (exchange, options) = (bench.names.jobs(), BasicPublishOptions::default());
    channel
        .basic_publish(exchange.as_str().into(), "send.slow".into(), options, b"\xff\x00", properties)
        .await
        .unwrap();

    let mut dead = Consumer::start(bench.config(), bench.names.dead(), 1, bench.shutdown.clone());
    let envelope = next(&mut dead).await;
    assert_eq!(envelope.content.routing_key, "send.slow");
    assert_eq!(envelope.content.body, &b"\xff\x00"[..]);
    assert_eq!(envelope.content.message_id.as_deref(), Some("7"));
    assert!(!envelope.content.headers.contains_key("x-death"));
    assert!(!envelope.content.headers.contains_key(HEADER_REASON));
    envelope.acker.ack();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_part_of_the_ladder_is_declared_again_by_the_publisher_that_misses_it() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let publish = || publisher.publish(Publication::delayed(1, Lane::Normal, &content(1)));
    assert_eq!(publish().await, Ok(()));
    let (_connection, channel) = stranger(&bench.broker.url).await;
    channel.queue_delete(bench.names.level_queue(0).into(), Default::default()).await.unwrap();
    assert_eq!(publish().await, Err(PublishError::Unroutable));
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    let mended = tokio::time::timeout(Duration::from_secs(20), async {
        while publish().await.is_err() {
            looks.tick().await;
        }
    });
    mended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_over_which_workers_die_again_and_again_ends_in_the_dead_queue_with_that_reason() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    publisher.publish(Publication::job(Lane::Normal, &content(7))).await.unwrap();
    let (_connection, channel) = stranger(&bench.broker.url).await;
    let queue = bench.names.queue(Lane::Normal);
    let mut handed_out = 0;
    // What is given back counts like what a dead worker held.
    while bench.depth(&bench.names.dead()).await == 0 {
        while let Some(envelope) = channel.basic_get(queue.as_str().into(), Default::default()).await.unwrap()
        {
            handed_out += 1;
            let requeue = BasicNackOptions { requeue: true, ..Default::default() };
            envelope.acker.nack(requeue).await.unwrap();
        }
    }
    assert!((1_000..=1_001).contains(&handed_out), "{handed_out}");
    let mut dead = Consumer::start(bench.config(), bench.names.dead(), 1, bench.shutdown.clone());
    let envelope = next(&mut dead).await;
    let letter = dead_envelope(&envelope.content);
    assert_eq!((letter.code, letter.routing_key.as_str()), (ReasonCode::DeliveryLimit, "send.normal"));
    envelope.acker.ack();
}

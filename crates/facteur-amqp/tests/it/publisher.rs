use facteur_amqp::{Consumer, Exchange, Publication, PublishError, Publisher};
use facteur_core::envelope::{HEADER_ORIGINAL_ROUTING_KEY, HEADER_REASON, HeaderValue};
use facteur_core::lane::Lane;
use facteur_core::reason::{Reason, ReasonCode};
use futures_util::future::join_all;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::bench::{Bench, content, next, soon, stranger};

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_pipelined_publications_are_confirmed() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let publications = (0..1_000).map(|id| publisher.publish(Publication::job(Lane::Normal, &content(id))));
    let outcomes = soon(join_all(publications)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(bench.depth(&bench.names.queue(Lane::Normal)).await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_publications_in_flight_exactly_the_unroutable_ones_are_told_so() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let is_lost = |id: u32| id % 7 < 2;
    let publications = (0..2_000).map(|id| {
        let publication = match id {
            _ if is_lost(id) => {
                let routing_key = "nowhere".to_owned();
                Publication { routing_key, ..Publication::delayed(0, Lane::Normal, &content(id)) }
            }
            0..1_900 => Publication::of_outbox(Exchange::Events, "message.sent", &content(id)),
            _ => Publication::job(Lane::Normal, &content(id)),
        };
        publisher.publish(publication)
    });
    let outcomes = soon(join_all(publications)).await;
    for (id, outcome) in (0..).zip(outcomes) {
        let expected = if is_lost(id) { Err(PublishError::Unroutable) } else { Ok(()) };
        assert_eq!(outcome, expected, "publication {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_queue_is_noticed_where_nothing_else_catches_the_message() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let (_connection, channel) = stranger(&bench.broker.url).await;
    let level = bench.names.level_queue(1);
    channel.queue_delete(level.as_str().into(), Default::default()).await.unwrap();
    let delayed = |units| publisher.publish(Publication::delayed(units, Lane::Normal, &content(units)));
    let outcomes = join_all([delayed(1), delayed(2), delayed(4)]).await;
    assert_eq!(outcomes, [Ok(()), Err(PublishError::Unroutable), Ok(())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_bound_is_nobodys_loss() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    assert_eq!(
        publisher.publish(Publication::of_outbox(Exchange::Events, "message.sent", &content(1))).await,
        Ok(())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let (_connection, channel) = stranger(&bench.broker.url).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let queue = format!("{}.app", bench.broker.prefix);
    channel.queue_declare(queue.as_str().into(), options, arguments).await.unwrap();
    let events = bench.names.events();
    let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.as_str().into(), events.as_str().into(), "#".into(), bind, none).await.unwrap();
    let event = || publisher.publish(Publication::of_outbox(Exchange::Events, "message.sent", &content(1)));
    assert_eq!(event().await, Ok(()));
    assert_eq!(event().await, Err(PublishError::Refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buried_envelope_keeps_its_bytes_and_says_why() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let mut undecodable = content("not a UUID");
    undecodable.body = (&b"{\xff\x00"[..]).into();
    undecodable.routing_key = "send.bulk".to_owned();
    let reason = Reason::new(ReasonCode::InvalidUtf8, "not UTF-8 after 1 bytes");
    publisher.publish(Publication::buried(&undecodable, &reason)).await.unwrap();
    let mut dead = Consumer::start(bench.config(), bench.names.dead(), 1, bench.shutdown.clone());
    let envelope = next(&mut dead).await;
    let header = |name: &str| envelope.content.headers.get(name).cloned();
    assert_eq!(envelope.content.body, undecodable.body);
    assert_eq!(header(HEADER_REASON), Some(HeaderValue::Text("invalid_utf8".into())));
    assert_eq!(header(HEADER_ORIGINAL_ROUTING_KEY), Some(HeaderValue::Text("send.bulk".into())));
    envelope.acker.ack();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_comes_back_by_itself_and_keeps_what_it_was_asked_in_the_meantime() {
    let bench = Bench::new().await;
    let proxy = bench.proxy().await;
    let publisher = Publisher::start(bench.config_through(&proxy), bench.shutdown.clone());
    let mut health = publisher.health_handle();
    let job = |id: u32| publisher.publish(Publication::job(Lane::Normal, &content(id)));
    assert_eq!(job(1).await, Ok(()));
    proxy.cut().await;
    soon(health.wait_for(|health| !health.connected)).await.unwrap();
    let (asked, ()) = tokio::join!(job(2), proxy.heal());
    assert_eq!(asked, Ok(()));
    assert_eq!(bench.depth(&bench.names.queue(Lane::Normal)).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_stops_publishes_what_it_took_and_takes_no_more() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let mut publications: Vec<_> = (0..100)
        .map(|id| Box::pin(publisher.publish(Publication::job(Lane::Normal, &content(id)))))
        .collect();
    for publication in &mut publications {
        let _ = futures_util::poll!(publication);
    }
    bench.shutdown.cancel();
    let outcomes = soon(join_all(publications)).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    soon(publisher.stopped()).await;
    let late = publisher.publish(Publication::job(Lane::Normal, &content(0))).await;
    assert_eq!(late, Err(PublishError::Closed));
    assert_eq!(bench.depth(&bench.names.queue(Lane::Normal)).await, 100);
}

/// `connection.blocked` (60) or `connection.unblocked` (61), as RabbitMQ says it to who publishes while memory or disk run
/// out: a frame of a method (1) of channel 0 and class 10, with the reason as a short string.
fn flow_control(method: u8, reason: &[u8]) -> Vec<u8> {
    let payload = [&[0, 10, 0, method], reason].concat();
    let length = u8::try_from(payload.len()).unwrap();
    [&[1, 0, 0, 0, 0, 0, length], payload.as_slice(), &[0xCE]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_takes_nothing_is_waited_for_while_consuming_goes_on() {
    let bench = Bench::new().await;
    let proxy = bench.proxy().await;
    let publisher = Publisher::start(bench.config_through(&proxy), bench.shutdown.clone());
    let mut health = publisher.health_handle();
    let job = |id: u32| publisher.publish(Publication::job(Lane::Normal, &content(id)));
    assert_eq!(job(1).await, Ok(()));
    assert_eq!(proxy.say(&flow_control(60, b"\x0alow memory")), 1);
    soon(health.wait_for(|health| health.blocked)).await.unwrap();
    let mut asked = Box::pin(job(2));
    assert!(futures_util::poll!(&mut asked).is_pending());
    let mut consumer = bench.consumer(Lane::Normal, 1);
    next(&mut consumer).await.acker.ack();
    assert_eq!(proxy.say(&flow_control(61, b"")), 1);
    assert_eq!(soon(asked).await, Ok(()));
    soon(health.wait_for(|health| !health.blocked)).await.unwrap();
    next(&mut consumer).await.acker.ack();
}

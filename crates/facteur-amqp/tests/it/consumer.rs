use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use facteur_amqp::{AmqpConfig, Consumer, Envelope, Publication, Publisher, WatchdogTiming};
use facteur_core::lane::Lane;
use futures_util::future::join_all;
use secrecy::ExposeSecret;

use crate::bench::{Bench, content, id_of, next, soon, stranger};

const LANE: Lane = Lane::Normal;
/// Takes a broker for silent that is only slow: for a connection of which nothing comes again.
const QUICK: WatchdogTiming =
    WatchdogTiming { interval: Duration::from_millis(100), patience: Duration::from_millis(500) };
const PATIENT: WatchdogTiming = WatchdogTiming { patience: Duration::from_secs(20), ..QUICK };

async fn publish(publisher: &Publisher, ids: impl IntoIterator<Item = u32>) {
    let jobs = ids.into_iter().map(|id| publisher.publish(Publication::job(LANE, &content(id))));
    for outcome in soon(join_all(jobs)).await {
        outcome.unwrap();
    }
}

/// Publishes one, receives and acknowledges it: the proof that envelopes flow.
async fn flows(publisher: &Publisher, consumer: &mut Consumer, id: u32) {
    publish(publisher, [id]).await;
    let envelope = next(consumer).await;
    assert_eq!(id_of(&envelope), id);
    envelope.acker.ack();
}

/// So many envelopes that the broker hands out again once a consumer is gone, and nothing else. Their order says nothing:
/// a consumer whose prefetch grows may read what came before the change after what came since.
async fn left_over(bench: &Bench, publisher: &Publisher, count: usize) -> BTreeSet<u32> {
    const LATER: u32 = 1_000_000;
    let mut consumer = bench.consumer(LANE, 1_000);
    let mut found = BTreeSet::new();
    for _ in 0..count {
        let envelope = next(&mut consumer).await;
        assert!(envelope.content.redelivered);
        assert!(found.insert(id_of(&envelope)), "delivered twice");
    }
    // Whatever else there is would come before it, or stand in the queue still.
    publish(publisher, [LATER]).await;
    assert_eq!(id_of(&next(&mut consumer).await), LATER);
    bench.holds(LANE, 0).await;
    found
}

fn consumer_of(bench: &Bench, config: AmqpConfig, watch: WatchdogTiming) -> Consumer {
    Consumer::start_watched(config, bench.names.queue(LANE), 10, bench.shutdown.clone(), watch)
}

/// Receives so many more, and keeps them. Where that fills the prefetch, the broker has settled all the others.
async fn fill(publisher: &Publisher, consumer: &mut Consumer, ids: Range<u32>) -> Vec<Envelope> {
    publish(publisher, ids.clone()).await;
    let mut held = Vec::new();
    for _ in ids {
        held.push(next(consumer).await);
    }
    held
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledgement_arrives_whatever_its_order() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    publish(&publisher, 0..500).await;
    let mut consumer = bench.consumer(LANE, 100);
    let (mut held, mut seen) = (Vec::new(), BTreeSet::new());
    for nth in 0..500 {
        let envelope = next(&mut consumer).await;
        assert!(!envelope.content.redelivered);
        assert!(seen.insert(id_of(&envelope)), "delivered twice");
        held.push(envelope.acker);
        if nth % 10 == 9 {
            held.drain(..).rev().for_each(|acker| acker.ack());
        }
    }
    let held = fill(&publisher, &mut consumer, 500..600).await;
    assert!(held.iter().all(|envelope| id_of(envelope) >= 500));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_acknowledged_comes_again_and_nothing_else() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    publish(&publisher, 0..100).await;
    let mut consumer = bench.consumer(LANE, 100);
    let mut kept = BTreeSet::new();
    for _ in 0..100 {
        let envelope = next(&mut consumer).await;
        let id = id_of(&envelope);
        if id.is_multiple_of(4) {
            kept.insert(id);
        } else {
            envelope.acker.ack();
        }
    }
    kept.extend(fill(&publisher, &mut consumer, 100..175).await.iter().map(id_of));
    assert_eq!(kept.len(), 100);
    consumer.stop().await;
    assert_eq!(left_over(&bench, &publisher, kept.len()).await, kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_never_hands_out_more_than_the_prefetch() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    publish(&publisher, 0..50).await;
    let mut consumer = bench.consumer(LANE, 10);
    let mut health = consumer.health_handle();
    soon(health.wait_for(|health| health.in_flight == 10)).await.unwrap();
    bench.holds(LANE, 40).await;
    assert_eq!(consumer.health().in_flight, 10);
    next(&mut consumer).await.acker.ack();
    soon(health.wait_for(|health| health.in_flight == 10)).await.unwrap();
    bench.holds(LANE, 39).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_envelope_does_not_stop_those_behind_it() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    publish(&publisher, 0..100).await;
    let mut consumer = bench.consumer(LANE, 5);
    let slow = next(&mut consumer).await;
    for _ in 1..100 {
        next(&mut consumer).await.acker.ack();
    }
    fill(&publisher, &mut consumer, 100..104).await;
    slow.acker.ack();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_survives_a_broker_that_is_away_and_stale_acknowledgements_do_no_harm() {
    let bench = Bench::new().await;
    let proxy = bench.proxy().await;
    let publisher = bench.publisher().await;
    let mut consumer = consumer_of(&bench, bench.config_through(&proxy), PATIENT);
    let mut health = consumer.health_handle();
    publish(&publisher, 0..5).await;
    let stale = [next(&mut consumer).await, next(&mut consumer).await];

    proxy.cut().await;
    soon(health.wait_for(|health| !health.connected)).await.unwrap();
    stale.into_iter().for_each(|envelope| envelope.acker.ack());
    publish(&publisher, 5..10).await;
    proxy.heal().await;

    let mut seen = BTreeSet::new();
    while seen.len() < 10 {
        let envelope = next(&mut consumer).await;
        assert!(seen.insert(id_of(&envelope)), "delivered twice on one channel");
        envelope.acker.ack();
    }
    let held = fill(&publisher, &mut consumer, 10..20).await;
    assert!(held.iter().all(|envelope| id_of(envelope) >= 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_notices_a_connection_that_is_only_half_there() {
    let bench = Bench::new().await;
    let proxy = bench.proxy().await;
    let publisher = bench.publisher().await;
    // Without heartbeats, the watchdog is all that can notice.
    let config = bench.config_through(&proxy);
    let url = format!("{}?heartbeat=600", config.url.expose_secret());
    let mut consumer = consumer_of(&bench, AmqpConfig { url: url.into(), ..config }, QUICK);
    let mut health = consumer.health_handle();
    flows(&publisher, &mut consumer, 1).await;
    proxy.stall();
    soon(health.wait_for(|health| !health.connected)).await.unwrap();
    proxy.resume();
    soon(health.wait_for(|health| health.consuming)).await.unwrap();
    publish(&publisher, [2]).await;
    // The one before may come again: its acknowledgement was perhaps never carried.
    while id_of(&next(&mut consumer).await) != 2 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_declares_its_queue_again_when_somebody_deletes_it() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let mut consumer = consumer_of(&bench, bench.config(), PATIENT);
    flows(&publisher, &mut consumer, 1).await;
    let (_connection, channel) = stranger(&bench.broker.url).await;
    let queue = bench.names.queue(LANE);
    channel.queue_delete(queue.as_str().into(), Default::default()).await.unwrap();
    // What comes before the queue is bound again goes elsewhere.
    let mut ticks = tokio::time::interval(QUICK.interval);
    let publishing = async {
        for id in 2.. {
            publish(&publisher, [id]).await;
            ticks.tick().await;
        }
    };
    let envelope = tokio::select! {
        envelope = next(&mut consumer) => envelope,
        () = publishing => unreachable!("there is always another id"),
    };
    assert!(id_of(&envelope) >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_consumer_waits_for_what_is_still_at_work() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    publish(&publisher, 0..3).await;
    let mut consumer = bench.consumer(LANE, 10);
    let mut health = consumer.health_handle();
    soon(health.wait_for(|health| health.in_flight == 3)).await.unwrap();
    let at_work = next(&mut consumer).await;
    let id = id_of(&at_work);
    let mut stop = Box::pin(consumer.stop());
    assert!(futures_util::poll!(&mut stop).is_pending());
    at_work.acker.ack();
    soon(stop).await;
    assert_eq!(left_over(&bench, &publisher, 2).await, (0..3).filter(|other| *other != id).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_ends_with_the_process_and_not_before() {
    let bench = Bench::new().await;
    let _publisher = bench.publisher().await;
    let mut consumer = bench.consumer(LANE, 10);
    let mut health = consumer.health_handle();
    soon(health.wait_for(|health| health.consuming)).await.unwrap();
    let mut waiting = Box::pin(consumer.next());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    bench.shutdown.cancel();
    assert!(soon(waiting).await.is_none());
    soon(consumer.stop()).await;
}

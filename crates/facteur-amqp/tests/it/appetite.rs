//! How much a consumer lets the broker leave with it, by what envelopes weigh.

use facteur_amqp::{Consumer, Publication, Publisher};
use facteur_core::envelope::EnvelopeContent;
use facteur_core::lane::Lane;
use facteur_core::limits::{ENVELOPES_IN_HAND_BYTES, PREFETCH_FIRST};
use futures_util::future::join_all;

use crate::bench::{Bench, content, id_of, next, soon};

const LANE: Lane = Lane::Normal;
const PREFETCH: u16 = 1_000;

async fn publish(publisher: &Publisher, ids: std::ops::Range<u32>, body_bytes: usize) {
    let body = bytes::Bytes::from(vec![b'x'; body_bytes]);
    let jobs = ids.map(|id| EnvelopeContent { body: body.clone(), ..content(id) });
    let published = jobs.map(|job| publisher.publish(Publication::job(LANE, &job)));
    for outcome in soon(join_all(published)).await {
        outcome.unwrap();
    }
}

async fn acknowledge(consumer: &mut Consumer, count: u32) {
    for _ in 0..count {
        next(consumer).await.acker.ack();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_leaves_fewer_envelopes_with_us_while_they_are_large() {
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    publish(&publisher, 0..200, 64 * 1_024).await;
    let mut consumer = bench.consumer(LANE, PREFETCH);
    let mut health = consumer.health_handle();
    let first = u32::from(PREFETCH_FIRST);
    soon(health.wait_for(|health| health.in_flight == first)).await.unwrap();
    bench.holds(LANE, 200 - first).await;
    acknowledge(&mut consumer, 200).await;

    publish(&publisher, 200..1_400, 300).await;
    soon(health.wait_for(|health| health.prefetch == PREFETCH)).await.unwrap();
    acknowledge(&mut consumer, 200).await;
    soon(health.wait_for(|health| health.in_flight == u32::from(PREFETCH))).await.unwrap();
    acknowledge(&mut consumer, 1_000).await;

    // One at a time, so that what follows from their size is known when the others come.
    let large = 256 * 1_024;
    for id in 1_400..1_600 {
        publish(&publisher, id..id + 1, large).await;
        acknowledge(&mut consumer, 1).await;
    }
    let fitting = u32::try_from(ENVELOPES_IN_HAND_BYTES / large).unwrap();
    let prefetch = u32::from(consumer.health().prefetch);
    assert!(prefetch <= fitting * 2, "{prefetch}");
    publish(&publisher, 1_600..1_700, large).await;
    soon(health.wait_for(|health| health.in_flight == prefetch)).await.unwrap();
    bench.holds(LANE, 100 - prefetch).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_or_doubled_while_the_number_changes_again_and_again() {
    const WAVES: u32 = 6;
    const WAVE: u32 = 300;
    let bench = Bench::new().await;
    let publisher = bench.publisher().await;
    let mut consumer = bench.consumer(LANE, PREFETCH);
    let publishing = async {
        for wave in 0..WAVES {
            let body_bytes = if wave % 2 == 0 { 300 } else { 48 * 1_024 };
            publish(&publisher, wave * WAVE..(wave + 1) * WAVE, body_bytes).await;
        }
    };
    let receiving = async {
        let (mut seen, mut held) = (std::collections::BTreeSet::new(), Vec::new());
        for nth in 0..WAVES * WAVE {
            let envelope = next(&mut consumer).await;
            assert!(seen.insert(id_of(&envelope)), "delivered twice");
            held.push(envelope.acker);
            if nth % 50 == 49 {
                held.drain(..).rev().for_each(|acker| acker.ack());
            }
        }
        seen.len()
    };
    let ((), seen) = tokio::join!(publishing, receiving);
    assert_eq!(seen, (WAVES * WAVE) as usize);
    let mut health = consumer.health_handle();
    soon(health.wait_for(|health| health.in_flight == 0)).await.unwrap();
    soon(consumer.stop()).await;
    bench.holds(LANE, 0).await;
}

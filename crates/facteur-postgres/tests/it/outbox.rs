use std::collections::HashSet;

use facteur_core::envelope::HeaderValue;
use facteur_postgres::Outbox;
use uuid::Uuid;

use crate::ground::{Ground, ground};

async fn fill(ground: &Ground, relay: &str, rows: u32) {
    ground
        .run(&format!(
            "INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, headers, body) \
             SELECT '{relay}', 'jobs', 'send.{relay}', gen_random_uuid(), 'facteur.job.v1', \
                 jsonb_build_object('facteur-turn', n, 'traceparent', '00-ab'), convert_to('body ' || n, 'UTF8') \
             FROM generate_series(1, {rows}) AS n"
        ))
        .await;
}

#[tokio::test]
async fn a_relay_gets_its_own_rows_oldest_first_and_whole() {
    let ground = ground().await;
    fill(&ground, "normal", 3).await;
    fill(&ground, "bulk", 1).await;
    let batch = Outbox::new(ground.database.clone()).claim("normal", 100).await.unwrap();
    assert!(batch.rows.is_sorted_by_key(|row| row.id));
    let bodies: Vec<&[u8]> = batch.rows.iter().map(|row| &row.body[..]).collect();
    assert_eq!(bodies, [b"body 1", b"body 2", b"body 3"]);
    let first = &batch.rows[0];
    assert_eq!(
        (first.exchange.as_str(), first.routing_key.as_str(), first.tries),
        ("jobs", "send.normal", 0)
    );
    assert_eq!(first.headers["facteur-turn"], HeaderValue::Int(1));
    assert_eq!(first.headers["traceparent"], HeaderValue::Text("00-ab".to_owned()));
    assert!(!format!("{first:?}").contains("body 1"));
}

#[tokio::test]
async fn large_bodies_are_handed_out_few_at_a_time() {
    let ground = ground().await;
    fill(&ground, "normal", 20).await;
    ground.run("UPDATE facteur.outbox SET body = convert_to(repeat('x', 65536), 'UTF8')").await;
    let outbox = Outbox::new(ground.database.clone());
    let first = outbox.claim("normal", 256).await.unwrap().rows;
    assert_eq!(first.len(), 8);
    let next = outbox.claim("normal", 256).await.unwrap().rows;
    assert!(first.iter().map(|row| row.id).max() < next.iter().map(|row| row.id).min());
    ground.run("UPDATE facteur.outbox SET body = convert_to(repeat('x', 1000000), 'UTF8')").await;
    assert_eq!(outbox.claim("normal", 256).await.unwrap().rows.len(), 1, "one is never too large");
}

#[tokio::test]
async fn relays_of_many_workers_never_hold_one_row_twice() {
    let ground = ground().await;
    fill(&ground, "urgent", 200).await;
    let outbox = Outbox::new(ground.database.clone());
    let batches = futures_util::future::join_all((0..8).map(|_| outbox.claim("urgent", 20))).await;
    let ids: Vec<i64> = batches.into_iter().flat_map(|batch| batch.unwrap().rows).map(|row| row.id).collect();
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    // A row that another claim holds at that moment is skipped, not waited for.
    let rest = outbox.claim("urgent", 1_000).await.unwrap().rows;
    assert_eq!(ids.len() + rest.len(), 200);
    assert!(outbox.claim("urgent", 1_000).await.unwrap().rows.is_empty(), "all are leased");
}

#[tokio::test]
async fn confirmed_rows_go_and_failed_ones_come_back_later_and_later() {
    let ground = ground().await;
    fill(&ground, "normal", 2).await;
    let outbox = Outbox::new(ground.database.clone());
    let batch = outbox.claim("normal", 10).await.unwrap();
    let (done, failed) = (batch.rows[0].id, batch.rows[1].id);
    assert_eq!(outbox.delete(batch.token, &[done]).await.unwrap(), 1);
    assert_eq!(outbox.delete(batch.token, &[]).await.unwrap(), 0);
    let mut token = batch.token;
    for (tries, wait_s) in (1..).zip([2, 4, 8, 16, 32, 64, 128, 256, 300, 300]) {
        let before = ground.text("SELECT clock_timestamp()").await;
        assert_eq!(outbox.retry_later(token, &[failed]).await.unwrap(), 1);
        // A shorter wait may be over before one has looked.
        assert!(wait_s < 16 || outbox.claim("normal", 10).await.unwrap().rows.is_empty());
        let wait = format!(
            "SELECT tries, claimed_until BETWEEN btrim('{before}', '()\"')::timestamptz + interval '{wait_s} s' / 2 \
                 AND clock_timestamp() + interval '{wait_s} s' * 1.5 FROM facteur.outbox"
        );
        assert_eq!(ground.text(&wait).await, format!("({tries},t)"));
        ground.run("UPDATE facteur.outbox SET claimed_until = clock_timestamp()").await;
        token = outbox.claim("normal", 10).await.unwrap().token;
    }
}

#[tokio::test]
async fn a_relay_that_died_loses_its_rows_to_another() {
    let ground = ground().await;
    fill(&ground, "normal", 1).await;
    let outbox = Outbox::new(ground.database.clone());
    let dead = outbox.claim("normal", 10).await.unwrap();
    ground.run("UPDATE facteur.outbox SET claimed_until = clock_timestamp() - interval '1 second'").await;
    let heir = outbox.claim("normal", 10).await.unwrap();
    assert_eq!(dead.rows[0].message_id, heir.rows[0].message_id);
    let ids = [heir.rows[0].id];
    assert_eq!(outbox.delete(dead.token, &ids).await.unwrap(), 0);
    assert_eq!(outbox.retry_later(dead.token, &ids).await.unwrap(), 0);
    assert_eq!(outbox.delete(Uuid::new_v4(), &ids).await.unwrap(), 0);
    assert_eq!(outbox.delete(heir.token, &ids).await.unwrap(), 1);
}

use facteur_core::hold::{Fuse, Hold, Scope};
use facteur_core::lane::Lane;
use facteur_core::sender::Sender;
use facteur_postgres::lines::{self, LineKind, release};
use facteur_postgres::sweep;

use crate::fixture::{ACCOUNT, Fixture};

fn paused_bulk() -> Hold {
    Hold::Pause(Scope::Lane(Lane::Bulk))
}

#[tokio::test]
async fn a_line_is_let_out_in_chunks_the_urgent_lane_first_and_in_each_the_oldest_first() {
    let fixture = Fixture::new().await;
    let hold = Hold::Pause(Scope::Sender(Sender::parse("+15005550006").unwrap()));
    let line = hold.to_string();
    for (lane, count) in [("bulk", 900), ("urgent", 600), ("normal", 300)] {
        fixture.waiting(count, lane, Some(&line), None).await;
    }
    fixture.waiting(10, "urgent", Some("pause:lane:urgent"), None).await;
    assert_eq!(release(&fixture.database, &hold, 1_000).await.unwrap(), 1_000);
    let out = |lane: &str| {
        format!(
            "SELECT count(*) FROM facteur.jobs WHERE lane = '{lane}' AND reason = 'resumed' AND waits_for IS NULL"
        )
    };
    assert_eq!(fixture.count(&out("urgent")).await, 600);
    assert_eq!(fixture.count(&out("normal")).await, 300);
    assert_eq!(fixture.count(&out("bulk")).await, 100);
    let overtaken = "SELECT count(*) FROM facteur.jobs r JOIN facteur.jobs w USING (lane) \
         WHERE r.reason = 'resumed' AND w.waits_for = 'pause:sender:+15005550006' AND r.in_line_since > w.in_line_since";
    assert_eq!(fixture.count(overtaken).await, 0);
    let in_order = "SELECT count(*) FROM (SELECT j.in_line_since >= lag(j.in_line_since) OVER (ORDER BY o.id) AS kept \
         FROM facteur.outbox o JOIN facteur.jobs j ON j.id = o.message_id WHERE o.relay = 'urgent') AS rows WHERE NOT kept";
    assert_eq!(fixture.count(in_order).await, 0);
    let wake_ups = "SELECT count(*) FROM facteur.outbox o JOIN facteur.jobs j ON j.id = o.message_id \
         WHERE o.relay = j.lane AND o.routing_key = 'send.' || j.lane AND (o.headers ->> 'facteur-turn')::int = j.turn \
           AND j.due_at BETWEEN clock_timestamp() + interval '30 s' AND clock_timestamp() + interval '61 s'";
    assert_eq!(fixture.count(wake_ups).await, 1_000);
    assert_eq!(release(&fixture.database, &hold, 1_000).await.unwrap(), 800);
    assert_eq!(release(&fixture.database, &hold, 1_000).await.unwrap(), 0);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs WHERE waits_for IS NOT NULL").await, 10);
}

#[tokio::test]
async fn a_lane_whose_outbox_is_full_has_to_carry_it_first() {
    let fixture = Fixture::new().await;
    fixture.waiting(50, "bulk", Some("pause:lane:bulk"), None).await;
    let fill = |count: u32| {
        format!(
            "INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, body) \
             SELECT 'bulk', 'jobs', 'send.bulk', gen_random_uuid(), 'x', '' FROM generate_series(1, {count})"
        )
    };
    fixture.sql(&fill(4_980)).await;
    assert_eq!(release(&fixture.database, &paused_bulk(), 1_000).await.unwrap(), 20);
    assert_eq!(release(&fixture.database, &paused_bulk(), 1_000).await.unwrap(), 0);
    fixture.sql("DELETE FROM facteur.outbox").await;
    assert_eq!(release(&fixture.database, &paused_bulk(), 1_000).await.unwrap(), 30);
}

#[tokio::test]
async fn two_workers_that_let_out_one_line_let_out_each_job_once() {
    let fixture = Fixture::new().await;
    fixture.waiting(1_500, "bulk", Some("pause:lane:bulk"), None).await;
    let hold = paused_bulk();
    let one = || release(&fixture.database, &hold, 400);
    let released = futures_util::future::join_all([one(), one(), one()]).await;
    let mut sum: i64 = released.into_iter().map(Result::unwrap).sum();
    while sum < 1_500 {
        sum += one().await.unwrap();
    }
    assert_eq!(fixture.count("SELECT count(DISTINCT message_id) FROM facteur.outbox").await, 1_500);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.outbox").await, 1_500);
}

#[tokio::test]
async fn lines_are_listed_and_counted_by_their_kind() {
    let fixture = Fixture::new().await;
    let sender = || Sender::parse("+33700000001").unwrap();
    let lines = [
        Hold::Rate(sender()),
        Hold::Breaker(Fuse::Integration("AC1".to_owned())),
        Hold::Breaker(Fuse::Sender(sender())),
        paused_bulk(),
        Hold::Pause(Scope::Lane(Lane::Normal)),
        Hold::Pause(Scope::Sender(sender())),
    ];
    for (line, count) in lines.iter().zip(1..) {
        fixture.waiting(count, "bulk", Some(&line.to_string()), None).await;
    }
    fixture.waiting(1, "bulk", Some("pause:moon:full"), None).await;
    fixture.waiting(1, "bulk", None, None).await;
    for (kind, expected, count) in [
        (LineKind::Rate, &lines[..1], 1),
        (LineKind::Breaker, &lines[1..3], 5),
        (LineKind::Pause, &lines[3..], 16),
    ] {
        let mut listed = lines::list(&fixture.database, kind).await.unwrap();
        listed.sort();
        let mut expected = expected.to_vec();
        expected.sort();
        assert_eq!(listed, expected);
        assert_eq!(lines::count(&fixture.database, kind).await.unwrap(), count);
    }
}

#[tokio::test]
async fn what_expires_in_a_line_leaves_it_and_so_does_what_has_ended_otherwise() {
    let fixture = Fixture::new().await;
    fixture.waiting(3, "bulk", Some("pause:lane:bulk"), None).await;
    fixture
        .sql(
            "UPDATE facteur.jobs SET deadline = clock_timestamp(), due_at = clock_timestamp() WHERE id = \
             (SELECT id FROM facteur.jobs ORDER BY in_line_since LIMIT 1); \
             UPDATE facteur.jobs SET status = 'sent', due_at = NULL WHERE id = \
             (SELECT id FROM facteur.jobs ORDER BY in_line_since DESC LIMIT 1)",
        )
        .await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, false).await.unwrap().expired, 1);
    assert_eq!(lines::count(&fixture.database, LineKind::Pause).await.unwrap(), 2);
    release(&fixture.database, &paused_bulk(), 1_000).await.unwrap();
    assert!(lines::list(&fixture.database, LineKind::Pause).await.unwrap().is_empty());
    let statuses = "SELECT string_agg(status, ' ' ORDER BY in_line_since) FROM facteur.jobs";
    assert_eq!(fixture.text(statuses).await.as_deref(), Some("expired waiting sent"));
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.outbox").await, 1);
}

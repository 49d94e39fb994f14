use std::time::Duration;

use facteur_core::envelope::{HEADER_TURN, HeaderValue};
use facteur_core::gcra::{Ask, Reservation};
use facteur_core::hold::Hold;
use facteur_core::ids::Turn;
use facteur_core::lane::Lane;
use facteur_core::ledger::{Capacity, JobRow, Next, Pull, Settled, Settlement, Wait};
use facteur_core::limits::SLOT_LOOKAHEAD;
use facteur_core::status::Status;
use facteur_postgres::{RateLines, sweep};

use crate::fixture::{ACCOUNT, Fixture, in_s, row};
use crate::slots::{rate, sender, set_ahead};

const ALL: Capacity = Capacity { urgent: 64, normal: 64, bulk: 64 };

async fn join(fixture: &Fixture, row: &JobRow) -> Settled {
    let hold = Hold::Rate(sender());
    let wait = Some(Wait { delay: Duration::ZERO, in_ladder: false, is_counted: false });
    let reason = hold.reason();
    let next = Next { status: Status::Waiting, reason, wait, suppress: false, hold: Some(hold) };
    fixture.store.settle(Settlement { row: row.clone(), next }).await.unwrap()
}

async fn joined(fixture: &Fixture, lane: Lane, segments: u32) -> JobRow {
    let row = JobRow { lane, segments, ..row() };
    assert_eq!(join(fixture, &row).await, Settled::Done(Turn(1)));
    row
}

async fn pull(fixture: &Fixture, per_second: f64, capacity: Capacity, draw: f64) -> Pull {
    let lines = RateLines::new(fixture.database.clone());
    lines.pull(&sender(), Some(rate(per_second)), capacity, draw, None).await.unwrap()
}

fn ids(pull: &Pull) -> Vec<String> {
    pull.jobs.iter().map(|job| job.content.message_id.clone().unwrap()).collect()
}

fn of(rows: &[&JobRow]) -> Vec<String> {
    rows.iter().map(|row| row.id.to_string()).collect()
}

#[tokio::test]
async fn a_pull_takes_as_many_as_the_lookahead_carries_each_with_its_place_and_its_turn() {
    let fixture = Fixture::new().await;
    let first = joined(&fixture, Lane::Bulk, 1).await;
    let second = joined(&fixture, Lane::Bulk, 3).await;
    let third = joined(&fixture, Lane::Bulk, 1).await;
    set_ahead(&fixture, 20.0, -1.0).await;
    let pulled = pull(&fixture, 20.0, ALL, 0.0).await;
    assert_eq!(ids(&pulled), of(&[&first, &second]), "the third would begin 200 ms from now");
    let now = pulled.reading.now;
    let after: Vec<i64> =
        pulled.jobs.iter().map(|job| job.place.unwrap().as_microsecond() - now.as_microsecond()).collect();
    assert_eq!(after, [0, 50_000]);
    assert_eq!(pulled.tat.unwrap().as_microsecond() - now.as_microsecond(), 200_000);
    assert_eq!(pulled.jobs[0].content.headers.get(HEADER_TURN), Some(&HeaderValue::Int(1)));
    assert_eq!(pulled.jobs[0].content.body, first.document);
    assert_eq!(pulled.exhausted, [Lane::Urgent, Lane::Normal]);
    set_ahead(&fixture, 20.0, 1.0).await;
    let again = pull(&fixture, 20.0, ALL, 0.0).await;
    assert_eq!((ids(&again), again.exhausted), (Vec::new(), Vec::new()), "the clock is ahead");
    assert_eq!(
        fixture.text("SELECT waits_for FROM facteur.jobs WHERE waits_for IS NOT NULL").await.unwrap(),
        format!("rate:{}", sender())
    );
    fixture.yours(&JobRow { turn: Turn(1), ..first }, 1).await;
    set_ahead(&fixture, 20.0, -1.0).await;
    let last = pull(&fixture, 20.0, ALL, 0.0).await;
    assert_eq!((ids(&last), last.exhausted), (of(&[&third]), Lane::ALL.to_vec()));
}

#[tokio::test]
async fn urgent_ones_come_first_and_three_normal_ones_for_each_of_bulk() {
    let fixture = Fixture::new().await;
    for lane in [Lane::Bulk, Lane::Normal, Lane::Urgent] {
        for _ in 0..9 {
            joined(&fixture, lane, 1).await;
        }
    }
    let lanes = |pull: Pull| pull.jobs.iter().map(|job| &job.lane.as_str()[..1]).collect::<String>();
    set_ahead(&fixture, 1_000.0, -1.0).await;
    let capacity = Capacity { urgent: 2, normal: 6, bulk: 2 };
    assert_eq!(lanes(pull(&fixture, 1_000.0, capacity, 0.0).await), "uunnnbnnnb");
    // One at a time, the draw says whose turn it is.
    let mut bulk = 0;
    for draw in [0.0, 0.3, 0.6, 0.9] {
        set_ahead(&fixture, 1.0, -1.0).await;
        let one = pull(&fixture, 1.0, Capacity { urgent: 0, ..ALL }, draw).await;
        assert_eq!(one.jobs.len(), 1);
        bulk += usize::from(one.jobs[0].lane == Lane::Bulk);
    }
    assert_eq!(bulk, 1);
}

#[tokio::test]
async fn pulls_of_many_workers_take_each_job_once_and_leave_no_gap() {
    let fixture = Fixture::new().await;
    for _ in 0..60 {
        joined(&fixture, Lane::Normal, 1).await;
    }
    set_ahead(&fixture, 1_000.0, -1.0).await;
    let pulls = (0..12).map(|_| pull(&fixture, 1_000.0, Capacity { normal: 10, ..ALL }, 0.5));
    let pulls = futures_util::future::join_all(pulls).await;
    let mut all: Vec<String> = pulls.iter().flat_map(ids).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
    assert_eq!(count, 60);
    let mut places: Vec<i64> =
        pulls.iter().flat_map(|pull| &pull.jobs).map(|job| job.place.unwrap().as_microsecond()).collect();
    places.sort_unstable();
    assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 999), "{places:?}");
}

#[tokio::test]
async fn who_goes_back_stands_at_the_old_place() {
    let fixture = Fixture::new().await;
    let first = joined(&fixture, Lane::Normal, 1).await;
    let second = joined(&fixture, Lane::Normal, 1).await;
    set_ahead(&fixture, 1.0, -1.0).await;
    assert_eq!(ids(&pull(&fixture, 1.0, ALL, 0.0).await), of(&[&first]));
    // Claimed, too late for its slot, given back, and in the line again.
    let first = JobRow { turn: Turn(1), ..first };
    fixture.yours(&first, 7).await;
    let reason = facteur_core::reason::ReasonCode::RateLimit;
    fixture.store.release(first.id, crate::fixture::token(7), reason, Duration::ZERO).await.unwrap();
    assert_eq!(join(&fixture, &first).await, Settled::Done(Turn(2)));
    set_ahead(&fixture, 1.0, -1.0).await;
    assert_eq!(ids(&pull(&fixture, 1.0, ALL, 0.0).await), of(&[&first]));
    set_ahead(&fixture, 1.0, -1.0).await;
    assert_eq!(ids(&pull(&fixture, 1.0, ALL, 0.0).await), of(&[&second]));
}

#[tokio::test]
async fn what_was_pulled_by_a_worker_that_died_is_woken_and_who_expires_leaves_the_line() {
    let fixture = Fixture::new().await;
    let pulled = joined(&fixture, Lane::Normal, 1).await;
    set_ahead(&fixture, 1.0, -1.0).await;
    pull(&fixture, 1.0, ALL, 0.0).await;
    let grace = "SELECT round(extract(epoch FROM due_at - clock_timestamp()))::bigint FROM facteur.jobs";
    assert!((30..=60).contains(&fixture.count(grace).await), "the lane has its time first");
    let expired = JobRow { deadline: in_s(-1), ..row() };
    join(&fixture, &expired).await;
    fixture
        .sql(&format!("UPDATE facteur.jobs SET due_at = clock_timestamp() WHERE id = '{}'", pulled.id))
        .await;
    let swept = sweep(&fixture.database, ACCOUNT, true).await.unwrap();
    assert_eq!((swept.woken, swept.expired), (1, 1));
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs WHERE waits_for IS NOT NULL").await, 0);
}

#[tokio::test]
async fn a_fresh_message_goes_behind_the_line_unless_the_clock_stands_idle() {
    let fixture = Fixture::new().await;
    let ask = Ask {
        needed: 1,
        block: 5,
        may_owe: false,
        // Far enough for the clock's place to be given, if it were not for the line.
        horizon: Duration::from_secs(60),
        has_line: false,
        skips_line: false,
    };
    let reserve =
        async |ask| fixture.store.reserve(&sender(), rate(100.0), ask, None).await.unwrap().reservation;
    let waiting = joined(&fixture, Lane::Bulk, 1).await;
    set_ahead(&fixture, 100.0, -1.0).await;
    assert!(matches!(reserve(ask).await, Reservation::Granted { count: 1, .. }), "one, and no block");
    set_ahead(&fixture, 100.0, 1.0).await;
    assert_eq!(reserve(ask).await, Reservation::Full);
    fixture.sql(&format!("UPDATE facteur.jobs SET waits_for = NULL WHERE id = '{}'", waiting.id)).await;
    assert!(matches!(reserve(ask).await, Reservation::Granted { count: 5, .. }));
}

#[tokio::test]
async fn a_sender_without_a_rate_lets_its_line_go_and_lines_are_listed_by_lane() {
    let fixture = Fixture::new().await;
    for lane in [Lane::Bulk, Lane::Bulk, Lane::Normal] {
        joined(&fixture, lane, 1).await;
    }
    let lines = RateLines::new(fixture.database.clone());
    assert_eq!(lines.list().await.unwrap(), [(sender(), Lane::Bulk), (sender(), Lane::Normal)]);
    let free = lines.pull(&sender(), None, ALL, 0.0, None).await.unwrap();
    assert_eq!((free.jobs.len(), free.tat, free.exhausted), (3, None, Lane::ALL.to_vec()));
    assert!(free.jobs.iter().all(|job| job.place.is_none()));
    assert_eq!(lines.list().await.unwrap(), []);
}

#[tokio::test]
async fn a_place_begins_within_the_lookahead() {
    let fixture = Fixture::new().await;
    joined(&fixture, Lane::Urgent, 1).await;
    set_ahead(&fixture, 1.0, SLOT_LOOKAHEAD.as_secs_f64() + 5.0).await;
    assert_eq!(pull(&fixture, 1.0, ALL, 0.0).await.jobs, []);
    set_ahead(&fixture, 1.0, SLOT_LOOKAHEAD.as_secs_f64() - 0.05).await;
    assert_eq!(pull(&fixture, 1.0, ALL, 0.0).await.jobs.len(), 1);
}

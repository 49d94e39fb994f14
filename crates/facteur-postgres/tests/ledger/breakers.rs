//! Breakers' rows and lines.

use std::time::Duration;

use facteur_core::breaker::{Cause, Change, Fault, State};
use facteur_core::hold::{Fuse, Hold};
use facteur_core::ids::Turn;
use facteur_core::lane::Lane;
use facteur_core::ledger::{JobRow, Next, Settled, Settlement, Wait};
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_postgres::{breakers, lines, sweep};

use crate::fixture::{ACCOUNT, Fixture, finish, in_s, row};

fn account() -> Fuse {
    Fuse::Integration("AC1".to_owned())
}

fn failing() -> Change {
    Change::Open(Fault::new(Cause::Failing, "Twilio answered HTTP 503"))
}

async fn hold(fixture: &Fixture, row: &JobRow, fuse: Fuse) {
    let wait = Some(Wait { delay: Duration::ZERO, in_ladder: false, is_counted: false });
    let next = finish(Status::Waiting, ReasonCode::BreakerOpen);
    let next = Next { wait, hold: Some(Hold::Breaker(fuse)), ..next };
    let settled = fixture.store.settle(Settlement { row: row.clone(), next }).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
}

#[tokio::test]
async fn of_two_workers_that_open_one_breaker_one_does_and_one_probes() {
    let fixture = Fixture::new().await;
    let open = || async { breakers::change(&fixture.database, &account(), &failing()).await.unwrap() };
    let (first, second) = tokio::join!(open(), open());
    assert_eq!([first, second].iter().flatten().count(), 1);
    fixture.sql("UPDATE facteur.breakers SET retry_at = clock_timestamp()").await;
    assert!(breakers::open(&fixture.database).await.unwrap()[0].is_due);
    let claim = || async { breakers::change(&fixture.database, &account(), &Change::Try).await.unwrap() };
    let (first, second) = tokio::join!(claim(), claim());
    assert_eq!([first, second].iter().flatten().count(), 1);
    assert!(!breakers::open(&fixture.database).await.unwrap()[0].is_due);
}

#[tokio::test]
async fn a_row_is_read_as_it_was_written_and_a_closed_one_is_not_listed() {
    let fixture = Fixture::new().await;
    let written = breakers::change(&fixture.database, &account(), &failing()).await.unwrap().unwrap();
    assert_eq!(breakers::find(&fixture.database, &account()).await.unwrap(), Some(written.clone()));
    assert_eq!((written.state, written.openings), (State::Open, 1));
    for change in [Change::Answered, Change::Close] {
        breakers::change(&fixture.database, &account(), &change).await.unwrap().unwrap();
    }
    assert_eq!(breakers::open(&fixture.database).await.unwrap(), []);
}

#[tokio::test]
async fn a_line_is_let_out_urgent_first_then_the_oldest_and_only_once() {
    let fixture = Fixture::new().await;
    let (bulk, normal, later) = (JobRow { lane: Lane::Bulk, ..row() }, row(), row());
    let urgent = JobRow { lane: Lane::Urgent, ..row() };
    for job in [&bulk, &normal, &later, &urgent] {
        hold(&fixture, job, account()).await;
    }
    let line = Hold::Breaker(account());
    assert_eq!(breakers::waiting(&fixture.database, &account()).await.unwrap(), 4);
    assert_eq!(lines::release(&fixture.database, &line, 2).await.unwrap(), 2);
    let woken = "SELECT string_agg(message_id || ' ' || relay || ' ' || (headers ->> 'facteur-turn'), ',' ORDER BY id) \
                 FROM facteur.outbox";
    let expected = format!("{} urgent 1,{} normal 1", urgent.id, normal.id);
    assert_eq!(fixture.text(woken).await.unwrap(), expected);
    let out = fixture.text("SELECT string_agg(DISTINCT reason || ': ' || sentence, ',') FROM facteur.jobs WHERE waits_for IS NULL");
    assert_eq!(out.await.as_deref(), Some("resumed: the breaker lets it through"));
    assert_eq!(lines::release(&fixture.database, &line, 1_000).await.unwrap(), 2);
    assert_eq!(lines::release(&fixture.database, &line, 1_000).await.unwrap(), 0);
    fixture.yours(&JobRow { turn: Turn(1), ..bulk }, 1).await;
}

#[tokio::test]
async fn what_comes_out_and_goes_back_in_keeps_its_place_in_front() {
    let fixture = Fixture::new().await;
    let (first, second) = (row(), row());
    hold(&fixture, &first, account()).await;
    hold(&fixture, &second, account()).await;
    let line = Hold::Breaker(account());
    lines::release(&fixture.database, &line, 1).await.unwrap();
    hold(&fixture, &JobRow { turn: Turn(1), ..first.clone() }, account()).await;
    fixture.sql("DELETE FROM facteur.outbox").await;
    lines::release(&fixture.database, &line, 1).await.unwrap();
    let woken = fixture.text("SELECT message_id::text FROM facteur.outbox").await;
    assert_eq!(woken.unwrap(), first.id.to_string());
}

#[tokio::test]
async fn a_job_that_outlives_its_deadline_in_line_expires_and_leaves_the_line() {
    let fixture = Fixture::new().await;
    let job = JobRow { deadline: in_s(600), ..row() };
    hold(&fixture, &job, account()).await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().expired, 0);
    fixture.sql("UPDATE facteur.jobs SET deadline = clock_timestamp(), due_at = clock_timestamp()").await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().expired, 1);
    assert_eq!(fixture.status(&job).await, "expired");
    assert_eq!(breakers::waiting(&fixture.database, &account()).await.unwrap(), 0);
}

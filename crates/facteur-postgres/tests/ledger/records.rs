use std::time::Duration;

use facteur_core::ids::{AttemptNumber, JobId, Turn};
use facteur_core::ledger::{Claim, ClaimRequest, JobRow, Next, Recorded};
use facteur_core::outcome::Outcome;
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_postgres::{PostgresConfig, Store, Swept, connect, sweep};
use uuid::Uuid;

use crate::fixture::{ACCOUNT, Fixture, accepted, again_in, finish, record, refused, row, sid, token, via};

#[tokio::test]
async fn a_record_whose_reply_was_lost_reads_what_it_wrote() {
    let fixture = Fixture::new().await;
    let row = row();
    let number = fixture.yours(&row, 1).await.number;
    let again = record(&row, 1, number, (refused(20_404), again_in(Duration::from_secs(5), true)));
    let first = fixture.store.record(again.clone()).await.unwrap();
    assert_eq!(fixture.store.record(again).await.unwrap(), first);
    assert_eq!(first, Recorded::Done { turn: Turn(1), is_double: false });
    assert_eq!(fixture.count("SELECT failures::bigint FROM facteur.jobs").await, 1);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.attempts").await, 1);
}

#[tokio::test]
async fn only_counted_failures_are_counted() {
    let fixture = Fixture::new().await;
    let mut row = row();
    for (turn, is_counted) in [false, false, true, false].into_iter().enumerate() {
        row.turn = Turn(i32::try_from(turn).unwrap());
        let token = turn as u128 + 1;
        let number = fixture.yours(&row, token).await.number;
        let outcome = Outcome::Throttled { code: Some(20_429), retry_after: None };
        fixture
            .store
            .record(record(&row, token, number, (outcome, again_in(Duration::ZERO, is_counted))))
            .await
            .unwrap();
    }
    row.turn = Turn(4);
    let attempt = fixture.yours(&row, 9).await;
    assert_eq!((attempt.failures, attempt.parks), (1, 1));
}

#[tokio::test]
async fn a_lease_that_ran_out_is_uncertain_is_looked_for_and_is_never_a_second_claim() {
    let fixture = Fixture::new().await;
    let row = row();
    fixture.yours(&row, 1).await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().uncertain, 0, "the lease still runs");
    fixture.sql("UPDATE facteur.jobs SET due_at = clock_timestamp()").await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().uncertain, 1);
    assert_eq!(fixture.status(&row).await, "uncertain");
    assert_eq!(fixture.claim(&row, 2).await, Claim::Busy);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs WHERE due_at IS NOT NULL").await, 0);
    let search = "SELECT account || ' ' || attempt || ' ' || recipient FROM facteur.reconciliations \
                  WHERE next_check_at <= clock_timestamp() AND started_at <= ended_at AND closed_at IS NULL";
    let expected = format!("{ACCOUNT} 1 {}", row.recipient.number.reveal());
    assert_eq!(fixture.text(search).await, Some(expected));
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap(), Swept::default(), "it is left alone");
}

#[tokio::test]
async fn leases_are_left_alone_where_records_come_first() {
    let fixture = Fixture::new().await;
    let row = row();
    fixture.yours(&row, 1).await;
    fixture.sql("UPDATE facteur.jobs SET due_at = clock_timestamp()").await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, false).await.unwrap().uncertain, 0);
    assert_eq!(fixture.status(&row).await, "sending");
}

#[tokio::test]
async fn a_letter_about_an_unreadable_envelope_gives_way_to_the_jobs_own() {
    let fixture = Fixture::new().await;
    let row = row();
    fixture
        .sql(&format!(
            "INSERT INTO facteur.dead_letters (job_id, code, sentence, body, routing_key, digest) \
             VALUES ('{}', 'unroutable', 'x', 'old', 'send.slow', 'd')",
            row.id
        ))
        .await;
    let number = fixture.yours(&row, 1).await.number;
    let next = finish(Status::Dead, ReasonCode::DestinationDisabled);
    fixture.store.record(record(&row, 1, number, (refused(21_408), next))).await.unwrap();
    let letter =
        fixture.text("SELECT code || ' ' || convert_from(body, 'UTF8') FROM facteur.dead_letters").await;
    assert_eq!(letter.as_deref(), Some("destination_disabled {\"to\":\"x\"}"));
}

#[tokio::test]
async fn a_second_sid_of_one_job_is_noticed() {
    let fixture = Fixture::new().await;
    let row = row();
    let first = fixture.yours(&row, 1).await.number;
    // A worker that slept: its job was requeued meanwhile, and sent by another one.
    fixture
        .sql("UPDATE facteur.jobs SET status = 'waiting', turn = 1, claim_token = NULL, not_before = NULL")
        .await;
    let present = JobRow { turn: Turn(1), ..row.clone() };
    let second = fixture.yours(&present, 2).await.number;
    assert_eq!(
        fixture.store.record(record(&row, 1, first, accepted(1))).await.unwrap(),
        Recorded::Done { turn: Turn(1), is_double: false }
    );
    let recorded = fixture.store.record(record(&present, 2, second, accepted(2))).await.unwrap();
    assert_eq!(recorded, Recorded::Done { turn: Turn(1), is_double: true });
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.attempts WHERE sid IS NOT NULL").await, 2);
}

#[tokio::test]
async fn a_burial_keeps_the_bytes_and_an_opt_out_suppresses() {
    let fixture = Fixture::new().await;
    let (buried, opted_out) = (row(), row());
    let number = fixture.yours(&buried, 1).await.number;
    let next = finish(Status::Dead, ReasonCode::DestinationDisabled);
    fixture.store.record(record(&buried, 1, number, (refused(21_408), next))).await.unwrap();
    let letter =
        fixture.text("SELECT code || ' ' || convert_from(body, 'UTF8') FROM facteur.dead_letters").await;
    assert_eq!(letter.as_deref(), Some("destination_disabled {\"to\":\"x\"}"));

    let number = fixture.yours(&opted_out, 2).await.number;
    let next = Next { suppress: true, ..finish(Status::Failed, ReasonCode::Refused) };
    fixture.store.record(record(&opted_out, 2, number, (refused(21_610), next))).await.unwrap();
    let again = JobRow { id: JobId(Uuid::from_u128(999_999)), ..opted_out };
    assert_eq!(fixture.claim(&again, 3).await, Claim::Ended(Status::Suppressed));
}

#[tokio::test]
async fn events_are_told_once_for_each_end_and_only_where_they_are_asked_for() {
    let fixture = Fixture::new().await;
    let (silent, told) = (row(), row());
    let number = fixture.yours(&silent, 1).await.number;
    fixture.store.record(record(&silent, 1, number, accepted(1))).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.outbox").await, 0);

    let telling = PostgresConfig { publishes_events: true, ..fixture.config() };
    let database = connect(&telling).await.unwrap();
    let store = Store::start(database);
    let request = ClaimRequest { row: told.clone(), token: token(2), via: via(), is_budgeted: false };
    assert!(matches!(store.claim(request).await, Ok(Claim::Yours(_))));
    let done = record(&told, 2, AttemptNumber(1), accepted(2));
    store.record(done.clone()).await.unwrap();
    store.record(done).await.unwrap();
    let events =
        "SELECT routing_key || ' ' || (convert_from(body, 'UTF8')::json ->> 'sid') FROM facteur.outbox";
    assert_eq!(fixture.text(events).await.unwrap(), format!("message.sent {}", sid(2).as_str()));
}

/// The parts of one statement run in the order that the planner likes, and it likes another one while a new table is
/// small: the answers must not depend on it.
#[tokio::test]
async fn every_record_of_a_busy_start_is_answered() {
    let fixture = Fixture::new().await;
    let live = |number: u128| {
        let (fixture, row) = (&fixture, row());
        async move {
            fixture.yours(&row, number).await;
            let next = again_in(Duration::from_secs(60), true);
            fixture.store.record(record(&row, number, AttemptNumber(1), (refused(20_404), next))).await
        }
    };
    for recorded in futures_util::future::join_all((1..=3_000).map(live)).await {
        assert_eq!(recorded, Ok(Recorded::Done { turn: Turn(1), is_double: false }));
    }
}

use std::time::Duration;

use facteur_core::ids::{AttemptNumber, Turn};
use facteur_core::job::Fingerprint;
use facteur_core::ledger::{Claim, ClaimRequest, JobRow, Recorded};
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_postgres::Store;

use crate::fixture::{Fixture, accepted, again_in, in_s, record, refused, row, token, via};

#[tokio::test]
async fn a_new_job_is_claimed_once_and_copies_of_its_envelope_find_it_busy_then_final() {
    let fixture = Fixture::new().await;
    let row = row();
    assert_eq!(fixture.yours(&row, 1).await.number, AttemptNumber(1));
    assert_eq!(fixture.claim(&row, 2).await, Claim::Busy);
    fixture.store.record(record(&row, 1, AttemptNumber(1), accepted(1))).await.unwrap();
    assert_eq!(fixture.claim(&row, 3).await, Claim::Final(Status::Sent));
}

#[tokio::test]
async fn of_many_claims_of_one_job_exactly_one_wins() {
    let fixture = Fixture::new().await;
    let other = Store::start(fixture.database.clone());
    let row = row();
    let claims = (1..=40u128).map(|number| {
        let store = if number % 2 == 0 { &fixture.store } else { &other };
        store.claim(ClaimRequest { row: row.clone(), token: token(number), via: via(), is_budgeted: false })
    });
    let answers = futures_util::future::join_all(claims).await;
    let won = answers.iter().filter(|answer| matches!(answer, Ok(Claim::Yours(_)))).count();
    let busy = answers.iter().filter(|answer| matches!(answer, Ok(Claim::Busy))).count();
    assert_eq!((won, busy), (1, 39));
}

#[tokio::test]
async fn a_claim_whose_reply_was_lost_gets_the_same_answer_again() {
    let fixture = Fixture::new().await;
    let row = row();
    let first = fixture.yours(&row, 1).await;
    assert_eq!(fixture.yours(&row, 1).await.number, first.number);
    fixture
        .store
        .record(record(&row, 1, first.number, (refused(20_404), again_in(Duration::ZERO, true))))
        .await
        .unwrap();
    let row = JobRow { turn: Turn(1), ..row };
    assert_eq!(fixture.yours(&row, 2).await.number, AttemptNumber(2));
    assert_eq!(fixture.yours(&row, 2).await.number, AttemptNumber(2));
}

#[tokio::test]
async fn an_envelope_of_another_turn_is_stale_and_an_early_one_waits() {
    let fixture = Fixture::new().await;
    let row = row();
    let number = fixture.yours(&row, 1).await.number;
    let again = again_in(Duration::from_secs(60), true);
    let recorded = fixture.store.record(record(&row, 1, number, (refused(20_404), again))).await.unwrap();
    assert_eq!(recorded, Recorded::Done { turn: Turn(1), is_double: false });
    assert_eq!(fixture.claim(&row, 2).await, Claim::Stale);
    let present = JobRow { turn: Turn(1), ..row };
    match fixture.claim(&present, 3).await {
        Claim::NotYet { turn: Turn(1), delay } => {
            assert!(delay <= Duration::from_secs(60) && !delay.is_zero())
        }
        other => panic!("{other:?}"),
    }
    fixture.sql("UPDATE facteur.jobs SET not_before = clock_timestamp()").await;
    let attempt = fixture.yours(&present, 4).await;
    assert_eq!((attempt.number, attempt.failures, attempt.parks), (AttemptNumber(2), 1, 0));
    assert_eq!(attempt.text.as_deref(), Some("Bonjour"), "the stored text is what is sent");
}

#[tokio::test]
async fn another_content_under_the_same_id_is_a_conflict() {
    let fixture = Fixture::new().await;
    let row = row();
    fixture.yours(&row, 1).await;
    let other = JobRow { fingerprint: Fingerprint([255; 32]), ..row };
    assert_eq!(fixture.claim(&other, 2).await, Claim::Conflict);
}

#[tokio::test]
async fn opt_outs_and_deadlines_are_tested_in_the_claim_itself() {
    let fixture = Fixture::new().await;
    let (first, second, late) = (row(), row(), JobRow { deadline: in_s(-1), ..row() });
    let number = |row: &JobRow| row.recipient.number.reveal().to_owned();
    fixture
        .sql(&format!(
            "INSERT INTO facteur.suppressions (tenant, recipient, sender, reason) VALUES \
             ('default', '{}', '', 'stop'), ('default', '{}', '+15005559999', 'stop')",
            number(&first),
            number(&second)
        ))
        .await;
    assert_eq!(fixture.claim(&first, 1).await, Claim::Ended(Status::Suppressed));
    assert_eq!(fixture.status(&first).await, "suppressed");
    fixture.yours(&second, 2).await;
    assert_eq!(fixture.claim(&late, 3).await, Claim::Ended(Status::Expired));
    assert_eq!(fixture.status(&late).await, "expired");
}

#[tokio::test]
async fn an_opt_out_between_two_attempts_is_respected() {
    let fixture = Fixture::new().await;
    let row = row();
    let number = fixture.yours(&row, 1).await.number;
    fixture
        .store
        .record(record(&row, 1, number, (refused(20_404), again_in(Duration::ZERO, true))))
        .await
        .unwrap();
    let recipient = row.recipient.number.reveal();
    fixture
        .sql(&format!("INSERT INTO facteur.suppressions VALUES ('default', '{recipient}', '', 'stop')"))
        .await;
    let present = JobRow { turn: Turn(1), ..row };
    assert_eq!(fixture.claim(&present, 2).await, Claim::Ended(Status::Suppressed));
}

#[tokio::test]
async fn a_row_that_can_not_be_stored_fails_alone() {
    let fixture = Fixture::new().await;
    let bad = JobRow { text: Some("NUL \0".to_owned()), ..row() };
    let rows: Vec<JobRow> = (0..20).map(|index| if index == 7 { bad.clone() } else { row() }).collect();
    let claims = rows.iter().zip(1u128..).map(|(row, number)| {
        fixture.store.claim(ClaimRequest {
            row: row.clone(),
            token: token(number),
            via: via(),
            is_budgeted: false,
        })
    });
    let answers = futures_util::future::join_all(claims).await;
    for (row, answer) in rows.iter().zip(answers) {
        assert_eq!(answer.is_err(), row.id == bad.id, "{answer:?}");
    }
}

#[tokio::test]
async fn a_claim_that_made_no_call_gives_its_attempt_back() {
    let fixture = Fixture::new().await;
    let row = row();
    fixture.yours(&row, 1).await;
    let release =
        |number| fixture.store.release(row.id, token(number), ReasonCode::RateLimit, Duration::from_secs(60));
    assert!(!release(9).await.unwrap(), "only the owner releases");
    assert!(release(1).await.unwrap());
    assert_eq!(fixture.yours(&row, 2).await.number, AttemptNumber(1));
}

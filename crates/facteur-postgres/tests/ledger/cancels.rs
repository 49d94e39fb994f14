use std::time::Duration;

use facteur_core::ids::{JobId, Tenant, Turn};
use facteur_core::ledger::{Claim, ClaimRequest, JobRow, Settled, Settlement};
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_postgres::cancels::{self, BulkCancel, Cancel};
use facteur_postgres::{BatchFailure, messages};
use uuid::Uuid;

use crate::fixture::{Fixture, accepted, again_in, finish, record, refused, row, token, via};

const ADA: &str = "cli:ada";

async fn cancel(fixture: &Fixture, id: JobId) -> Cancel {
    cancels::cancel(&fixture.database, id, &Tenant::default_tenant(), "a mistake", ADA).await.unwrap()
}

/// A job that waits for its turn 1.
async fn retrying(fixture: &Fixture, number: u128) -> JobRow {
    let row = row();
    let attempt = fixture.yours(&row, number).await.number;
    let again = (refused(20_404), again_in(Duration::ZERO, true));
    fixture.store.record(record(&row, number, attempt, again)).await.unwrap();
    JobRow { turn: Turn(1), ..row }
}

#[tokio::test]
async fn what_waits_is_cancelled_and_what_is_being_sent_or_has_ended_is_told() {
    let fixture = Fixture::new().await;
    let (waiting, sent) = (retrying(&fixture, 1).await, row());
    let number = fixture.yours(&sent, 2).await.number;
    assert_eq!(cancel(&fixture, sent.id).await, Cancel::TooLate(Status::Sending));
    fixture.store.record(record(&sent, 2, number, accepted(1))).await.unwrap();
    assert_eq!(cancel(&fixture, sent.id).await, Cancel::Ended(Status::Sent));
    assert_eq!(cancels::preview(&fixture.database, waiting.id).await.unwrap(), Cancel::Canceled);
    assert_eq!(fixture.status(&waiting).await, "retrying", "a look changes nothing");
    assert_eq!(cancel(&fixture, waiting.id).await, Cancel::Canceled);
    assert_eq!(fixture.claim(&waiting, 3).await, Claim::Final(Status::Canceled));
    assert_eq!(cancel(&fixture, waiting.id).await, Cancel::Ended(Status::Canceled));
    let left = "SELECT count(*) FROM facteur.jobs WHERE status = 'canceled' AND due_at IS NULL AND not_before IS NULL";
    assert_eq!(fixture.count(left).await, 1);
    let story = messages::story(&fixture.database, waiting.id).await.unwrap().unwrap();
    assert_eq!(story.sentence.as_deref(), Some("by cli:ada: a mistake"));
    for reason in ["", &*"x".repeat(501)] {
        let refused =
            cancels::cancel(&fixture.database, waiting.id, &Tenant::default_tenant(), reason, ADA).await;
        assert!(matches!(refused, Err(BatchFailure::Data(_))));
    }
}

#[tokio::test]
async fn of_a_claim_and_a_cancellation_exactly_one_wins() {
    let fixture = Fixture::new().await;
    for number in 0..30u128 {
        let row = if number % 2 == 0 { row() } else { retrying(&fixture, 1_000 + number).await };
        let claim = fixture.store.claim(ClaimRequest {
            row: row.clone(),
            token: token(number + 1),
            via: via(),
            is_budgeted: false,
        });
        let (claimed, canceled) = tokio::join!(claim, cancel(&fixture, row.id));
        let is_claimed = matches!(claimed, Ok(Claim::Yours(_)));
        let is_canceled = matches!(canceled, Cancel::Canceled | Cancel::Unseen);
        assert!(is_claimed != is_canceled, "{claimed:?} and {canceled:?}");
    }
}

#[tokio::test]
async fn a_job_that_is_cancelled_before_it_is_seen_finds_its_end_when_it_comes() {
    let fixture = Fixture::new().await;
    let row = row();
    assert_eq!(cancel(&fixture, row.id).await, Cancel::Unseen);
    assert_eq!(cancel(&fixture, row.id).await, Cancel::Ended(Status::Canceled));
    assert_eq!(fixture.claim(&row, 1).await, Claim::Final(Status::Canceled));
    let late = JobRow { turn: Turn(3), ..row.clone() };
    assert_eq!(fixture.claim(&late, 2).await, Claim::Final(Status::Canceled));
    let next = finish(Status::Expired, ReasonCode::Expired);
    let settled = fixture.store.settle(Settlement { row: row.clone(), next }).await.unwrap();
    assert_eq!(settled, Settled::Superseded);
    assert_eq!(fixture.status(&row).await, "canceled");
    let story = messages::story(&fixture.database, row.id).await.unwrap().unwrap();
    assert!(story.is_unseen && story.message.is_none(), "{story:?}");
    assert_eq!(story.sentence.as_deref(), Some("before it was seen, by cli:ada: a mistake"));
}

#[tokio::test]
async fn what_a_tenant_cancels_unseen_is_its_own_and_anothers_message_under_that_id_is_told_apart() {
    let fixture = Fixture::new().await;
    let id = row().id;
    assert_eq!(cancel(&fixture, id).await, Cancel::Unseen);
    for turn in [Turn(0), Turn(1)] {
        let theirs = JobRow { id, turn, tenant: Tenant::parse("theirs").unwrap(), ..row() };
        assert_eq!(fixture.claim(&theirs, 1).await, Claim::Conflict);
        let next = finish(Status::Expired, ReasonCode::Expired);
        let settled = fixture.store.settle(Settlement { row: theirs, next }).await.unwrap();
        assert_eq!(settled, Settled::Conflict);
    }
}

#[tokio::test]
async fn a_bulk_is_cancelled_whether_its_jobs_wait_are_unseen_or_come_back() {
    let fixture = Fixture::new().await;
    let bulk = Uuid::from_u128(7);
    let of_bulk = || JobRow { bulk_id: Some(bulk), ..row() };
    fixture.waiting(2_300, "bulk", Some("pause:lane:bulk"), Some(bulk)).await;
    fixture.waiting(5, "bulk", None, Some(Uuid::from_u128(8))).await;
    let (sending, sent, unseen) = (of_bulk(), of_bulk(), of_bulk());
    let number = fixture.yours(&sending, 1).await.number;
    fixture.yours(&sent, 2).await;
    fixture.store.record(record(&sent, 2, number, accepted(1))).await.unwrap();
    let expected = BulkCancel { canceled: 2_300, too_late: 1, ended: 1 };
    assert_eq!(cancels::preview_bulk(&fixture.database, bulk).await.unwrap(), expected);
    let done = || cancels::cancel_bulk(&fixture.database, bulk, "wrong text", ADA);
    assert_eq!(done().await.unwrap(), expected);
    assert_eq!(done().await.unwrap(), BulkCancel { canceled: 0, too_late: 1, ended: 2_301 });
    assert_eq!(fixture.claim(&unseen, 3).await, Claim::Ended(Status::Canceled));
    let story = messages::story(&fixture.database, unseen.id).await.unwrap().unwrap();
    assert_eq!(story.sentence.as_deref(), Some("with its bulk, by cli:ada: wrong text"));
    // What was being sent comes back for another try.
    let again = (refused(20_404), again_in(Duration::ZERO, true));
    fixture.store.record(record(&sending, 1, number, again)).await.unwrap();
    let back = JobRow { turn: Turn(1), ..sending };
    assert_eq!(fixture.claim(&back, 4).await, Claim::Ended(Status::Canceled));
    let left = "SELECT count(*) FROM facteur.jobs WHERE waits_for IS NOT NULL OR (status = 'canceled' AND due_at IS NOT NULL)";
    assert_eq!(fixture.count(left).await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs WHERE status = 'waiting'").await, 5);
}

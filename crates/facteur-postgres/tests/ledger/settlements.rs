use std::time::Duration;

use facteur_core::ids::Turn;
use facteur_core::job::Fingerprint;
use facteur_core::ledger::{Claim, JobRow, Next, Settled, Settlement, Wait};
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::status::Status;
use facteur_postgres::{Swept, sweep};

use crate::fixture::{ACCOUNT, Fixture, again_in, finish, in_s, record, refused, row};

fn scheduled(delay: Duration) -> Next {
    let wait = Some(Wait { delay, in_ladder: false, is_counted: false });
    Next { wait, ..finish(Status::Scheduled, ReasonCode::Scheduled) }
}

async fn settle(fixture: &Fixture, row: &JobRow, next: Next) -> Settled {
    fixture.store.settle(Settlement { row: row.clone(), next }).await.unwrap()
}

#[tokio::test]
async fn what_waits_in_the_waiting_room_is_released_when_it_is_due_and_its_first_envelope_is_stale() {
    let fixture = Fixture::new().await;
    let row = row();
    assert_eq!(settle(&fixture, &row, scheduled(Duration::from_secs(3_600))).await, Settled::Done(Turn(1)));
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap(), Swept::default());
    assert_eq!(fixture.claim(&row, 1).await, Claim::Stale);
    fixture.sql("UPDATE facteur.jobs SET not_before = clock_timestamp(), due_at = clock_timestamp()").await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().woken, 1);
    let envelope =
        "SELECT routing_key || ' ' || (headers ->> 'facteur-turn') || ' ' || message_id FROM facteur.outbox";
    assert_eq!(fixture.text(envelope).await.unwrap(), format!("send.normal 1 {}", row.id));
    assert_eq!(
        sweep(&fixture.database, ACCOUNT, true).await.unwrap(),
        Swept::default(),
        "one wake-up, not one a second"
    );
    fixture.yours(&JobRow { turn: Turn(1), ..row }, 2).await;
}

#[tokio::test]
async fn a_wake_up_that_got_lost_is_replaced() {
    let fixture = Fixture::new().await;
    let row = row();
    let number = fixture.yours(&row, 1).await.number;
    let again = again_in(Duration::from_secs(5), true);
    fixture.store.record(record(&row, 1, number, (refused(20_404), again))).await.unwrap();
    let grace =
        fixture.count("SELECT extract(epoch FROM due_at - not_before)::bigint FROM facteur.jobs").await;
    assert_eq!(grace, 60, "the ladder's own envelope has its time first");
    fixture.sql("UPDATE facteur.jobs SET not_before = clock_timestamp(), due_at = clock_timestamp()").await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().woken, 1);
}

#[tokio::test]
async fn what_waits_beyond_its_deadline_expires() {
    let fixture = Fixture::new().await;
    let row = JobRow { deadline: in_s(1), ..row() };
    settle(&fixture, &row, scheduled(Duration::ZERO)).await;
    fixture.sql("UPDATE facteur.jobs SET deadline = clock_timestamp()").await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().expired, 1);
    assert_eq!(fixture.status(&row).await, "expired");
}

#[tokio::test]
async fn a_refusal_is_a_dead_letter_with_its_bytes_and_field() {
    let fixture = Fixture::new().await;
    let row = row();
    let reason = Reason::field(ReasonCode::TemplateUnknown, "template", "does not exist");
    let next = Next { reason, ..finish(Status::Dead, ReasonCode::TemplateUnknown) };
    assert_eq!(settle(&fixture, &row, next.clone()).await, Settled::Done(Turn(0)));
    let letter = "SELECT code || ' ' || field || ' ' || convert_from(body, 'UTF8') FROM facteur.dead_letters";
    assert_eq!(fixture.text(letter).await.as_deref(), Some("template_unknown template {\"to\":\"x\"}"));
    assert_eq!(settle(&fixture, &row, next).await, Settled::Superseded, "a copy changes nothing");
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.dead_letters").await, 1);
}

#[tokio::test]
async fn a_settlement_never_touches_a_claimed_or_foreign_job_and_never_shortens_a_wait() {
    let fixture = Fixture::new().await;
    let row = row();
    let number = fixture.yours(&row, 1).await.number;
    let soon = || scheduled(Duration::from_secs(1));
    assert_eq!(settle(&fixture, &row, soon()).await, Settled::Superseded);
    let foreign = JobRow { fingerprint: Fingerprint([255; 32]), ..row.clone() };
    assert_eq!(settle(&fixture, &foreign, soon()).await, Settled::Conflict);
    let again = again_in(Duration::from_secs(600), true);
    fixture.store.record(record(&row, 1, number, (refused(20_404), again))).await.unwrap();
    let present = JobRow { turn: Turn(1), ..row };
    assert_eq!(settle(&fixture, &present, soon()).await, Settled::Done(Turn(2)));
    let wait = "SELECT extract(epoch FROM not_before - clock_timestamp())::bigint FROM facteur.jobs";
    assert!(fixture.count(wait).await > 500);
}

#[tokio::test]
async fn a_job_that_waits_longer_than_it_is_wanted_expires_on_time() {
    let fixture = Fixture::new().await;
    let row = JobRow { deadline: in_s(5), ..row() };
    settle(&fixture, &row, scheduled(Duration::from_secs(3_600))).await;
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs WHERE due_at = deadline").await, 1);
}

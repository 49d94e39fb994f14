use std::time::Duration;

use facteur_core::hold::{Hold, Scope};
use facteur_core::ids::{AttemptNumber, Tenant, Turn};
use facteur_core::lane::Lane;
use facteur_core::ledger::{Claim, JobRow, Next, Settled, Settlement, Wait};
use facteur_core::sender::Sender;
use facteur_core::status::Status;
use facteur_postgres::pauses::{self, PauseEnd, pause, resume};
use facteur_postgres::{BatchFailure, Directory, Subject};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fixture::{ACCOUNT, Fixture, accepted, again_in, in_s, record, refused, row, via};

const ADA: &str = "cli:ada";

/// Everything that can be paused of a job of the fixture, the most specific first.
fn scopes(bulk: Uuid) -> [Scope; 5] {
    [
        Scope::Bulk(bulk),
        Scope::Sender(Sender::parse("+15005550006").unwrap()),
        Scope::Tenant(Tenant::default_tenant()),
        Scope::Lane(Lane::Normal),
        Scope::Integration(ACCOUNT.to_owned()),
    ]
}

#[tokio::test]
async fn a_pause_holds_new_jobs_and_known_ones_from_its_commit_on_and_the_most_specific_is_named() {
    let fixture = Fixture::new().await;
    let bulk = Uuid::from_u128(7);
    let (new, known) = (JobRow { bulk_id: Some(bulk), ..row() }, JobRow { bulk_id: Some(bulk), ..row() });
    let number = fixture.yours(&known, 1).await.number;
    let again = (refused(20_404), again_in(Duration::ZERO, true));
    fixture.store.record(record(&known, 1, number, again)).await.unwrap();
    let known = JobRow { turn: Turn(1), ..known };
    for scope in scopes(bulk).iter().rev() {
        pause(&fixture.database, scope, "because", ADA, PauseEnd::Open).await.unwrap();
        let held = Claim::Held(Hold::Pause(scope.clone()));
        assert_eq!((fixture.claim(&new, 2).await, fixture.claim(&known, 3).await), (held.clone(), held));
    }
    for pair in scopes(bulk).windows(2) {
        resume(&fixture.database, &pair[0], None, ADA).await.unwrap().unwrap();
        let held = Claim::Held(Hold::Pause(pair[1].clone()));
        assert_eq!((fixture.claim(&new, 4).await, fixture.claim(&known, 5).await), (held.clone(), held));
    }
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs").await, 1, "what is held gets no row here");
    resume(&fixture.database, &scopes(bulk)[4], Some("enough"), ADA).await.unwrap().unwrap();
    assert_eq!(fixture.yours(&new, 6).await.number, AttemptNumber(1));
    assert_eq!(fixture.yours(&known, 7).await.number, AttemptNumber(2));
}

#[tokio::test]
async fn a_pause_of_something_else_holds_nothing() {
    let fixture = Fixture::new().await;
    for scope in [
        Scope::Bulk(Uuid::from_u128(8)),
        Scope::Sender(Sender::parse("+15005550007").unwrap()),
        Scope::Tenant(Tenant::parse("acme").unwrap()),
        Scope::Lane(Lane::Bulk),
        Scope::Integration("AC2".to_owned()),
    ] {
        pause(&fixture.database, &scope, "because", ADA, PauseEnd::Open).await.unwrap();
    }
    fixture.yours(&JobRow { bulk_id: Some(Uuid::from_u128(7)), ..row() }, 1).await;
    fixture.yours(&row(), 2).await;
}

#[tokio::test]
async fn a_copy_of_what_has_left_finds_its_end_and_not_the_pause() {
    let fixture = Fixture::new().await;
    let (sent, busy) = (row(), row());
    let number = fixture.yours(&sent, 1).await.number;
    fixture.store.record(record(&sent, 1, number, accepted(1))).await.unwrap();
    fixture.yours(&busy, 2).await;
    pause(&fixture.database, &Scope::Lane(Lane::Normal), "because", ADA, PauseEnd::Open).await.unwrap();
    assert_eq!(fixture.claim(&sent, 3).await, Claim::Final(Status::Sent));
    assert_eq!(fixture.claim(&busy, 4).await, Claim::Busy);
    assert_eq!(fixture.yours(&busy, 2).await.number, AttemptNumber(1), "a repeated claim has its answer");
}

#[tokio::test]
async fn a_pause_whose_end_has_come_holds_nothing_more_and_is_closed_as_such() {
    let fixture = Fixture::new().await;
    let lane = Scope::Lane(Lane::Normal);
    let hour = PauseEnd::After(Duration::from_secs(3_600));
    let (first, was_open) = pause(&fixture.database, &lane, "because", ADA, hour).await.unwrap();
    assert!(!was_open && first.until.is_some_and(|until| until > in_s(3_500) && until < in_s(3_700)));
    assert!(pauses::close_ended(&fixture.database).await.unwrap().is_empty());
    fixture.sql("UPDATE facteur.pauses SET until = clock_timestamp()").await;
    fixture.yours(&row(), 1).await;
    assert!(pauses::open(&fixture.database).await.unwrap().is_empty());
    assert_eq!(resume(&fixture.database, &lane, None, ADA).await.unwrap(), None, "nothing is left to resume");
    assert_eq!(pauses::close_ended(&fixture.database).await.unwrap().len(), 1);
    let ended_by = fixture.text("SELECT ended_by FROM facteur.pauses").await;
    assert_eq!(ended_by.as_deref(), Some("its end"));
}

#[tokio::test]
async fn pausing_again_changes_reason_and_end_and_a_new_pause_follows_an_ended_one() {
    let fixture = Fixture::new().await;
    let lane = Scope::Lane(Lane::Bulk);
    let open = |reason, end| pause(&fixture.database, &lane, reason, ADA, end);
    let (first, _) = open("fire", PauseEnd::Open).await.unwrap();
    let end = in_s(60);
    let (second, was_open) = open("water", PauseEnd::At(end)).await.unwrap();
    assert!(was_open && second.created_at == first.created_at, "{second:?}");
    assert_eq!((second.reason.as_str(), second.until), ("water", Some(end)));
    fixture.sql("UPDATE facteur.pauses SET until = clock_timestamp()").await;
    let (third, was_open) = open("storm", PauseEnd::Open).await.unwrap();
    assert!(!was_open && third.reason == "storm", "{third:?}");
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.pauses").await, 2);
    for (reason, end) in [
        ("", PauseEnd::Open),
        (&*"x".repeat(501), PauseEnd::Open),
        ("late", PauseEnd::At(in_s(-1))),
        ("far", PauseEnd::After(Duration::from_hours(400 * 24))),
    ] {
        assert!(matches!(open(reason, end).await, Err(BatchFailure::Data(_))), "{end:?}");
    }
}

#[tokio::test]
async fn the_directory_hears_of_pauses_cancelled_bulks_and_weights() {
    let fixture = Fixture::new().await;
    let stopping = CancellationToken::new();
    let directory = Directory::start(fixture.database.clone(), stopping.clone());
    let (tenant, sender) = (Tenant::default_tenant(), Sender::parse("+15005550006").unwrap());
    let bulk = Uuid::from_u128(7);
    let subject = Subject {
        bulk_id: Some(bulk),
        sender: Some(&sender),
        tenant: &tenant,
        lane: Lane::Normal,
        via: Some(&via()),
    };
    assert_eq!(directory.hold(subject).await, None);
    assert_eq!(directory.weight_of("acme"), 1);
    for scope in scopes(bulk).iter().rev() {
        pause(&fixture.database, scope, "because", ADA, PauseEnd::Open).await.unwrap();
        while directory.hold(subject).await != Some(Hold::Pause(scope.clone())) {
            tokio::task::yield_now().await;
        }
    }
    let acme = Tenant::parse("acme").unwrap();
    facteur_postgres::senders::set_weight(&fixture.database, &acme, 3, ADA).await.unwrap();
    facteur_postgres::cancels::cancel_bulk(&fixture.database, bulk, "because", ADA).await.unwrap();
    while directory.weight_of("acme") != 3 || !directory.is_canceled(bulk).await {
        tokio::task::yield_now().await;
    }
    for weight in [0, 101, -1] {
        let set = facteur_postgres::senders::set_weight(&fixture.database, &acme, weight, ADA).await;
        assert!(matches!(set, Err(BatchFailure::Data(_))), "{weight}");
    }
    stopping.cancel();
}

#[tokio::test]
async fn what_is_held_stands_in_its_line_and_its_place_is_kept() {
    let fixture = Fixture::new().await;
    let lane = Scope::Lane(Lane::Normal);
    let row = row();
    let hold = Hold::Pause(lane);
    let wait = Some(Wait { delay: Duration::ZERO, in_ladder: false, is_counted: false });
    let next = |hold: &Hold| Next {
        status: Status::Waiting,
        reason: hold.reason(),
        wait,
        suppress: false,
        hold: Some(hold.clone()),
    };
    let settle = |turn, hold| {
        let row = JobRow { turn: Turn(turn), ..row.clone() };
        fixture.store.settle(Settlement { row, next: next(hold) })
    };
    assert_eq!(settle(0, &hold).await.unwrap(), Settled::Done(Turn(1)));
    let place = "SELECT in_line_since::text FROM facteur.jobs";
    let first = fixture.text(place).await;
    let released = facteur_postgres::lines::release(&fixture.database, &hold, 1_000).await.unwrap();
    assert_eq!(released, 1);
    assert_eq!(fixture.text(place).await, first);
    let other = Hold::Pause(Scope::Tenant(Tenant::default_tenant()));
    assert_eq!(settle(1, &other).await.unwrap(), Settled::Done(Turn(2)));
    assert_eq!(fixture.text(place).await, first, "it goes to its old place in the next line");
    assert_eq!(
        fixture.text("SELECT waits_for FROM facteur.jobs").await.as_deref(),
        Some("pause:tenant:default")
    );
}

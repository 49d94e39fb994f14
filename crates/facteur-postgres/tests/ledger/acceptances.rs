use std::time::Duration;

use facteur_core::ids::Turn;
use facteur_core::job::Fingerprint;
use facteur_core::ledger::{Claim, JobRow};
use facteur_core::status::Status;
use facteur_postgres::accept::{
    ACCEPTED_TURN, Acceptance, Acceptances, Accepted, AuditEntry, IdempotencyKey, Known, NewMessage, Outcome,
};
use tokio::time::Instant;
use uuid::Uuid;

use crate::fixture::{Fixture, in_s, row};

const NEVER: Duration = Duration::from_mins(10);

fn message() -> NewMessage {
    NewMessage { row: JobRow { turn: ACCEPTED_TURN, ..row() }, not_before: None }
}

pub(crate) fn request(messages: &[NewMessage], key: Option<(&str, u8)>) -> Acceptance {
    let outcomes: Vec<Outcome> = messages.iter().map(|one| Outcome::Accepted(one.row.id.0)).collect();
    Acceptance {
        token: Uuid::new_v4(),
        tenant: "default".to_owned(),
        messages: messages.into(),
        outcomes: outcomes.into(),
        idempotency: key.map(|(key, digest)| IdempotencyKey { key: key.to_owned(), digest: [digest; 32] }),
        audit: Some(AuditEntry {
            actor: "key:test".to_owned(),
            action: "send_message",
            subject: None,
            request_id: None,
            details: serde_json::json!({}),
        }),
        give_up_at: Instant::now() + NEVER,
    }
}

#[tokio::test]
async fn an_accepted_message_has_its_rows_its_wake_up_and_its_audit_record_and_is_claimed_as_it_was_accepted()
{
    let fixture = Fixture::new().await;
    let acceptances = Acceptances::start(fixture.database.clone());
    let (now, later) = (message(), NewMessage { not_before: Some(in_s(600)), ..message() });
    let accepted = acceptances.accept(request(&[now.clone(), later.clone()], None)).await.unwrap();
    assert_eq!(accepted, Accepted::Done(Vec::new()));
    let rows = "SELECT string_agg(status || ' ' || reason || ' ' || turn || ' ' || (due_at IS NOT NULL), ', ' ORDER BY status) \
                FROM facteur.jobs";
    let expected = "scheduled scheduled 1 true, waiting enqueued 1 true";
    assert_eq!(fixture.text(rows).await.as_deref(), Some(expected));
    let woken = "SELECT string_agg(message_id || ' ' || routing_key || ' ' || headers::text, ', ') FROM facteur.outbox";
    let expected = format!("{} send.normal {{\"facteur-turn\": 1}}", now.row.id);
    assert_eq!(fixture.text(woken).await, Some(expected), "what is scheduled has no wake-up yet");
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.audit_log").await, 1);

    let attempt = fixture.yours(&now.row, 1).await;
    assert_eq!((attempt.number.0, attempt.text.as_deref()), (1, Some("Bonjour")));
    assert!(matches!(fixture.claim(&later.row, 2).await, Claim::NotYet { turn: Turn(1), .. }));
    let copy = JobRow { turn: Turn(0), ..later.row };
    assert_eq!(fixture.claim(&copy, 3).await, Claim::Stale, "an envelope of another path changes nothing");
}

#[tokio::test]
async fn a_scheduled_message_gets_its_wake_up_from_the_sweep_when_it_is_due() {
    let fixture = Fixture::new().await;
    let acceptances = Acceptances::start(fixture.database.clone());
    let later = NewMessage { not_before: Some(in_s(600)), ..message() };
    acceptances.accept(request(std::slice::from_ref(&later), None)).await.unwrap();
    let sweep = || facteur_postgres::sweep(&fixture.database, crate::fixture::ACCOUNT, true);
    assert_eq!(sweep().await.unwrap().woken, 0);
    fixture.sql("UPDATE facteur.jobs SET not_before = now(), due_at = now()").await;
    assert_eq!(sweep().await.unwrap().woken, 1);
    let turn = "SELECT headers ->> 'facteur-turn' FROM facteur.outbox";
    assert_eq!(fixture.text(turn).await.as_deref(), Some("1"));
    fixture.yours(&later.row, 1).await;
}

#[tokio::test]
async fn under_one_idempotency_key_messages_are_accepted_once_however_many_ask_at_once() {
    let fixture = Fixture::new().await;
    // As many processes as there are requests.
    let ask = async |digest| {
        let acceptances = Acceptances::start(fixture.database.clone());
        acceptances.accept(request(&[message()], Some(("key", digest)))).await.unwrap()
    };
    let answers = futures_util::future::join_all((0..20).map(|_| ask(1))).await;
    let first = answers.iter().filter(|answer| matches!(answer, Accepted::Done(_))).count();
    let replays: Vec<_> = answers
        .iter()
        .filter_map(|answer| match answer {
            Accepted::Replayed(outcomes) => Some(outcomes.clone()),
            _ => None,
        })
        .collect();
    assert_eq!((first, replays.len()), (1, 19));
    let id: Uuid = fixture.text("SELECT id::text FROM facteur.jobs").await.unwrap().parse().unwrap();
    assert!(replays.iter().all(|outcomes| outcomes[..] == [Outcome::Accepted(id)]), "{replays:?}");
    assert_eq!(ask(2).await, Accepted::KeyReused);
    for table in ["jobs", "messages", "outbox", "audit_log", "idempotency_keys"] {
        assert_eq!(fixture.count(&format!("SELECT count(*) FROM facteur.{table}")).await, 1, "{table}");
    }
}

#[tokio::test]
async fn a_request_whose_answer_was_lost_finds_itself() {
    let fixture = Fixture::new().await;
    let acceptances = Acceptances::start(fixture.database.clone());
    for request in [request(&[message()], Some(("key", 1))), request(&[message(), message()], None)] {
        let first = acceptances.accept(request.clone()).await.unwrap();
        assert_eq!(first, Accepted::Done(Vec::new()));
        let Accepted::Done(again) = acceptances.accept(request).await.unwrap() else { panic!("not done") };
        assert!(again.iter().all(|(_, known)| *known == Known::Same(Status::Waiting)), "{again:?}");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.outbox").await, 3);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.audit_log").await, 2);
}

#[tokio::test]
async fn an_id_that_is_known_is_told_and_the_others_of_its_request_are_accepted() {
    let fixture = Fixture::new().await;
    let acceptances = Acceptances::start(fixture.database.clone());
    let (same, other) = (message(), message());
    acceptances.accept(request(&[same.clone(), other.clone()], None)).await.unwrap();
    let changed = JobRow { fingerprint: Fingerprint([0xFF; 32]), ..other.row.clone() };
    let messages = [same, NewMessage { row: changed, not_before: None }, message()];
    let request = request(&messages, Some(("key", 1)));
    let Accepted::Done(mut known) = acceptances.accept(request.clone()).await.unwrap() else {
        panic!("not done")
    };
    known.sort_by_key(|(place, _)| *place);
    assert_eq!(known, [(0, Known::Same(Status::Waiting)), (1, Known::Other)]);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs").await, 3);
    // Whoever repeats it is told the same.
    let repeated = Acceptance { token: Uuid::new_v4(), ..request };
    let Accepted::Replayed(outcomes) = acceptances.accept(repeated).await.unwrap() else { panic!("new") };
    let are_refused: Vec<bool> =
        outcomes.iter().map(|outcome| matches!(outcome, Outcome::Refused { .. })).collect();
    assert_eq!(are_refused, [false, true, false]);
}

#[tokio::test]
async fn requests_that_share_an_id_in_one_batch_are_answered_one_after_the_other() {
    let fixture = Fixture::new().await;
    let acceptances = Acceptances::start(fixture.database.clone());
    let same = message();
    let ask = || acceptances.accept(request(std::slice::from_ref(&same), None));
    let answers = futures_util::future::join_all((0..50).map(|_| ask())).await;
    assert!(answers.iter().all(|answer| matches!(answer, Ok(Accepted::Done(_)))), "{answers:?}");
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.outbox").await, 1);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_accepted() {
    let fixture = Fixture::new().await;
    let acceptances = Acceptances::start(fixture.database.clone());
    let late = Acceptance { give_up_at: Instant::now(), ..request(&[message()], Some(("key", 1))) };
    assert_eq!(acceptances.accept(late).await, Ok(Accepted::GivenUp));
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs").await, 0);
}

#[tokio::test]
async fn a_thousand_messages_are_one_request_and_a_key_is_not_kept_for_nothing() {
    let fixture = Fixture::new().await;
    let acceptances = Acceptances::start(fixture.database.clone());
    let many: Vec<NewMessage> = (0..1_000).map(|_| message()).collect();
    assert_eq!(acceptances.accept(request(&many, Some(("many", 1)))).await, Ok(Accepted::Done(Vec::new())));
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.outbox").await, 1_000);
    assert_eq!(acceptances.accept(request(&[], Some(("none", 1)))).await, Ok(Accepted::Done(Vec::new())));
    assert_eq!(
        acceptances.accept(request(&[message()], Some(("none", 2)))).await,
        Ok(Accepted::Done(Vec::new()))
    );
}

#[tokio::test]
async fn keys_are_forgotten_after_two_days() {
    let fixture = Fixture::new().await;
    let acceptances = Acceptances::start(fixture.database.clone());
    for key in ["old", "young"] {
        acceptances.accept(request(&[message()], Some((key, 1)))).await.unwrap();
    }
    fixture
        .sql("UPDATE facteur.idempotency_keys SET created_at = now() - interval '49 hours' WHERE key = 'old'")
        .await;
    let forget = || facteur_postgres::accept::forget_old_keys(&fixture.database);
    assert_eq!((forget().await, forget().await), (Ok(1), Ok(0)));
    assert_eq!(fixture.text("SELECT key FROM facteur.idempotency_keys").await.as_deref(), Some("young"));
}

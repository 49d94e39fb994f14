use bytes::Bytes;
use facteur_core::ids::JobId;
use facteur_core::ledger::DeadEnvelope;
use facteur_core::reason::ReasonCode;
use facteur_core::status::Status;
use facteur_postgres::{DeadLetters, Filed};
use serde_json::json;
use uuid::Uuid;

use crate::ground::ground;

/// An envelope of turn 3, or without a turn.
fn envelope(job_id: Option<Uuid>, code: ReasonCode, turn: Option<i32>, mark: u8) -> DeadEnvelope {
    DeadEnvelope {
        job_id: job_id.map(JobId),
        code,
        field: None,
        sentence: "for a test".to_owned(),
        body: Bytes::from_static(b"\x00\xff{"),
        headers: match turn {
            Some(turn) => json!({ "facteur-turn": turn }),
            None => json!({}),
        },
        routing_key: "send.urgent".to_owned(),
        digest: [mark; 32],
    }
}

#[tokio::test]
async fn an_envelope_without_an_id_is_filed_once_with_its_bytes() {
    let ground = ground().await;
    let letters = DeadLetters::new(ground.database.clone());
    let dead = envelope(None, ReasonCode::MalformedJson, None, 1);
    let Filed::New(id) = letters.file(&dead).await.unwrap() else { panic!("not filed") };
    assert_eq!(letters.file(&dead).await.unwrap(), Filed::Again(2));
    let letter = letters.show(id).await.unwrap().unwrap();
    assert_eq!(letter.body, dead.body);
    assert_eq!((letter.summary.copies, letter.summary.code.as_str()), (2, "malformed_json"));
    assert!(!format!("{letter:?}").contains("255"));
}

#[tokio::test]
async fn many_keepers_file_one_envelope_once() {
    let ground = ground().await;
    let letters = DeadLetters::new(ground.database.clone());
    let job = Some(Uuid::now_v7());
    for (job, mark) in [(None, 1), (job, 2)] {
        let dead = envelope(job, ReasonCode::InvalidUtf8, None, mark);
        let filed = futures_util::future::join_all((0..4).map(|_| letters.file(&dead))).await;
        let new = filed.iter().filter(|filed| matches!(filed, Ok(Filed::New(_)))).count();
        let again = filed.iter().filter(|filed| matches!(filed, Ok(Filed::Again(_)))).count();
        assert_eq!((new, again), (1, 3), "{filed:?}");
    }
    assert_eq!(ground.text("SELECT copies FROM facteur.dead_letters").await, "(4);(4)");
}

#[tokio::test]
async fn an_unreadable_job_has_a_story_and_leaves_its_id_free() {
    let ground = ground().await;
    let letters = DeadLetters::new(ground.database.clone());
    let id = Uuid::now_v7();
    let filed = letters.file(&envelope(Some(id), ReasonCode::UnknownField, None, 1)).await.unwrap();
    assert!(matches!(filed, Filed::New(_)));
    let story = facteur_postgres::messages::story(&ground.database, JobId(id)).await.unwrap().unwrap();
    assert_eq!((story.status, story.reason.as_str(), story.message), (Status::Dead, "unknown_field", None));
    assert_eq!(story.lane.as_str(), "urgent");
    assert_eq!(story.dead_letters.len(), 1);
    assert_eq!(ground.text("SELECT count(*) FROM facteur.jobs").await, "(0)");
    let other = letters.file(&envelope(Some(id), ReasonCode::MalformedJson, None, 2)).await.unwrap();
    assert!(matches!(other, Filed::New(_)), "other bytes under the same id are kept too: {other:?}");
}

/// What the keeper makes of an envelope whose job has a record already.
#[tokio::test]
async fn the_table_of_transitions_is_obeyed() {
    use ReasonCode::{DeliveryLimit, ForeignDeadLetter, IdConflict, MalformedJson, Unroutable};
    let ground = ground().await;
    let letters = DeadLetters::new(ground.database.clone());
    let mut mark = 0;
    for status in Status::ALL {
        let waits = matches!(status, Status::Scheduled | Status::Waiting | Status::Retrying);
        let in_flight = matches!(status, Status::Sending | Status::Uncertain);
        for (code, turn) in [
            (DeliveryLimit, Some(3)),
            (Unroutable, Some(3)),
            (ForeignDeadLetter, Some(3)),
            (DeliveryLimit, Some(2)),
            (DeliveryLimit, None),
            (Unroutable, None),
            (MalformedJson, None),
            (IdConflict, Some(0)),
        ] {
            let id = ground.job(status.as_str(), true).await;
            mark += 1;
            let filed = letters.file(&envelope(Some(id), code, turn, mark)).await.unwrap();
            let is_own = code == DeliveryLimit || (turn == Some(3) && code != IdConflict);
            let is_current = turn == Some(3);
            let case = format!("{status} {code} {turn:?}: {filed:?}");
            let (after, expected) = match filed {
                Filed::New(_) if is_own => (Status::Dead, waits && is_current),
                Filed::New(_) => (status, true),
                Filed::InFlight => (status, is_own && in_flight),
                Filed::Dropped => (status, is_own && !in_flight && !(waits && is_current)),
                Filed::Again(_) => (status, false),
            };
            assert!(expected, "{case}");
            let row = ground.text(&format!("SELECT status FROM facteur.jobs WHERE id = '{id}'")).await;
            assert_eq!(row, format!("({after})"), "{case}");
            let open = format!("SELECT count(*) FROM facteur.dead_letters WHERE job_id = '{id}'");
            let has_letter = matches!(filed, Filed::New(_)) && is_own;
            assert_eq!(ground.text(&open).await, format!("({})", u8::from(has_letter)), "{case}");
        }
    }
}

#[tokio::test]
async fn a_job_that_is_dead_already_keeps_one_letter() {
    let ground = ground().await;
    let letters = DeadLetters::new(ground.database.clone());
    let (job, _) = ground.dead_letter("retries_exhausted").await;
    let again = letters.file(&envelope(Some(job), ReasonCode::DeliveryLimit, Some(3), 1)).await.unwrap();
    assert_eq!(again, Filed::Again(2));
}

#[tokio::test]
async fn other_content_under_the_id_of_a_dead_job_keeps_its_bytes_in_a_letter_of_its_own() {
    let ground = ground().await;
    let letters = DeadLetters::new(ground.database.clone());
    let (job, _) = ground.dead_letter("uncertain").await;
    let conflict = envelope(Some(job), ReasonCode::IdConflict, Some(3), 1);
    let Filed::New(id) = letters.file(&conflict).await.unwrap() else { panic!("not filed") };
    assert_eq!(letters.show(id).await.unwrap().unwrap().body, conflict.body);
    assert_eq!(letters.file(&conflict).await.unwrap(), Filed::Again(2));
    let of_job = format!("SELECT count(*), max(copies) FROM facteur.dead_letters WHERE job_id = '{job}'");
    assert_eq!(ground.text(&of_job).await, "(1,1)");
}

#[tokio::test]
async fn a_job_that_is_buried_in_a_line_leaves_the_line() {
    let ground = ground().await;
    let job = ground.job("waiting", true).await;
    ground
        .run("UPDATE facteur.jobs SET waits_for = 'pause:lane:bulk', in_line_since = clock_timestamp()")
        .await;
    let letters = DeadLetters::new(ground.database.clone());
    letters.file(&envelope(Some(job), ReasonCode::DeliveryLimit, Some(3), 1)).await.unwrap();
    let place = "SELECT status, waits_for, in_line_since FROM facteur.jobs";
    assert_eq!(ground.text(place).await, "(dead,,)");
}

#[tokio::test]
async fn what_postgres_can_not_hold_as_text_is_filed_all_the_same() {
    let ground = ground().await;
    let letters = DeadLetters::new(ground.database.clone());
    let dead = DeadEnvelope {
        field: Some("a\0b".to_owned()),
        sentence: "NUL \0".to_owned(),
        routing_key: "send.\0".to_owned(),
        headers: json!({ "a\0": ["\0", { "b": "c\0" }] }),
        body: Bytes::from(vec![0; 1_000_000]),
        ..envelope(Some(Uuid::now_v7()), ReasonCode::NulByte, None, 1)
    };
    let Filed::New(id) = letters.file(&dead).await.unwrap() else { panic!("not filed") };
    let letter = letters.show(id).await.unwrap().unwrap();
    assert_eq!((letter.body.len(), letter.summary.body_bytes), (1_000_000, 1_000_000));
    assert_eq!(letter.headers, json!({ "a\u{fffd}": ["\u{fffd}", { "b": "c\u{fffd}" }] }));
    assert_eq!(letter.summary.field.as_deref(), Some("a\u{fffd}b"));
}

use facteur_core::Timestamp;
use facteur_core::envelope::{EnvelopeContent, decode};
use facteur_core::job::JobDefaults;
use facteur_core::lane::Lane;
use facteur_core::phone::Country;
use facteur_postgres::Outbox;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::ground::ground;

#[tokio::test]
async fn a_job_leaves_when_and_only_if_its_transaction_commits() {
    let ground = ground().await;
    let mut client = ground.client().await;
    let enqueue = r#"SELECT facteur.enqueue('{"to": "+33612345678", "body": "Bonjour"}', 'urgent')"#;
    let transaction = client.transaction().await.unwrap();
    transaction.query_one(enqueue, &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(ground.text("SELECT count(*) FROM facteur.outbox").await, "(0)");

    let transaction = client.transaction().await.unwrap();
    let id: Uuid = transaction.query_one(enqueue, &[]).await.unwrap().get(0);
    transaction.commit().await.unwrap();
    let batch = Outbox::new(ground.database.clone()).claim("urgent", 10).await.unwrap();
    let [row] = batch.rows.as_slice() else { panic!("{} rows", batch.rows.len()) };
    assert_eq!(row.message_id, id);
    let content = EnvelopeContent {
        body: row.body.clone(),
        routing_key: row.routing_key.clone(),
        message_id: Some(row.message_id.to_string()),
        headers: row.headers.clone(),
        ..EnvelopeContent::default()
    };
    let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
    let wake_up = decode(&content, &JobDefaults { country: Country::FRANCE }, now).unwrap();
    assert_eq!((wake_up.job.id.0, wake_up.lane), (id, Lane::Urgent));
    assert!(wake_up.enqueued_at.is_some());
}

#[tokio::test]
async fn the_producers_own_id_is_kept_and_normal_is_the_default_lane() {
    let ground = ground().await;
    let id = Uuid::now_v7();
    let sql = format!(r#"SELECT facteur.enqueue('{{"id": "{id}", "to": "0612345678", "body": "x"}}')"#);
    let returned: Uuid = ground.client().await.query_one(&sql, &[]).await.unwrap().get(0);
    assert_eq!(returned, id);
    assert_eq!(ground.text("SELECT relay, message_id FROM facteur.outbox").await, format!("(normal,{id})"));
}

#[tokio::test]
async fn bad_input_gets_a_clear_sql_error() {
    let ground = ground().await;
    let client = ground.client().await;
    for (arguments, sentence) in [
        ("NULL", "facteur.enqueue: the job is not a JSON object"),
        ("'[1]'", "facteur.enqueue: the job is not a JSON object"),
        (r#"'{"body": "x"}'"#, "facteur.enqueue: the field \"to\" is missing"),
        (r#"'{"to": "x"}', 'slow'"#, "facteur.enqueue: lane is \"slow\"; urgent, normal and bulk exist"),
        (r#"'{"to": "x", "id": "12"}'"#, "invalid input syntax for type uuid: \"12\""),
    ] {
        let error = client.query(&format!("SELECT facteur.enqueue({arguments})"), &[]).await.unwrap_err();
        let answer = error.as_db_error().unwrap();
        assert_eq!(answer.message(), sentence, "{arguments}");
        let is_about_the_value = [SqlState::INVALID_PARAMETER_VALUE, SqlState::INVALID_TEXT_REPRESENTATION]
            .contains(answer.code());
        assert!(is_about_the_value, "{arguments}: {:?}", answer.code());
    }
    let null_lane = client.query(r#"SELECT facteur.enqueue('{"to": "x"}', NULL)"#, &[]).await;
    assert!(null_lane.is_err(), "a lane that is NULL would reach no relay");
    assert_eq!(ground.text("SELECT count(*) FROM facteur.outbox").await, "(0)");
}

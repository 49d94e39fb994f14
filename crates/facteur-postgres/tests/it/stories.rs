use std::time::Duration;

use facteur_core::ids::JobId;
use facteur_core::lane::Lane;
use facteur_core::status::Status;
use facteur_postgres::messages;
use uuid::Uuid;

use crate::ground::ground;

#[tokio::test]
async fn a_story_holds_every_attempt_and_letter_and_masks_the_number() {
    let ground = ground().await;
    let (job, letter) = ground.dead_letter("uncertain").await;
    ground
        .run(&format!(
            "INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, code, \
                 http_status, sid, twilio_status, cause, next_status, reason) VALUES \
             ('{job}', 1, gen_random_uuid(), clock_timestamp(), 120, 'throttled', 20429, 429, NULL, NULL, NULL, \
                 'waiting', 'throttled'), \
             ('{job}', 2, gen_random_uuid(), clock_timestamp(), 250, 'accepted', NULL, NULL, 'SM{0}', 'queued', NULL, \
                 'sent', 'accepted')",
            "a".repeat(32)
        ))
        .await;
    let story = messages::story(&ground.database, JobId(job)).await.unwrap().unwrap();
    assert_eq!((story.status, story.turn, story.failures, story.lane), (Status::Dead, 3, 2, Lane::Bulk));
    let tried: Vec<_> =
        story.attempts.iter().map(|one| (one.number, one.outcome.as_str(), one.code)).collect();
    assert_eq!(tried, [(1, "throttled", Some(20_429)), (2, "accepted", None)]);
    assert_eq!(story.attempts[1].duration, Duration::from_millis(250));
    assert_eq!(story.sid().map(str::len), Some(34));
    assert_eq!(story.dead_letters[0].id, letter);
    assert_eq!(
        story.why(),
        "uncertain: Nobody knows whether Twilio took it: evidence is looked for. Once it is held, look it up in Twilio's log \
         before requeueing."
    );
    let message = story.message.clone().unwrap();
    assert_eq!((message.category.as_str(), message.channel.as_str()), ("marketing", "sms"));
    assert_eq!(message.recipient.as_ref().unwrap().reveal(), "+33612345678");
    assert!(!format!("{story:?}").contains("612345678"), "{story:?}");
}

#[tokio::test]
async fn what_postgres_has_not_seen_has_no_story() {
    let ground = ground().await;
    assert_eq!(messages::story(&ground.database, JobId(Uuid::now_v7())).await.unwrap(), None);
}

#[tokio::test]
async fn the_oldest_waiting_job_of_each_lane_is_known() {
    let ground = ground().await;
    assert!(messages::oldest_waiting(&ground.database).await.unwrap().is_empty());
    for (status, age) in
        [("waiting", 600), ("retrying", 60), ("scheduled", 6_000), ("sent", 6_000), ("dead", 6_000)]
    {
        let id = ground.job(status, false).await;
        let sql = format!(
            "UPDATE facteur.jobs SET created_at = clock_timestamp() - interval '{age} seconds', \
                 due_at = CASE WHEN status IN ('sent', 'dead') THEN NULL ELSE due_at END WHERE id = '{id}'"
        );
        ground.run(&sql).await;
    }
    let ages = messages::oldest_waiting(&ground.database).await.unwrap();
    assert_eq!(ages.keys().copied().collect::<Vec<_>>(), [Lane::Bulk]);
    assert_eq!(ages[&Lane::Bulk].as_secs() / 60, 10);
}

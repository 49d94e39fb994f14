use facteur_core::ids::JobId;
use uuid::Uuid;

use crate::lab::{Callback, Lab, OLD_TOKEN, PATH, TOKEN, sid};

const WHY: &str = "SELECT string_agg(why, ' ' ORDER BY id) FROM facteur.webhook_quarantine";

#[tokio::test]
async fn a_signed_callback_moves_its_message_and_its_replay_changes_nothing() {
    let lab = Lab::start().await;
    let job = lab.sending().await;
    for (status, expected) in [("sent", "sent"), ("delivered", "delivered"), ("delivered", "delivered")] {
        let answer = lab.twilio(&Callback::new(job, &sid(1), status)).await;
        assert_eq!((answer.status, answer.body.as_str()), (204, ""), "{answer:?}");
        assert!(answer.head.contains("x-request-id: "), "{answer:?}");
        assert_eq!(lab.status(job).await, expected);
    }
    let events = "SELECT string_agg(concat_ws(' ', twilio_status, source), ', ' ORDER BY received_at) \
                  FROM facteur.status_events";
    assert_eq!(lab.text(events).await.as_deref(), Some("sent callback, delivered callback"));
    assert_eq!(lab.text(WHY).await, None);
}

#[tokio::test]
async fn a_slash_at_the_end_and_the_token_before_a_rotation_are_taken() {
    let lab = Lab::start().await;
    let job = lab.sending().await;
    let callback =
        Callback::new(job, &sid(1), "delivered").at(&format!("{PATH}/?message={job}&attempt=1&x=%2B1"));
    let signature = callback.signature(OLD_TOKEN);
    let answer = lab.post(&callback.path_and_query, &callback.encoded(), Some(&signature)).await;
    assert_eq!((answer.status, lab.status(job).await.as_str()), (204, "delivered"), "{answer:?}");
}

#[tokio::test]
async fn what_is_not_verifiable_is_refused_kept_and_changes_nothing() {
    let lab = Lab::start().await;
    let job = lab.sending().await;
    let good = Callback::new(job, &sid(1), "delivered");
    let signature = good.signature(TOKEN);
    let other_account = good.clone().set("AccountSid", "AC00000000000000000000000000000001");
    let elsewhere = good.clone().at(&good.path_and_query.replace("attempt=1", "attempt=2"));
    let rows = [
        (&good, None, "signature_missing"),
        (&good, Some("bm90IGl0"), "signature_wrong"),
        (&good, Some("not Base64"), "signature_wrong"),
        (&good, Some(&*good.signature("another token")), "signature_wrong"),
        (&good, Some(&*good.signature("")), "signature_wrong"),
        (&elsewhere, Some(&*signature), "signature_wrong"),
        (&good.clone().set("MessageStatus", "read"), Some(&*signature), "signature_wrong"),
        (&other_account, Some(&*other_account.signature(TOKEN)), "other_account"),
    ];
    for (callback, signature, code) in rows {
        let answer = lab.post(&callback.path_and_query, &callback.encoded(), signature).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, code), "{answer:?}");
    }
    assert_eq!(lab.status(job).await, "sending");
    // Five of them within one second, perhaps all; never more than there were.
    let kept = "SELECT (count(*) BETWEEN 5 AND 8)::text FROM facteur.webhook_quarantine \
                WHERE query LIKE 'message=%' AND position('AccountSid' IN convert_from(body, 'UTF8')) > 0";
    lab.until(kept, "true").await;
}

#[tokio::test]
async fn what_twilio_signs_and_nobody_understands_is_malformed() {
    let lab = Lab::start().await;
    let job = lab.sending().await;
    let good = Callback::new(job, &sid(1), "delivered");
    let many: Vec<_> = (0..200).map(|n| (format!("n{n}"), String::new())).collect();
    let mut crowded = good.clone();
    crowded.form.extend(many);
    let rows = [
        (good.clone().set("MessageSid", "nonsense"), 400, "sid_invalid"),
        (good.clone().set("MessageStatus", "two words"), 400, "status_invalid"),
        (crowded, 400, "too_many_parameters"),
        (good.clone().set("Body", &"x".repeat(64 * 1024)), 413, "body_too_large"),
    ];
    for (callback, status, code) in rows {
        let answer = lab.twilio(&callback).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
    }
    assert_eq!(lab.status(job).await, "sending");
    lab.until(WHY, "sid_invalid status_invalid too_many_parameters body_too_large").await;
}

#[tokio::test]
async fn a_message_that_is_not_ours_is_answered_and_kept_for_a_look() {
    let lab = Lab::start().await;
    let unknown = Callback::new(JobId(Uuid::new_v4()), &sid(1), "delivered");
    let rows = [
        unknown.clone(),
        unknown.clone().at(PATH),
        unknown.clone().at(&format!("{PATH}?message=7&attempt=1")),
        unknown.at(&format!("{PATH}?message={}&attempt=0", Uuid::new_v4())),
    ];
    for callback in &rows {
        assert_eq!(lab.twilio(callback).await.status, 204);
    }
    lab.until(WHY, "unknown_message unknown_message unknown_message unknown_message").await;
}

#[tokio::test]
async fn a_word_that_twilio_invented_later_and_an_error_code_are_taken() {
    let lab = Lab::start().await;
    let (first, second) = (lab.sending().await, lab.sending().await);
    lab.twilio(&Callback::new(first, &sid(1), "teleported")).await;
    assert_eq!(lab.status(first).await, "sent");
    lab.twilio(&Callback::new(second, &sid(2), "undelivered").set("ErrorCode", "30005")).await;
    assert_eq!(lab.status(second).await, "undelivered");
    let sentence = lab.text("SELECT sentence FROM facteur.jobs WHERE status = 'undelivered'").await;
    assert!(sentence.is_some_and(|sentence| sentence.ends_with("(30005)")));
}

#[tokio::test]
async fn a_sid_that_belongs_to_another_attempt_is_answered_and_changes_nothing() {
    let lab = Lab::start().await;
    let (first, second) = (lab.sending().await, lab.sending().await);
    lab.twilio(&Callback::new(first, &sid(1), "sent")).await;
    assert_eq!(lab.twilio(&Callback::new(second, &sid(1), "sent")).await.status, 204);
    assert_eq!(lab.status(second).await, "sending");
}

#[tokio::test]
async fn without_a_token_or_a_public_url_nothing_can_be_verified() {
    let job = JobId(Uuid::new_v4());
    let callback = Callback::new(job, &sid(1), "sent");
    let rows: [(Vec<&str>, Option<&str>, &str, bool); 2] = [
        (vec![], Some(crate::lab::PUBLIC), "auth token", true),
        (vec![TOKEN], None, "FACTEUR_PUBLIC_URL", false),
    ];
    for (tokens, public_url, says, is_missed) in rows {
        let lab = Lab::with(tokens, public_url).await;
        let answer = lab.twilio(&callback).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "not_verifiable"));
        assert!(answer.body.contains(says), "{answer:?}");
        let told = lab.readiness.missing().iter().any(|why| why.contains(says));
        assert_eq!(told, is_missed, "{:?}", lab.readiness.missing());
    }
}

#[tokio::test]
async fn while_the_database_is_away_twilio_is_asked_to_come_again_and_then_served() {
    let lab = Lab::start().await;
    let job = lab.sending().await;
    lab.twilio(&Callback::new(job, &sid(1), "sending")).await;
    lab.proxy.cut().await;
    let callback = Callback::new(job, &sid(1), "delivered");
    let answer = lab.twilio(&callback).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"), "{answer:?}");
    assert!(answer.head.contains("retry-after: 5"), "{answer:?}");
    lab.proxy.heal().await;
    // It was taken down all the same: written as soon as the database is back, if Twilio comes again or not.
    lab.until(&format!("SELECT status FROM facteur.jobs WHERE id = '{job}'"), "delivered").await;
    assert_eq!(lab.twilio(&callback).await.status, 204);
    let events = "SELECT count(*)::text FROM facteur.status_events WHERE twilio_status = 'delivered'";
    assert_eq!(lab.text(events).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_quarantine_is_bounded() {
    let lab = Lab::start().await;
    lab.sql(
        "INSERT INTO facteur.webhook_quarantine (route, why, query, body) \
         SELECT 'x', 'x', '', '' FROM generate_series(1, 10000)",
    )
    .await;
    let callback = Callback::new(JobId(Uuid::new_v4()), &sid(1), "sent");
    lab.post(&callback.path_and_query, &callback.encoded(), None).await;
    lab.until(
        "SELECT string_agg(why, ' ') FROM facteur.webhook_quarantine WHERE why <> 'x'",
        "signature_missing",
    )
    .await;
    let rows = lab.text("SELECT count(*)::text FROM facteur.webhook_quarantine").await;
    assert_eq!(rows.as_deref(), Some("10000"));
}

//! What an operator changes while workers run: pauses, cancellations, limits, weights.

use facteur_core::envelope::EnvelopeContent;
use twilio_sim::SimConfig;
use uuid::Uuid;

use crate::system::System;

const IN_LINE: &str = "SELECT count(*) FROM facteur.jobs WHERE waits_for = ";

fn slow(milliseconds: u64) -> SimConfig {
    serde_json::from_value(serde_json::json!({ "faults": { "latency": { "fixed_ms": milliseconds } } }))
        .unwrap()
}

/// Runs a command that must end well.
async fn done(system: &System, line: &str) -> String {
    let (code, printed) = system.command(&line.split(' ').collect::<Vec<_>>()).await;
    assert_eq!(code, 0, "{line}: {printed}");
    printed
}

/// Jobs that were ever claimed, once every claim that had begun is committed: the lock waits for those.
async fn claimed(system: &System) -> i64 {
    let client = system.client().await;
    client.batch_execute("BEGIN; LOCK TABLE facteur.jobs IN SHARE MODE").await.unwrap();
    let claimed = client.query_one("SELECT count(*) FROM facteur.jobs WHERE attempt > 0", &[]).await.unwrap();
    client.batch_execute("COMMIT").await.unwrap();
    claimed.get(0)
}

#[tokio::test]
async fn a_lane_that_is_paused_in_a_stream_lets_out_what_was_claimed_and_the_rest_when_it_is_resumed() {
    // Together they make at most 128 calls at a time, so the pause has seconds to come in.
    let system = System::with(slow(500)).await;
    let _workers = (system.worker().await, system.worker().await);
    system.publish_many("send.bulk", 800).await;
    system.wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", |sent| sent >= 60).await;
    done(&system, "pause lane bulk --reason fire").await;
    let before = claimed(&system).await;
    let settled = "SELECT count(*) FROM facteur.jobs WHERE status = 'sent' OR waits_for = 'pause:lane:bulk'";
    system.wait_until(settled, 800).await;
    assert!(before < 800, "the pause came in the middle");
    assert_eq!(system.jobs("status = 'sent'").await, before, "nothing is claimed after the pause's commit");
    assert_eq!(system.simulator.stats().accepted, u64::try_from(before).unwrap());
    // The other lanes go on.
    system.publish("send.urgent", r#"{"to": "+33613000001", "body": "4711"}"#).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE lane = 'urgent' AND status = 'sent'", 1).await;
    let listed = done(&system, "pause list").await;
    assert!(listed.contains("fire") && listed.contains(&(800 - before).to_string()), "{listed}");
    let held =
        system.text("SELECT id::text FROM facteur.jobs WHERE waits_for IS NOT NULL LIMIT 1").await.unwrap();
    let story = done(&system, &format!("status {held}")).await;
    assert!(story.contains("paused since") && story.contains("fire"), "{story}");
    done(&system, "resume lane bulk --reason done").await;
    system.wait_until_final(801).await;
    assert_eq!(system.jobs("status = 'sent' AND attempt = 1 AND failures = 0").await, 801);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn a_pause_with_an_end_ends_by_itself_and_not_before() {
    let system = System::new().await;
    let _worker = system.worker().await;
    done(&system, "pause tenant default --reason lunch --for 8s").await;
    system.publish_many("send.normal", 5).await;
    system.wait_until(&format!("{IN_LINE}'pause:tenant:default'"), 5).await;
    system.wait_until_final(5).await;
    let early = "SELECT count(*) FROM facteur.attempts a JOIN facteur.pauses p ON a.started_at < p.until";
    assert_eq!(system.count(early).await, 0);
    system.wait_until("SELECT count(*) FROM facteur.pauses WHERE ended_by = 'its end'", 1).await;
    assert_eq!(system.jobs("status = 'sent'").await, 5);
}

#[tokio::test]
async fn what_waits_for_two_pauses_leaves_when_both_have_ended() {
    let system = System::new().await;
    let _worker = system.worker().await;
    done(&system, "pause sender +15005550006 --reason fire").await;
    done(&system, "pause lane normal --reason water").await;
    system.publish_many("send.normal", 5).await;
    system.wait_until(&format!("{IN_LINE}'pause:sender:+15005550006'"), 5).await;
    done(&system, "resume sender +15005550006").await;
    system.wait_until(&format!("{IN_LINE}'pause:lane:normal'"), 5).await;
    assert_eq!(system.simulator.stats().accepted, 0);
    done(&system, "resume lane normal").await;
    system.wait_until_final(5).await;
    assert_eq!(system.jobs("status = 'sent'").await, 5);
}

#[tokio::test]
async fn what_is_cancelled_never_leaves_whether_it_waits_or_was_not_seen_yet() {
    let system = System::new().await;
    let _worker = system.worker().await;
    done(&system, "pause lane normal --reason fire").await;
    let waiting = system.publish("send.normal", r#"{"to": "+33612000001", "body": "x"}"#).await;
    system.wait_until(&format!("{IN_LINE}'pause:lane:normal'"), 1).await;
    let dry = done(&system, &format!("cancel {waiting}")).await;
    assert!(dry.contains("nothing was changed"), "{dry}");
    assert_eq!(system.jobs("status = 'waiting'").await, 1);
    done(&system, &format!("cancel {waiting} --yes --reason mistake")).await;
    let unseen = Uuid::new_v4();
    done(&system, &format!("cancel {unseen} --yes --reason mistake")).await;
    let story = done(&system, &format!("status {unseen}")).await;
    assert!(story.contains("before it was seen") && story.contains("mistake"), "{story}");
    let content = EnvelopeContent {
        body: r#"{"to": "+33612000002", "body": "y"}"#.into(),
        message_id: Some(unseen.to_string()),
        ..EnvelopeContent::default()
    };
    done(&system, "resume lane normal").await;
    system.publish_content("send.normal", content).await;
    let sent = system.publish("send.normal", r#"{"to": "+33612000003", "body": "z"}"#).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 1).await;
    assert_eq!(system.jobs("status = 'canceled'").await, 2);
    let (code, late) = system.command(&["cancel", &sent.to_string(), "--yes", "--reason", "mistake"]).await;
    assert!(code == 1 && late.contains("too late"), "{late}");
    assert_eq!(system.count("SELECT count(*) FROM facteur.dead_letters").await, 0, "no conflict is seen");
    assert_eq!(system.simulator.stats().accepted, 1);
}

#[tokio::test]
async fn a_bulk_that_is_cancelled_ends_where_it_waits_and_where_it_comes_out_of_the_queue() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let bulk = Uuid::new_v4();
    let publish = |numbers: std::ops::Range<u32>| {
        let jobs = numbers.map(|number| {
            let body =
                format!("{{\"to\": \"+3361200{number:04}\", \"body\": \"x\", \"bulk_id\": \"{bulk}\"}}");
            system.publish("send.bulk", body)
        });
        futures_util::future::join_all(jobs)
    };
    done(&system, &format!("pause bulk {bulk} --reason doubt")).await;
    publish(0..30).await;
    system.wait_until(&format!("{IN_LINE}'pause:bulk:{bulk}'"), 30).await;
    done(&system, &format!("cancel --bulk {bulk} --yes --reason wrong")).await;
    assert_eq!(system.jobs("status = 'canceled'").await, 30);
    done(&system, &format!("resume bulk {bulk}")).await;
    publish(30..40).await;
    system.publish("send.bulk", r#"{"to": "+33613000001", "body": "another"}"#).await;
    system.wait_until_final(41).await;
    assert_eq!(system.jobs("status = 'canceled'").await, 40);
    assert_eq!(system.simulator.stats().accepted, 1);
    let late = system
        .text("SELECT id::text FROM facteur.jobs WHERE status = 'canceled' ORDER BY created_at DESC LIMIT 1")
        .await;
    let story = done(&system, &format!("status {}", late.unwrap())).await;
    assert!(story.contains("wrong"), "{story}");
}

#[tokio::test]
async fn a_limit_that_is_set_is_told_and_never_exceeded() {
    let system = System::new().await;
    done(&system, "limits set +15005550006 1200/min").await;
    let _worker = system.worker().await;
    system.publish_many("send.normal", 60).await;
    system.wait_until_final(60).await;
    assert_eq!(system.jobs("status = 'sent'").await, 60);
    let worst = system.worst_second().await;
    assert!(worst <= 22, "{worst} in one second");
    let listed = done(&system, "limits list").await;
    assert!(listed.contains("+15005550006") && listed.contains("20/s") && listed.contains("own"), "{listed}");
}

//! Missing receipts: found once each, asked for by one, closed in the end.

use std::time::Duration;

use facteur_core::ids::{AttemptNumber, JobId, MessageSid};
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::receipt::{Receipt, ReceiptSource, ReceiptStatus};
use facteur_core::status::{Status, TwilioStatus};
use facteur_postgres::receipts::{self, LookLater, Walked, close, count_missing, look_later, take_due, walk};
use facteur_postgres::{Applied, Callbacks, PostgresConfig, connect};
use uuid::Uuid;

use crate::ground::{Ground, ground};

const PATIENCE: Duration = Duration::from_mins(10);
const SPAN: Duration = Duration::from_hours(6);

fn sid(job: Uuid) -> MessageSid {
    MessageSid::parse(&format!("SM{}", job.simple())).unwrap()
}

/// A message that Twilio accepted so many minutes ago.
async fn accepted(ground: &Ground, minutes_ago: u32, status: &str, twilio_status: &str) -> Uuid {
    let job = ground.job(status, true).await;
    ground
        .run(&format!(
            "INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, sid, \
                 twilio_status, next_status, reason, created_at) \
             VALUES ('{job}', 1, gen_random_uuid(), clock_timestamp(), 42, 'accepted', '{}', '{twilio_status}', 'sent', \
                 'accepted', clock_timestamp() - interval '{minutes_ago} minutes')",
            sid(job).as_str()
        ))
        .await;
    job
}

/// Walks to the end; returns what was filed.
async fn walk_all(ground: &Ground, span: Duration) -> u64 {
    let mut filed = 0;
    for _ in 0..10_000 {
        let walked = walk(&ground.database, PATIENCE, PATIENCE, span).await.unwrap().unwrap();
        filed += walked.filed;
        if walked.is_done {
            return filed;
        }
    }
    panic!("the walk does not end")
}

async fn missing(ground: &Ground) -> String {
    ground.text("SELECT job_id FROM facteur.missing_receipts ORDER BY job_id").await
}

fn ids(jobs: &[Uuid]) -> String {
    let mut jobs: Vec<_> = jobs.iter().map(|job| format!("({job})")).collect();
    jobs.sort();
    jobs.join(";")
}

fn callbacks(ground: &Ground) -> Callbacks {
    Callbacks::start(ground.database.clone())
}

/// What Twilio says when it is asked.
fn polled(job: Uuid, twilio_status: TwilioStatus, code: Option<u32>) -> Receipt {
    let (status, source) = (ReceiptStatus::Known(twilio_status), ReceiptSource::Poll);
    let account = "AC00000000000000000000000000000001".to_owned();
    Receipt { account, job_id: JobId(job), attempt: AttemptNumber(1), sid: sid(job), status, code, source }
}

#[tokio::test]
async fn the_walk_finds_exactly_the_missing_ones_and_finds_them_once() {
    let ground = ground().await;
    let stuck = [
        accepted(&ground, 11, "sent", "queued").await,
        accepted(&ground, 600, "sent", "sent").await,
        accepted(&ground, 71 * 60, "sent", "accepted").await,
    ];
    accepted(&ground, 9, "sent", "queued").await;
    accepted(&ground, 600, "delivered", "delivered").await;
    accepted(&ground, 600, "failed", "failed").await;
    // The attempt knows already; its job follows in the same transaction.
    accepted(&ground, 600, "sent", "undelivered").await;
    accepted(&ground, 73 * 60, "sent", "queued").await;
    let closed = accepted(&ground, 600, "sent", "sent").await;
    ground.run(&format!("UPDATE facteur.jobs SET reason = 'receipt_missing' WHERE id = '{closed}'")).await;
    assert_eq!(walk_all(&ground, SPAN).await, 3);
    assert_eq!(missing(&ground).await, ids(&stuck));
    assert_eq!(walk_all(&ground, SPAN).await, 0, "what was walked is not walked again");
    // Even if it is: a restored database, a clock that was put back.
    ground.run("UPDATE facteur.receipts_watermark SET walked_to = walked_to - interval '2 days'").await;
    assert_eq!(walk_all(&ground, SPAN).await, 0);
    assert_eq!(missing(&ground).await, ids(&stuck));
}

#[tokio::test]
async fn a_walk_that_stopped_anywhere_goes_on_and_two_walkers_double_nothing() {
    let ground = ground().await;
    let mut stuck = Vec::new();
    for minutes in (20..260).step_by(10) {
        stuck.push(accepted(&ground, minutes, "sent", "sent").await);
    }
    let short = Duration::from_mins(7);
    let one = async {
        let mut filed = 0;
        loop {
            // Whoever finds the watermark taken comes again.
            match walk(&ground.database, PATIENCE, PATIENCE, short).await.unwrap() {
                Some(Walked { is_done: true, filed: last, .. }) => return filed + last,
                Some(walked) => filed += walked.filed,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let other = walk(&ground.database, PATIENCE, PATIENCE, SPAN);
    let (one, other) = tokio::join!(one, other);
    assert_eq!(one + other.unwrap().map_or(0, |walked| walked.filed), stuck.len() as u64);
    assert_eq!(missing(&ground).await, ids(&stuck));
}

#[tokio::test]
async fn more_than_a_step_holds_is_filed_in_steps() {
    let ground = ground().await;
    ground
        .run(
            "INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, deadline) \
             SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, '\\x01', 'acme', 'bulk', 'sent', \
                 'accepted', clock_timestamp() FROM generate_series(1, 2500) AS n; \
             INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, sid, \
                 next_status, reason, created_at) \
             SELECT id, 1, gen_random_uuid(), clock_timestamp(), 1, 'accepted', 'SM' || replace(id::text, '-', ''), \
                 'sent', 'accepted', now() - interval '1 hour' - (row_number() OVER () / 3) * interval '1 second' \
             FROM facteur.jobs",
        )
        .await;
    let mut steps = Vec::new();
    // From the first walk's beginning, three days ago.
    loop {
        let walked =
            walk(&ground.database, PATIENCE, PATIENCE, Duration::from_hours(100)).await.unwrap().unwrap();
        steps.push(walked.filed);
        if walked.is_done {
            break;
        }
    }
    assert_eq!(steps, [1_000, 1_000, 500]);
    assert_eq!(count_missing(&ground.database).await.unwrap(), 2_500);
}

#[tokio::test]
async fn a_watermark_that_is_ahead_of_the_clock_is_put_back() {
    let ground = ground().await;
    walk_all(&ground, SPAN).await;
    // The clock was a day ahead when the walk came by, and is right again.
    ground.run("UPDATE facteur.receipts_watermark SET walked_to = walked_to + interval '1 day'").await;
    walk_all(&ground, SPAN).await;
    let is_back =
        "SELECT walked_to <= clock_timestamp() - interval '10 minutes' FROM facteur.receipts_watermark";
    assert_eq!(ground.text(is_back).await, "(t)");
}

#[tokio::test]
async fn the_walk_reads_the_stretch_it_walks_and_not_the_table() {
    let ground = ground().await;
    let alone = connect(&PostgresConfig { pool_size: 1, ..ground.config.clone() }).await.unwrap();
    walk(&alone, PATIENCE, PATIENCE, SPAN).await.unwrap();
    let client = alone.client().await.unwrap();
    let find = "SELECT name FROM pg_prepared_statements WHERE statement LIKE 'WITH mark AS%'";
    let name: String = client.query_one(find, &[]).await.unwrap().get(0);
    let explain = format!("EXPLAIN EXECUTE {name} (600, 60, '{{delivered}}', 1000, 600)");
    let plan = client.simple_query(&explain).await.unwrap();
    let plan = format!("{plan:?}");
    assert!(plan.contains("Bitmap Index Scan on attempts_created") && !plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test]
async fn a_due_message_is_asked_for_by_one_worker_and_let_go_when_a_callback_came() {
    let ground = ground().await;
    let stuck = accepted(&ground, 20, "sent", "sent").await;
    let told = accepted(&ground, 30, "sent", "sent").await;
    walk_all(&ground, SPAN).await;
    ground.run(&format!("UPDATE facteur.jobs SET status = 'delivered' WHERE id = '{told}'")).await;
    let (one, other) = tokio::join!(take_due(&ground.database, 10), take_due(&ground.database, 10));
    let taken: Vec<_> = [one.unwrap().0, other.unwrap().0].concat();
    let [missing] = &taken[..] else { panic!("one message is due: {taken:?}") };
    assert_eq!(
        (missing.job_id, missing.attempt, &missing.sid),
        (JobId(stuck), AttemptNumber(1), &Some(sid(stuck)))
    );
    assert!((1_200..1_300).contains(&missing.age.as_secs()), "{missing:?}");
    assert_eq!(count_missing(&ground.database).await.unwrap(), 1, "the other one is let go");
    assert_eq!(take_due(&ground.database, 10).await.unwrap(), (Vec::new(), false));
    // The worker died: two minutes later another one asks.
    ground
        .run("UPDATE facteur.missing_receipts SET next_poll_at = next_poll_at - interval '121 seconds'")
        .await;
    assert_eq!(take_due(&ground.database, 1).await.unwrap().0.len(), 1);
}

#[tokio::test]
async fn the_next_look_comes_at_its_age() {
    let ground = ground().await;
    let job = accepted(&ground, 20, "sent", "sent").await;
    walk_all(&ground, SPAN).await;
    let look = |minutes, was_answered| LookLater {
        job_id: JobId(job),
        age: Duration::from_mins(minutes),
        was_answered,
    };
    let wait = "SELECT polls, round(extract(epoch FROM next_poll_at - accepted_at) / 60) FROM facteur.missing_receipts";
    assert_eq!(ground.text(wait).await, "(0,10)");
    look_later(&ground.database, &[look(30, true)]).await.unwrap();
    assert_eq!(ground.text(wait).await, "(1,30)");
    look_later(&ground.database, &[look(35, false)]).await.unwrap();
    assert_eq!(ground.text(wait).await, "(1,35)");
    look_later(&ground.database, &[]).await.unwrap();
}

#[tokio::test]
async fn polls_and_callbacks_in_any_order_end_alike() {
    use TwilioStatus::{Delivered, Queued, Read, Sending, Sent, Undelivered};
    let rows = [
        (vec![Sent, Delivered], "delivered", "delivered"),
        (vec![Delivered, Sent, Queued], "delivered", "delivered"),
        (vec![Delivered, Delivered], "delivered", "delivered"),
        (vec![Delivered, Undelivered], "delivered", "delivered"),
        (vec![Undelivered, Delivered], "undelivered", "undelivered"),
        (vec![Delivered, Read, Delivered], "read", "read"),
        (vec![Sending, Sent, Sending], "sent", "sent"),
        (vec![TwilioStatus::Canceled], "failed", "canceled"),
    ];
    let ground = ground().await;
    let callbacks = callbacks(&ground);
    for (heard, status, twilio_status) in rows {
        let job = accepted(&ground, 20, "sent", "queued").await;
        for twilio_status in &heard {
            callbacks.apply(polled(job, *twilio_status, None)).await.unwrap();
        }
        let state = format!(
            "SELECT j.status, a.twilio_status FROM facteur.jobs j JOIN facteur.attempts a ON a.job_id = j.id \
             WHERE j.id = '{job}'"
        );
        assert_eq!(ground.text(&state).await, format!("({status},{twilio_status})"), "{heard:?}");
    }
}

#[tokio::test]
async fn an_end_closes_the_receipt_and_says_why_and_a_stage_does_not() {
    let ground = ground().await;
    let job = accepted(&ground, 20, "sent", "queued").await;
    let other = accepted(&ground, 20, "sent", "queued").await;
    walk_all(&ground, SPAN).await;
    let callbacks = callbacks(&ground);
    let ended = callbacks.apply(polled(job, TwilioStatus::Undelivered, Some(30_003))).await;
    assert_eq!(ended, Ok(Applied::New { moved_to: Some(Status::Undelivered), is_double: false }));
    let stage = callbacks.apply(polled(other, TwilioStatus::Sent, None)).await;
    assert_eq!(stage, Ok(Applied::New { moved_to: None, is_double: false }));
    assert_eq!(missing(&ground).await, ids(&[other]));
    let why = format!("SELECT status, reason, sentence LIKE '%(30003)' FROM facteur.jobs WHERE id = '{job}'");
    assert_eq!(ground.text(&why).await, "(undelivered,not_delivered,t)");
    let code = format!("SELECT code FROM facteur.attempts WHERE job_id = '{job}'");
    assert_eq!(ground.text(&code).await, "(30003)");
    let heard = receipts::facts(&ground.database, JobId(job)).await.unwrap();
    let (heard, missed) = (heard.heard.unwrap(), heard.missed);
    assert_eq!((heard.twilio_status.as_str(), heard.source.as_str(), missed), ("undelivered", "poll", None));
    let still = receipts::facts(&ground.database, JobId(other)).await.unwrap();
    assert!(still.heard.is_some() && still.missed.is_some_and(|(polls, _)| polls == 0), "{still:?}");
    let proofs = "SELECT count(*) FROM facteur.webhook_proofs";
    assert_eq!(ground.text(proofs).await, "(0)", "an answer does not prove that callbacks reach us");
}

#[tokio::test]
async fn an_end_that_was_known_already_ends_the_wait_too() {
    let ground = ground().await;
    let job = accepted(&ground, 20, "sent", "queued").await;
    walk_all(&ground, SPAN).await;
    let callbacks = callbacks(&ground);
    callbacks.apply(polled(job, TwilioStatus::Delivered, None)).await.unwrap();
    ground.run("UPDATE facteur.jobs SET status = 'sent'; DELETE FROM facteur.receipts_watermark").await;
    ground.run("UPDATE facteur.attempts SET twilio_status = 'sent'").await;
    walk_all(&ground, SPAN).await;
    assert_eq!(missing(&ground).await, ids(&[job]));
    let again = callbacks.apply(polled(job, TwilioStatus::Delivered, None)).await;
    assert_eq!(again, Ok(Applied::Replay));
    assert_eq!(missing(&ground).await, "");
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_stays_sent_with_its_reason() {
    let ground = ground().await;
    let job = accepted(&ground, 60, "sent", "sent").await;
    let told = accepted(&ground, 60, "sent", "sent").await;
    walk_all(&ground, SPAN).await;
    ground.run(&format!("UPDATE facteur.jobs SET status = 'delivered' WHERE id = '{told}'")).await;
    let why = Reason::new(ReasonCode::ReceiptMissing, "no receipt came within 72 h; Twilio says `sent`");
    let closings = [(JobId(job), why.clone()), (JobId(told), why)];
    assert_eq!(close(&ground.database, &closings).await.unwrap(), 1);
    assert_eq!(count_missing(&ground.database).await.unwrap(), 0);
    let state = "SELECT status, reason FROM facteur.jobs WHERE reason = 'receipt_missing'";
    assert_eq!(ground.text(state).await, "(sent,receipt_missing)");
    // A receipt that comes after all is believed.
    callbacks(&ground).apply(polled(job, TwilioStatus::Delivered, None)).await.unwrap();
    let state = format!("SELECT status, reason FROM facteur.jobs WHERE id = '{job}'");
    assert_eq!(ground.text(&state).await, "(delivered,delivered)");
}

#[tokio::test]
async fn a_sid_that_is_learnt_behind_the_walk_is_missed_too() {
    let ground = ground().await;
    let job = accepted(&ground, 60, "uncertain", "queued").await;
    ground.run("UPDATE facteur.attempts SET sid = NULL, outcome = 'uncertain'").await;
    assert_eq!(walk_all(&ground, SPAN).await, 0);
    let learnt = format!(
        "UPDATE facteur.attempts SET sid = '{}', outcome = 'accepted'; UPDATE facteur.jobs SET status = 'sent'",
        sid(job).as_str()
    );
    ground.run(&learnt).await;
    assert_eq!(missing(&ground).await, ids(&[job]));
}

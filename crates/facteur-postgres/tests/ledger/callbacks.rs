use std::time::Duration;

use facteur_core::ids::{AttemptNumber, Turn};
use facteur_core::ledger::{Claim, JobRow, Recorded};
use facteur_core::outcome::Outcome;
use facteur_core::reason::ReasonCode;
use facteur_core::receipt::{Receipt, ReceiptSource, ReceiptStatus};
use facteur_core::status::Status;
use facteur_postgres::{Applied, Callbacks, sweep};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::fixture::{Fixture, accepted, again_in, finish, record, row, sid};

const ACCOUNT: &str = "AC00000000000000000000000000000000";

fn receipt(row: &JobRow, attempt: i32, number: u32, word: &str) -> Receipt {
    Receipt {
        account: ACCOUNT.to_owned(),
        job_id: row.id,
        attempt: AttemptNumber(attempt),
        sid: sid(number),
        status: ReceiptStatus::parse(word).unwrap(),
        code: None,
        source: ReceiptSource::Callback,
    }
}

fn with_code(receipt: Receipt, code: u32) -> Receipt {
    Receipt { code: Some(code), ..receipt }
}

fn callbacks(fixture: &Fixture) -> Callbacks {
    Callbacks::start(fixture.database.clone())
}

fn moved(to: Status) -> Applied {
    Applied::New { moved_to: Some(to), is_double: false }
}

const KEPT: Applied = Applied::New { moved_to: None, is_double: false };

fn lost() -> Outcome {
    Outcome::Uncertain { cause: "the reply was lost".to_owned(), http_status: None }
}

async fn attempt(fixture: &Fixture, row: &JobRow, number: i32) -> String {
    let query = format!(
        "SELECT concat_ws(' ', outcome, sid, twilio_status, code, duration_ms) FROM facteur.attempts \
         WHERE job_id = '{}' AND number = {number}",
        row.id
    );
    fixture.text(&query).await.unwrap_or_default()
}

/// A job that Twilio took as that SID.
async fn sent(fixture: &Fixture, token: u128, number: u32) -> JobRow {
    let row = row();
    let attempt = fixture.yours(&row, token).await.number;
    fixture.store.record(record(&row, token, attempt, accepted(number))).await.unwrap();
    row
}

#[tokio::test]
async fn receipts_move_a_message_on_and_a_replay_changes_nothing() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), sent(&fixture, 1, 1).await);
    assert_eq!(callbacks.apply(receipt(&row, 1, 1, "sending")).await, Ok(KEPT));
    assert_eq!(callbacks.apply(receipt(&row, 1, 1, "delivered")).await, Ok(moved(Status::Delivered)));
    assert_eq!(callbacks.apply(receipt(&row, 1, 1, "sent")).await, Ok(KEPT), "late, and lower");
    for word in ["sending", "delivered", "sent"] {
        assert_eq!(callbacks.apply(receipt(&row, 1, 1, word)).await, Ok(Applied::Replay));
    }
    assert_eq!(fixture.status(&row).await, "delivered");
    assert_eq!(attempt(&fixture, &row, 1).await, format!("accepted {} delivered 42", sid(1).as_str()));
    let reason = fixture.text("SELECT reason || ': ' || sentence FROM facteur.jobs").await.unwrap();
    assert_eq!(reason, format!("delivered: delivered as {}", sid(1).as_str()));
}

#[tokio::test]
async fn a_receipt_for_no_job_of_ours_is_unknown() {
    let fixture = Fixture::new().await;
    assert_eq!(callbacks(&fixture).apply(receipt(&row(), 1, 1, "sent")).await, Ok(Applied::Unknown));
    for table in ["status_events", "attempts", "webhook_proofs"] {
        assert_eq!(fixture.count(&format!("SELECT count(*) FROM facteur.{table}")).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_receipt_before_our_own_record_is_believed_and_the_record_adds_what_it_knows() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), row());
    let number = fixture.yours(&row, 1).await.number;
    assert_eq!(callbacks.apply(receipt(&row, 1, 7, "delivered")).await, Ok(moved(Status::Delivered)));
    assert_eq!(attempt(&fixture, &row, 1).await, format!("accepted {} delivered 0", sid(7).as_str()));
    let done = Recorded::Done { turn: Turn(0), is_double: false };
    let ours = record(&row, 1, number, accepted(7));
    assert_eq!(fixture.store.record(ours.clone()).await.unwrap(), done);
    assert_eq!(fixture.store.record(ours).await.unwrap(), done, "also when it is repeated");
    assert_eq!(attempt(&fixture, &row, 1).await, format!("accepted {} delivered 42", sid(7).as_str()));
    assert_eq!(fixture.status(&row).await, "delivered");
}

#[tokio::test]
async fn a_receipt_before_a_record_that_knows_nothing_keeps_the_proof() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), row());
    let number = fixture.yours(&row, 1).await.number;
    callbacks.apply(receipt(&row, 1, 7, "sent")).await.unwrap();
    let next = finish(Status::Dead, ReasonCode::Uncertain);
    fixture.store.record(record(&row, 1, number, (lost(), next))).await.unwrap();
    assert_eq!(fixture.status(&row).await, "sent");
    assert_eq!(attempt(&fixture, &row, 1).await, format!("accepted {} sent 42", sid(7).as_str()));
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.dead_letters").await, 0);
}

/// Its worker died, so its own record never comes: its search knows the claim's instant, and if that is gone, the
/// attempt did not begin before its job was there.
#[tokio::test]
async fn a_proof_of_an_attempt_without_a_record_is_no_younger_than_its_claim() {
    let fixture = Fixture::new().await;
    let callbacks = callbacks(&fixture);
    for (number, (search, age_min)) in (1..).zip([("verdict = NULL", 10), ("attempt = 2", 20)]) {
        let row = row();
        fixture.yours(&row, u128::from(number)).await;
        fixture
            .sql(&format!(
                "DELETE FROM facteur.webhook_proofs; \
                 UPDATE facteur.jobs SET created_at = clock_timestamp() - interval '20 min', due_at = clock_timestamp(), \
                     updated_at = clock_timestamp() - interval '10 min' WHERE id = '{}'",
                row.id
            ))
            .await;
        assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().uncertain, 1);
        fixture.sql(&format!("UPDATE facteur.reconciliations SET {search}")).await;
        for word in ["sent", "delivered"] {
            callbacks.apply(receipt(&row, 1, number, word)).await.unwrap();
            let age =
                |of: &str| format!("SELECT round(extract(epoch FROM clock_timestamp() - {of}) / 60)::bigint");
            let begun = format!("{} FROM facteur.attempts WHERE job_id = '{}'", age("started_at"), row.id);
            assert_eq!(fixture.count(&begun).await, age_min, "{word}, {search}");
        }
        let proof = "SELECT round(extract(epoch FROM clock_timestamp() - attempt_started_at) / 60)::bigint \
                     FROM facteur.webhook_proofs";
        assert_eq!(fixture.count(proof).await, age_min, "{search}");
    }
}

#[tokio::test]
async fn evidence_that_comes_late_closes_a_held_dead_letter_and_the_search() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), row());
    let number = fixture.yours(&row, 1).await.number;
    let next = finish(Status::Dead, ReasonCode::Uncertain);
    fixture.store.record(record(&row, 1, number, (lost(), next))).await.unwrap();
    fixture
        .sql(&format!(
            "INSERT INTO facteur.reconciliations (job_id, attempt, account, recipient, started_at, ended_at, \
             next_check_at) VALUES ('{id}', 1, '{ACCOUNT}', 'x', now(), now(), now()); \
             INSERT INTO facteur.missing_receipts (job_id, attempt, sid, accepted_at, next_poll_at) \
             VALUES ('{id}', 1, 'x', now(), now())",
            id = row.id
        ))
        .await;
    assert_eq!(callbacks.apply(receipt(&row, 1, 7, "sent")).await, Ok(moved(Status::Sent)));
    assert_eq!(fixture.text("SELECT state FROM facteur.dead_letters").await.as_deref(), Some("resolved"));
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.reconciliations").await, 0);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.missing_receipts").await, 1, "no end yet");
    callbacks.apply(receipt(&row, 1, 7, "delivered")).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.missing_receipts").await, 0);
    assert_eq!(attempt(&fixture, &row, 1).await, format!("uncertain {} delivered 42", sid(7).as_str()));
}

#[tokio::test]
async fn a_lease_that_was_lost_is_proven_by_a_receipt() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), row());
    fixture.yours(&row, 1).await;
    fixture.sql("UPDATE facteur.jobs SET due_at = clock_timestamp()").await;
    sweep(&fixture.database, ACCOUNT, true).await.unwrap();
    assert_eq!(callbacks.apply(receipt(&row, 1, 7, "delivered")).await, Ok(moved(Status::Delivered)));
    assert_eq!(
        fixture.count("SELECT count(*) FROM facteur.reconciliations WHERE closed_at IS NULL").await,
        0
    );
    assert_eq!(fixture.claim(&row, 2).await, Claim::Final(Status::Delivered));
}

/// A job whose second attempt was claimed, and whose first one is said to have failed.
async fn second_attempt(fixture: &Fixture) -> JobRow {
    let mut row = row();
    let number = fixture.yours(&row, 1).await.number;
    let next = again_in(Duration::ZERO, true);
    fixture.store.record(record(&row, 1, number, (lost(), next))).await.unwrap();
    row.turn = Turn(1);
    assert_eq!(fixture.yours(&row, 2).await.number, AttemptNumber(2));
    row
}

#[tokio::test]
async fn an_older_attempt_is_believed_too_and_a_second_sid_is_told() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), second_attempt(&fixture).await);
    assert_eq!(callbacks.apply(receipt(&row, 1, 1, "sent")).await, Ok(moved(Status::Sent)));
    let recorded = fixture.store.record(record(&row, 2, AttemptNumber(2), accepted(2))).await.unwrap();
    assert_eq!(recorded, Recorded::Done { turn: Turn(1), is_double: true });
    let told = callbacks.apply(receipt(&row, 2, 2, "sending")).await;
    assert_eq!(told, Ok(KEPT), "told once");
}

#[tokio::test]
async fn a_second_sid_is_told_when_the_older_attempt_is_heard_of_last() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), second_attempt(&fixture).await);
    fixture.store.record(record(&row, 2, AttemptNumber(2), accepted(2))).await.unwrap();
    let double = Applied::New { moved_to: None, is_double: true };
    assert_eq!(callbacks.apply(receipt(&row, 1, 1, "sent")).await, Ok(double));
    assert_eq!(callbacks.apply(receipt(&row, 1, 1, "sending")).await, Ok(KEPT), "told once");
}

#[tokio::test]
async fn an_older_attempt_that_failed_does_not_end_a_later_one() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), second_attempt(&fixture).await);
    let failed = || with_code(receipt(&row, 1, 1, "undelivered"), 30_003);
    assert_eq!(callbacks.apply(failed()).await, Ok(KEPT));
    assert_eq!(fixture.status(&row).await, "sending");
    fixture.store.record(record(&row, 2, AttemptNumber(2), accepted(2))).await.unwrap();
    assert_eq!(callbacks.apply(receipt(&row, 2, 2, "delivered")).await, Ok(moved(Status::Delivered)));
}

#[tokio::test]
async fn another_sid_for_the_same_attempt_is_told_in_either_order() {
    let fixture = Fixture::new().await;
    let callbacks = callbacks(&fixture);
    let recorded = sent(&fixture, 1, 1).await;
    let double = callbacks.apply(receipt(&recorded, 1, 2, "sending")).await;
    assert_eq!(double, Ok(Applied::New { moved_to: None, is_double: true }));

    let told = row();
    fixture.yours(&told, 2).await;
    callbacks.apply(receipt(&told, 1, 3, "sending")).await.unwrap();
    let done = fixture.store.record(record(&told, 2, AttemptNumber(1), accepted(4))).await.unwrap();
    assert_eq!(done, Recorded::Done { turn: Turn(0), is_double: true });
    assert!(attempt(&fixture, &told, 1).await.contains(sid(3).as_str()), "the first SID is kept");
}

#[tokio::test]
async fn a_failure_is_told_with_its_code_and_an_opt_out_suppresses() {
    let fixture = Fixture::new().await;
    let callbacks = callbacks(&fixture);
    let (opted_out, unknown) = (sent(&fixture, 1, 1).await, sent(&fixture, 2, 2).await);
    let failed = with_code(receipt(&opted_out, 1, 1, "failed"), 21_610);
    assert_eq!(callbacks.apply(failed).await, Ok(moved(Status::Failed)));
    let suppressed = "SELECT recipient || ' ' || sender FROM facteur.suppressions";
    let expected = format!("{} +15005550006", opted_out.recipient.number.reveal());
    assert_eq!(fixture.text(suppressed).await, Some(expected));
    let undelivered = with_code(receipt(&unknown, 1, 2, "undelivered"), 30_005);
    assert_eq!(callbacks.apply(undelivered).await, Ok(moved(Status::Undelivered)));
    assert!(attempt(&fixture, &unknown, 1).await.contains("undelivered 30005"));
    let reason =
        fixture.text("SELECT reason || ' ' || sentence FROM facteur.jobs WHERE status = 'undelivered'").await;
    assert!(reason.as_deref().is_some_and(|text| text.starts_with("not_delivered The number")), "{reason:?}");
}

#[tokio::test]
async fn an_opt_out_that_is_told_of_an_erased_contact_suppresses_nobody() {
    let fixture = Fixture::new().await;
    let forgotten = sent(&fixture, 1, 1).await;
    fixture.sql("UPDATE facteur.messages SET recipient = 'erased:' || id").await;
    let failed = with_code(receipt(&forgotten, 1, 1, "failed"), 21_610);
    assert_eq!(callbacks(&fixture).apply(failed).await, Ok(moved(Status::Failed)));
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.suppressions").await, 0);
}

#[tokio::test]
async fn a_throttle_that_comes_by_receipt_opens_the_senders_breaker() {
    let fixture = Fixture::new().await;
    let callbacks = callbacks(&fixture);
    let rows = [sent(&fixture, 1, 1).await, sent(&fixture, 2, 2).await, sent(&fixture, 3, 3).await];
    let told = [(30_001, 1), (63_018, 2), (30_022, 3)];
    let applied = rows
        .iter()
        .zip(told)
        .map(|(row, (code, number))| callbacks.apply(with_code(receipt(row, 1, number, "failed"), code)));
    futures_util::future::join_all(applied).await;
    let breaker = "SELECT concat_ws(' ', scope, key, state, reason, openings, \
         round(extract(epoch FROM retry_at - opened_at) / 60)) FROM facteur.breakers";
    assert_eq!(fixture.text(breaker).await.as_deref(), Some("sender +15005550006 open throttled 1 15"));
}

#[tokio::test]
async fn a_word_that_twilio_invented_later_is_kept_and_proves_the_acceptance() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), row());
    fixture.yours(&row, 1).await;
    assert_eq!(callbacks.apply(receipt(&row, 1, 1, "teleported")).await, Ok(moved(Status::Sent)));
    assert_eq!(callbacks.apply(receipt(&row, 1, 1, "sending")).await, Ok(KEPT));
    assert_eq!(attempt(&fixture, &row, 1).await, format!("accepted {} sending 0", sid(1).as_str()));
}

#[tokio::test]
async fn callbacks_prove_that_callbacks_reach_us_and_other_sources_do_not() {
    let fixture = Fixture::new().await;
    let (callbacks, row) = (callbacks(&fixture), sent(&fixture, 1, 1).await);
    let polled = Receipt { source: ReceiptSource::Poll, ..receipt(&row, 1, 1, "sent") };
    callbacks.apply(polled).await.unwrap();
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.webhook_proofs").await, 0);
    callbacks.apply(receipt(&row, 1, 1, "delivered")).await.unwrap();
    let same = "SELECT count(*) FROM facteur.webhook_proofs JOIN facteur.attempts ON attempt_started_at = started_at";
    assert_eq!(fixture.count(same).await, 1);
    let older =
        "UPDATE facteur.webhook_proofs SET attempt_started_at = clock_timestamp() + interval '1 hour'";
    fixture.sql(older).await;
    callbacks.apply(receipt(&row, 1, 1, "sending")).await.unwrap();
    assert_eq!(fixture.count(same).await, 0, "a proof never becomes older");
}

#[tokio::test]
async fn a_sid_of_another_attempt_is_refused_and_its_neighbours_are_not() {
    let fixture = Fixture::new().await;
    let callbacks = callbacks(&fixture);
    let (one, other) = (sent(&fixture, 1, 1).await, sent(&fixture, 2, 2).await);
    let third = row();
    fixture.yours(&third, 3).await;
    let (stolen, good, bad) = tokio::join!(
        callbacks.apply(receipt(&third, 1, 1, "sent")),
        callbacks.apply(receipt(&one, 1, 1, "delivered")),
        callbacks.apply(receipt(&other, 1, 2, "delivered")),
    );
    assert!(stolen.is_err(), "{stolen:?}");
    assert_eq!((good, bad), (Ok(moved(Status::Delivered)), Ok(moved(Status::Delivered))));
}

#[tokio::test]
async fn any_order_of_a_history_with_copies_and_our_record_anywhere_ends_the_same() {
    let fixture = Fixture::new().await;
    let callbacks = callbacks(&fixture);
    let mut runner = TestRunner::deterministic();
    let histories = [
        (&["queued", "sending", "sent", "delivered", "read"][..], "read"),
        (&["queued", "sending", "sent", "undelivered"][..], "undelivered"),
        (&["accepted", "failed"][..], "failed"),
    ];
    for case in 0..36_u32 {
        let (history, end) = histories[case as usize % histories.len()];
        let mut steps: Vec<Option<&str>> = history.iter().chain(history).map(|word| Some(*word)).collect();
        steps.push(None);
        let steps = Just(steps).prop_shuffle().new_tree(&mut runner).unwrap().current();
        let (row, token) = (row(), u128::from(case) + 1);
        let number = fixture.yours(&row, token).await.number;
        for step in &steps {
            match step {
                Some(word) => {
                    let told = with_code(receipt(&row, 1, case, word), 30_005);
                    let is_failure = matches!(*word, "failed" | "undelivered");
                    let told = if is_failure { told } else { Receipt { code: None, ..told } };
                    callbacks.apply(told).await.unwrap();
                }
                None => {
                    fixture.store.record(record(&row, token, number, accepted(case))).await.unwrap();
                }
            }
        }
        assert_eq!(fixture.status(&row).await, end, "{steps:?}");
        let kept = attempt(&fixture, &row, 1).await;
        assert!(kept.contains(&format!("accepted {} {end}", sid(case).as_str())), "{steps:?}: {kept}");
        assert!(kept.ends_with(" 42"), "{steps:?}: {kept}");
    }
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs WHERE due_at IS NOT NULL").await, 0);
}

/// Receipts and records of the same jobs at once, many to a batch: nobody waits for each other in a circle.
#[tokio::test]
async fn receipts_and_records_of_a_busy_moment_all_end() {
    let fixture = Fixture::new().await;
    let callbacks = callbacks(&fixture);
    let lives = (1..=1_000_u32).map(|number| {
        let (fixture, callbacks, row) = (&fixture, &callbacks, row());
        async move {
            let token = u128::from(number);
            fixture.yours(&row, token).await;
            let (recorded, first, last) = tokio::join!(
                fixture.store.record(record(&row, token, AttemptNumber(1), accepted(number))),
                callbacks.apply(receipt(&row, 1, number, "sent")),
                callbacks.apply(receipt(&row, 1, number, "delivered")),
            );
            assert_eq!(recorded, Ok(Recorded::Done { turn: Turn(0), is_double: false }));
            assert!(first.is_ok() && last.is_ok());
        }
    });
    futures_util::future::join_all(lives).await;
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs WHERE status = 'delivered'").await, 1_000);
}

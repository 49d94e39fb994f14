//! The search for evidence on real SQL: how it begins, what is known when it is judged, and how it ends.

use std::time::Duration;

use facteur_core::decide::Decision;
use facteur_core::ids::{JobId, Turn};
use facteur_core::ledger::{Claim, JobRow, Next, Recorded};
use facteur_core::outcome::Outcome;
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::reconcile::ListedMessage;
use facteur_core::status::{Status, TwilioStatus};
use facteur_postgres::reconciliations::{self, Known, Looked};
use facteur_postgres::{messages, sweep};

use crate::fixture::{ACCOUNT, Fixture, accepted, again_in, finish, in_s, record, refused, row, sid};

const DONE: Recorded = Recorded::Done { turn: Turn(0), is_double: false };

/// Claims, and loses the reply.
async fn uncertain(fixture: &Fixture, row: &JobRow, token: u128) {
    let number = fixture.yours(row, token).await.number;
    let outcome = Outcome::Uncertain { cause: "the reply was lost".to_owned(), http_status: None };
    let next = finish(Status::Uncertain, ReasonCode::Uncertain);
    fixture.store.record(record(row, token, number, (outcome, next))).await.unwrap();
}

/// Claims, and dies.
async fn cut_off(fixture: &Fixture, row: &JobRow, token: u128) {
    fixture.yours(row, token).await;
    fixture.sql(&format!("UPDATE facteur.jobs SET due_at = clock_timestamp() WHERE id = '{}'", row.id)).await;
    sweep(&fixture.database, ACCOUNT, true).await.unwrap();
}

async fn known(fixture: &Fixture, row: &JobRow) -> Known {
    reconciliations::known(&fixture.database, &[row.id]).await.unwrap().remove(0)
}

/// The same recipient and text under another id.
fn twin_of(row: &JobRow) -> JobRow {
    JobRow { recipient: row.recipient.clone(), text: row.text.clone(), ..crate::fixture::row() }
}

fn looked(row: &JobRow) -> Looked {
    Looked {
        id: row.id,
        attempt: 1,
        is_clear: true,
        searched: Duration::from_secs(40),
        is_later_listed: true,
        finding: "looked".to_owned(),
    }
}

fn found(number: u32, twilio_status: TwilioStatus) -> ListedMessage {
    ListedMessage {
        sid: sid(number),
        to: String::new(),
        body: String::new(),
        is_outbound: true,
        created_at: in_s(0),
        twilio_status,
        code: None,
    }
}

async fn end(fixture: &Fixture, row: &JobRow, next: &Next, found: Option<&ListedMessage>) -> bool {
    reconciliations::end(&fixture.database, &looked(row), "found", next, found).await.unwrap()
}

fn sent() -> Next {
    finish(Status::Sent, ReasonCode::Accepted)
}

fn not_taken(delay: Duration) -> Next {
    let reason = Reason::new(ReasonCode::NotTaken, "because");
    Decision::Retry { delay, reason, is_counted: false }.into_next(Duration::from_secs(1))
}

#[tokio::test]
async fn an_uncertain_outcome_is_looked_for_soon_and_by_one_worker_at_a_time() {
    let fixture = Fixture::new().await;
    let row = row();
    uncertain(&fixture, &row, 1).await;
    assert_eq!(fixture.status(&row).await, "uncertain");
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.dead_letters").await, 0);
    assert_eq!(reconciliations::take(&fixture.database).await.unwrap(), [], "it is too early");
    fixture.sql("UPDATE facteur.reconciliations SET next_check_at = clock_timestamp()").await;
    let [look] = &reconciliations::take(&fixture.database).await.unwrap()[..] else { panic!("one is due") };
    assert_eq!((look.id, &look.recipient), (row.id, &row.recipient));
    assert_eq!(look.window.ended_at.duration_since(look.window.started_at).as_millis(), 42);
    assert_eq!(reconciliations::take(&fixture.database).await.unwrap(), [], "it was taken");
    let known = known(&fixture, &row).await;
    assert!(known.is_open && !known.has_twin && !known.is_later_called_back && !known.callbacks_arrive);
    assert_eq!((known.text.as_deref(), known.looks), (Some("Bonjour"), 0));
    assert_eq!(reconciliations::count_open(&fixture.database).await.unwrap(), 1);
}

#[tokio::test]
async fn the_grace_and_what_was_seen_are_kept_from_look_to_look() {
    let fixture = Fixture::new().await;
    let row = row();
    uncertain(&fixture, &row, 1).await;
    reconciliations::go_on(&fixture.database, &looked(&row), Duration::from_secs(15)).await.unwrap();
    let later = Looked { is_later_listed: false, ..looked(&row) };
    reconciliations::go_on(&fixture.database, &later, Duration::from_secs(15)).await.unwrap();
    let known = known(&fixture, &row).await;
    assert_eq!((known.looks, known.searched, known.was_clear), (2, Duration::from_secs(40), true));
    assert!(known.is_later_listed && known.since_look.is_some());
    let story = messages::story(&fixture.database, row.id).await.unwrap().unwrap();
    assert_eq!(story.search.unwrap().finding, "looked");
}

#[tokio::test]
async fn texts_that_can_not_be_told_apart_are_twins_until_one_of_them_is_known() {
    let fixture = Fixture::new().await;
    let first = row();
    let (second, sending, other) =
        (twin_of(&first), twin_of(&first), JobRow { text: None, ..twin_of(&first) });
    uncertain(&fixture, &first, 1).await;
    uncertain(&fixture, &other, 2).await;
    assert!(!known(&fixture, &first).await.has_twin, "another text");
    let number = fixture.yours(&sending, 3).await.number;
    assert!(known(&fixture, &first).await.has_twin, "one that is on its way");
    fixture.store.record(record(&sending, 3, number, accepted(3))).await.unwrap();
    assert!(!known(&fixture, &first).await.has_twin, "its SID is known now");
    uncertain(&fixture, &second, 4).await;
    assert!(known(&fixture, &first).await.has_twin && known(&fixture, &second).await.has_twin);
    let held = finish(Status::Dead, ReasonCode::Uncertain);
    assert!(reconciliations::end(&fixture.database, &looked(&second), "held", &held, None).await.unwrap());
    assert!(known(&fixture, &first).await.has_twin, "nobody knows what became of one that is held");
    fixture
        .sql(&format!(
            "UPDATE facteur.reconciliations SET started_at = started_at - interval '40 s', \
             ended_at = ended_at - interval '40 s' WHERE job_id = '{}'",
            second.id
        ))
        .await;
    assert!(!known(&fixture, &first).await.has_twin, "it was over before this one began");
}

#[tokio::test]
async fn callbacks_of_later_attempts_count_and_overdue_ones_stop_the_grace() {
    let fixture = Fixture::new().await;
    let (row, later) = (row(), row());
    uncertain(&fixture, &row, 1).await;
    let proof = |seconds: i64| {
        format!(
            "INSERT INTO facteur.webhook_proofs (account, attempt_started_at) \
             VALUES ('{ACCOUNT}', clock_timestamp() + {seconds} * interval '1 s') \
             ON CONFLICT (account) DO UPDATE SET attempt_started_at = excluded.attempt_started_at"
        )
    };
    fixture.sql(&proof(-3_600)).await;
    let before = known(&fixture, &row).await;
    assert!(before.callbacks_arrive && !before.is_later_called_back);
    let number = fixture.yours(&later, 2).await.number;
    fixture.store.record(record(&later, 2, number, accepted(2))).await.unwrap();
    assert!(known(&fixture, &row).await.callbacks_arrive, "its callback is not overdue yet");
    fixture
        .sql("UPDATE facteur.attempts SET created_at = clock_timestamp() - interval '10 min' WHERE sid IS NOT NULL")
        .await;
    assert!(!known(&fixture, &row).await.callbacks_arrive);
    fixture.sql(&proof(60)).await;
    let after = known(&fixture, &row).await;
    assert!(after.callbacks_arrive && after.is_later_called_back);
}

#[tokio::test]
async fn what_is_found_gets_its_sid_also_if_its_worker_left_no_attempt() {
    let fixture = Fixture::new().await;
    let (lost, dead) = (row(), row());
    uncertain(&fixture, &lost, 1).await;
    cut_off(&fixture, &dead, 2).await;
    fixture.sql("UPDATE facteur.jobs SET waits_for = 'pause:lane:normal'").await;
    for (row, number) in [(&lost, 1), (&dead, 2)] {
        let found = found(number, TwilioStatus::Sent);
        assert!(end(&fixture, row, &sent(), Some(&found)).await);
        assert!(!end(&fixture, row, &sent(), Some(&found)).await, "once");
        assert_eq!(fixture.status(row).await, "sent");
        let story = messages::story(&fixture.database, row.id).await.unwrap().unwrap();
        assert_eq!((story.sid(), story.attempts.len()), (Some(sid(number).as_str()), 1));
        assert_eq!(story.search.unwrap().verdict.as_deref(), Some("found"));
    }
    let sids = reconciliations::sids(&fixture.database, &[sid(1), sid(2), sid(3)]).await.unwrap();
    assert_eq!(sids.len(), 2);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.status_events WHERE source = 'list'").await, 2);
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.jobs WHERE waits_for IS NOT NULL").await, 0);
    assert_eq!(reconciliations::count_open(&fixture.database).await.unwrap(), 0);
}

#[tokio::test]
async fn a_sid_that_is_anothers_meanwhile_is_given_to_nobody_else() {
    let fixture = Fixture::new().await;
    let (lost, other) = (row(), row());
    uncertain(&fixture, &lost, 1).await;
    let number = fixture.yours(&other, 2).await.number;
    fixture.store.record(record(&other, 2, number, accepted(7))).await.unwrap();
    let found = found(7, TwilioStatus::Sent);
    let ended = reconciliations::end(&fixture.database, &looked(&lost), "found", &sent(), Some(&found)).await;
    assert!(ended.is_err());
    assert_eq!(fixture.status(&lost).await, "uncertain");
    assert_eq!(reconciliations::count_open(&fixture.database).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_held_is_a_dead_letter_with_its_bytes() {
    let fixture = Fixture::new().await;
    let row = row();
    uncertain(&fixture, &row, 1).await;
    assert!(end(&fixture, &row, &finish(Status::Dead, ReasonCode::Uncertain), None).await);
    assert_eq!(fixture.claim(&row, 2).await, Claim::Final(Status::Dead));
    let letter =
        fixture.text("SELECT code || ' ' || convert_from(body, 'UTF8') FROM facteur.dead_letters").await;
    assert_eq!(letter.as_deref(), Some("uncertain {\"to\":\"x\"}"));
}

#[tokio::test]
async fn what_was_not_taken_gets_another_turn_and_is_nobodys_failure() {
    let fixture = Fixture::new().await;
    let row = row();
    uncertain(&fixture, &row, 1).await;
    assert!(end(&fixture, &row, &not_taken(Duration::ZERO), None).await);
    assert_eq!(fixture.claim(&row, 2).await, Claim::Stale, "the first envelope says nothing any more");
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().woken, 1);
    let attempt = fixture.yours(&JobRow { turn: Turn(1), ..row.clone() }, 3).await;
    assert_eq!((attempt.number.0, attempt.failures), (2, 0));
    assert!(!end(&fixture, &row, &sent(), None).await, "a second worker comes too late");
    assert_eq!(fixture.status(&row).await, "sending");
}

#[tokio::test]
async fn a_late_record_gives_the_answer_and_ends_the_search() {
    let fixture = Fixture::new().await;
    let (taken, refused_row) = (row(), row());
    cut_off(&fixture, &taken, 1).await;
    cut_off(&fixture, &refused_row, 2).await;
    let number = known(&fixture, &taken).await.attempt;
    let number = facteur_core::ids::AttemptNumber(number);
    let late = record(&taken, 1, number, accepted(7));
    assert_eq!(fixture.store.record(late.clone()).await.unwrap(), DONE);
    assert_eq!(fixture.store.record(late).await.unwrap(), DONE, "also when it is repeated");
    let again = again_in(Duration::from_secs(5), true);
    fixture.store.record(record(&refused_row, 2, number, (refused(20_404), again))).await.unwrap();
    assert_eq!(
        (fixture.status(&taken).await, fixture.status(&refused_row).await),
        ("sent".into(), "retrying".into())
    );
    let overtaken = "SELECT count(*) FROM facteur.reconciliations WHERE verdict = 'overtaken'";
    assert_eq!(fixture.count(overtaken).await, 2);
    assert!(!end(&fixture, &taken, &not_taken(Duration::ZERO), None).await, "the answer stays");
    assert_eq!(fixture.status(&taken).await, "sent");
}

#[tokio::test]
async fn a_late_record_of_what_is_held_closes_its_dead_letter_and_one_of_nothing_new_does_not() {
    let fixture = Fixture::new().await;
    let (taken, nothing) = (row(), row());
    let number = facteur_core::ids::AttemptNumber(1);
    let held = finish(Status::Dead, ReasonCode::Uncertain);
    for (row, token) in [(&taken, 1), (&nothing, 2)] {
        cut_off(&fixture, row, token).await;
        assert!(reconciliations::end(&fixture.database, &looked(row), "held", &held, None).await.unwrap());
    }
    assert_eq!(fixture.store.record(record(&taken, 1, number, accepted(7))).await.unwrap(), DONE);
    let outcome = Outcome::Uncertain { cause: "no answer".to_owned(), http_status: None };
    let next = finish(Status::Uncertain, ReasonCode::Uncertain);
    fixture.store.record(record(&nothing, 2, number, (outcome, next))).await.unwrap();
    assert_eq!(
        (fixture.status(&taken).await, fixture.status(&nothing).await),
        ("sent".into(), "dead".into())
    );
    let open = "SELECT job_id::text FROM facteur.dead_letters WHERE state = 'open'";
    assert_eq!(fixture.text(open).await, Some(nothing.id.to_string()));
}

/// The worker slept through the whole search; its answer still keeps the second text from going out.
#[tokio::test]
async fn a_late_acceptance_ends_a_job_that_was_to_be_sent_again() {
    let fixture = Fixture::new().await;
    let row = row();
    cut_off(&fixture, &row, 1).await;
    assert!(end(&fixture, &row, &not_taken(Duration::from_secs(60)), None).await);
    let number = facteur_core::ids::AttemptNumber(1);
    let recorded = fixture.store.record(record(&row, 1, number, accepted(7))).await.unwrap();
    assert_eq!(recorded, Recorded::Done { turn: Turn(1), is_double: false });
    assert_eq!(fixture.status(&row).await, "sent");
    assert_eq!(fixture.claim(&JobRow { turn: Turn(1), ..row }, 2).await, Claim::Final(Status::Sent));
}

/// Its wake-up was put into a line, released with its token, buried or expired meanwhile: nothing of that is news that
/// outweighs a SID.
#[tokio::test]
async fn a_late_acceptance_ends_whatever_its_job_has_become_but_for_an_end_that_twilio_named() {
    let fixture = Fixture::new().await;
    let ends = [
        (
            "status = 'waiting', reason = 'rate_limit', waits_for = 'rate:+15005550006', in_line_since = now()",
            "sent",
        ),
        ("status = 'waiting', reason = 'paused', waits_for = 'pause:lane:normal', attempt = 2", "sent"),
        ("status = 'waiting', reason = 'requeued', claim_token = NULL", "sent"),
        ("status = 'retrying', reason = 'temporary', claim_token = NULL, attempt = 3", "sent"),
        ("status = 'dead', reason = 'retries_exhausted', attempt = 2", "sent"),
        ("status = 'expired', reason = 'expired'", "sent"),
        ("status = 'canceled', reason = 'canceled'", "sent"),
        ("status = 'delivered', reason = 'delivered'", "delivered"),
        ("status = 'failed', reason = 'refused'", "failed"),
        ("status = 'waiting', attempt = 0", "waiting"),
    ];
    for (token, (meanwhile, expected)) in (1..).zip(ends) {
        let row = row();
        cut_off(&fixture, &row, token).await;
        assert!(end(&fixture, &row, &not_taken(Duration::ZERO), None).await);
        fixture.sql(&format!("UPDATE facteur.jobs SET {meanwhile} WHERE id = '{}'", row.id)).await;
        fixture
            .sql(&format!(
                "INSERT INTO facteur.dead_letters (job_id, code, sentence, body, routing_key) \
                 SELECT id, reason, 'x', '', 'send.normal' FROM facteur.jobs WHERE id = '{}' AND status = 'dead'",
                row.id
            ))
            .await;
        let number = facteur_core::ids::AttemptNumber(1);
        let taken = accepted(u32::try_from(token).unwrap());
        let recorded = fixture.store.record(record(&row, token, number, taken)).await.unwrap();
        assert_eq!(fixture.status(&row).await, expected, "{meanwhile}");
        if expected == "sent" {
            assert_eq!(recorded, Recorded::Done { turn: Turn(1), is_double: false }, "{meanwhile}");
        }
    }
    let left = "SELECT count(*) FROM facteur.jobs WHERE status = 'sent' \
                AND (waits_for IS NOT NULL OR in_line_since IS NOT NULL OR due_at IS NOT NULL OR not_before IS NOT NULL)";
    assert_eq!(fixture.count(left).await, 0, "no line and no sweep knows it any more");
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.dead_letters WHERE state = 'open'").await, 0);
}

/// A receipt said that this text did not arrive, so another one is to go out: the record of the first says nothing new.
#[tokio::test]
async fn a_late_acceptance_that_a_receipt_has_told_already_changes_nothing() {
    let fixture = Fixture::new().await;
    let row = row();
    cut_off(&fixture, &row, 1).await;
    assert!(end(&fixture, &row, &not_taken(Duration::ZERO), None).await);
    let number = facteur_core::ids::AttemptNumber(1);
    fixture
        .sql(&format!(
            "UPDATE facteur.jobs SET attempt = 2, status = 'waiting', reason = 'temporary'; \
             INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, sid, \
                 twilio_status, next_status, reason) \
             SELECT id, 1, gen_random_uuid(), created_at, 0, 'accepted', '{}', 'undelivered', 'undelivered', 'x' \
             FROM facteur.jobs",
            sid(7).as_str()
        ))
        .await;
    fixture.store.record(record(&row, 1, number, accepted(7))).await.unwrap();
    assert_eq!(fixture.status(&row).await, "waiting");
}

/// Another worker is calling for it: what that call comes to can't put the job back to work.
#[tokio::test]
async fn a_late_acceptance_while_the_next_attempt_is_under_way_is_the_jobs_end() {
    let fixture = Fixture::new().await;
    let row = row();
    cut_off(&fixture, &row, 1).await;
    assert!(end(&fixture, &row, &not_taken(Duration::ZERO), None).await);
    let present = JobRow { turn: Turn(1), ..row.clone() };
    let second = fixture.yours(&present, 2).await.number;
    let first = facteur_core::ids::AttemptNumber(1);
    fixture.store.record(record(&row, 1, first, accepted(7))).await.unwrap();
    let again = again_in(Duration::from_secs(5), true);
    fixture.store.record(record(&present, 2, second, (refused(20_404), again))).await.unwrap();
    assert_eq!(fixture.status(&row).await, "sent");
    assert_eq!(fixture.claim(&JobRow { turn: Turn(2), ..row }, 3).await, Claim::Final(Status::Sent));
}

#[tokio::test]
async fn a_search_whose_job_a_callback_has_moved_is_over() {
    let fixture = Fixture::new().await;
    let row = row();
    uncertain(&fixture, &row, 1).await;
    fixture.sql("UPDATE facteur.jobs SET status = 'delivered'").await;
    assert!(!known(&fixture, &row).await.is_open);
    reconciliations::overtaken(&fixture.database, row.id, 1).await.unwrap();
    assert_eq!(reconciliations::count_open(&fixture.database).await.unwrap(), 0);
}

#[tokio::test]
async fn looks_that_twilio_did_not_want_are_put_off() {
    let fixture = Fixture::new().await;
    let row = row();
    uncertain(&fixture, &row, 1).await;
    fixture.sql("UPDATE facteur.reconciliations SET next_check_at = clock_timestamp()").await;
    let ids: Vec<JobId> =
        reconciliations::take(&fixture.database).await.unwrap().iter().map(|look| look.id).collect();
    reconciliations::put_off(&fixture.database, &ids, Duration::ZERO).await.unwrap();
    assert_eq!(reconciliations::take(&fixture.database).await.unwrap().len(), 1);
}

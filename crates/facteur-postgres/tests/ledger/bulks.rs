use std::collections::BTreeMap;

use facteur_core::bulk::{self, BulkState};
use facteur_core::lane::Lane;
use facteur_core::price::Amount;
use facteur_core::reason::{Reason, ReasonCode};
use facteur_postgres::bulks::{self, Acted, NewBulk, NewLine, Opened, Ready, StageError};
use facteur_postgres::{Database, cancels, pauses};
use uuid::Uuid;

use crate::fixture::Fixture;

const TOKEN: Uuid = Uuid::from_u128(7);

async fn opened(database: &Database, key: Option<&str>, token: Uuid, head: &[u8]) -> Opened {
    let document = serde_json::json!({"tenant": "default", "from": "+15005550006", "category": "marketing"});
    let id = Uuid::new_v4();
    let new = NewBulk {
        id,
        tenant: "default",
        name: Some("spring"),
        document: &document,
        channel: "sms",
        category: "marketing",
        sender: "+15005550006",
        template: None,
        rate: None,
        error_ratio_max: None,
        starts_at: None,
        expires_at: None,
        idempotency_key: key,
        head_digest: head,
        created_by: "test",
        upload_token: token,
        currency: Some("EUR"),
    };
    bulks::open_upload(database, &new).await.unwrap()
}

/// A bulk of three recipients, accepted over this database.
pub(crate) async fn small(database: &Database) -> Uuid {
    let id = opened(database, None, TOKEN, b"head").await.id;
    let lines: Vec<NewLine> = (1..=3).map(|number| line(id, number, number)).collect();
    bulks::stage(database, id, TOKEN, &lines).await.unwrap();
    bulks::accept(database, id, TOKEN, (3, b"all", Lane::Bulk), None).await.unwrap();
    id
}

fn line(bulk: Uuid, line: u32, number: u32) -> NewLine {
    let ready = Ready {
        job_id: bulk::job_id(bulk, line, 0).0,
        text: Some(format!("Bonjour {line} \u{2764} \"{{}}\\")),
        variables: None,
        segments: 1,
        cost: Some(Amount::from_micros(72_500)),
        fingerprint: [3; 32],
    };
    let recipient = format!("+336{number:08}");
    NewLine { line, recipient, name: None, digest: [1; 16], judged: Ok(ready) }
}

/// What becomes of a bulk's upload.
pub(crate) struct Upload<'a> {
    fixture: &'a Fixture,
    pub(crate) id: Uuid,
}

impl<'a> Upload<'a> {
    async fn open(fixture: &'a Fixture, key: Option<&str>, token: Uuid, head: &[u8]) -> (Self, Opened) {
        let opened = opened(&fixture.database, key, token, head).await;
        (Self { fixture, id: opened.id }, opened)
    }

    /// A bulk of so many recipients, accepted; every tenth line of a number that stands there already.
    pub(crate) async fn accepted(fixture: &'a Fixture, lines: u32) -> Self {
        let (upload, _) = Self::open(fixture, None, TOKEN, b"head").await;
        for first in (1..=lines).step_by(1_000) {
            let chunk: Vec<NewLine> =
                (first..=lines.min(first + 999)).map(|line| upload.line(line, line)).collect();
            bulks::stage(&fixture.database, upload.id, TOKEN, &chunk).await.unwrap();
        }
        bulks::accept(&fixture.database, upload.id, TOKEN, (lines, b"all", Lane::Bulk), None).await.unwrap();
        upload
    }

    fn line(&self, number: u32, recipient: u32) -> NewLine {
        line(self.id, number, recipient)
    }

    pub(crate) async fn drip(&self) -> bulks::Dripped {
        bulks::drip(&self.fixture.database, self.id).await.unwrap()
    }

    pub(crate) async fn states(&self) -> BTreeMap<String, i64> {
        bulks::progress(&self.fixture.database, self.id).await.unwrap().states
    }

    async fn state(&self) -> BulkState {
        bulks::find(&self.fixture.database, self.id).await.unwrap().unwrap().state
    }

    /// Ends the jobs of these lines so.
    pub(crate) async fn end(&self, lines: &str, status: &str, reason: &str) {
        let sql = format!(
            "UPDATE facteur.jobs SET status = '{status}', reason = '{reason}' WHERE id IN \
             (SELECT job_id FROM facteur.bulk_recipients WHERE bulk_id = '{}' AND state <> 'pending' AND {lines})",
            self.id
        );
        self.fixture.sql(&sql).await;
    }
}

fn states<const N: usize>(counts: [(&str, i64); N]) -> BTreeMap<String, i64> {
    counts.into_iter().map(|(state, count)| (state.to_owned(), count)).collect()
}

#[tokio::test]
async fn lines_are_staged_once_without_gaps_and_by_the_present_upload_alone() {
    let fixture = Fixture::new().await;
    let database = &fixture.database;
    let (upload, opened) = Upload::open(&fixture, Some("key"), TOKEN, b"head").await;
    assert_eq!((opened.state, opened.staged, opened.is_same), (BulkState::Accepting, 0, true));
    let refused = Reason::field(ReasonCode::NumberInvalid, "to", "is no number");
    let lines = [
        upload.line(1, 1),
        upload.line(2, 2),
        upload.line(3, 1),
        NewLine { judged: Err(refused), ..upload.line(4, 2) },
    ];
    assert_eq!(bulks::stage(database, upload.id, TOKEN, &lines).await.unwrap(), 2);
    assert!(matches!(bulks::stage(database, upload.id, TOKEN, &lines).await, Err(StageError::Superseded)));
    let gap = [upload.line(6, 6)];
    assert!(matches!(bulks::stage(database, upload.id, TOKEN, &gap).await, Err(StageError::Superseded)));
    // A later upload of the key takes over, and finds what is staged.
    let (again, opened) = Upload::open(&fixture, Some("key"), Uuid::from_u128(8), b"head").await;
    assert_eq!((again.id, opened.staged), (upload.id, 4));
    let next = [upload.line(5, 1)];
    assert!(matches!(bulks::stage(database, upload.id, TOKEN, &next).await, Err(StageError::Superseded)));
    assert_eq!(bulks::stage(database, upload.id, Uuid::from_u128(8), &next).await.unwrap(), 1);
    assert_eq!(bulks::digests(database, upload.id, 2, 9).await.unwrap().len(), 4);
    assert_eq!(upload.states().await, states([("pending", 2), ("refused", 3)]));
    let progress = bulks::progress(database, upload.id).await.unwrap();
    let cost = |progress: &bulks::Progress| progress.cost().map(|cost| cost.to_string());
    assert_eq!(cost(&progress).as_deref(), Some("0.145"), "what is refused costs nothing");
    let rows = bulks::recipients(database, upload.id, 0, Some(&["refused"]), 10).await.unwrap().rows;
    let codes: Vec<_> = rows.iter().map(|row| (row.line, row.code.as_deref().unwrap())).collect();
    assert_eq!(codes, [(3, "duplicate_recipient"), (4, "number_invalid"), (5, "duplicate_recipient")]);
    // Nothing leaves before all of it is there.
    assert_eq!(upload.drip().await, bulks::Dripped::default());
    fixture.sql("UPDATE facteur.bulk_recipients SET cost_micros = NULL WHERE line = 2").await;
    let progress = bulks::progress(database, upload.id).await.unwrap();
    assert_eq!(cost(&progress), None, "a part is no estimate of the whole");
    let (_, other) = Upload::open(&fixture, Some("key"), Uuid::from_u128(9), b"another head").await;
    assert!(!other.is_same);
    bulks::accept(database, upload.id, Uuid::from_u128(8), (5, b"all", Lane::Bulk), None).await.unwrap();
    let (_, replay) = Upload::open(&fixture, Some("key"), Uuid::from_u128(10), b"head").await;
    assert_eq!((replay.state, replay.digest.as_deref()), (BulkState::Processing, Some(&b"all"[..])));
}

#[tokio::test]
async fn recipients_become_jobs_in_chunks_never_far_ahead_of_the_claims_and_the_bulk_completes() {
    let fixture = Fixture::new().await;
    let upload = Upload::accepted(&fixture, 2_500).await;
    let released = [upload.drip().await.released, upload.drip().await.released, upload.drip().await.released];
    assert_eq!(released, [1_000, 1_000, 0], "2,000 stand ahead of the claims");
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.outbox WHERE relay = 'bulk'").await, 2_000);
    assert_eq!(upload.states().await, states([("pending", 500), ("waiting", 2_000)]));
    let first = bulk::job_id(upload.id, 1, 0);
    let body = fixture
        .text(&format!("SELECT convert_from(body, 'UTF8') FROM facteur.outbox WHERE message_id = '{first}'"))
        .await;
    let body: serde_json::Value = serde_json::from_str(&body.unwrap()).unwrap();
    assert_eq!(body["body"], "Bonjour 1 \u{2764} \"{}\\");
    assert_eq!(body["to"], "+33600000001");
    upload.end("line <= 700", "sent", "accepted").await;
    let dripped = upload.drip().await;
    assert_eq!((dripped.settled, dripped.released), (700, 500));
    upload.end("true", "sent", "accepted").await;
    assert!(!upload.drip().await.is_completed, "1,000 are noted in one turn");
    assert!(upload.drip().await.is_completed);
    assert_eq!(
        (upload.state().await, upload.states().await),
        (BulkState::Completed, states([("sent", 2_500)]))
    );
}

#[tokio::test]
async fn a_rate_holds_while_it_runs_and_a_new_one_is_followed() {
    let fixture = Fixture::new().await;
    let upload = Upload::accepted(&fixture, 1_000).await;
    let back = |seconds: f64| {
        format!(
            "UPDATE facteur.bulks SET paced_to = clock_timestamp() - {seconds} * interval '1 second' WHERE id = '{}'",
            upload.id
        )
    };
    bulks::set_rate(&fixture.database, upload.id, Some(0.02), "test").await.unwrap();
    fixture.sql(&back(51.0)).await;
    assert_eq!(upload.drip().await.released, 1);
    assert_eq!(upload.drip().await.released, 0);
    bulks::set_rate(&fixture.database, upload.id, Some(0.01), "test").await.unwrap();
    fixture.sql(&back(50.0)).await;
    assert_eq!(upload.drip().await.released, 0);
    fixture.sql(&back(101.0)).await;
    assert_eq!(upload.drip().await.released, 1);
    assert_eq!(bulks::set_rate(&fixture.database, upload.id, None, "test").await.unwrap(), Acted::Done(0));
    assert_eq!(upload.drip().await.released, 998);
    assert_eq!(bulks::set_rate(&fixture.database, Uuid::nil(), None, "test").await.unwrap(), Acted::Unknown);
}

#[tokio::test]
async fn a_paused_bulk_releases_nothing_and_a_cancelled_one_never_again() {
    let fixture = Fixture::new().await;
    let (database, upload) = (&fixture.database, Upload::accepted(&fixture, 1_500).await);
    let scope = facteur_core::hold::Scope::Bulk(upload.id);
    pauses::pause(database, &scope, "wait", "test", pauses::PauseEnd::Open).await.unwrap();
    assert_eq!(upload.drip().await.released, 0);
    let found = bulks::find(database, upload.id).await.unwrap().unwrap();
    assert_eq!(found.pause.unwrap().reason, "wait");
    pauses::resume(database, &scope, None, "test").await.unwrap();
    assert_eq!(upload.drip().await.released, 1_000);
    upload.end("line = 1", "sent", "accepted").await;
    let canceled = bulks::cancel(database, upload.id, "wrong text", "test").await.unwrap();
    assert_eq!(canceled, Acted::Done(1_499));
    assert_eq!(upload.drip().await, bulks::Dripped::default());
    assert_eq!(upload.states().await, states([("canceled", 1_499), ("sent", 1)]));
    let again = bulks::cancel(database, upload.id, "wrong text", "test").await.unwrap();
    assert_eq!(again, Acted::NotNow(BulkState::Canceled));
    assert!(bulks::withdrawing(database).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_bulk_that_was_cancelled_by_its_id_alone_or_in_part_is_withdrawn_to_the_end() {
    let fixture = Fixture::new().await;
    let (database, upload) = (&fixture.database, Upload::accepted(&fixture, 1_200).await);
    cancels::cancel_bulk(database, upload.id, "wrong text", "test").await.unwrap();
    assert_eq!(upload.drip().await, bulks::Dripped::default());
    assert_eq!(
        (upload.state().await, bulks::withdrawing(database).await.unwrap()),
        (BulkState::Canceled, vec![upload.id])
    );
    assert_eq!(bulks::withdraw(database, upload.id).await.unwrap(), 1_000);
    assert_eq!(bulks::withdraw(database, upload.id).await.unwrap(), 200);
    assert_eq!(upload.states().await, states([("canceled", 1_200)]));
    assert!(bulks::withdrawing(database).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_bulk_that_fails_too_often_pauses_itself_and_is_judged_anew_once_resumed() {
    let fixture = Fixture::new().await;
    let (database, upload) = (&fixture.database, Upload::accepted(&fixture, 2_200).await);
    fixture.sql("UPDATE facteur.bulks SET error_ratio_max = 0.1").await;
    assert_eq!(upload.drip().await.released, 1_000);
    upload.end("line <= 3", "failed", "refused").await;
    upload.end("line BETWEEN 4 AND 19", "sent", "accepted").await;
    let judge = "UPDATE facteur.bulks SET ratio_judged_at = '-infinity'";
    fixture.sql(judge).await;
    assert_eq!(upload.drip().await.paused_because, None, "19 are too few");
    upload.end("line = 20", "sent", "accepted").await;
    fixture.sql(judge).await;
    let dripped = upload.drip().await;
    assert!(dripped.paused_because.unwrap().starts_with("3 of 20 messages"));
    assert_eq!(dripped.released, 0);
    let scope = facteur_core::hold::Scope::Bulk(upload.id);
    let pause = pauses::resume(database, &scope, None, "test").await.unwrap().unwrap();
    assert_eq!(pause.actor, "facteur");
    fixture.sql(judge).await;
    let dripped = upload.drip().await;
    assert_eq!((dripped.paused_because, dripped.released), (None, 20));
}

#[tokio::test]
async fn an_upload_that_nobody_resumes_is_given_up_after_a_day() {
    let fixture = Fixture::new().await;
    let database = &fixture.database;
    let (upload, _) = Upload::open(&fixture, Some("key"), TOKEN, b"head").await;
    bulks::stage(database, upload.id, TOKEN, &[upload.line(1, 1)]).await.unwrap();
    assert_eq!(bulks::abandon(database).await.unwrap(), 0);
    fixture.sql("UPDATE facteur.bulks SET updated_at = now() - interval '25 hours'").await;
    assert_eq!(bulks::abandon(database).await.unwrap(), 1);
    assert_eq!(bulks::withdraw(database, upload.id).await.unwrap(), 1);
    assert_eq!(upload.states().await, states([("canceled", 1)]));
    let found = bulks::find(database, upload.id).await.unwrap().unwrap();
    assert_eq!(found.state, BulkState::Failed);
    assert!(found.reason.unwrap().starts_with("abandoned"));
    let (anew, _) = Upload::open(&fixture, Some("key"), TOKEN, b"head").await;
    assert_ne!(anew.id, upload.id, "its key is free again");
}

/// Whatever runs at once, each recipient stands in one state, and nobody gets two jobs.
#[tokio::test]
async fn counts_add_up_at_every_moment_while_workers_drip_jobs_end_and_people_act() {
    let fixture = Fixture::new().await;
    let (database, upload) = (&fixture.database, Upload::accepted(&fixture, 4_000).await);
    let busy = async {
        let dripper = async || {
            for _ in 0..40 {
                upload.drip().await;
            }
        };
        let ender = async {
            for turn in 0..20 {
                upload.end(&format!("line % 20 = {turn} AND line % 3 = 0"), "sent", "accepted").await;
                upload.end(&format!("line % 20 = {turn} AND line % 3 = 1"), "expired", "expired").await;
                bulks::retry(database, upload.id, "test").await.unwrap();
            }
            bulks::cancel(database, upload.id, "enough", "test").await.unwrap();
        };
        tokio::join!(dripper(), dripper(), ender);
    };
    let looking = async {
        loop {
            let progress = bulks::progress(database, upload.id).await.unwrap();
            assert_eq!(progress.total(), 4_000);
            let words = ["pending", "sent", "delivered", "failed"].map(|word| progress.of_word(word));
            assert_eq!(words.iter().sum::<i64>(), 4_000);
        }
    };
    tokio::select! {
        () = busy => {}
        () = looking => {}
    }
    let of_jobs = "SELECT count(*) FROM facteur.jobs";
    let of_wake_ups = "SELECT count(DISTINCT message_id) FROM facteur.outbox";
    assert_eq!(fixture.count(of_jobs).await, fixture.count(of_wake_ups).await);
    let open_twice = "SELECT count(*) FROM (SELECT m.recipient FROM facteur.messages m JOIN facteur.jobs j USING (id) \
                      WHERE j.status NOT IN ('expired') GROUP BY 1 HAVING count(*) > 1) AS twice";
    assert_eq!(fixture.count(open_twice).await, 0, "a recipient has two messages that may leave");
    assert_eq!(upload.states().await.get("pending"), None);
}

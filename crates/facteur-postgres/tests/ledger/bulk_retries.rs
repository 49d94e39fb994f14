//! Trying anew those of a bulk that failed: what the ledger takes for proof that a message has not arrived.

use facteur_core::bulk::{self, BulkState};
use facteur_postgres::bulks::{self, Acted};

use crate::bulks::Upload;
use crate::fixture::Fixture;

#[tokio::test]
async fn only_what_failed_and_cannot_have_left_is_tried_anew() {
    let fixture = Fixture::new().await;
    let (database, upload) = (&fixture.database, Upload::accepted(&fixture, 10).await);
    upload.drip().await;
    upload.end("line = 1", "sent", "accepted").await;
    upload.end("line = 2", "uncertain", "uncertain").await;
    upload.end("line = 3", "dead", "uncertain").await;
    upload.end("line = 4", "suppressed", "suppressed").await;
    upload.end("line = 5", "failed", "refused").await;
    upload.end("line IN (6, 7, 8)", "dead", "retries_exhausted").await;
    upload.end("line = 9", "expired", "expired").await;
    upload.end("line = 10", "undelivered", "not_delivered").await;
    // Of the sixth a call has left no record; the seventh has a refusal on record, and a letter.
    let job = |line| bulk::job_id(upload.id, line, 0);
    fixture
        .sql(&format!("UPDATE facteur.jobs SET attempt = 1 WHERE id IN ('{}', '{}')", job(6), job(7)))
        .await;
    fixture
        .sql(&format!(
            "INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, next_status, \
             reason) VALUES ('{}', 1, gen_random_uuid(), now(), 1, 'refused', 'dead', 'retries_exhausted'); \
             INSERT INTO facteur.dead_letters (job_id, code, sentence, body, routing_key) \
             VALUES ('{}', 'retries_exhausted', '', '', 'send.bulk')",
            job(7),
            job(7)
        ))
        .await;
    assert_eq!(bulks::retry(database, upload.id, "test").await.unwrap(), Acted::Done(3));
    let pending = bulks::recipients(database, upload.id, 0, Some(&["pending"]), 10).await.unwrap().rows;
    let pending: Vec<_> = pending.iter().map(|row| (row.line, row.round, row.job_id.unwrap())).collect();
    assert_eq!(pending, [7, 8, 9].map(|line| (line, 1, bulk::job_id(upload.id, line, 1).0)));
    assert_eq!(
        fixture.text("SELECT state FROM facteur.dead_letters").await.as_deref(),
        Some("resolved"),
        "the old job must not be requeued beside the new one"
    );
    assert_eq!(upload.drip().await.released, 3);
    assert_eq!(bulks::retry(database, upload.id, "test").await.unwrap(), Acted::Done(0));
    let bulk = bulks::find(database, upload.id).await.unwrap().unwrap();
    assert_eq!((bulk.state, bulk.round), (BulkState::Processing, 1));
}

/// A call of a line's job, and what Twilio told of it.
struct Call {
    line: u32,
    round: u32,
    number: u32,
    outcome: &'static str,
    /// Twilio's last word, with its code.
    last: Option<(&'static str, Option<u32>)>,
    events: &'static [&'static str],
}

/// The first call of a line's first job, which Twilio took; its last word comes with this code.
const fn taken(line: u32, word: &'static str, code: u32) -> Call {
    Call { line, round: 0, number: 1, outcome: "accepted", last: Some((word, Some(code))), events: &[] }
}

impl Call {
    fn sid(&self) -> String {
        format!("SM{:032}", self.line * 100 + self.round * 10 + self.number)
    }

    async fn made(self, fixture: &Fixture, upload: &Upload<'_>) {
        let (job, sid) = (bulk::job_id(upload.id, self.line, self.round), self.sid());
        let Self { number, outcome, .. } = self;
        let known_sid = if outcome == "accepted" { format!("'{sid}'") } else { "NULL".to_owned() };
        let word = self.last.map_or("NULL".to_owned(), |(word, _)| format!("'{word}'"));
        let code = self.last.and_then(|(_, code)| code).map_or("NULL".to_owned(), |code| code.to_string());
        let events: String = self.events.iter().map(|event| told(upload, self.line, &sid, event)).collect();
        fixture
            .sql(&format!(
                "UPDATE facteur.jobs SET attempt = {number} WHERE id = '{job}'; \
                 INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, sid, \
                     twilio_status, code, next_status, reason) \
                 VALUES ('{job}', {number}, gen_random_uuid(), now(), 1, '{outcome}', {known_sid}, {word}, {code}, 'sent', \
                     'accepted'); {events}"
            ))
            .await;
    }
}

/// The statement of an event of a line's first job.
fn told(upload: &Upload<'_>, line: u32, sid: &str, word: &str) -> String {
    let job = bulk::job_id(upload.id, line, 0);
    format!(
        "INSERT INTO facteur.status_events (job_id, attempt, sid, twilio_status, source) \
         VALUES ('{job}', 1, '{sid}', '{word}', 'callback');"
    )
}

/// Lines of one bulk, each with what Twilio told of its message: which of them get a new one.
#[tokio::test]
async fn what_twilio_did_not_deliver_is_tried_anew_by_its_code_and_never_what_may_have_arrived() {
    let fixture = Fixture::new().await;
    let (database, upload) = (&fixture.database, Upload::accepted(&fixture, 11).await);
    upload.drip().await;
    upload.end("true", "undelivered", "not_delivered").await;
    upload.end("line = 3", "failed", "not_delivered").await;
    let lost = Call { outcome: "uncertain", last: None, ..taken(9, "", 0) };
    let refused = Call { outcome: "refused", last: None, ..taken(10, "", 0) };
    for call in [
        Call { events: &["queued", "sent", "undelivered"], ..taken(1, "undelivered", 30_003) },
        taken(2, "undelivered", 30_005),
        Call { events: &["failed"], ..taken(3, "failed", 30_001) },
        taken(4, "undelivered", 30_008),
        // Twilio changed its mind; no last word has come; no code was given; the recipient may have it.
        Call { events: &["undelivered", "delivered"], ..taken(5, "undelivered", 30_003) },
        Call { events: &["sent"], ..taken(6, "sent", 30_003) },
        Call { last: Some(("undelivered", None)), ..taken(7, "", 0) },
        taken(8, "undelivered", 30_410),
        // A first call of which nobody knows what became, and one that was refused.
        lost,
        Call { number: 2, ..taken(9, "undelivered", 30_003) },
        refused,
        Call { number: 2, ..taken(10, "undelivered", 30_003) },
        taken(11, "undelivered", 30_003),
    ] {
        call.made(&fixture, &upload).await;
    }
    // Of a second message only an event tells.
    fixture.sql(&told(&upload, 11, "SM00000000000000000000000000000999", "sent")).await;
    assert_eq!(bulks::retry(database, upload.id, "test").await.unwrap(), Acted::Done(4));
    let pending = bulks::recipients(database, upload.id, 0, Some(&["pending"]), 20).await.unwrap().rows;
    let lines: Vec<u32> = pending.iter().map(|row| row.line).collect();
    assert_eq!(lines, [1, 3, 4, 10]);
    assert_eq!(upload.drip().await.released, 4, "each has a job of its own in its second round");
    // Whom nobody explains gets one more try, and not two.
    upload.end("line IN (3, 4)", "undelivered", "not_delivered").await;
    for (line, code) in [(3, 30_001), (4, 30_008)] {
        Call { round: 1, ..taken(line, "undelivered", code) }.made(&fixture, &upload).await;
    }
    assert_eq!(bulks::retry(database, upload.id, "test").await.unwrap(), Acted::Done(1));
    assert_eq!(upload.states().await.values().sum::<i64>(), 11);
}

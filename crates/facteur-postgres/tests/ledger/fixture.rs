use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::envelope::Headers;
use facteur_core::ids::{AttemptNumber, ClaimToken, JobId, MessageSid, Tenant, Turn};
use facteur_core::integration::Via;
use facteur_core::job::{Category, Channel, Fingerprint, Recipient};
use facteur_core::lane::Lane;
use facteur_core::ledger::{Attempt, Claim, ClaimRequest, JobRow, Next, Record, Wait};
use facteur_core::outcome::Outcome;
use facteur_core::phone::PhoneNumber;
use facteur_core::reason::{Reason, ReasonCode};
use facteur_core::sender::Sender;
use facteur_core::status::{Status, TwilioStatus};
use facteur_postgres::{Client, Database, PostgresConfig, Store, connect, migrate};
use facteur_testkit::TestDatabase;
use uuid::Uuid;

/// The account at Twilio of every claim here that names no other.
pub(crate) const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// A store on a database of its own.
pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) database: Database,
    /// Dropped with the fixture.
    test_database: TestDatabase,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        let test_database = facteur_testkit::database().await;
        let config = config(&test_database);
        migrate::run(&config).await.unwrap();
        let database = connect(&config).await.unwrap();
        Self { store: Store::start(database.clone()), database, test_database }
    }

    /// The same, of whose tables only the test gathers statistics; the first, of empty tables, are there. An autovacuum in
    /// the middle of a large insertion takes the table for empty, and for a minute one index is as good as another.
    pub(crate) async fn untended() -> Self {
        let fixture = Self::new().await;
        fixture
            .sql(
                "DO $$ DECLARE one regclass; BEGIN \
                     FOR one IN SELECT oid FROM pg_class WHERE relnamespace = 'facteur'::regnamespace AND relkind = 'r' LOOP \
                         EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', one); \
                     END LOOP; END $$",
            )
            .await;
        fixture.sql("VACUUM ANALYZE").await;
        fixture
    }

    pub(crate) fn config(&self) -> PostgresConfig {
        config(&self.test_database)
    }

    pub(crate) async fn client(&self) -> Client {
        self.database.client().await.unwrap()
    }

    pub(crate) async fn sql(&self, statement: &str) {
        self.client().await.batch_execute(statement).await.unwrap();
    }

    /// One value of one row, as text; `None` if there is no row or it is NULL.
    pub(crate) async fn text(&self, query: &str) -> Option<String> {
        let row = self.client().await.query_opt(query, &[]).await.unwrap();
        row.and_then(|row| row.get::<_, Option<String>>(0))
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.client().await.query_one(query, &[]).await.unwrap().get(0)
    }

    /// So many jobs of a lane, with their messages, that wait in a line (or in none); the first is the oldest.
    pub(crate) async fn waiting(&self, count: u32, lane: &str, line: Option<&str>, bulk: Option<Uuid>) {
        let text = |value: Option<String>| value.map_or("NULL".to_owned(), |value| format!("'{value}'"));
        let (line, bulk) = (text(line.map(str::to_owned)), text(bulk.map(|id| id.to_string())));
        self.sql(&format!(
            "WITH made AS (INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, turn, due_at, deadline, \
                     waits_for, in_line_since) \
                 SELECT gen_random_uuid(), '\\x01', 'default', '{lane}', 'waiting', 'paused', 1, \
                     clock_timestamp() + interval '1 day', clock_timestamp() + interval '1 day', {line}, \
                     clock_timestamp() - interval '1 hour' + n * interval '1 millisecond' \
                 FROM generate_series(1, {count}) AS n RETURNING id) \
             INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, segments, document, \
                 headers, bulk_id) \
             SELECT id, 'default', '{lane}', 'marketing', 'sms', '+33612345678', '+15005550006', 1, '{{}}', '{{}}', {bulk} \
             FROM made"
        ))
        .await;
    }

    pub(crate) async fn status(&self, row: &JobRow) -> String {
        self.text(&format!("SELECT status FROM facteur.jobs WHERE id = '{}'", row.id))
            .await
            .unwrap_or_default()
    }

    pub(crate) async fn claim(&self, row: &JobRow, token: u128) -> Claim {
        let request =
            ClaimRequest { row: row.clone(), token: self::token(token), via: via(), is_budgeted: false };
        self.store.claim(request).await.unwrap()
    }

    /// Claims and expects to get it.
    pub(crate) async fn yours(&self, row: &JobRow, token: u128) -> Attempt {
        match self.claim(row, token).await {
            Claim::Yours(attempt) => attempt,
            other => panic!("the claim was answered {other:?}"),
        }
    }
}

pub(crate) fn config(database: &TestDatabase) -> PostgresConfig {
    PostgresConfig {
        url: database.url.clone(),
        pool_size: 8,
        application_name: "test".to_owned(),
        publishes_events: false,
    }
}

pub(crate) fn via() -> Via {
    Via { account: ACCOUNT.to_owned(), integration: None }
}

pub(crate) fn token(number: u128) -> ClaimToken {
    ClaimToken(Uuid::from_u128(number))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the database's clock, which deadlines are held against, is this machine's"
)]
pub(crate) fn in_s(seconds: i64) -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second() + seconds).unwrap()
}

/// A job of its own each time.
pub(crate) fn row() -> JobRow {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let country = facteur_core::phone::Country::FRANCE;
    JobRow {
        id: JobId(Uuid::from_u128(u128::from(number))),
        fingerprint: Fingerprint([u8::try_from(number % 251).unwrap(); 32]),
        turn: Turn(0),
        tenant: Tenant::default_tenant(),
        lane: Lane::Normal,
        category: Category::Transactional,
        recipient: Recipient {
            channel: Channel::Sms,
            number: PhoneNumber::parse(&format!("+336{:08}", 12_000_000 + number), country).unwrap(),
        },
        sender: Some(Sender::parse("+15005550006").unwrap()),
        text: Some("Bonjour".to_owned()),
        segments: 1,
        document: "{\"to\":\"x\"}".into(),
        headers: Headers::new(),
        enqueued_at: None,
        expires_at: None,
        deadline: in_s(3_600),
        bulk_id: None,
    }
}

pub(crate) fn sid(number: u32) -> MessageSid {
    MessageSid::parse(&format!("SM{number:032x}")).unwrap()
}

pub(crate) fn accepted(number: u32) -> (Outcome, Next) {
    let outcome = Outcome::Accepted { sid: sid(number), twilio_status: TwilioStatus::Queued };
    (outcome, finish(Status::Sent, ReasonCode::Accepted))
}

pub(crate) fn finish(status: Status, code: ReasonCode) -> Next {
    Next { status, reason: Reason::new(code, "because"), wait: None, suppress: false, hold: None }
}

pub(crate) fn again_in(delay: Duration, is_counted: bool) -> Next {
    Next {
        status: if is_counted { Status::Retrying } else { Status::Waiting },
        reason: Reason::new(ReasonCode::Temporary, "because"),
        wait: Some(Wait { delay, in_ladder: true, is_counted }),
        suppress: false,
        hold: None,
    }
}

pub(crate) fn record(
    row: &JobRow,
    token: u128,
    number: AttemptNumber,
    (outcome, next): (Outcome, Next),
) -> Record {
    let (started_at, duration) = (in_s(0), Duration::from_millis(42));
    let account = ACCOUNT.to_owned();
    Record { id: row.id, token: self::token(token), number, account, started_at, duration, outcome, next }
}

pub(crate) fn refused(code: u32) -> Outcome {
    Outcome::Refused { code: Some(code), http_status: 400, message: "no".to_owned() }
}

//! Against a real broker, a real database and the simulator: what the commands do before a worker runs.

use facteur_core::ids::JobId;
use facteur_core::ledger::DeadEnvelope;
use facteur_core::reason::ReasonCode;
use facteur_postgres::{Database, DeadLetters, PostgresConfig};
use facteur_testkit::{TestBroker, TestDatabase};
use serde_json::Value;
use uuid::Uuid;

use crate::binary::{Ran, deserted, facteur};

pub(crate) struct Services {
    broker: TestBroker,
    pub(crate) database: TestDatabase,
    /// Where Twilio is; nobody listens there at first.
    pub(crate) twilio: String,
}

impl Services {
    /// A broker and a database of this test alone, the database up to date.
    pub(crate) async fn start() -> Self {
        let (broker, database) = tokio::join!(facteur_testkit::broker(), facteur_testkit::database());
        let services = Self { broker, database, twilio: format!("http://{}", deserted()) };
        let ran = services.run(&["migrate"]).await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        services
    }

    pub(crate) fn environment(&self) -> [(&'static str, String); 6] {
        [
            ("AMQP_URL", self.broker.url.clone()),
            ("FACTEUR_PREFIX", self.broker.prefix.clone()),
            ("DATABASE_URL", self.database.url.clone()),
            ("TWILIO_BASE_URL", self.twilio.clone()),
            ("FACTEUR_METRICS_LISTEN", "127.0.0.1:0".to_owned()),
            ("FACTEUR_LISTEN", "127.0.0.1:0".to_owned()),
        ]
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let environment = self.environment();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let ran = tokio::task::spawn_blocking(move || {
            let environment: Vec<_> =
                environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
            facteur(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), &environment)
        });
        ran.await.unwrap()
    }

    pub(crate) async fn json(&self, arguments: &[&str], code: i32) -> Value {
        let arguments: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
        let ran = self.run(&arguments).await;
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
        ran.json()
    }

    /// Files a dead letter as a worker would.
    async fn bury(&self, code: ReasonCode, body: &'static [u8]) -> Uuid {
        let id = Uuid::new_v4();
        let config = PostgresConfig {
            url: self.database.url.clone(),
            pool_size: 1,
            application_name: "test".to_owned(),
            publishes_events: false,
        };
        let database = Database::open(&config).unwrap();
        let envelope = DeadEnvelope {
            job_id: Some(JobId(id)),
            code,
            field: Some("to".to_owned()),
            sentence: "is no number".to_owned(),
            body: body.into(),
            headers: serde_json::json!({ "shop-order": 42 }),
            routing_key: "send.normal".to_owned(),
            digest: *id.as_bytes().repeat(2).first_chunk().unwrap(),
        };
        DeadLetters::new(database).file(&envelope).await.unwrap();
        id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_again_changes_nothing() {
    let services = Services::start().await;
    let report = services.json(&["migrate"], 0).await;
    assert_eq!(report["applied"], serde_json::json!([]));
    assert!(report["already"].as_u64().unwrap() >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_is_content_with_services_that_answer() {
    let mut services = Services::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = twilio_sim::Sim::start(twilio_sim::SimConfig::default(), listener);
    services.twilio = simulator.url().to_owned();
    // The first publication makes the queues.
    services.json(&["send", "--to", "+33612345678", "--body", "Bonjour"], 0).await;
    let findings = services.json(&["doctor"], 0).await;
    for part in ["configuration", "broker", "queues", "database", "schema", "twilio"] {
        let found =
            findings["findings"].as_array().unwrap().iter().find(|found| found["part"] == part).unwrap();
        assert_eq!(found["verdict"], "ok", "{found}");
    }
    simulator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_no_worker_took_is_published_and_not_seen_yet() {
    let services = Services::start().await;
    let id = Uuid::new_v4().to_string();
    let line = ["send", "--to", "06 12 34 56 78", "--body", "Bonjour", "--category", "otp", "--id", &id];
    let sent = services.json(&line, 0).await;
    assert_eq!(
        (&sent["id"], &sent["status"], &sent["lane"]),
        (&Value::from(id.as_str()), &Value::from("published"), &Value::from("urgent"))
    );
    let waited: Vec<_> = line.iter().copied().chain(["--wait=1"]).collect();
    assert_eq!(services.json(&waited, 5).await["status"], "still open");
    assert_eq!(services.json(&["status", &id], 4).await["status"], "not_seen_yet");
    let told = services.run(&["status", &id]).await;
    assert!(told.stdout.starts_with(&format!("{id} is not seen yet")), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_told_by_send() {
    let services = Services::start().await;
    let set = format!("amqp.url=amqp://guest:guest@{}/%2f", deserted());
    let ran = services.run(&["send", "--to", "+33612345678", "--body", "Bonjour", "--set", &set]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("was not published: nothing listens at 127.0.0.1:"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_and_stay_where_nothing_can_be_sent() {
    let services = Services::start().await;
    let job = services.bury(ReasonCode::NumberInvalid, b"{\"to\": \"12\"}").await.to_string();
    services.bury(ReasonCode::InvalidUtf8, &[0xff, 0x00]).await;
    let listed = services.json(&["dead", "list"], 0).await;
    assert_eq!(listed["dead_letters"].as_array().unwrap().len(), 2);
    let listed = services.json(&["dead", "list", "--code", "number_invalid"], 0).await;
    let letter = &listed["dead_letters"][0];
    assert_eq!(
        (&letter["job_id"], &letter["code"]),
        (&Value::from(job.as_str()), &Value::from("number_invalid"))
    );
    let shown = services.json(&["dead", "show", letter["id"].as_str().unwrap()], 0).await;
    assert_eq!(
        (&shown["body"], &shown["headers"]["shop-order"]),
        (&Value::from("{\"to\": \"12\"}"), &Value::from(42))
    );
    let kept = services.json(&["dead", "requeue", "--all"], 0).await;
    assert_eq!((&kept["done"], &kept["requeued"]), (&Value::from(false), &Value::from(0)));
    assert_eq!(kept["skipped"][0]["letters"], 2);
    let kept = services.json(&["dead", "requeue", &job, "--yes", "--reason", "a try"], 1).await;
    assert_eq!((&kept["done"], &kept["requeued"]), (&Value::from(true), &Value::from(0)));
    services.json(&["dead", "show", &Uuid::new_v4().to_string()], 4).await;
    services.json(&["dead", "requeue", &Uuid::new_v4().to_string()], 4).await;
}

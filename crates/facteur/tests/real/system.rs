//! A whole system for one test: vhost, database, simulator, and as many workers as it likes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use facteur_amqp::{AmqpConfig, Exchange, Publication, Publisher};
use facteur_core::envelope::EnvelopeContent;
use facteur_postgres::api_keys::{self, NewKey};
use facteur_postgres::{Client, Database, PostgresConfig, connect, migrate};
use facteur_testkit::process::Spawned;
use facteur_testkit::{FaultProxy, TestBroker, TestDatabase};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use twilio_sim::{Sim, SimConfig, SimHandle};
use uuid::Uuid;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct System {
    pub(crate) simulator: SimHandle,
    pub(crate) broker_proxy: FaultProxy,
    pub(crate) database_proxy: FaultProxy,
    database: Database,
    publisher: Publisher,
    environment: Vec<(&'static str, String)>,
    broker: TestBroker,
    _database: TestDatabase,
}

impl System {
    pub(crate) async fn new() -> Self {
        Self::with(SimConfig::default()).await
    }

    /// Workers reach broker and database through proxies, the test itself goes directly.
    pub(crate) async fn with(simulator: SimConfig) -> Self {
        let (broker, test_database) = (facteur_testkit::broker().await, facteur_testkit::database().await);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let simulator = Sim::start(simulator, listener);
        let (broker_proxy, amqp_url) = proxied(&broker.url).await;
        let (database_proxy, database_url) = proxied(&test_database.url).await;
        let postgres = PostgresConfig {
            url: test_database.url.clone(),
            pool_size: 4,
            application_name: "test".to_owned(),
            publishes_events: false,
        };
        migrate::run(&postgres).await.unwrap();
        let amqp = AmqpConfig { prefix: broker.prefix.clone(), ..AmqpConfig::new(broker.url.clone()) };
        let environment = vec![
            ("AMQP_URL", amqp_url),
            ("DATABASE_URL", database_url),
            ("TWILIO_BASE_URL", simulator.url().to_owned()),
            ("FACTEUR_PREFIX", broker.prefix.clone()),
            ("FACTEUR_METRICS_LISTEN", "127.0.0.1:0".to_owned()),
            ("FACTEUR_LISTEN", "127.0.0.1:0".to_owned()),
            // The most that anybody may switch on: what must not be logged must not be logged here either.
            ("FACTEUR_LOG", "trace".to_owned()),
        ];
        Self {
            simulator,
            broker_proxy,
            database_proxy,
            database: connect(&postgres).await.unwrap(),
            publisher: Publisher::start(amqp, CancellationToken::new()),
            environment,
            broker,
            _database: test_database,
        }
    }

    /// Starts a worker and waits until it works.
    pub(crate) async fn worker(&self) -> Spawned {
        self.worker_with(&[]).await
    }

    /// The same, with variables of its own over those of the system.
    pub(crate) async fn worker_with(&self, own: &[(&'static str, &str)]) -> Spawned {
        let worker = self.process("worker", own);
        for queue in ["jobs.urgent", "jobs.normal", "jobs.bulk", "dead"] {
            let queue = format!("queue={}.{queue}", self.prefix());
            worker.wait_for_line(&queue, PATIENCE).await;
        }
        worker
    }

    /// Starts a process that goes on, with variables of its own over those of the system.
    pub(crate) fn process(&self, command: &str, own: &[(&'static str, &str)]) -> Spawned {
        let own = own.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let environment: Vec<_> = self.environment.iter().cloned().chain(own).collect();
        Spawned::start(env!("CARGO_BIN_EXE_facteur"), &[command], &environment)
    }

    /// Runs a command to its end: exit code, and what it printed.
    pub(crate) async fn command(&self, arguments: &[&str]) -> (i32, String) {
        let quiet = self.environment.iter().filter(|(name, _)| *name != "FACTEUR_LOG").cloned();
        let command = Command::new(env!("CARGO_BIN_EXE_facteur")).args(arguments).envs(quiet).output();
        let ended = tokio::time::timeout(PATIENCE, command).await.unwrap().unwrap();
        let printed = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (ended.status.code().unwrap_or(-1), printed.concat())
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        self.environment.clone()
    }

    /// Where the broker is, past the proxy.
    pub(crate) fn broker_url(&self) -> &str {
        &self.broker.url
    }

    pub(crate) fn prefix(&self) -> &str {
        self.environment.iter().find(|(name, _)| *name == "FACTEUR_PREFIX").map_or("", |(_, value)| value)
    }

    /// Publishes a body as a producer would, and returns its id.
    pub(crate) async fn publish(&self, routing_key: &str, body: impl Into<Vec<u8>>) -> Uuid {
        let id = Uuid::new_v4();
        let content = EnvelopeContent {
            body: body.into().into(),
            message_id: Some(id.to_string()),
            content_type: Some("application/json".to_owned()),
            ..EnvelopeContent::default()
        };
        self.publish_content(routing_key, content).await;
        id
    }

    pub(crate) async fn publish_content(&self, routing_key: &str, content: EnvelopeContent) {
        let routing_key = routing_key.to_owned();
        self.publisher.publish(Publication { exchange: Exchange::Jobs, routing_key, content }).await.unwrap();
    }

    /// Publishes `count` good jobs, each to a number and with a text of its own.
    pub(crate) async fn publish_many(&self, routing_key: &str, count: usize) {
        let jobs = (0..count).map(|number| {
            let body = format!("{{\"to\": \"+3361200{number:04}\", \"body\": \"SECRET text {number}\"}}");
            self.publish(routing_key, body)
        });
        futures_util::future::join_all(jobs).await;
    }

    /// A key that sends for the default tenant.
    pub(crate) async fn sender_key(&self) -> String {
        let new = NewKey {
            name: "test",
            tenant: Some("default"),
            role: "sender",
            created_by: "test",
            expires_at: None,
            request_id: None,
        };
        api_keys::create(&self.database, &new).await.unwrap().key
    }

    pub(crate) async fn client(&self) -> Client {
        self.database.client().await.unwrap()
    }

    pub(crate) async fn sql(&self, statement: &str) {
        self.client().await.batch_execute(statement).await.unwrap();
    }

    pub(crate) async fn count(&self, query: &str) -> i64 {
        self.client().await.query_one(query, &[]).await.unwrap().get(0)
    }

    pub(crate) async fn text(&self, query: &str) -> Option<String> {
        let row = self.client().await.query_opt(query, &[]).await.unwrap();
        row.and_then(|row| row.get::<_, Option<String>>(0))
    }

    /// This time tomorrow, by the database's clock, as a job says it.
    pub(crate) async fn tomorrow(&self) -> String {
        let query =
            "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
        self.text(query).await.unwrap()
    }

    pub(crate) async fn jobs(&self, condition: &str) -> i64 {
        self.count(&format!("SELECT count(*) FROM facteur.jobs WHERE {condition}")).await
    }

    /// Waits until a count is what it must become.
    pub(crate) async fn wait_until(&self, query: &str, expected: i64) {
        self.wait_for(query, |count| count == expected).await;
    }

    pub(crate) async fn wait_for(&self, query: &str, is_reached: impl Fn(i64) -> bool) {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        let mut last = None;
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                looks.tick().await;
                let count = self.count(query).await;
                last = Some(count);
                if is_reached(count) {
                    break;
                }
            }
        });
        if waited.await.is_err() {
            let jobs = self
                .text(
                    "SELECT string_agg(status || ' ' || reason || ' ' || n, ', ') FROM \
                (SELECT status, reason, count(*) AS n FROM facteur.jobs GROUP BY 1, 2) AS g",
                )
                .await;
            panic!("{query} stayed at {last:?}; jobs: {jobs:?}");
        }
    }

    /// Every job is final, and there are so many.
    pub(crate) async fn wait_until_final(&self, count: i64) {
        let finals = "SELECT count(*) FROM facteur.jobs WHERE status IN \
                      ('sent', 'delivered', 'read', 'undelivered', 'failed', 'expired', 'canceled', 'suppressed', 'dead')";
        self.wait_until(finals, count).await;
    }

    /// Most calls that began within any one second, by the workers' clocks: the test itself may be too busy to see them come
    /// one by one.
    pub(crate) async fn worst_second(&self) -> i64 {
        self.count(
            "SELECT coalesce(max(calls), 0) FROM (SELECT count(*) OVER (ORDER BY started_at \
                 RANGE BETWEEN CURRENT ROW AND interval '999999 microseconds' FOLLOWING) AS calls FROM facteur.attempts) AS w",
        )
        .await
    }

    /// Waits until no process but this test has a connection to the database: what they asked it for is done or gone.
    pub(crate) async fn wait_until_left_alone(&self) {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'test' \
                      AND backend_type = 'client backend'";
        self.wait_until(others, 0).await;
    }

    /// No text went out twice.
    pub(crate) fn assert_nothing_doubled(&self) {
        assert_eq!(self.simulator.stats().duplicates_by_recipient_and_text, 0);
    }
}

/// What must stand in no log, at any level: numbers, texts and credentials.
pub(crate) fn assert_discreet(worker: &Spawned) {
    for line in worker.lines() {
        for secret in ["3361200", "SECRET", "://facteur:", "00000000000000000000000000000000:"] {
            assert!(!line.contains(secret), "a log line holds {secret}: {line}");
        }
    }
}

async fn proxied(url: &str) -> (FaultProxy, String) {
    let mut url = url::Url::parse(url).unwrap();
    let host = url.host_str().unwrap().parse().unwrap_or(Ipv4Addr::LOCALHOST);
    let proxy = FaultProxy::start(SocketAddr::from((host, url.port().unwrap()))).await;
    url.set_ip_host(proxy.addr().ip()).unwrap();
    url.set_port(Some(proxy.addr().port())).unwrap();
    (proxy, url.into())
}

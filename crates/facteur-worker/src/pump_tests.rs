use facteur_core::breaker::State;
use facteur_core::hold::Fuse;
use facteur_postgres::{Database, PostgresConfig, connect, migrate};
use facteur_testkit::TestDatabase;
use tokio::time::timeout;

use super::*;

const SENDER: &str = "+15005550006";
const ACCOUNT: &str = "AC00000000000000000000000000000001";

/// A pump over one message that waits for its sender, which has a rate. What the lane gets comes out of the receiver.
struct Ground {
    pump: Pump,
    pulled: mpsc::Receiver<Pulled>,
    database: Database,
    _test: TestDatabase,
}

async fn ground(sql: &str) -> Ground {
    let test = facteur_testkit::database().await;
    let config = PostgresConfig {
        url: test.url.clone(),
        pool_size: 2,
        application_name: "test".to_owned(),
        publishes_events: false,
    };
    migrate::run(&config).await.unwrap();
    let database = connect(&config).await.unwrap();
    let job = format!(
        "INSERT INTO facteur.senders (address, rate) VALUES ('{SENDER}', 10); \
         WITH made AS (INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, turn, due_at, deadline, \
                 waits_for, in_line_since) \
             VALUES (gen_random_uuid(), '\\x01', 'default', 'bulk', 'waiting', 'rate_limit', 1, \
                 clock_timestamp() + interval '1 day', clock_timestamp() + interval '1 day', 'rate:{SENDER}', \
                 clock_timestamp()) RETURNING id) \
         INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, sender, segments, document, \
             headers) \
         SELECT id, 'default', 'bulk', 'marketing', 'sms', '+33612345678', '{SENDER}', 1, '{{}}', '{{}}' FROM made; {sql}"
    );
    database.client().await.unwrap().batch_execute(&job).await.unwrap();
    let (into_lane, pulled) = mpsc::channel(4);
    let clock = Clock::system();
    let pump = Pump {
        rate_lines: RateLines::new(database.clone()),
        directory: Directory::start(database.clone(), CancellationToken::new()),
        breakers: Breakers::new(clock.clone()),
        home: Arc::new(Home { account: ACCOUNT.to_owned(), sms: None, whatsapp: None, is_shared: true }),
        default_rate: None,
        anchor: Arc::new(Anchor::new()),
        clock,
        doors: BTreeMap::from([(
            Lane::Bulk,
            Door { permits: Arc::new(Semaphore::new(4)), pulled: into_lane },
        )]),
        bell: Arc::default(),
    };
    Ground { pump, pulled, database, _test: test }
}

impl Ground {
    /// How many messages a pull hands to the lane, and how many have left the line.
    async fn pull(&mut self) -> (usize, i64) {
        let sender = Sender::parse(SENDER).unwrap();
        let before = Instant::now();
        let after = self.pump.pull(&sender, &BTreeSet::from([Lane::Bulk]), &CancellationToken::new()).await;
        assert!(after.again_at >= before + SLOT_PULL_INTERVAL_MIN);
        let out = "SELECT count(*) FROM facteur.jobs WHERE waits_for IS NULL";
        let out = self.database.client().await.unwrap().query_one(out, &[]).await.unwrap().get(0);
        (self.pulled.len(), out)
    }
}

#[tokio::test]
async fn a_line_of_a_paused_sender_or_account_is_left_alone() {
    for (scope, key) in [("sender", SENDER), ("integration", ACCOUNT)] {
        let pause = format!(
            "INSERT INTO facteur.pauses (scope, key, reason, actor) VALUES ('{scope}', '{key}', 'fire', 'anna')"
        );
        assert_eq!(ground(&pause).await.pull().await, (0, 0), "{scope}");
    }
}

#[tokio::test]
async fn a_line_behind_an_open_breaker_is_left_alone_until_trials_may_pass() {
    let mut ground = ground("").await;
    for fuse in [Fuse::Integration(ACCOUNT.to_owned()), Fuse::Sender(Sender::parse(SENDER).unwrap())] {
        ground.pump.breakers.follow_one(&fuse, State::Open);
        assert_eq!(ground.pull().await, (0, 0), "{fuse:?}");
        ground.pump.breakers.follow_one(&fuse, State::HalfOpen);
    }
    assert_eq!(ground.pull().await, (1, 1));
}

#[tokio::test]
async fn a_pause_of_another_sender_holds_nobody_else() {
    let pause = "INSERT INTO facteur.pauses (scope, key, reason, actor) VALUES ('sender', '+15005550009', 'fire', 'anna')";
    assert_eq!(ground(pause).await.pull().await, (1, 1));
}

#[tokio::test]
async fn a_pull_that_is_stopped_before_the_directory_is_loaded_ends() {
    let Ground { mut pump, database, .. } = ground("").await;
    let stopped = CancellationToken::new();
    stopped.cancel();
    pump.directory = Directory::start(database, stopped.clone());
    let (sender, lanes) = (Sender::parse(SENDER).unwrap(), BTreeSet::from([Lane::Bulk]));
    let pulled = timeout(Duration::from_secs(30), pump.pull(&sender, &lanes, &stopped)).await;
    assert_eq!(pulled.unwrap().exhausted, []);
}

use facteur_core::ids::{AttemptNumber, MessageSid};
use facteur_core::receipts::FIRST_POLL_AGE;
use facteur_postgres::Directory;
use facteur_postgres::PostgresConfig;
use facteur_twilio::{Auth, TwilioClient, TwilioConfig};
use tokio::net::TcpListener;
use twilio_sim::{ACCOUNT_SID, AUTH_TOKEN, Sim, SimConfig, SimHandle};
use uuid::Uuid;

use super::*;

/// The duty, with a Twilio that suffers a fault on every request, and a database that is not asked.
async fn duty(rule: serde_json::Value) -> (Receipts, SimHandle) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let faults = serde_json::json!({ "faults": { "rules": [rule] } });
    let simulator = Sim::start(serde_json::from_value::<SimConfig>(faults).unwrap(), listener);
    let twilio = TwilioClient::new(TwilioConfig {
        base_url: simulator.url().parse().unwrap(),
        account_sid: ACCOUNT_SID.to_owned(),
        auth: Auth::Token(AUTH_TOKEN.into()),
        public_url: None,
        call_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        connections_max: 4,
    });
    let database = Database::open(&PostgresConfig {
        url: "postgres://nobody@127.0.0.1:1/nothing".to_owned(),
        pool_size: 1,
        application_name: "test".to_owned(),
        publishes_events: false,
    });
    let schedule = PollSchedule::new(FIRST_POLL_AGE, true);
    let database = database.unwrap();
    let callbacks = Callbacks::start(database.clone());
    let directory = Directory::start(database.clone(), CancellationToken::new());
    let accounts = Accounts::new(twilio.unwrap(), directory);
    (Receipts { database, callbacks, accounts, schedule }, simulator)
}

fn due(count: u128) -> Vec<MissingReceipt> {
    let missing = |number: u128| MissingReceipt {
        job_id: JobId(Uuid::from_u128(number)),
        attempt: AttemptNumber(1),
        account: None,
        sid: Some(MessageSid::parse(&format!("SM{number:032x}")).unwrap()),
        age: FIRST_POLL_AGE,
    };
    (0..count).map(missing).collect()
}

#[tokio::test]
async fn a_throttle_ends_the_questions_for_as_long_as_twilio_asks_and_halves_the_pace() {
    let rule = serde_json::json!({ "fault": "throttle_storm", "on": "all", "retry_after_s": 90 });
    let (receipts, simulator) = duty(rule).await;
    let mut pace = PollPace::default();
    let (heard, pause) = receipts.ask(due(20), &mut pace, &CancellationToken::new()).await;
    assert_eq!(pause, Some(Duration::from_secs(90)));
    assert!(
        heard.len() <= AT_ONCE_MAX && simulator.stats().requests <= AT_ONCE_MAX as u64,
        "{}",
        heard.len()
    );
    assert!(heard.iter().all(|(_, told)| told.result() == "throttled" && told.polled().is_none()));
    assert!(pace.interval() >= Duration::from_millis(200));
    simulator.stop().await;
}

#[tokio::test]
async fn a_twilio_that_fails_is_left_alone_for_a_while_and_says_nothing_about_messages() {
    let rule = serde_json::json!({ "fault": "error_503_before", "on": "all" });
    let (receipts, simulator) = duty(rule).await;
    let mut pace = PollPace::default();
    let (heard, pause) = receipts.ask(due(20), &mut pace, &CancellationToken::new()).await;
    assert_eq!(pause, Some(UNANSWERED_PAUSE));
    assert!(heard.len() < UNANSWERED_MAX as usize + AT_ONCE_MAX, "{}", heard.len());
    assert!(heard.iter().all(|(_, told)| told.polled() == Some(Polled::Unanswered)));
    assert_eq!(pace, PollPace::default());
    simulator.stop().await;
}

#[tokio::test]
async fn a_message_that_twilio_has_no_more_is_gone() {
    let rule = serde_json::json!({ "fault": "error_503_before", "on": "create" });
    let (receipts, simulator) = duty(rule).await;
    let (heard, pause) = receipts.ask(due(2), &mut PollPace::default(), &CancellationToken::new()).await;
    assert_eq!((heard.len(), pause), (2, None));
    assert!(heard.iter().all(|(_, told)| told.polled() == Some(Polled::Gone)));
    simulator.stop().await;
}

#[tokio::test]
async fn a_worker_that_stops_asks_nothing_more() {
    let (receipts, simulator) = duty(serde_json::json!({ "fault": "hang" })).await;
    let stopping = CancellationToken::new();
    stopping.cancel();
    let (heard, _) = receipts.ask(due(3), &mut PollPace::default(), &stopping).await;
    assert!(heard.is_empty());
    assert_eq!(simulator.stats().requests, 0);
    simulator.stop().await;
}

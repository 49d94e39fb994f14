//! Twilio away, failing, or refusing an account or a sender: messages wait in line, nothing is counted against them,
//! and they leave when it is over.

use facteur_testkit::FaultProxy;
use facteur_testkit::process::Spawned;
use twilio_sim::{FaultPlan, RequestFault, Rule, Scope};

use crate::system::{System, assert_discreet};

/// Permits of the urgent lane: the most of its calls that can be in flight when an outage begins.
const URGENT_PERMITS: i64 = 16;
const HELD: &str =
    "SELECT count(*) FROM facteur.jobs WHERE status = 'waiting' AND waits_for LIKE 'breaker:%'";
const SENT: &str = "SELECT count(*) FROM facteur.jobs WHERE status = 'sent'";
const OPEN: &str = "SELECT count(*) FROM facteur.breakers WHERE state = 'open'";
const CLOSED: &str = "SELECT count(*) FROM facteur.breakers WHERE state = 'closed'";
/// What nobody knows, whoever looks for it.
const UNCERTAIN: &str = "status IN ('uncertain', 'dead') AND reason = 'uncertain'";

fn always(fault: RequestFault) -> FaultPlan {
    FaultPlan { rules: vec![Rule { on: Scope::All, ..Rule::always(fault) }], ..FaultPlan::default() }
}

/// A worker whose way to Twilio leads through a proxy.
async fn worker_through_a_proxy(system: &System) -> (Spawned, FaultProxy) {
    let address = system.simulator.url().trim_start_matches("http://").parse().unwrap();
    let proxy = FaultProxy::start(address).await;
    let mut environment = system.environment();
    environment.retain(|(name, _)| *name != "TWILIO_BASE_URL");
    environment.push(("TWILIO_BASE_URL", format!("http://{}", proxy.addr())));
    (Spawned::start(env!("CARGO_BIN_EXE_facteur"), &["worker"], &environment), proxy)
}

/// The next try is now, instead of in half a minute or more.
async fn try_again_now(system: &System) {
    system.sql("UPDATE facteur.breakers SET retry_at = clock_timestamp() WHERE state = 'open'").await;
}

#[tokio::test]
async fn a_twilio_that_refuses_connections_costs_no_attempt_and_no_dead_letter() {
    let system = System::new().await;
    let (worker, proxy) = worker_through_a_proxy(&system).await;
    proxy.cut().await;
    system.publish_many("send.urgent", 60).await;
    system.wait_until(OPEN, 1).await;
    // Those that met the closed door come back after a second or two, and stand in line with the others.
    system.wait_until(HELD, 60).await;
    let unreachable = "SELECT count(*) FROM facteur.attempts WHERE outcome = 'unreachable'";
    let called = system.count(unreachable).await;
    assert!(called <= 5 + URGENT_PERMITS, "{called} calls were made at a closed door");
    proxy.heal().await;
    system.wait_until(SENT, 60).await;
    assert_eq!(system.jobs("failures > 0").await, 0);
    assert_eq!(system.count("SELECT count(*) FROM facteur.dead_letters").await, 0);
    system.wait_until(CLOSED, 1).await;
    system.assert_nothing_doubled();
    assert_discreet(&worker);
    let logged = |text: &str| worker.lines().iter().filter(|line| line.contains(text)).count();
    assert_eq!((logged("a breaker opened"), logged("a breaker closed")), (1, 1));
}

#[tokio::test]
async fn a_twilio_that_answers_503_costs_at_most_the_calls_in_flight() {
    let system = System::new().await;
    let _worker = system.worker().await;
    system.publish_many("send.urgent", 20).await;
    system.wait_until(SENT, 20).await;
    system.simulator.suffer(always(RequestFault::Error503Before));
    let stream = (0..100).map(|number| {
        system.publish(
            "send.urgent",
            format!("{{\"to\": \"+3361300{number:04}\", \"body\": \"stream {number}\"}}"),
        )
    });
    futures_util::future::join_all(stream).await;
    system.wait_for(HELD, |held| held >= 100 - 5 - URGENT_PERMITS).await;
    system.simulator.suffer(FaultPlan::default());
    let at_rest = format!("SELECT count(*) FROM facteur.jobs WHERE status = 'sent' OR {UNCERTAIN}");
    system.wait_until(&at_rest, 120).await;
    let uncertain = system.jobs(UNCERTAIN).await;
    assert!((1..=5 + URGENT_PERMITS).contains(&uncertain), "{uncertain} are uncertain");
    assert_eq!(system.jobs("failures > 0").await, 0);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn a_twilio_that_accepts_and_hangs_costs_at_most_the_calls_in_flight() {
    let system = System::new().await;
    let (_worker, proxy) = worker_through_a_proxy(&system).await;
    proxy.stall();
    system.publish_many("send.urgent", 60).await;
    // After half a minute the calls that hang are given up.
    system.wait_until(OPEN, 1).await;
    proxy.resume();
    let at_rest = format!("SELECT count(*) FROM facteur.jobs WHERE status = 'sent' OR {UNCERTAIN}");
    system.wait_until(&at_rest, 60).await;
    let uncertain = system.jobs(UNCERTAIN).await;
    assert!((1..=5 + URGENT_PERMITS).contains(&uncertain), "{uncertain} are uncertain");
    assert_eq!(system.jobs("failures > 0").await, 0);
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn an_account_that_is_refused_holds_its_messages_and_says_so_until_it_is_mended() {
    let system = System::new().await;
    system.simulator.suffer(always(RequestFault::Unauthorized));
    let _worker = system.worker().await;
    system.publish_many("send.urgent", 40).await;
    system.wait_until(HELD, 40).await;
    let calls = system.count("SELECT count(*) FROM facteur.attempts").await;
    assert!(calls <= URGENT_PERMITS, "{calls} calls were made with credentials that are refused");
    let id =
        system.text("SELECT id::text FROM facteur.jobs WHERE waits_for IS NOT NULL LIMIT 1").await.unwrap();
    let (_, told) = system.command(&["--json", "status", &id]).await;
    assert!(told.contains("breaker_open") && told.contains("open since") && told.contains("20003"), "{told}");
    let (_, told) = system.command(&["--json", "doctor"]).await;
    assert!(told.contains("wait in line since"), "{told}");
    // It is probed, by a GET, and stays open.
    try_again_now(&system).await;
    system.wait_until("SELECT count(*) FROM facteur.breakers WHERE openings >= 2", 1).await;
    assert_eq!(
        system.count("SELECT count(*) FROM facteur.attempts").await,
        calls,
        "no message was spent on it"
    );
    system.simulator.suffer(FaultPlan::default());
    try_again_now(&system).await;
    system.wait_until(SENT, 40).await;
    assert_eq!(system.jobs("failures > 0").await, 0);
    assert_eq!(system.count("SELECT count(*) FROM facteur.dead_letters").await, 0);
}

#[tokio::test]
async fn a_sender_that_is_refused_holds_nobody_but_itself() {
    let system = System::new().await;
    let _worker = system.worker().await;
    // The simulator refuses this number: 21606.
    let foreign = (0..20).map(|number| {
        let body = format!(
            "{{\"to\": \"+3361400{number:04}\", \"from\": \"+15005550007\", \"body\": \"{number}\"}}"
        );
        system.publish("send.urgent", body)
    });
    futures_util::future::join_all(foreign).await;
    system.wait_until(HELD, 20).await;
    system.publish_many("send.urgent", 40).await;
    system.wait_until(SENT, 40).await;
    let open = "SELECT scope || ' ' || reason FROM facteur.breakers";
    assert_eq!(system.text(open).await.as_deref(), Some("sender sender_at_fault"));
    let calls = "SELECT count(*) FROM facteur.attempts WHERE outcome = 'refused'";
    let before = system.count(calls).await;
    assert!(before <= URGENT_PERMITS, "{before} calls were made from a sender that is refused");
    // One message is the trial, and it fails.
    try_again_now(&system).await;
    system.wait_until("SELECT count(*) FROM facteur.breakers WHERE openings = 2", 1).await;
    system.wait_until(calls, before + 1).await;
    assert_eq!(system.jobs("failures > 0").await, 0);
}

#[tokio::test]
async fn what_waits_in_a_line_beyond_its_time_expires_and_is_never_sent() {
    let system = System::new().await;
    system.simulator.suffer(always(RequestFault::Unauthorized));
    let _worker = system.worker().await;
    system.publish_many("send.urgent", 3).await;
    system.wait_until(HELD, 3).await;
    system.sql("UPDATE facteur.jobs SET deadline = clock_timestamp(), due_at = clock_timestamp()").await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'expired'", 3).await;
    system.simulator.suffer(FaultPlan::default());
    assert_eq!(system.simulator.stats().accepted, 0);
}

#[tokio::test]
async fn the_lines_of_a_breaker_that_nobody_told_of_and_of_an_account_of_before_are_let_out() {
    let system = System::new().await;
    system.sql("INSERT INTO facteur.pauses (scope, key, reason, actor) VALUES ('lane', 'normal', 'a test', 'a test')").await;
    let _worker = system.worker().await;
    system.publish_many("send.normal", 20).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE waits_for = 'pause:lane:normal'", 20).await;
    // As a worker leaves them that ended before it told of its breaker, and as a change of accounts does.
    system
        .sql(
            "UPDATE facteur.jobs SET waits_for = 'breaker:sender:+15005550006' WHERE id IN \
                 (SELECT id FROM facteur.jobs ORDER BY id LIMIT 10); \
             INSERT INTO facteur.breakers (scope, key, state, reason, sentence, retry_at) \
                 VALUES ('integration', 'AC1', 'open', 'failing', 'it was away', clock_timestamp()); \
             UPDATE facteur.jobs SET waits_for = 'breaker:integration:AC1' WHERE waits_for LIKE 'pause:%'; \
             UPDATE facteur.pauses SET ended_at = clock_timestamp()",
        )
        .await;
    system.wait_until(SENT, 20).await;
    system.wait_until(CLOSED, 1).await;
    system.assert_nothing_doubled();
}

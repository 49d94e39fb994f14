//! Tenants with accounts of their own: the real binary, one worker, several accounts at the simulator.

use std::process::Stdio;
use std::time::Duration;

use facteur_testkit::process::Spawned;
use facteur_twilio::{Auth, TwilioClient, TwilioConfig};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use twilio_sim::{ACCOUNT_SID, AUTH_TOKEN};

use crate::callbacks::{called_back, start};
use crate::system::{System, assert_discreet};

const PATIENCE: Duration = Duration::from_secs(60);
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const ACME: &str = "ACa0000000000000000000000000000001";
const ACME_TOKEN: &str = "acme5ecre7a00000000000000000001";
const GLOBEX: &str = "ACb0000000000000000000000000000002";
const GLOBEX_TOKEN: &str = "globex5ecre7b000000000000000002";

async fn system() -> System {
    let at_once = json!({ "fixed_ms": 0 });
    let account = |sid: &str, token: &str| json!({ "sid": sid, "auth_token": token });
    let simulator = json!({
        "accounts": [account(ACCOUNT_SID, AUTH_TOKEN), account(ACME, ACME_TOKEN), account(GLOBEX, GLOBEX_TOKEN)],
        "progress": { "queued": at_once, "sending": at_once, "sent": at_once, "delivered": at_once, "read": at_once },
    });
    System::with(serde_json::from_value(simulator).unwrap()).await
}

/// Runs `facteur integrations …` with credentials on stdin: exit code, and what it printed.
async fn integrations(system: &System, arguments: &str, stdin: &str) -> (i32, String) {
    let environment = system.environment().into_iter().filter(|(name, _)| *name != "FACTEUR_LOG");
    let mut child = Command::new(env!("CARGO_BIN_EXE_facteur"))
        .args(["integrations", "--json"])
        .args(arguments.split(' '))
        .envs(environment)
        .env("FACTEUR_SECRET_KEY", KEY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    pipe.write_all(stdin.as_bytes()).await.unwrap();
    drop(pipe);
    let ended = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    let printed = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(!printed.contains("5ecre7"), "{printed}");
    (ended.status.code().unwrap_or(-1), printed)
}

/// The same for what must end well: its document.
async fn done(system: &System, arguments: &str, stdin: &str) -> Value {
    let (code, printed) = integrations(system, arguments, stdin).await;
    assert_eq!(code, 0, "{arguments}: {printed}");
    serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{error}: {printed}"))
}

async fn add(system: &System, tenant: &str, account: &str, token: &str) -> String {
    let line = format!("add --name main --tenant {tenant} --account {account} --phone-number +15005550006");
    done(system, &line, token).await["id"].as_str().unwrap().to_owned()
}

async fn publish(system: &System, tenant: &str, count: usize) {
    for number in 0..count {
        let body = json!({ "to": format!("+3361200{number:04}"), "body": format!("SECRET of {tenant}"), "tenant": tenant });
        system.publish("send.normal", body.to_string()).await;
    }
}

async fn worker(system: &System) -> Spawned {
    system.worker_with(&[("FACTEUR_SECRET_KEY", KEY)]).await
}

/// The texts that an account holds, as the simulator lists them to whoever has its token.
async fn texts(system: &System, account: &str, token: &str) -> Vec<String> {
    let client = TwilioClient::new(TwilioConfig {
        base_url: system.simulator.url().parse().unwrap(),
        account_sid: account.to_owned(),
        auth: Auth::Token(token.into()),
        public_url: None,
        call_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        connections_max: 1,
    });
    client.unwrap().latest_messages().await.unwrap().into_iter().map(|message| message.body).collect()
}

const DELIVERED: &str = "SELECT count(*) FROM facteur.jobs WHERE status = 'delivered'";
const SENT: &str = "SELECT count(*) FROM facteur.jobs WHERE status = 'sent'";

#[tokio::test]
async fn each_tenants_messages_go_over_its_own_account_and_come_back_signed_by_it() {
    let system = system().await;
    system.command(&["migrate"]).await;
    add(&system, "acme", ACME, ACME_TOKEN).await;
    add(&system, "globex", GLOBEX, GLOBEX_TOKEN).await;
    let mut environment = called_back(&system);
    environment.push(("FACTEUR_SECRET_KEY", KEY.to_owned()));
    let mut up = start("up", &environment, "working").await;
    for tenant in ["acme", "globex", "default", "homeless"] {
        publish(&system, tenant, 20).await;
    }
    system.wait_until(DELIVERED, 80).await;
    let expected = |tenants: &[&str]| {
        let of = |tenant: &&str| std::iter::repeat_n(format!("SECRET of {tenant}"), 20);
        let mut texts: Vec<String> = tenants.iter().flat_map(of).collect();
        texts.sort();
        texts
    };
    for (account, token, tenants) in [
        (ACME, ACME_TOKEN, &["acme"][..]),
        (GLOBEX, GLOBEX_TOKEN, &["globex"]),
        (ACCOUNT_SID, AUTH_TOKEN, &["default", "homeless"]),
    ] {
        let mut found = texts(&system, account, token).await;
        found.sort();
        assert_eq!(found, expected(tenants), "{account}");
        let recorded = format!("SELECT count(*) FROM facteur.attempts WHERE account = '{account}'");
        assert_eq!(system.count(&recorded).await, i64::try_from(found.len()).unwrap());
    }
    assert_eq!(system.count("SELECT count(*) FROM facteur.webhook_proofs").await, 3);
    assert_eq!(system.count("SELECT count(*) FROM facteur.webhook_quarantine").await, 0);
    let (_, doctor) = integrations(&system, "list", "").await;
    assert!(doctor.contains(ACME) && doctor.contains(GLOBEX), "{doctor}");
    assert_eq!(up.terminate(PATIENCE).await.code(), Some(0), "{}", up.lines().join("\n"));
    assert_discreet(&up);
    assert!(up.lines().iter().all(|line| !line.contains("5ecre7") && !line.contains(KEY)));
}

#[tokio::test]
async fn a_corrected_token_reaches_a_running_worker_and_nothing_was_lost_or_counted_meanwhile() {
    let system = system().await;
    system.command(&["migrate"]).await;
    let id = add(&system, "acme", ACME, "wr0ng5ecre7").await;
    let (code, told) = integrations(&system, &format!("test {id}"), "").await;
    assert_eq!((code, told.contains("bad_credentials")), (3, true), "{told}");
    let worker = worker(&system).await;
    publish(&system, "acme", 10).await;
    publish(&system, "default", 10).await;
    let in_line = format!("SELECT count(*) FROM facteur.jobs WHERE waits_for = 'breaker:integration:{ACME}'");
    system.wait_for(&in_line, |waiting| waiting >= 9).await;
    system.wait_until(SENT, 10).await;
    done(&system, &format!("secret {id}"), ACME_TOKEN).await;
    system.wait_until(SENT, 20).await;
    assert_eq!(texts(&system, ACME, ACME_TOKEN).await.len(), 10);
    assert_eq!(system.jobs("failures > 0").await, 0);
    done(&system, &format!("test {id}"), "").await;
    assert!(worker.lines().iter().all(|line| !line.contains("5ecre7")));
    system.assert_nothing_doubled();
}

#[tokio::test]
async fn what_would_leave_over_a_deactivated_integration_waits_and_leaves_when_it_is_activated() {
    let system = system().await;
    system.command(&["migrate"]).await;
    let id = add(&system, "acme", ACME, ACME_TOKEN).await;
    done(&system, &format!("deactivate {id}"), "").await;
    let _worker = worker(&system).await;
    publish(&system, "acme", 10).await;
    let in_line = format!("SELECT count(*) FROM facteur.jobs WHERE waits_for = 'pause:integration:{id}'");
    system.wait_until(&in_line, 10).await;
    let reasons = "SELECT count(*) FROM facteur.jobs WHERE reason = 'paused' AND sentence LIKE 'the integration % is paused'";
    assert_eq!(system.count(reasons).await, 10);
    done(&system, &format!("activate {id}"), "").await;
    system.wait_until(SENT, 10).await;
    assert_eq!(texts(&system, ACME, ACME_TOKEN).await.len(), 10);
}

#[tokio::test]
async fn a_tenant_without_a_way_is_told_and_a_worker_without_the_key_does_not_start() {
    let system = system().await;
    system.command(&["migrate"]).await;
    {
        let _worker = system.worker_with(&[("FACTEUR_TWILIO_SHARED", "false")]).await;
        publish(&system, "homeless", 1).await;
        publish(&system, "default", 1).await;
        system.wait_until_final(2).await;
        let why =
            system.text("SELECT reason || ': ' || sentence FROM facteur.jobs WHERE status = 'dead'").await;
        assert_eq!(why.as_deref(), Some("integration_missing: homeless has no integration for sms"));
    }
    add(&system, "acme", ACME, ACME_TOKEN).await;
    let mut keyless = system.process("worker", &[]);
    keyless.wait_for_line("FACTEUR_SECRET_KEY is not set", PATIENCE).await;
    assert_eq!(keyless.wait(PATIENCE).await.code(), Some(2));
}

#[tokio::test]
async fn credentials_that_can_not_be_opened_hold_up_their_own_messages_alone() {
    let system = system().await;
    system.command(&["migrate"]).await;
    add(&system, "acme", ACME, ACME_TOKEN).await;
    let id = add(&system, "globex", GLOBEX, GLOBEX_TOKEN).await;
    system.sql(&format!("UPDATE facteur.accounts SET secret = '\\x00' WHERE sid = '{GLOBEX}'")).await;
    let _worker = worker(&system).await;
    publish(&system, "acme", 5).await;
    publish(&system, "globex", 5).await;
    system.wait_until(SENT, 5).await;
    let in_line =
        format!("SELECT count(*) FROM facteur.jobs WHERE waits_for = 'breaker:integration:{GLOBEX}'");
    system.wait_until(&in_line, 5).await;
    assert_eq!(system.jobs("attempt > 0").await, 5, "no call was tried");
    done(&system, &format!("secret {id}"), GLOBEX_TOKEN).await;
    system.wait_until(SENT, 10).await;
    let (code, rotated) = integrations(&system, "rotate-keys", "").await;
    assert_eq!(code, 0, "{rotated}");
}

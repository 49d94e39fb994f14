use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use facteur_testkit::process::Spawned;
use serde_json::Value;
use tokio::process::Command;

use crate::callbacks::{called_back, start};
use crate::system::System;

const PATIENCE: Duration = Duration::from_secs(180);
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A system at work, and what the scripts want to know of it.
struct Running {
    system: System,
    _up: Spawned,
    url: String,
    key: String,
}

async fn running() -> Running {
    let system = System::new().await;
    let mut environment = called_back(&system);
    environment.push(("FACTEUR_SECRET_KEY", KEY.to_owned()));
    environment.push(("TWILIO_WHATSAPP_NUMBER", "whatsapp:+15005550006".to_owned()));
    let up = start("up", &environment, "taking webhooks").await;
    let made = ["keys", "create", "--role", "superadmin", "--name", "examples", "--json"];
    let (code, printed) = system.command(&made).await;
    assert_eq!(code, 0, "{printed}");
    let made: Value = serde_json::from_str(&printed).unwrap();
    let url = environment.iter().find(|(name, _)| *name == "FACTEUR_PUBLIC_URL").unwrap().1.clone();
    Running { system, _up: up, url, key: made["key"].as_str().unwrap().to_owned() }
}

/// The very script, run as its first lines say.
async fn script(running: &Running, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name);
    let mut command = Command::new("sh");
    command.arg(path).args([&running.url, &running.key]).stdin(Stdio::null()).kill_on_drop(true);
    let ended = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let printed = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    assert!(ended.status.success() && printed.contains(": done"), "{name}: {printed}");
}

#[tokio::test]
async fn the_script_of_the_campaigns_does_what_it_says() {
    let running = running().await;
    script(&running, "family1.sh").await;
    running.system.wait_until_final(4).await;
    running.system.assert_nothing_doubled();
}

#[tokio::test]
async fn the_script_of_the_back_office_does_what_it_says() {
    let running = running().await;
    script(&running, "family2.sh").await;
    running.system.wait_until_final(4).await;
}

#[tokio::test]
async fn the_script_of_the_inbox_does_what_it_says() {
    let running = running().await;
    script(&running, "family3.sh").await;
    running.system.wait_until_final(2).await;
}

#[tokio::test]
async fn the_script_of_the_queue_management_does_what_it_says() {
    let running = running().await;
    script(&running, "family4.sh").await;
    running.system.wait_until_final(2).await;
}

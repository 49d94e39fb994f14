use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::system::System;

const PATIENCE: Duration = Duration::from_secs(120);

/// The Python block of the README, run as it stands there.
#[tokio::test]
async fn the_ten_lines_of_python_in_the_readme_enqueue_a_job() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let script = readme.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let python = facteur_testkit::python("pika").unwrap();
    let system = System::new().await;
    let _worker = system.worker().await;
    // On a foreign broker the test's objects have a prefix of their own.
    let script = script.replace("facteur.jobs", &format!("{}.jobs", system.prefix()));
    run(Command::new(python).args(["-c", &script]).env("AMQP_URL", system.broker_url())).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 1).await;
}

async fn run(command: &mut Command) {
    let ended = tokio::time::timeout(PATIENCE, command.stdin(Stdio::null()).output()).await.unwrap().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

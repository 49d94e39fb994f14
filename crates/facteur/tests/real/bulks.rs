use std::fmt::Write as _;
use std::time::Duration;

use facteur_postgres::api_keys::{self, NewKey};
use facteur_testkit::process::Spawned;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::system::{System, assert_discreet};

const PATIENCE: Duration = Duration::from_secs(60);
const PENDING: &str = "SELECT count(*) FROM facteur.bulk_recipients WHERE state = 'pending'";

/// A web process and where it listens.
async fn web(system: &System) -> (Spawned, String) {
    let web = system.process("web", &[]);
    let line = web.wait_for_line("taking webhooks", PATIENCE).await;
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap();
    let address = address.trim_matches(|sign: char| !sign.is_ascii_digit()).to_owned();
    (web, address)
}

async fn upload(address: &str, key: &str, body: &str, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/bulks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nIdempotency-Key: june\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body.as_bytes()[..bytes]).await.unwrap();
    stream
}

#[tokio::test]
async fn a_file_becomes_messages_that_leave_once_and_the_same_file_again_is_the_same_bulk() {
    let system = System::new().await;
    let worker = system.worker().await;
    let mut file = "T\u{e9}l\u{e9}phone;Nom\r\n".to_owned();
    (0..300).for_each(|number| write!(file, "+3361200{number:04};SECRET {number}\r\n").unwrap());
    file.push_str("0612;SECRET bad\r\n");
    let path = std::env::temp_dir().join(format!("{}.csv", Uuid::new_v4()));
    std::fs::write(&path, file).unwrap();
    let arguments = ["bulk", path.to_str().unwrap(), "--body", "Bonjour {{Nom}}", "--category", "marketing"];
    let (code, told) = system.command(&[&arguments[..], &["--dry-run"]].concat()).await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("would send 300 of 301 messages, 300 segments; 1 lines refused"), "{told}");
    assert!(told.contains("line 301: ") && !told.contains("0612"), "{told}");
    assert_eq!(system.count("SELECT count(*) FROM facteur.bulks").await, 0);
    for _ in 0..2 {
        let (code, told) = system.command(&arguments).await;
        assert_eq!(code, 0, "{told}");
        assert!(told.contains("301 recipients, 1 refused, 300 segments"), "{told}");
    }
    std::fs::remove_file(&path).unwrap();
    system.wait_until("SELECT count(*) FROM facteur.bulks WHERE state = 'completed'", 1).await;
    assert_eq!(
        (system.count("SELECT count(*) FROM facteur.bulks").await, system.simulator.stats().accepted),
        (1, 300)
    );
    system.assert_nothing_doubled();
    assert_discreet(&worker);
}

#[tokio::test]
async fn a_web_process_that_is_killed_in_the_middle_of_an_upload_loses_no_line_and_doubles_none() {
    let system = System::new().await;
    let new = NewKey {
        name: "test",
        tenant: Some("default"),
        role: "sender",
        created_by: "test",
        expires_at: None,
        request_id: None,
    };
    let key = api_keys::create(&system.database(), &new).await.unwrap().key;
    let mut body = r#"{"body":"SECRET {{name}}","category":"marketing","recipients":["#.to_owned();
    for number in 0..30_000 {
        let comma = if number == 0 { "" } else { "," };
        write!(body, r#"{comma}{{"to":"+3361{number:07}","name":"{}"}}"#, "x".repeat(40)).unwrap();
    }
    body.push_str("]}");
    let (mut killed, address) = web(&system).await;
    let cut = upload(&address, &key, &body, body.len() / 4 * 3).await;
    system.wait_for(PENDING, |staged| staged >= 10_000).await;
    killed.kill_9().await;
    drop(cut);
    assert_eq!(system.count("SELECT count(*) FROM facteur.bulks WHERE state = 'accepting'").await, 1);
    assert_eq!(system.jobs("true").await, 0, "nothing leaves before all of it is there");
    let (web, address) = web(&system).await;
    let mut stream = upload(&address, &key, &body, body.len()).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let lines = "SELECT count(DISTINCT line) FROM facteur.bulk_recipients WHERE state = 'pending'";
    assert_eq!((system.count(PENDING).await, system.count(lines).await), (30_000, 30_000));
    let _worker = system.worker().await;
    system.wait_for("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", |sent| sent >= 500).await;
    let canceled = "SELECT count(*) FROM facteur.bulk_recipients WHERE state = 'canceled'";
    let id = system.text("SELECT id::text FROM facteur.bulks").await.unwrap();
    let (code, told) = system.command(&["cancel", "--bulk", &id, "--yes", "--reason", "enough"]).await;
    assert_eq!(code, 0, "{told}");
    system.wait_until(PENDING, 0).await;
    assert!(system.count(canceled).await > 0);
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status NOT IN ('sent', 'canceled')", 0).await;
    system.assert_nothing_doubled();
    assert_discreet(&web);
}

use std::fmt::Write as _;
use std::time::Duration;

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
        let (code, told) = system.command(&[&arguments[..], &["--no-wait"]].concat()).await;
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
    let key = system.sender_key().await;
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

/// A file of so many recipients, and after them one line that is no number.
fn file_of(recipients: u32, is_last_bad: bool) -> std::path::PathBuf {
    let mut file = "phone\n".to_owned();
    (0..recipients).for_each(|number| writeln!(file, "+3361200{number:04}").unwrap());
    if is_last_bad {
        file.push_str("0612\n");
    }
    let path = std::env::temp_dir().join(format!("{}.csv", Uuid::new_v4()));
    std::fs::write(&path, file).unwrap();
    path
}

/// The document that a command printed; what it told beside it follows.
fn document(told: &str) -> serde_json::Value {
    serde_json::Deserializer::from_str(told).into_iter().next().unwrap().unwrap()
}

#[tokio::test]
async fn a_bulk_is_followed_to_its_end_with_counts_that_add_up_and_what_it_costs() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let path = file_of(40, true);
    let priced = ["--set", "prices.currency=EUR", "--set", "prices.sms=FR=0.0725"];
    let arguments = [&["bulk", path.to_str().unwrap(), "--body", "SECRET"][..], &priced].concat();
    let (code, told) = system.command(&[&arguments[..], &["--dry-run", "--rate", "10"]].concat()).await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("40 segments, about 2.90 EUR; 1 lines refused"), "{told}");
    assert!(told.contains("at 10 a second it takes 4 seconds"), "{told}");
    let (code, told) = system.command(&arguments).await;
    assert_eq!(code, 1, "one of them got nothing: {told}");
    assert!(told.contains("accepted: 41 recipients, 1 refused, 40 segments, about 2.90 EUR"), "{told}");
    assert!(
        told.contains("is completed: 40 sent, 1 failed, 0 pending of 41; 40 segments, about 2.90 EUR"),
        "{told}"
    );
    let id = system.text("SELECT id::text FROM facteur.bulks").await.unwrap();
    let (code, told) = system.command(&["bulk", "--follow", &id, "--json"]).await;
    let seen = document(&told);
    let counts = ["total", "sent", "failed", "pending"].map(|name| seen[name].as_i64().unwrap());
    assert_eq!((code, counts, seen["state"].as_str()), (1, [41, 40, 1, 0], Some("completed")), "{told}");
    assert_eq!(seen["estimated_cost"]["amount"], "2.90");
    let unknown = Uuid::new_v4().to_string();
    assert_eq!(system.command(&["bulk", "--follow", &unknown]).await.0, 4);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(system.simulator.stats().accepted, 40);
}

#[tokio::test]
async fn an_interrupt_stops_the_following_and_not_the_bulk_and_a_pause_ends_it_too() {
    let system = System::new().await;
    let path = file_of(30, false);
    let arguments = ["bulk", path.to_str().unwrap(), "--body", "SECRET"];
    let mut following = Spawned::start(env!("CARGO_BIN_EXE_facteur"), &arguments, &system.environment());
    following.wait_for_line("0 sent, 0 failed, 30 pending of 30", PATIENCE).await;
    assert_eq!(following.interrupt(PATIENCE).await.code(), Some(5));
    let id = system.text("SELECT id::text FROM facteur.bulks").await.unwrap();
    let told = following.lines().join("\n");
    assert!(told.contains("is processing: 0 sent, 0 failed, 30 pending of 30"), "{told}");
    assert!(
        told.contains(&format!("the bulk goes on; `facteur bulk --follow {id}` follows it again")),
        "{told}"
    );
    let (code, told) = system.command(&["pause", "bulk", &id, "--reason", "the text"]).await;
    assert_eq!(code, 0, "{told}");
    let (code, told) = system.command(&["bulk", "--follow", &id]).await;
    assert_eq!(code, 5, "{told}");
    assert!(told.contains("is paused") && told.contains("the text"), "{told}");
    assert!(told.contains(&format!("`facteur resume bulk {id}`")), "{told}");
    let (code, told) = system.command(&["resume", "bulk", &id]).await;
    assert_eq!(code, 0, "{told}");
    let _worker = system.worker().await;
    let (code, told) = system.command(&arguments).await;
    assert_eq!(code, 0, "the same file is the same bulk, and all of it is sent: {told}");
    assert!(told.contains("is completed: 30 sent, 0 failed, 0 pending of 30"), "{told}");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(system.simulator.stats().accepted, 30);
}

use std::time::Duration;

use facteur_core::ids::JobId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::lab::{Callback, Lab, TOKEN, sid};

/// Connections that Twilio keeps open, so to speak.
const CONNECTIONS: u32 = 64;
/// Messages of each.
const MESSAGES: u32 = 50;

#[expect(clippy::print_stdout, reason = "a figure to look at, with --no-capture")]
fn say(line: &str) {
    println!("{line}");
}

/// Says how many callbacks a second; what is asserted is that each of them counts.
#[tokio::test]
async fn many_callbacks_at_once_are_all_applied() {
    let lab = Lab::start().await;
    let count = CONNECTIONS * MESSAGES;
    lab.sql(&format!(
        "INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, attempt, claim_token, deadline) \
         SELECT lpad(to_hex(n), 32, '0')::uuid, '', 'default', 'normal', 'sending', 'sending', 1, gen_random_uuid(), \
                now() + interval '1 hour' FROM generate_series(0, {}) n",
        count - 1
    ))
    .await;
    let began = tokio::time::Instant::now();
    let connections = (0..CONNECTIONS).map(|connection| tokio::spawn(speak(lab.address, connection)));
    for spoken in connections.collect::<Vec<_>>() {
        spoken.await.unwrap();
    }
    let took = began.elapsed().max(Duration::from_millis(1));
    say(&format!("{:.0} callbacks a second", f64::from(count * 3) / took.as_secs_f64()));
    let delivered = "SELECT count(*)::text FROM facteur.jobs WHERE status = 'delivered'";
    assert_eq!(lab.text(delivered).await, Some(count.to_string()));
}

async fn speak(address: std::net::SocketAddr, connection: u32) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for message in 0..MESSAGES {
        let number = connection * MESSAGES + message;
        for status in ["sending", "sent", "delivered"] {
            let callback = Callback::new(JobId(Uuid::from_u128(number.into())), &sid(number), status);
            let form = callback.encoded();
            let request = format!(
                "POST {} HTTP/1.1\r\nHost: x\r\nX-Twilio-Signature: {}\r\nContent-Length: {}\r\n\r\n{form}",
                callback.path_and_query,
                callback.signature(TOKEN),
                form.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = [0; 1_024];
            let length = stream.read(&mut answer).await.unwrap();
            let text = String::from_utf8_lossy(&answer[..length]);
            assert!(text.starts_with("HTTP/1.1 204"), "{text}");
        }
    }
}

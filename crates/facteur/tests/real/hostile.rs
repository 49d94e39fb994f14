use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::system::System;

/// A header value of arrays in arrays, as deep as one frame holds.
const DEPTH: u32 = 24_000;

#[tokio::test]
async fn headers_nested_as_deep_as_a_frame_holds_end_no_worker() {
    let system = System::new().await;
    let mut worker = system.worker().await;
    let broker = url::Url::parse(system.broker_url()).unwrap();
    publish_nested(&broker, &format!("{}.jobs", system.prefix())).await;
    system.publish_many("send.normal", 3).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 3).await;
    system.wait_until("SELECT count(*) FROM facteur.dead_letters WHERE code = 'malformed_json'", 1).await;
    assert_eq!(worker.terminate(std::time::Duration::from_secs(45)).await.code(), Some(0));
}

/// AMQP 0-9-1 by hand: no library would build such a header.
async fn publish_nested(broker: &url::Url, exchange: &str) {
    let address = (broker.host_str().unwrap(), broker.port().unwrap());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
    read_method(&mut stream).await;
    let login = format!("\0{}\0{}", broker.username(), broker.password().unwrap());
    let start_ok = [long(0), short("PLAIN"), long_text(login.as_bytes()), short("en_US")].concat();
    stream.write_all(&method(0, 10, 11, &start_ok)).await.unwrap();
    read_method(&mut stream).await;
    let tune_ok = [vec![0, 8], long(131_072), vec![0, 0]].concat();
    stream.write_all(&method(0, 10, 31, &tune_ok)).await.unwrap();
    let vhost = broker.path().trim_start_matches('/').replace("%2f", "/");
    stream.write_all(&method(0, 10, 40, &[short(&vhost), short(""), vec![0]].concat())).await.unwrap();
    read_method(&mut stream).await;
    stream.write_all(&method(1, 20, 10, &short(""))).await.unwrap();
    read_method(&mut stream).await;
    let publish = [vec![0, 0], short(exchange), short("send.normal"), vec![0]].concat();
    stream.write_all(&method(1, 60, 40, &publish)).await.unwrap();
    let body = b"{";
    // Class 60, weight 0, the body's size, and the flag of "headers are there".
    let header = [vec![0, 60, 0, 0], 1u64.to_be_bytes().to_vec(), vec![0x20, 0], nested_table()].concat();
    stream.write_all(&frame(2, 1, &header)).await.unwrap();
    stream.write_all(&frame(3, 1, body)).await.unwrap();
    // Closing the channel is answered after what came before it was taken.
    let close = [vec![0, 200], short("bye"), vec![0, 0, 0, 0]].concat();
    stream.write_all(&method(1, 20, 40, &close)).await.unwrap();
    read_method(&mut stream).await;
}

fn nested_table() -> Vec<u8> {
    let mut value = Vec::new();
    for level in 0..DEPTH {
        // From the outside in: an array that holds the rest.
        let rest = (DEPTH - level - 1) * 5;
        value.push(b'A');
        value.extend(rest.to_be_bytes());
    }
    let entry = [short("deep"), value].concat();
    long_text(&entry)
}

fn long(number: u32) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn long_text(bytes: &[u8]) -> Vec<u8> {
    [&long(u32::try_from(bytes.len()).unwrap()), bytes].concat()
}

fn method(channel: u16, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes(), &number.to_be_bytes(), arguments].concat())
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap();
    [&[kind][..], &channel.to_be_bytes(), &size.to_be_bytes(), payload, &[0xce]].concat()
}

async fn read_method(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).await.unwrap();
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    let mut payload = vec![0; usize::try_from(size).unwrap() + 1];
    stream.read_exact(&mut payload).await.unwrap();
    payload
}

//! What the proxy does to a connection.

use std::io::ErrorKind;
use std::time::Duration;

use facteur_testkit::FaultProxy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Long enough for loopback, short enough for a test that must see nothing arrive.
const MOMENT: Duration = Duration::from_millis(100);

#[expect(clippy::unwrap_used, reason = "a test without its connection can't go on")]
async fn pair() -> (FaultProxy, TcpListener, TcpStream, TcpStream) {
    let target = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(target.local_addr().unwrap()).await;
    let client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (server, _) = target.accept().await.unwrap();
    (proxy, target, client, server)
}

#[expect(clippy::unwrap_used, reason = "four bytes that don't arrive are a failure of the test")]
async fn read_four(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn bytes_are_carried_both_ways_and_so_is_the_end() {
    let (_proxy, _target, mut client, mut server) = pair().await;
    client.write_all(b"ping").await.unwrap();
    assert_eq!(read_four(&mut server).await, "ping");
    server.write_all(b"pong").await.unwrap();
    assert_eq!(read_four(&mut client).await, "pong");
    client.shutdown().await.unwrap();
    assert_eq!(server.read(&mut [0; 4]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_cut_resets_both_sides_and_refuses_until_healed() {
    let (proxy, target, mut client, mut server) = pair().await;
    proxy.cut().await;
    assert_eq!(client.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.read(&mut [0; 4]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.heal().await;
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut server, _) = target.accept().await.unwrap();
    client.write_all(b"ping").await.unwrap();
    assert_eq!(read_four(&mut server).await, "ping");
}

#[tokio::test]
async fn a_stalled_proxy_carries_nothing_and_loses_nothing() {
    let (proxy, _target, mut client, mut server) = pair().await;
    proxy.stall();
    client.write_all(b"ping").await.unwrap();
    assert!(timeout(MOMENT, server.read(&mut [0; 4])).await.is_err());
    proxy.resume();
    assert_eq!(read_four(&mut server).await, "ping");
}

#[tokio::test]
async fn a_delay_holds_bytes_back_by_that_much() {
    let (proxy, _target, mut client, mut server) = pair().await;
    proxy.delay(MOMENT * 2);
    client.write_all(b"ping").await.unwrap();
    assert!(timeout(MOMENT, server.read(&mut [0; 4])).await.is_err());
    assert_eq!(read_four(&mut server).await, "ping");
}

#[tokio::test]
async fn a_half_closed_connection_reads_its_end_and_can_still_write() {
    let (proxy, _target, mut client, mut server) = pair().await;
    proxy.half_close();
    assert_eq!(client.read(&mut [0; 4]).await.unwrap(), 0);
    server.write_all(b"lost").await.unwrap();
    client.write_all(b"ping").await.unwrap();
    assert_eq!(read_four(&mut server).await, "ping");
}

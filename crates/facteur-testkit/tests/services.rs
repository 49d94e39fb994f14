//! The broker and the database that a test gets.

use facteur_testkit::{broker, database};
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio_postgres::NoTls;

async fn connect(url: &str) -> lapin::Result<Connection> {
    Connection::connect(url, ConnectionProperties::default()).await
}

#[tokio::test]
async fn two_brokers_of_one_moment_share_nothing() {
    let (one, other) = tokio::join!(broker(), broker());
    let (at_one, at_other) = (connect(&one.url).await.unwrap(), connect(&other.url).await.unwrap());
    let queue = format!("{}.same", one.prefix);
    let channel = at_one.create_channel().await.unwrap();
    channel
        .queue_declare(queue.as_str().into(), QueueDeclareOptions::durable(), FieldTable::default())
        .await
        .unwrap();
    channel
        .basic_publish(
            "".into(),
            queue.as_str().into(),
            BasicPublishOptions::default(),
            b"x",
            BasicProperties::default(),
        )
        .await
        .unwrap();
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    let channel = at_other.create_channel().await.unwrap();
    let found = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default());
    assert!(found.await.is_err(), "the other broker has the queue too");
}

#[tokio::test]
async fn a_dropped_broker_is_gone() {
    let broker = broker().await;
    let url = broker.url.clone();
    assert!(connect(&url).await.is_ok());
    if broker.vhost.starts_with("facteur_test_") {
        drop(broker);
        assert!(connect(&url).await.is_err());
    }
}

#[tokio::test]
async fn a_database_is_empty_and_gone_with_its_test() {
    let database = database().await;
    let url = database.url.clone();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let driver = tokio::spawn(connection);
    let tables =
        client.query_one("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", &[]).await.unwrap();
    assert_eq!(tables.get::<_, i64>(0), 0);
    drop(database);
    assert!(driver.await.unwrap().is_err(), "the server closed the connection");
    assert!(tokio_postgres::connect(&url, NoTls).await.is_err());
}

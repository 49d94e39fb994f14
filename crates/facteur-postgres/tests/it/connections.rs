use std::net::SocketAddr;
use std::time::Duration;

use facteur_postgres::{
    BatchFailure, BatchOperation, Batcher, BatcherConfig, ConnectError, Database, PostgresConfig, classify,
    connect,
};
use facteur_testkit::FaultProxy;
use tokio::sync::watch;
use url::Url;
use uuid::Uuid;

use crate::ground::{config, ground};

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let test = facteur_testkit::database().await;
    let mut url = Url::parse(&test.url).unwrap();
    url.set_password(Some("not-the-password")).unwrap();
    let error = connect(&config(url.as_str())).await.unwrap_err();
    assert!(matches!(&error, ConnectError::Authentication { code, .. } if code == "28P01"), "{error:?}");
    assert!(
        !error.to_string().contains("not-the-password") && error.to_string().contains("DATABASE_URL"),
        "{error}"
    );
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let test = facteur_testkit::database().await;
    let mut url = Url::parse(&test.url).unwrap();
    url.set_path("nowhere");
    let error = connect(&config(url.as_str())).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::DatabaseMissing { database, .. } if database == "nowhere"),
        "{error:?}"
    );
    assert!(error.to_string().contains("createdb nowhere"), "{error}");
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let test = facteur_testkit::database().await;
    let error = connect(&config(&format!("{}?sslmode=require", test.url))).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    connect(&config(&format!("{}?sslmode=disable", test.url))).await.unwrap();
}

#[tokio::test]
async fn failures_are_told_apart_and_quote_no_values() {
    let ground = ground().await;
    let client = ground.client().await;
    let secret = "+33612345678";
    let insert = "INSERT INTO facteur.suppressions (tenant, recipient, reason) VALUES ('a', $1, 'x')";
    client.execute(insert, &[&secret]).await.unwrap();
    let mut data = vec![client.execute(insert, &[&secret]).await.unwrap_err()];
    data.push(client.query("SELECT $1::text::uuid", &[&secret]).await.unwrap_err());
    data.push(client.query("SELECT (SELECT unnest(ARRAY[1, 2]))", &[]).await.unwrap_err());
    data.push(client.query("SELECT 'a' || $1::text", &[&"NUL \0"]).await.unwrap_err());
    for error in data {
        match classify(error) {
            BatchFailure::Data(sentence) => assert!(!sentence.contains(secret), "{sentence}"),
            BatchFailure::Unavailable(sentence) => panic!("{sentence}"),
        }
    }
    for sql in [
        "SELECT * FROM facteur.nothing",
        "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'deadlock_detected'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'serialization_failure'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'admin_shutdown'; END $$",
        "SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)",
    ] {
        let failure = classify(client.batch_execute(sql).await.unwrap_err());
        assert!(matches!(failure, BatchFailure::Unavailable(_)), "{sql}: {failure:?}");
    }
}

#[tokio::test]
async fn a_connection_whose_statement_was_given_up_is_replaced_if_it_stays_silent() {
    let ground = ground().await;
    let holder = ground.client().await;
    holder.query("SELECT pg_advisory_lock(1)", &[]).await.unwrap();
    let database = connect(&PostgresConfig { pool_size: 1, ..ground.config.clone() }).await.unwrap();
    let backend = "SELECT pg_backend_pid()";
    let client = database.client().await.unwrap();
    let silent: i32 = client.query_one(backend, &[]).await.unwrap().get(0);
    let waits = client.query("SELECT pg_advisory_lock(1)", &[]);
    assert!(tokio::time::timeout(Duration::from_millis(1_100), waits).await.is_err());
    drop(client);
    let other: i32 = database.client().await.unwrap().query_one(backend, &[]).await.unwrap().get(0);
    assert_ne!(silent, other);
}

/// Writes each token once, and counts how often it was asked to.
struct Write(Database, watch::Sender<usize>);

impl BatchOperation for Write {
    type Item = (Uuid, i32);
    type Key = Uuid;
    type Answer = i32;

    fn key(item: &(Uuid, i32)) -> Uuid {
        item.0
    }

    async fn execute(&self, items: &[(Uuid, i32)]) -> Result<Vec<i32>, BatchFailure> {
        self.1.send_modify(|executions| *executions += 1);
        let client = self.0.client().await?;
        let (tokens, values): (Vec<Uuid>, Vec<i32>) = items.iter().copied().unzip();
        let sql = "INSERT INTO written SELECT * FROM unnest($1::uuid[], $2::int4[]) ON CONFLICT DO NOTHING";
        let statement = client.prepare_cached(sql).await?;
        client.execute(&statement, &[&tokens, &values]).await?;
        Ok(values)
    }
}

#[tokio::test]
async fn what_is_submitted_survives_cut_and_stalled_connections() {
    let ground = ground().await;
    ground.run("CREATE TABLE written (token uuid PRIMARY KEY, value integer CHECK (value <> 13))").await;
    let mut url = Url::parse(&ground.config.url).unwrap();
    let target: SocketAddr = format!("127.0.0.1:{}", url.port().unwrap()).parse().unwrap();
    let proxy = FaultProxy::start(target).await;
    url.set_ip_host(proxy.addr().ip()).unwrap();
    url.set_port(Some(proxy.addr().port())).unwrap();
    let database = connect(&config(url.as_str())).await.unwrap();
    let limits =
        BatcherConfig { items_max: 8, batches_in_flight: 2, attempt_timeout: Duration::from_millis(1_500) };
    let (counter, mut executions) = watch::channel(0);
    let batcher = Batcher::start(Write(database, counter), limits);
    let submit_all = |values: std::ops::Range<i32>| {
        futures_util::future::join_all(values.map(|value| batcher.submit((Uuid::now_v7(), value))))
    };

    let before = submit_all(0..50).await;
    assert_eq!(before.iter().filter(|answer| answer.is_err()).count(), 1, "the row 13 fails, and it alone");

    proxy.cut().await;
    let (during_cut, ()) = tokio::join!(submit_all(50..100), proxy.heal());
    assert!(during_cut.iter().all(Result::is_ok));

    proxy.stall();
    let before = *executions.borrow();
    let resume = async {
        // Two batches are in flight and nothing is carried: a third execution is the repetition of one that was
        // given up. What that one wrote may arrive yet.
        executions.wait_for(|count| *count >= before + 3).await.unwrap();
        assert_eq!(ground.text("SELECT count(*) FROM written").await, "(99)");
        proxy.resume();
    };
    let (during_stall, ()) = tokio::join!(submit_all(100..150), resume);
    assert!(during_stall.iter().all(Result::is_ok));
    let written = ground.text("SELECT count(*), count(DISTINCT value), max(value) FROM written").await;
    assert_eq!(written, "(149,149,149)");
}

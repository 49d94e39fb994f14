//! A database that belongs to one test.

use std::thread;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};
use url::Url;

use crate::leftovers;
use crate::services;

/// A connection that is half made, through a proxy whose test has ended, keeps its database until it is reset.
const ORDER_MAX: Duration = Duration::from_secs(3);

/// An empty database of its own, dropped (connections and all) when this is.
#[derive(Debug)]
pub struct TestDatabase {
    /// Where to connect.
    pub url: String,
    name: String,
    server: String,
}

/// An empty database for one test.
///
/// # Panics
/// If no database server runs; the sentence says how to start one.
#[expect(clippy::expect_used, reason = "a test without its database can't go on")]
pub async fn database() -> TestDatabase {
    let service = services::database();
    let mut url = Url::parse(&service.url).expect("the database's address is a URL");
    let name = leftovers::new_name();
    let client = connect(&service.url).await.expect("the database server answers");
    sweep(&client, service.is_private).await;
    // template0, because nobody can be connected to it, so any number of tests can copy it at once.
    let order = format!("CREATE DATABASE {name} TEMPLATE template0");
    client.batch_execute(&order).await.expect("the server makes a database");
    url.set_path(&name);
    TestDatabase { url: url.into(), name, server: service.url }
}

async fn connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Ends with the client; its errors are the client's as well.
    tokio::spawn(connection);
    Ok(client)
}

/// Drops the databases of tests that were killed. Two tests may try the same one; either may find it gone.
async fn sweep(client: &Client, is_private: bool) {
    let rows = client.query("SELECT datname FROM pg_database", &[]).await.unwrap_or_default();
    for name in rows.iter().filter_map(|row| row.try_get::<_, String>(0).ok()) {
        if leftovers::is_leftover(&name, is_private) {
            let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, order) =
            (self.server.clone(), format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        // The test's own runtime may be ending; what stays is swept by a later test.
        let _ = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            let dropping = async { connect(&server).await?.batch_execute(&order).await };
            runtime.block_on(async { tokio::time::timeout(ORDER_MAX, dropping).await }).ok()?.ok()
        })
        .join();
    }
}

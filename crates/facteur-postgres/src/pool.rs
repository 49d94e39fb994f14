//! Connections: the pool, its limits, and the wait for a database that is not there yet.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::backoff_policy::Delays;
use crate::batch_error::BatchFailure;
use crate::connect_error::{ConnectError, Target};
use crate::tls;

/// A connection that returns to its pool when it is dropped.
pub type Client = deadpool_postgres::Client;

/// Longest wait for a free connection of the pool.
const POOL_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest handshake: TCP, TLS and authentication.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Longest proof that a connection is alive.
const RECYCLE_MAX: Duration = Duration::from_secs(3);
/// A connection that was handed out longer ago than this proves that it is alive before it is used again:
/// what idles may have been cut by a firewall, and a statement that took so long may have been given up because
/// nothing is carried any more. A busy connection is never asked.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// Longest statement, and longest idle moment inside a transaction, enforced by the server.
const STATEMENT_MAX: Duration = Duration::from_secs(30);
/// Each statement is planned once, for tables of any size: a plan made while a table is new reads all of it, and would
/// be kept while the table grows. Every one of our statements has an index for what it looks up. A table of one row is
/// read all the same, at a made-up cost for which Postgres would compile the statement (a second, each time).
const PLANS: &str = "-c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off";
/// First and longest wait between two tries to connect.
const RETRY_DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Where the database is, and how much of it we take.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database?sslmode=…`; `sslmode` is `disable`, `prefer` (the default),
    /// `require` or `verify-full`. The last two verify the certificate.
    pub url: String,
    /// Most connections at once; at least 1.
    pub pool_size: usize,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Whether whoever ends a message over these connections tells the applications, by an event.
    pub publishes_events: bool,
}

impl PostgresConfig {
    /// Whether the URL can be read; nothing is connected.
    ///
    /// # Errors
    /// [`ConnectError::Url`].
    pub fn verify(&self) -> Result<(), ConnectError> {
        parse(self).map(drop)
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = parse(self).map_or_else(|_| "?".to_owned(), |(_, target)| target.server);
        f.debug_struct("PostgresConfig")
            .field("server", &server)
            .field("pool_size", &self.pool_size)
            .field("application_name", &self.application_name)
            .field("publishes_events", &self.publishes_events)
            .finish_non_exhaustive()
    }
}

/// A pool of connections; cloning it is cheap and shares them. Open another one for work that must never wait
/// for other work's connections.
#[derive(Clone)]
pub struct Database {
    pool: Pool,
    target: Arc<Target>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database").field("server", &self.target.server).finish_non_exhaustive()
    }
}

impl Database {
    /// Makes a pool without connecting.
    ///
    /// # Errors
    /// A [`ConnectError`] that lasts: the URL or the system's certificates can't be read.
    pub fn open(config: &PostgresConfig) -> Result<Self, ConnectError> {
        let (postgres, target) = parse(config)?;
        let connector = tls::connector(postgres.get_ssl_mode())?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(postgres, connector, recycling))
            .max_size(config.pool_size.max(1))
            .wait_timeout(Some(POOL_WAIT_MAX))
            .create_timeout(Some(CONNECT_MAX))
            .recycle_timeout(Some(RECYCLE_MAX))
            .pre_recycle(prove_old_ones())
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| ConnectError::Url { why: format!("makes no pool: {error}") })?;
        Ok(Self { pool, target: Arc::new(target) })
    }

    /// Takes a connection out of the pool, or makes one.
    ///
    /// # Errors
    /// [`BatchFailure::Unavailable`], after at most 10 s of waiting for each step.
    pub async fn client(&self) -> Result<Client, BatchFailure> {
        Ok(self.pool.get().await?)
    }

    /// Asks the server for an answer.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn check(&self) -> Result<(), ConnectError> {
        use deadpool_postgres::PoolError;
        let asked = async {
            let client = self.pool.get().await?;
            client.simple_query("").await.map_err(PoolError::Backend)
        };
        match timeout(POOL_WAIT_MAX + CONNECT_MAX, asked).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(PoolError::Backend(error))) => Err(ConnectError::from_postgres(&error, &self.target)),
            Ok(Err(_)) | Err(_) => Err(ConnectError::timeout(&self.target)),
        }
    }

    /// Connections in use, connections open, and the most that may be open.
    #[must_use]
    pub fn usage(&self) -> (usize, usize, usize) {
        let status = self.pool.status();
        (status.size.saturating_sub(status.available), status.size, status.max_size)
    }

    /// Closes the pool; whoever asks it for a connection gets [`BatchFailure::Unavailable`].
    pub fn close(&self) {
        self.pool.close();
    }
}

/// Opens a pool and proves that the database answers.
///
/// # Errors
/// Why it does not, with what to do.
pub async fn connect(config: &PostgresConfig) -> Result<Database, ConnectError> {
    let database = Database::open(config)?;
    database.check().await?;
    Ok(database)
}

/// Connects, however long it takes; `on_failure` hears of each failed try and of the wait that follows.
///
/// # Errors
/// Only what no wait can mend ([`ConnectError::is_lasting`]).
pub async fn wait_until_reachable(
    config: &PostgresConfig,
    mut on_failure: impl FnMut(&ConnectError, Duration),
) -> Result<Database, ConnectError> {
    let mut delays = Delays::new(RETRY_DELAYS.0, RETRY_DELAYS.1);
    loop {
        match connect(config).await {
            Err(error) if !error.is_lasting() => {
                let delay = delays.next();
                on_failure(&error, delay);
                tokio::time::sleep(delay).await;
            }
            done => return done,
        }
    }
}

/// A connection outside of any pool, for work that holds it (migrations under a session lock).
pub(crate) async fn connect_alone(config: &PostgresConfig) -> Result<tokio_postgres::Client, ConnectError> {
    let (postgres, target) = parse(config)?;
    let connector: MakeRustlsConnect = tls::connector(postgres.get_ssl_mode())?;
    let (client, connection) = timeout(CONNECT_MAX, postgres.connect(connector))
        .await
        .map_err(|_| ConnectError::timeout(&target))?
        .map_err(|error| ConnectError::from_postgres(&error, &target))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(%error, "the connection to Postgres ended");
        }
    });
    Ok(client)
}

fn prove_old_ones() -> Hook {
    Hook::async_fn(|client, metrics| {
        let is_trusted = metrics.last_used() < TRUSTED_FOR;
        Box::pin(async move {
            if is_trusted {
                return Ok(());
            }
            match timeout(RECYCLE_MAX, client.simple_query("")).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(HookError::Backend(error)),
                Err(_) => Err(HookError::message("no answer in time")),
            }
        })
    })
}

fn parse(config: &PostgresConfig) -> Result<(tokio_postgres::Config, Target), ConnectError> {
    let refuse = |why: &str| ConnectError::Url { why: why.to_owned() };
    if config.url.contains("sslmode=verify-ca") {
        return Err(refuse("asks for sslmode=verify-ca, which is not offered: use verify-full"));
    }
    // The driver knows no verify-full; our `require` verifies as much.
    let url = config.url.replace("sslmode=verify-full", "sslmode=require");
    // The driver's error may quote a part of the URL, and so of the password.
    let mut postgres = tokio_postgres::Config::from_str(&url).map_err(|_| refuse("can't be read"))?;
    if postgres.get_hosts().is_empty() && postgres.get_hostaddrs().is_empty() {
        return Err(refuse("names no host"));
    }
    let limits = format!(
        "-c statement_timeout={ms} -c idle_in_transaction_session_timeout={ms} -c facteur.events={events} {PLANS}",
        ms = STATEMENT_MAX.as_millis(),
        events = if config.publishes_events { "on" } else { "off" },
    );
    let options = postgres.get_options().map_or_else(|| limits.clone(), |own| format!("{limits} {own}"));
    postgres
        .options(options)
        .application_name(config.application_name.as_str())
        .connect_timeout(CONNECT_MAX / 2)
        .keepalives(true)
        .keepalives_idle(Duration::from_secs(30))
        .keepalives_interval(Duration::from_secs(10))
        .keepalives_retries(3)
        .tcp_user_timeout(STATEMENT_MAX);
    let target = target(&postgres);
    Ok((postgres, target))
}

fn target(postgres: &tokio_postgres::Config) -> Target {
    let ports = postgres.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    let hosts = postgres.get_hosts().iter().enumerate().map(|(index, host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(index)),
        Host::Unix(path) => format!("{} (port {})", path.display(), port(index)),
    });
    let user = postgres.get_user().unwrap_or("?").to_owned();
    let database = postgres.get_dbname().map_or_else(|| user.clone(), str::to_owned);
    Target { server: hosts.collect::<Vec<_>>().join(", "), user, database }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;

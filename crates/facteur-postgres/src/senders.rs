//! Senders that have a rate or an owner of their own: a copy in memory, renewed every second, so that a change
//! reaches every worker within a second and no message waits for a query.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::gcra::Rate;
use facteur_core::ids::Tenant;
use facteur_core::sender::Sender;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::batch_error::{BatchFailure, classify};
use crate::pool::Database;

/// How often the copy is renewed.
const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Most senders that are held in memory.
const SENDERS_MAX: i64 = 10_000;

const LOAD: &str = "SELECT address, tenant, rate FROM facteur.senders ORDER BY address LIMIT $1";

const SET_RATE: &str = "INSERT INTO facteur.senders (address, rate) VALUES ($1, $2) \
     ON CONFLICT (address) DO UPDATE SET rate = excluded.rate, updated_at = clock_timestamp()";

const SET_TENANT: &str = "INSERT INTO facteur.senders (address, tenant) VALUES ($1, $2) \
     ON CONFLICT (address) DO UPDATE SET tenant = excluded.tenant, updated_at = clock_timestamp()";

#[derive(Debug, Clone, Default)]
struct Entry {
    tenant: Option<String>,
    rate: Option<Rate>,
}

type Snapshot = Arc<HashMap<String, Entry>>;

/// The copy in memory; cloning it is cheap. Questions wait for the first load, so that nobody takes a sender
/// for one without a limit while the database is not there yet.
#[derive(Clone)]
pub struct SenderDirectory {
    database: Database,
    /// `None` until the first load.
    snapshot: Arc<watch::Sender<Option<Snapshot>>>,
}

impl SenderDirectory {
    /// Loads the senders, and renews them every second until `stopping` is cancelled. While the database is away
    /// the last copy stands.
    #[must_use]
    pub fn start(database: Database, stopping: CancellationToken) -> Self {
        let snapshot = Arc::new(watch::Sender::new(None));
        let renewal = renew(database.clone(), Arc::clone(&snapshot));
        tokio::spawn(stopping.run_until_cancelled_owned(renewal));
        Self { database, snapshot }
    }

    /// The sender's own rate, if it has one.
    pub async fn rate_of(&self, address: &str) -> Option<Rate> {
        self.current().await.get(address)?.rate
    }

    /// The tenant (its slug) that the sender belongs to, if it belongs to one.
    pub async fn tenant_of(&self, address: &str) -> Option<String> {
        self.current().await.get(address)?.tenant.clone()
    }

    /// Sets a sender's rate, or removes it; here at once, in other processes within a second.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn set_rate(&self, sender: &Sender, rate: Option<Rate>) -> Result<(), BatchFailure> {
        let client = self.database.client().await?;
        let statement = client.prepare_cached(SET_RATE).await.map_err(classify)?;
        let per_second = rate.map(Rate::as_per_second);
        client.execute(&statement, &[&sender.as_str(), &per_second]).await.map_err(classify)?;
        drop(client);
        self.reload().await
    }

    /// Gives a sender to a tenant, or to all; here at once, in other processes within a second.
    ///
    /// # Errors
    /// The database's, classified.
    pub async fn set_tenant(&self, sender: &Sender, tenant: Option<&Tenant>) -> Result<(), BatchFailure> {
        let client = self.database.client().await?;
        let statement = client.prepare_cached(SET_TENANT).await.map_err(classify)?;
        client
            .execute(&statement, &[&sender.as_str(), &tenant.map(Tenant::as_str)])
            .await
            .map_err(classify)?;
        drop(client);
        self.reload().await
    }

    async fn reload(&self) -> Result<(), BatchFailure> {
        let fresh = load(&self.database).await?;
        self.snapshot.send_replace(Some(fresh));
        Ok(())
    }

    async fn current(&self) -> Snapshot {
        let mut snapshot = self.snapshot.subscribe();
        // We hold the sending side, so it can't close while we wait.
        snapshot.wait_for(Option::is_some).await.ok().and_then(|loaded| loaded.clone()).unwrap_or_default()
    }
}

async fn renew(database: Database, snapshot: Arc<watch::Sender<Option<Snapshot>>>) {
    let mut ticks = tokio::time::interval(REFRESH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_stale = false;
    loop {
        ticks.tick().await;
        match load(&database).await {
            Ok(fresh) => {
                snapshot.send_replace(Some(fresh));
                is_stale = false;
            }
            Err(error) => {
                if !is_stale {
                    tracing::warn!("the senders can't be renewed, the last copy stands: {error}");
                }
                is_stale = true;
            }
        }
    }
}

async fn load(database: &Database) -> Result<Snapshot, BatchFailure> {
    let client = database.client().await?;
    let statement = client.prepare_cached(LOAD).await.map_err(classify)?;
    let rows = client.query(&statement, &[&SENDERS_MAX]).await.map_err(classify)?;
    let entry = |row: &tokio_postgres::Row| {
        // The table's CHECK keeps rates in range.
        let rate = row.get::<_, Option<f64>>("rate").and_then(|rate| Rate::per_second(rate).ok());
        (row.get("address"), Entry { tenant: row.get("tenant"), rate })
    };
    if rows.len() as i64 == SENDERS_MAX {
        tracing::error!(
            most = SENDERS_MAX,
            "facteur.senders holds more rows than are read: the rest has no rate"
        );
    }
    Ok(Arc::new(rows.iter().map(entry).collect()))
}

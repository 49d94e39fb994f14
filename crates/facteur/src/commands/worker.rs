//! `facteur worker`: works until it is stopped.

use std::time::Duration;

use facteur_core::vault::VaultError;
use facteur_postgres::integrations::{self, IntegrationError};
use facteur_postgres::{Database, PostgresConfig, migrate, wait_until_reachable};
use facteur_worker::heartbeat::Heartbeat;
use facteur_worker::worker::{Worker, WorkerParts};
use tokio_util::sync::CancellationToken;

use super::process::{self, Part};
use crate::config::{Config, Loaded, Problems};
use crate::exit::Exit;
use crate::lifecycle::Parts;
use crate::metrics::Tables;
use crate::wiring;

/// How often a database without our schema is asked again.
const SCHEMA_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Runs until it is stopped. A broker or database that is not there yet is waited for.
///
/// # Errors
/// If the port is taken, the configuration can't be used, or a part of the worker ends by itself.
pub async fn run(loaded: &Loaded) -> anyhow::Result<Exit> {
    process::run(loaded, Tables { worker: true, web: false }).await
}

/// Starts the worker of a process, as soon as the database and its schema are there.
pub(super) async fn start(
    config: &Config,
    part: &Part,
    parts: &mut Parts,
    stopping: &CancellationToken,
) -> anyhow::Result<()> {
    // Credentials that can't be used are told before anything is waited for.
    let shared = wiring::shared_postgres(config);
    let urgent = Database::open(&wiring::urgent_postgres(config))?;
    let opened = Database::open(&shared)?;
    let worker_parts = wiring::parts(config, wiring::Databases { urgent, shared: opened })?;
    let ready = stopping.run_until_cancelled(wait_for_schema(&shared)).await;
    if let Some(ready) = ready {
        ready?;
        keys_fit(&worker_parts).await?;
        let mut heartbeat = Heartbeat::new(
            worker_parts.database.clone(),
            worker_parts.clock.clone(),
            "worker",
            wiring::shared_settings(config),
        );
        // The first decision is held against the database's clock already.
        if let Err(error) = heartbeat.compare_clocks().await {
            tracing::warn!(%error, "the database's time is unknown yet: deadlines follow this machine's for now");
        }
        let worker = Worker::start(worker_parts, heartbeat, stopping.clone());
        let readiness = worker.readiness();
        part.started(Box::new(move || readiness.missing()));
        tracing::info!(lanes = "urgent, normal, bulk", "working");
        parts.spawn("the worker", async move { Ok(worker.run().await?) });
    }
    Ok(())
}

/// A worker without any key could send for no tenant that has an account of its own. Single accounts that can't be opened
/// only hold up their own messages.
async fn keys_fit(parts: &WorkerParts) -> anyhow::Result<()> {
    match integrations::is_readable(&parts.database, &parts.keyring).await {
        Err(IntegrationError::Vault(why @ VaultError::NoKey)) => Err(Problems(vec![why.to_string()]).into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Waits for a database that answers and has our schema.
async fn wait_for_schema(postgres: &PostgresConfig) -> anyhow::Result<()> {
    let reached = wait_until_reachable(postgres, |error, delay| {
        let delay_s = delay.as_secs_f64();
        tracing::warn!(%error, delay_s, "the database is not there yet: trying again");
    });
    reached.await?.close();
    loop {
        match migrate::status(postgres).await {
            Ok(status) if status.pending.is_empty() => {
                if let Some(latest) = status.newer.last() {
                    tracing::warn!(
                        "the database has {} migration(s) that this release does not know, up to {latest}: fine for a \
                         rolling update, for the next release only adds; otherwise update this program",
                        status.newer.len()
                    );
                }
                return Ok(());
            }
            Ok(status) => {
                tracing::warn!(schema = status.sentence(), "the schema is not there yet: trying again")
            }
            Err(error) => tracing::warn!(%error, "the schema can't be looked at: trying again"),
        }
        tokio::time::sleep(SCHEMA_POLL_INTERVAL).await;
    }
}

//! `facteur worker`: works until it is stopped.

use std::sync::Arc;
use std::time::Duration;

use facteur_postgres::{Database, PostgresConfig, migrate, wait_until_reachable};
use facteur_worker::heartbeat::Heartbeat;
use facteur_worker::worker::Worker;
use tokio_util::sync::CancellationToken;

use crate::config::Loaded;
use crate::exit::Exit;
use crate::http::{self, Missing, Readiness};
use crate::lifecycle::{self, Parts};
use crate::{metrics, wiring};

/// How long the whole process may take to stop: the drain of the lanes, and what follows it.
const STOP_MAX: Duration = Duration::from_secs(60);
/// How often a database without our schema is asked again.
const SCHEMA_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Runs until it is stopped. A broker or database that is not there yet is waited for.
///
/// # Errors
/// If the port is taken, the configuration can't be used, or a part of the worker ends by itself.
pub async fn run(loaded: &Loaded) -> anyhow::Result<Exit> {
    let config = &loaded.config;
    let stopping = CancellationToken::new();
    lifecycle::stop_on_signal(stopping.clone())?;
    let recorder = metrics::install()?;
    let listener = http::bind(config.telemetry.metrics_listen).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
    let started = Arc::new(std::sync::OnceLock::new());
    let server_stop = CancellationToken::new();
    let server = tokio::spawn(http::serve(listener, recorder.clone(), ask(&started), server_stop.clone()));
    let mut parts = Parts::new(stopping.clone());
    let upkeep_stop = stopping.clone();
    parts.spawn("the upkeep of metrics", async move {
        upkeep_stop.run_until_cancelled(metrics::keep_up(recorder)).await;
        Ok(())
    });
    // Credentials that can't be used are told before anything is waited for.
    let shared = wiring::shared_postgres(config);
    let urgent = Database::open(&wiring::urgent_postgres(config))?;
    let opened = Database::open(&shared)?;
    let worker_parts = wiring::parts(config, wiring::Databases { urgent, shared: opened })?;
    let ready = stopping.run_until_cancelled(wait_for_schema(&shared)).await;
    if let Some(ready) = ready {
        ready?;
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
        // The cell is set here and nowhere else.
        let _ = started.set(worker.readiness());
        tracing::info!(lanes = "urgent, normal, bulk", "working");
        parts.spawn("the worker", async move { Ok(worker.run().await?) });
    }
    let ended = parts.run(STOP_MAX).await;
    server_stop.cancel();
    server.await??;
    ended.map(|()| Exit::Done)
}

/// Answers from the worker's own view once it has started.
fn ask(started: &Arc<std::sync::OnceLock<facteur_worker::worker::Readiness>>) -> http::AskReadiness {
    let started = Arc::clone(started);
    Arc::new(move || {
        let missing = match started.get() {
            Some(readiness) => readiness.missing(),
            None => vec!["waiting for the database and its schema".to_owned()],
        };
        Readiness::from_missing(
            missing.into_iter().map(|why| Missing { part: "worker".to_owned(), why }).collect(),
        )
    })
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

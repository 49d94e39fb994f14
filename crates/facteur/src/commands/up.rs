//! `facteur up`: the database is brought up to date, then worker and web process run as one.

use facteur_postgres::migrate;

use super::{adapters, process};
use crate::config::Loaded;
use crate::exit::Exit;
use crate::metrics::Tables;

/// Runs until it is stopped.
///
/// # Errors
/// If a migration fails, and whatever `facteur worker` and `facteur web` say. A database that is not there yet is waited for.
pub async fn run(loaded: &Loaded) -> anyhow::Result<Exit> {
    let postgres = adapters::postgres(&loaded.config, "migrate");
    let reached = facteur_postgres::wait_until_reachable(&postgres, |error, delay| {
        let delay_s = delay.as_secs_f64();
        tracing::warn!(%error, delay_s, "the database is not there yet: trying again");
    });
    reached.await?.close();
    let report = migrate::run(&postgres).await?;
    tracing::info!(applied = report.applied.len(), already = report.already, "the database is up to date");
    process::run(loaded, Tables { worker: true, web: true }).await
}

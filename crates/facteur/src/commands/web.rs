//! `facteur web`: takes webhooks until it is stopped.

use facteur_web::Web;
use facteur_worker::clock::Clock;
use facteur_worker::heartbeat::Heartbeat;
use tokio_util::sync::CancellationToken;

use super::process::{self, Part};
use crate::config::{Config, Loaded};
use crate::exit::Exit;
use crate::lifecycle::Parts;
use crate::metrics::Tables;
use crate::{http, wiring};

/// Runs until it is stopped. A database that is not there yet is waited for: until then Twilio is asked to come again.
///
/// # Errors
/// If a port is taken, or the configuration can't be used.
pub async fn run(loaded: &Loaded) -> anyhow::Result<Exit> {
    process::run(loaded, Tables { worker: false, web: true }).await
}

/// Starts the web part of a process.
pub(super) async fn start(
    config: &Config,
    part: &Part,
    parts: &mut Parts,
    stopping: CancellationToken,
) -> anyhow::Result<()> {
    let listener = http::bind_for(config.web.listen, "the API and webhooks", "FACTEUR_LISTEN").await?;
    let clock = Clock::system();
    let web_parts = wiring::web_parts(config, &clock)?;
    let (database, settings) = (web_parts.database.clone(), wiring::shared_settings(config));
    let heartbeat = Heartbeat::new(database, clock, "web", settings);
    let web = Web::new(web_parts);
    let readiness = web.readiness();
    part.started(Box::new(move || readiness.missing()));
    tracing::info!(address = %listener.local_addr()?, "serving the API and taking webhooks");
    let beating = stopping.clone();
    parts.spawn("the heartbeat of the web process", async move {
        heartbeat.run(beating).await;
        Ok(())
    });
    parts.spawn("the web process", async move {
        web.run(listener, stopping).await;
        Ok(())
    });
    Ok(())
}

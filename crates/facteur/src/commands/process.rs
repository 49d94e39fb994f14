//! A process that lives until it is stopped: one port for operators, one end, and the work of a worker, of a web
//! process, or of both.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{web, worker};
use crate::config::Loaded;
use crate::exit::Exit;
use crate::http::{self, AskReadiness, Missing, Readiness};
use crate::lifecycle::{self, Parts};
use crate::metrics::{self, Tables};

/// How long the whole process may take to stop: the drain of the lanes, and what follows it.
const STOP_MAX: Duration = Duration::from_secs(60);

/// Says what a part of the process is missing.
pub(super) type AskMissing = Box<dyn Fn() -> Vec<String> + Send + Sync>;

/// One part's answer to `/readyz`, once it has started.
#[derive(Clone)]
pub(super) struct Part {
    name: &'static str,
    ask: Arc<OnceLock<AskMissing>>,
}

impl Part {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, ask: Arc::default() }
    }

    /// The part has started, and answers for itself from now on.
    pub(super) fn started(&self, ask: AskMissing) {
        // The cell is set here and nowhere else.
        let _ = self.ask.set(ask);
    }

    fn missing(&self) -> Vec<Missing> {
        let why = match self.ask.get() {
            Some(ask) => ask(),
            None => vec!["waiting for the database and its schema".to_owned()],
        };
        why.into_iter().map(|why| Missing { part: self.name.to_owned(), why }).collect()
    }
}

/// Runs until it is stopped. A broker or database that is not there yet is waited for.
///
/// # Errors
/// If a port is taken, the configuration can't be used, or a part of the process ends by itself.
pub(super) async fn run(loaded: &Loaded, tables: Tables) -> anyhow::Result<Exit> {
    let config = &loaded.config;
    let stopping = CancellationToken::new();
    lifecycle::stop_on_signal(stopping.clone())?;
    let recorder = metrics::install(tables)?;
    let listener = http::bind(config.telemetry.metrics_listen).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /metrics, /healthz and /readyz");
    let web_part = tables.web.then(|| Part::new("web"));
    let worker_part = tables.worker.then(|| Part::new("worker"));
    let asked: Vec<Part> = web_part.iter().chain(&worker_part).cloned().collect();
    let ask: AskReadiness =
        Arc::new(move || Readiness::from_missing(asked.iter().flat_map(Part::missing).collect()));
    let server_stop = CancellationToken::new();
    let server = tokio::spawn(http::serve(listener, recorder.clone(), ask, server_stop.clone()));
    let mut parts = Parts::new(stopping.clone());
    let upkeep_stop = stopping.clone();
    parts.spawn("the upkeep of metrics", async move {
        upkeep_stop.run_until_cancelled(metrics::keep_up(recorder)).await;
        Ok(())
    });
    if let Some(part) = &web_part {
        web::start(config, part, &mut parts, stopping.clone()).await?;
    }
    if let Some(part) = &worker_part {
        worker::start(config, part, &mut parts, &stopping).await?;
    }
    let ended = parts.run(STOP_MAX).await;
    server_stop.cancel();
    server.await??;
    ended.map(|()| Exit::Done)
}

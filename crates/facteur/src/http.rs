//! The port of operators: `/metrics`, `/healthz` and `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long open connections may hold up the end of the process.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Whether the process can do its work now.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether nothing is missing.
    pub ready: bool,
    /// What is missing; empty if the process is ready.
    pub missing: Vec<Missing>,
}

/// One thing without which the process can't do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Which part of the process lacks it.
    pub part: String,
    /// What is wrong, for a person.
    pub why: String,
}

impl Readiness {
    /// Ready, if the list is empty.
    #[must_use]
    pub fn from_missing(missing: Vec<Missing>) -> Self {
        Self { ready: missing.is_empty(), missing }
    }
}

/// Answers whether the process is ready; called for every request, so it must not wait.
pub type AskReadiness = Arc<dyn Fn() -> Readiness + Send + Sync>;

#[derive(Clone)]
struct Told {
    metrics: PrometheusHandle,
    ask: AskReadiness,
}

/// Takes the port. To be done before work starts, so that a second worker on the same port ends at once.
///
/// # Errors
/// A sentence that names the address, what is wrong and the setting.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    bind_for(address, "/metrics", "FACTEUR_METRICS_LISTEN").await
}

/// Takes a port that another setting names.
///
/// # Errors
/// As [`bind`].
pub async fn bind_for(address: SocketAddr, what_for: &str, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let what = match error.kind() {
            std::io::ErrorKind::AddrInUse => "is in use by another process".to_owned(),
            std::io::ErrorKind::AddrNotAvailable => "is not an address of this machine".to_owned(),
            std::io::ErrorKind::PermissionDenied => {
                "is not ours to take (ports below 1024 need a privilege)".to_owned()
            }
            _ => format!("can't be taken: {error}"),
        };
        anyhow!("{address} for {what_for} {what}: set {setting} to another (port 0 takes a free one)")
    })
}

/// Serves until `stop` is cancelled. Cancel it after the work has ended, so that a draining worker still
/// answers.
///
/// # Errors
/// If the listener fails.
pub async fn serve(
    listener: TcpListener,
    metrics: PrometheusHandle,
    ask: AskReadiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let routes = routes(Told { metrics, ask });
    let server =
        axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future();
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(CLOSE_MAX).await;
    };
    tokio::select! {
        served = server => served.context("the port of /metrics failed"),
        () = overdue => Ok(()),
    }
}

fn routes(told: Told) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { Json(serde_json::json!({ "alive": true })) }))
        .route("/readyz", get(readyz))
        .with_state(told)
}

async fn metrics(State(told): State<Told>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], told.metrics.render())
}

async fn readyz(State(told): State<Told>) -> impl IntoResponse {
    let readiness = (told.ask)();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;

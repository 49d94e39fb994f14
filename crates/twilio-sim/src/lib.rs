//! A Twilio on localhost: the Messages API with its validation, error codes, rates, status progression and
//! signed webhooks, and faults on demand. A message's whole way is decided when it is accepted (`progress`),
//! every chance is seeded (`dice`), and what was counted (`stats`) is the referee of tests.
//!
//! ```text
//! request → api (one request's life) → create | resource | list → reply
//!                    ↑ injector (faults)      ↓ callbacks → webhook
//! ```

mod address;
mod api;
mod arrivals;
mod callbacks;
mod clock;
mod config;
mod control;
mod create;
mod dedup;
mod dice;
mod faults;
mod injector;
mod line;
mod list;
mod media;
mod message;
mod progress;
mod refusal;
mod reply;
mod resource;
mod senders;
mod sim;
mod stats;
mod store;
mod validate;
mod webhook;

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use config::{
    ACCOUNT_SID, API_KEY_SECRET, API_KEY_SID, AUTH_TOKEN, Account, CallbackLimits, Progress, SenderLimits,
    SimConfig, TEST_ACCOUNT_SID, TEST_AUTH_TOKEN,
};
pub use faults::{
    CallbackFaults, CallbackRule, DELAY_MAX, FaultPlan, Latency, Probability, RULES_MAX, RequestFault, Rule,
    Scope,
};
pub use stats::{CallbackStats, Stats};

/// How long a stop waits for open requests.
const STOP_MAX: Duration = Duration::from_secs(5);

/// The simulator; see [`Sim::start`].
#[derive(Debug, Clone, Copy)]
pub struct Sim;

impl Sim {
    /// Serves on `listener` until the handle is stopped or dropped. Must be called within a Tokio runtime.
    #[must_use]
    pub fn start(config: SimConfig, listener: TcpListener) -> SimHandle {
        let address = listener.local_addr().map_or_else(|_| String::new(), |address| address.to_string());
        let url = format!("http://{address}");
        let sim = Arc::new(sim::Simulator::new(config, url.clone()));
        let service = routes(Arc::clone(&sim)).into_make_service_with_connect_info::<line::Line>();
        let stop = sim.stop.clone();
        let server = axum::serve(line::Exchange(listener), service)
            .with_graceful_shutdown(async move { stop.cancelled().await });
        SimHandle { url, sim, server: tokio::spawn(server.into_future()) }
    }
}

fn routes(sim: Arc<sim::Simulator>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/_sim/stats", get(control::stats))
        .route("/_sim/reset", post(control::reset))
        .route("/_sim/faults", get(control::show_faults).post(control::replace_faults))
        .route("/_sim/opt-outs", post(control::opt_out))
        .route("/_sim/inbound", post(control::inbound))
        .route("/_sim/messages", get(control::recent))
        .route("/_sim/arrivals", get(control::arrivals))
        .route(media::STORE_ROUTE, get(media::store))
        .fallback(api::answer)
        .with_state(sim)
}

/// A running simulator. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct SimHandle {
    url: String,
    sim: Arc<sim::Simulator>,
    server: JoinHandle<std::io::Result<()>>,
}

impl SimHandle {
    /// Where it listens, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it counted so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.sim.stats()
    }

    /// Replaces the faults in force, as `POST /_sim/faults` does.
    pub fn suffer(&self, plan: FaultPlan) {
        self.sim.injector.replace(plan, self.sim.clock.now());
    }

    /// Stops accepting, ends open requests and callbacks, and waits for them up to five seconds.
    pub async fn stop(mut self) {
        self.sim.stop.cancel();
        self.sim.callbacks.tasks.close();
        let all = async {
            self.sim.callbacks.tasks.wait().await;
            (&mut self.server).await
        };
        match tokio::time::timeout(STOP_MAX, all).await {
            Ok(Ok(Ok(()))) => {}
            Ok(ended) => tracing::warn!(?ended, "the server ended badly"),
            Err(_) => self.server.abort(),
        }
    }
}

impl Drop for SimHandle {
    fn drop(&mut self) {
        self.sim.stop.cancel();
    }
}

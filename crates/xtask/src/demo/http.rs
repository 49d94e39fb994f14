//! The few HTTP calls of the demo: the simulator's control routes and the worker's readiness.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

const CALL_MAX: Duration = Duration::from_secs(30);

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(CALL_MAX)).proxy(None).build().new_agent()
}

/// Whether the address answers with success.
pub(crate) async fn is_fine(url: String) -> bool {
    let asking = tokio::task::spawn_blocking(move || agent().get(&url).call().is_ok());
    asking.await.unwrap_or(false)
}

/// The JSON that the address answers with.
pub(crate) async fn get(url: String) -> Result<Value> {
    tokio::task::spawn_blocking(move || {
        let mut answer = agent().get(&url).call().with_context(|| format!("GET {url}"))?;
        Ok(answer.body_mut().read_json()?)
    })
    .await?
}

/// Posts JSON and expects success.
pub(crate) async fn post(url: String, body: Value) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        agent().post(&url).send_json(body).with_context(|| format!("POST {url}"))?;
        Ok(())
    })
    .await?
}

//! The few HTTP calls of the laboratory: the simulator's control routes.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

const CALL_MAX: Duration = Duration::from_secs(10);

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(CALL_MAX)).proxy(None).build().new_agent()
}

/// The JSON that the address answers with.
///
/// # Errors
/// If there is no answer, or none that is JSON.
pub async fn get(url: String) -> Result<Value> {
    tokio::task::spawn_blocking(move || {
        let mut answer = agent().get(&url).call().with_context(|| format!("GET {url}"))?;
        // A page of messages is larger than what ureq reads by default.
        Ok(answer.body_mut().with_config().limit(64 * 1024 * 1024).read_json()?)
    })
    .await?
}

/// Posts JSON and expects success.
///
/// # Errors
/// If there is no success.
pub async fn post(url: String, body: Value) -> Result<()> {
    tokio::task::spawn_blocking(move || {
        agent().post(&url).send_json(body).with_context(|| format!("POST {url}"))?;
        Ok(())
    })
    .await?
}

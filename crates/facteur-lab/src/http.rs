//! The laboratory's HTTP: a client, and the simulator's control routes.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;

const CALL_MAX: Duration = Duration::from_secs(30);

/// A client with the limits that the product's own has.
///
/// # Errors
/// If it can't be made.
#[expect(
    clippy::disallowed_methods,
    reason = "the bench measures this library alone, and the simulator is asked past every proxy"
)]
pub fn client(connections_max: usize) -> Result<reqwest::Client> {
    // An error says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .timeout(CALL_MAX)
        .http1_only()
        .no_proxy()
        .tls_certs_only([])
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(connections_max);
    Ok(builder.build()?)
}

/// The simulator's control routes.
#[derive(Debug, Clone)]
pub struct Control {
    client: reqwest::Client,
    url: String,
}

impl Control {
    /// Those of the simulator at that address.
    ///
    /// # Errors
    /// If no client can be made.
    pub fn new(url: String) -> Result<Self> {
        Ok(Self { client: client(2)?, url })
    }

    /// The simulator's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What a route answers with.
    ///
    /// # Errors
    /// If there is no answer, no success, or not what was expected.
    pub async fn get<T: DeserializeOwned>(&self, route: &str) -> Result<T> {
        let answer = self.client.get(format!("{}/_sim/{route}", self.url)).send().await?;
        answer.error_for_status()?.json().await.with_context(|| format!("the simulator's {route}"))
    }

    /// What the simulator counted.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn stats<T: DeserializeOwned>(&self) -> Result<T> {
        self.get("stats").await
    }

    /// Posts to a route and expects success.
    ///
    /// # Errors
    /// If there is no success.
    pub async fn post(&self, route: &str, body: &Value) -> Result<()> {
        let answer = self.client.post(format!("{}/_sim/{route}", self.url)).json(body).send().await?;
        answer.error_for_status().with_context(|| format!("the simulator refuses its {route}"))?;
        Ok(())
    }

    /// Sets the simulator's faults in place of those before.
    ///
    /// # Errors
    /// As [`Self::post`].
    pub async fn faults(&self, plan: &Value) -> Result<()> {
        self.post("faults", plan).await
    }

    /// Whether that address, of whomever, answers with success.
    pub async fn is_fine(&self, url: &str) -> bool {
        self.client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
    }
}

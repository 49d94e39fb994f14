//! The HTTP client of the bench, and the simulator's control routes.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// What the simulator counted.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Stats {
    pub(super) accepted: usize,
    pub(super) duplicates_by_recipient_and_text: usize,
    pub(super) callbacks: Callbacks,
}

/// The simulator's callbacks.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Callbacks {
    pub(super) sent: usize,
    pub(super) failed: usize,
}

/// One message at the simulator: microseconds since 1970, From, To, segments.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Arrival {
    pub(super) at_us: u64,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) segments: u32,
}

#[derive(Deserialize)]
struct Page {
    next: usize,
    arrivals: Vec<Arrival>,
}

/// A client with the limits that the product's own has.
#[expect(
    clippy::disallowed_methods,
    reason = "the bench measures this library alone, and asks the simulator"
)]
pub(super) fn client(connections_max: usize) -> Result<reqwest::Client> {
    // An error says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .http1_only()
        .no_proxy()
        .tls_certs_only([])
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(connections_max);
    Ok(builder.build()?)
}

/// The simulator's control routes.
#[derive(Clone)]
pub(super) struct Control {
    client: reqwest::Client,
    pub(super) url: String,
}

impl Control {
    pub(super) fn new(url: String) -> Result<Self> {
        Ok(Self { client: client(2)?, url })
    }

    pub(super) async fn stats(&self) -> Result<Stats> {
        let answer = self.client.get(format!("{}/_sim/stats", self.url)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    pub(super) async fn faults(&self, plan: &Value) -> Result<()> {
        let answer = self.client.post(format!("{}/_sim/faults", self.url)).json(plan).send().await?;
        answer.error_for_status().context("the simulator refuses the faults")?;
        Ok(())
    }

    /// Every message that arrived, in order of time.
    pub(super) async fn arrivals(&self) -> Result<Vec<Arrival>> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let answer = self.client.get(format!("{}/_sim/arrivals?after={after}", self.url)).send().await?;
            let page: Page = answer.error_for_status()?.json().await?;
            if page.arrivals.is_empty() {
                break;
            }
            after = page.next;
            all.extend(page.arrivals);
        }
        all.sort_by_key(|arrival| arrival.at_us);
        Ok(all)
    }

    /// Whether that address answers with success.
    pub(super) async fn is_fine(&self, url: &str) -> bool {
        self.client.get(url).send().await.is_ok_and(|answer| answer.status().is_success())
    }
}

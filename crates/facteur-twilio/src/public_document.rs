//! A small document that somebody publishes, such as a set of public keys: read whole, without credentials.

use std::time::Duration;

use url::Url;

use crate::config::{ConfigError, is_loopback};
use crate::redact;

/// Longest time for the whole exchange.
const READ_MAX: Duration = Duration::from_secs(5);
/// Longest document, in bytes.
const BYTES_MAX: usize = 256 * 1024;

/// Where the document is.
#[derive(Debug, Clone)]
pub struct PublicDocument {
    http: reqwest::Client,
    url: Url,
}

impl PublicDocument {
    /// Nothing is read yet. Proxies of the environment are honoured, except for this machine.
    ///
    /// # Errors
    /// If no HTTP client can be made.
    pub fn new(url: Url) -> Result<Self, ConfigError> {
        Ok(Self { http: http_client(&url)?, url })
    }

    /// Reads it: within 5 s, at most 256 KiB, from nowhere else than its URL.
    ///
    /// # Errors
    /// What failed, without the URL.
    pub async fn read(&self) -> Result<Vec<u8>, String> {
        let request = self.http.get(self.url.clone()).header(reqwest::header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(redact::cause)?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(format!("the answer has status {status}"));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(redact::cause)? {
            if bytes.len() + chunk.len() > BYTES_MAX {
                return Err(format!("the document has more than {BYTES_MAX} bytes"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "beside the client for Twilio, the one place that builds an HTTP client, with limits"
)]
fn http_client(url: &Url) -> Result<reqwest::Client, ConfigError> {
    // An error says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("facteur/", env!("CARGO_PKG_VERSION")))
        .timeout(READ_MAX)
        .redirect(reqwest::redirect::Policy::none())
        .http1_only();
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    if url.scheme() == "http" {
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| ConfigError::HttpClient(redact::cause(error)))
}

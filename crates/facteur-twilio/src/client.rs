//! One HTTP client for one Twilio account.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use facteur_core::call::Call;
use facteur_core::outcome::Outcome;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use url::Url;

use crate::classify::classify;
use crate::config::{self, Auth, ConfigError, TwilioConfig, is_loopback};
use crate::exchange::{Exchange, exchange};
use crate::form::{self, StatusCallback};
use crate::media::PublicAddresses;

/// Idle connections are closed after this: before load balancers close them (60 s), so that a call seldom meets
/// a connection that is just going away.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// Makes calls to one Twilio account. Clones share their connections.
#[derive(Clone)]
pub struct TwilioClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    /// Calls what a row or an answer names; see `media.rs`.
    careful_http: reqwest::Client,
    account_sid: String,
    auth: Auth,
    base_url: Url,
    messages_url: Url,
    status_callback: Option<StatusCallback>,
}

impl TwilioClient {
    /// A client that has not connected yet. Installs rustls' ring provider for the process if none is
    /// installed.
    ///
    /// Proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`) are honoured, except for a loopback base URL.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: TwilioConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let http = built(http_client(&config))?;
        let careful_http = built(http_client(&config).dns_resolver(PublicAddresses))?;
        let messages_url = resource(&config.base_url, &["Accounts", &config.account_sid, "Messages.json"]);
        let status_callback = config.public_url.as_ref().map(StatusCallback::at);
        let TwilioConfig { base_url, account_sid, auth, .. } = config;
        let inner = Inner { http, careful_http, account_sid, auth, base_url, messages_url, status_callback };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A client of another account in the same place; both share their connections.
    ///
    /// # Errors
    /// If the account's SID or its credentials are not as Twilio's are.
    pub fn for_account(&self, account_sid: &str, auth: Auth) -> Result<Self, ConfigError> {
        config::check_credentials(account_sid, &auth)?;
        let Inner { http, careful_http, base_url, status_callback, .. } = &*self.inner;
        let messages_url = resource(base_url, &["Accounts", account_sid, "Messages.json"]);
        let inner = Inner {
            http: http.clone(),
            careful_http: careful_http.clone(),
            account_sid: account_sid.to_owned(),
            auth,
            base_url: base_url.clone(),
            messages_url,
            status_callback: status_callback.clone(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether Twilio is asked for callbacks.
    #[must_use]
    pub fn asks_for_callbacks(&self) -> bool {
        self.inner.status_callback.is_some()
    }

    /// Makes one call, and says what is certain about it. Nothing is repeated.
    pub async fn send(&self, call: &Call) -> Outcome {
        let form = form::encode(call, self.inner.status_callback.as_ref());
        let request = self
            .inner
            .http
            .post(self.inner.messages_url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let exchanged = self.exchange(request).await;
        let request_id = exchanged.as_ref().ok().and_then(|answer| answer.request_id.clone());
        let outcome = classify(exchanged);
        tracing::debug!(
            job_id = %call.job_id,
            attempt = %call.attempt,
            outcome = outcome.name(),
            twilio_request_id = request_id,
            "called Twilio"
        );
        outcome
    }

    /// Reads a resource of the account: the account itself for `["Accounts", "AC….json"]`.
    pub(crate) async fn get(&self, path: &[&str], query: Option<&str>) -> Exchange {
        let mut url = resource(&self.inner.base_url, path);
        url.set_query(query);
        self.get_url(url).await
    }

    /// Reads what is at a URL below the base URL: it is given the credentials.
    pub(crate) async fn get_url(&self, url: Url) -> Exchange {
        self.exchange(self.inner.http.get(url)).await
    }

    /// The account in whose name calls are made.
    #[must_use]
    pub fn account_sid(&self) -> &str {
        &self.inner.account_sid
    }

    pub(crate) fn base_url(&self) -> &Url {
        &self.inner.base_url
    }

    pub(crate) fn messages_url(&self) -> &Url {
        &self.inner.messages_url
    }

    pub(crate) fn has_api_key(&self) -> bool {
        matches!(self.inner.auth, Auth::ApiKey { .. })
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Exchange {
        exchange(self.authorised(request.header(ACCEPT, "application/json"))).await
    }

    /// The request with the account's credentials.
    pub(crate) fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let (user, password) = self.inner.auth.basic(&self.inner.account_sid);
        request.basic_auth(user, Some(password))
    }

    /// Calls the base URL.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.inner.http
    }

    /// Calls what a row or an answer names.
    pub(crate) fn careful_http(&self) -> &reqwest::Client {
        &self.inner.careful_http
    }
}

/// `{base}/2010-04-01/{path}`, whether or not the base ends in a slash.
pub(crate) fn resource(base_url: &Url, path: &[&str]) -> Url {
    let mut url = base_url.clone();
    // Only URLs that can't be a base have no path; `TwilioConfig::check` lets none of them through.
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().push("2010-04-01").extend(path);
    }
    url
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that builds an HTTP client, with limits"
)]
fn http_client(config: &TwilioConfig) -> reqwest::ClientBuilder {
    // An error says that one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("facteur/", env!("CARGO_PKG_VERSION")))
        .timeout(config.call_timeout)
        .connect_timeout(config.connect_timeout)
        // A followed redirect could send the text a second time, or the credentials elsewhere.
        .redirect(reqwest::redirect::Policy::none())
        // Twilio has no idempotency keys: whether to call again is the worker's decision.
        .retry(reqwest::retry::never())
        // Twilio limits concurrent requests, so HTTP/2 gains nothing and hangs all calls on one connection.
        .http1_only()
        .pool_max_idle_per_host(config.connections_max)
        .pool_idle_timeout(IDLE_MAX);
    if is_loopback(&config.base_url) {
        builder = builder.no_proxy();
    }
    if config.base_url.scheme() == "http" {
        // Without TLS a system without CA certificates (a slim container) is no obstacle.
        builder = builder.tls_certs_only([]);
    }
    builder
}

fn built(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, ConfigError> {
    builder.build().map_err(|error| ConfigError::HttpClient(crate::redact::cause(error)))
}

impl fmt::Debug for TwilioClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioClient")
            .field("base_url", &config::origin(&self.inner.base_url))
            .field("account_sid", &self.inner.account_sid)
            .finish_non_exhaustive()
    }
}

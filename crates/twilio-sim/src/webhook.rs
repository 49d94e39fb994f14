//! One signed webhook request, as Twilio sends it: form encoding, `X-Twilio-Signature`, the connection
//! overrides `rc`, `rp` and `tt` of the URL's fragment.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use url::Url;

use crate::config::CallbackLimits;

/// Longest answer that is read; Twilio's own limit for TwiML (11750).
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Most retries that a URL may ask for.
const RETRIES_MAX: u32 = 5;

/// Sends webhooks.
#[derive(Debug)]
pub(crate) struct Webhooks {
    /// `None` if TLS could not be set up; then every webhook fails.
    http: Option<reqwest::Client>,
    random: RandomState,
    count: AtomicU64,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    BadUrl,
    Connect,
    Timeout,
    Broken,
}

impl Silence {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadUrl => "the URL can't be called",
            Self::Connect => "no connection",
            Self::Timeout => "no answer in time",
            Self::Broken => "the connection broke",
        }
    }
}

impl Webhooks {
    pub(crate) fn new(limits: CallbackLimits) -> Self {
        // An error only means that a provider is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = build_client(limits)
            .inspect_err(|error| tracing::error!(%error, "no HTTP client; no webhook will be sent"))
            .ok();
        Self { http, random: RandomState::new(), count: AtomicU64::new(0) }
    }

    /// Posts a form, signed with the account's token.
    pub(crate) async fn post(
        &self,
        url: &str,
        auth_token: &str,
        form: &[(String, String)],
    ) -> Result<Answer, Silence> {
        let target = Target::read(url).ok_or(Silence::BadUrl)?;
        let http = self.http.as_ref().ok_or(Silence::BadUrl)?;
        let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let request = http
            .post(target.url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=UTF-8")
            .header(USER_AGENT, "TwilioProxy/1.1")
            .header("X-Twilio-Signature", facteur_twilio::signature::sign(auth_token, &target.signed, form))
            .header("I-Twilio-Idempotency-Token", format!("{:016x}-{n}", self.random.hash_one(n)))
            .body(body);
        let request = match target.overrides.timeout {
            Some(timeout) => request.timeout(timeout),
            None => request,
        };
        let mut retries = target.overrides.retries;
        loop {
            let again = request.try_clone().ok_or(Silence::Broken)?;
            let outcome = exchange(again).await;
            if retries == 0 || !target.overrides.retry_on(&outcome) {
                return outcome;
            }
            retries -= 1;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the simulator calls webhooks; it is not Facteur's client")]
fn build_client(limits: CallbackLimits) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_millis(limits.connect_timeout_ms))
        .timeout(Duration::from_millis(limits.timeout_ms))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(limits.concurrency)
        .no_proxy()
        .build()
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<Answer, Silence> {
    let silence = |error: reqwest::Error| {
        if error.is_connect() {
            Silence::Connect
        } else if error.is_timeout() {
            Silence::Timeout
        } else if error.is_builder() {
            Silence::BadUrl
        } else {
            Silence::Broken
        }
    };
    let mut response = request.send().await.map_err(silence)?;
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(silence)? {
        let room = ANSWER_BYTES_MAX - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer { status: response.status().as_u16(), content_type, body })
}

/// A webhook's URL, taken apart.
#[derive(Debug)]
struct Target {
    /// What is called; user and password become Basic auth.
    url: Url,
    /// What is signed: without user, password and fragment.
    signed: String,
    overrides: Overrides,
}

impl Target {
    fn read(text: &str) -> Option<Self> {
        let mut url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let overrides = Overrides::read(url.fragment().unwrap_or_default());
        url.set_fragment(None);
        let mut bare = url.clone();
        bare.set_username("").ok()?;
        bare.set_password(None).ok()?;
        Some(Self { url, signed: bare.into(), overrides })
    }
}

/// Twilio's connection overrides, as far as they matter here.
#[derive(Debug, PartialEq, Eq)]
struct Overrides {
    retries: u32,
    policies: Vec<String>,
    timeout: Option<Duration>,
}

impl Overrides {
    fn read(fragment: &str) -> Self {
        let mut overrides = Self { retries: 1, policies: vec!["ct".to_owned()], timeout: None };
        for (name, value) in form_urlencoded::parse(fragment.as_bytes()) {
            match (name.as_ref(), value.parse::<u32>()) {
                ("rc", Ok(retries)) => overrides.retries = retries.min(RETRIES_MAX),
                ("tt", Ok(ms @ 100..=15_000)) => {
                    overrides.timeout = Some(Duration::from_millis(u64::from(ms)));
                }
                ("rp", _) => overrides.policies = value.split(',').map(str::to_owned).collect(),
                _ => {}
            }
        }
        overrides
    }

    fn retry_on(&self, outcome: &Result<Answer, Silence>) -> bool {
        let policy = match outcome {
            Ok(answer) if (400..500).contains(&answer.status) => "4xx",
            Ok(answer) if answer.status >= 500 => "5xx",
            Ok(_) | Err(Silence::BadUrl) => return false,
            Err(Silence::Connect) => "ct",
            Err(Silence::Timeout | Silence::Broken) => "rt",
        };
        self.policies.iter().any(|p| p == policy || p == "all")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragment_and_credentials_are_not_signed() {
        let target = Target::read("http://user:pass@host:81/cb?message=1&attempt=2#rc=3&rp=all").unwrap();
        assert_eq!(target.signed, "http://host:81/cb?message=1&attempt=2");
        assert_eq!(target.url.as_str(), "http://user:pass@host:81/cb?message=1&attempt=2");
        assert_eq!(target.overrides.retries, 3);
    }

    #[test]
    fn the_default_is_one_retry_and_only_without_a_connection() {
        let overrides = Overrides::read("");
        assert_eq!(overrides.retries, 1);
        assert!(overrides.retry_on(&Err(Silence::Connect)));
        assert!(!overrides.retry_on(&Err(Silence::Timeout)));
        assert!(!overrides.retry_on(&Ok(answer(500))));
    }

    #[test]
    fn overrides_are_bounded_and_nonsense_is_ignored() {
        let overrides = Overrides::read("rc=99&rp=5xx,rt&tt=99999&e=ashburn&x");
        assert_eq!((overrides.retries, overrides.timeout), (5, None));
        assert!(overrides.retry_on(&Ok(answer(503))));
        assert!(overrides.retry_on(&Err(Silence::Timeout)));
        assert!(!overrides.retry_on(&Ok(answer(404))));
        assert!(!overrides.retry_on(&Ok(answer(204))));
    }

    fn answer(status: u16) -> Answer {
        Answer { status, content_type: None, body: String::new() }
    }
}

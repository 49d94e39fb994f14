//! What a client needs to know, and what is refused before the first call.

use std::fmt;
use std::time::Duration;

use facteur_core::integration::Secrets;
use facteur_core::limits::CALL_DURATION_MAX;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

/// How one Twilio account is reached. `Debug` shows neither secrets nor what a URL may hide.
#[derive(Clone)]
pub struct TwilioConfig {
    /// Where Twilio's API is: `https://api.twilio.com`, or plain `http` on a loopback address.
    pub base_url: Url,
    /// `AC` and 32 hexadecimal digits.
    pub account_sid: String,
    /// How we prove who we are.
    pub auth: Auth,
    /// Where Twilio reaches our web process; without it no callbacks are asked for.
    pub public_url: Option<Url>,
    /// Longest call, all in all: more than `connect_timeout`, at most 30 s.
    pub call_timeout: Duration,
    /// Longest name lookup, connection and TLS handshake together.
    pub connect_timeout: Duration,
    /// Most connections kept open between calls, at least 1: as many as there are calls in flight.
    pub connections_max: usize,
}

/// Credentials of HTTP Basic authentication.
#[derive(Debug, Clone)]
pub enum Auth {
    /// The account's auth token.
    Token(SecretString),
    /// An API key. It can't verify signatures: Twilio signs with the auth token alone.
    ApiKey {
        /// `SK` and 32 hexadecimal digits.
        sid: String,
        /// Its secret.
        secret: SecretString,
    },
}

impl Auth {
    /// User name and password of HTTP Basic authentication.
    pub(crate) fn basic<'a>(&'a self, account_sid: &'a str) -> (&'a str, &'a str) {
        match self {
            Self::Token(token) => (account_sid, token.expose_secret()),
            Self::ApiKey { sid, secret } => (sid, secret.expose_secret()),
        }
    }
}

/// Why a configuration can't work. The sentence names the setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The base URL is not one of an API.
    #[error("base_url: {0}")]
    BaseUrl(&'static str),
    /// The public URL can't receive callbacks.
    #[error("public_url: {0}")]
    PublicUrl(&'static str),
    /// The account SID is malformed.
    #[error("account_sid: is AC and 32 hexadecimal digits")]
    AccountSid,
    /// The credentials are empty or malformed.
    #[error("auth: {0}")]
    Auth(&'static str),
    /// A duration is zero, too long, or the two contradict each other.
    #[error("call_timeout, connect_timeout: {0}")]
    Timeouts(&'static str),
    /// No connection at all.
    #[error("connections_max: is at least 1")]
    ConnectionsMax,
    /// The HTTP client could not be built, mostly because the system has no CA certificates.
    #[error("the HTTP client could not be built: {0}")]
    HttpClient(String),
}

/// Whether a URL names this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

impl TwilioConfig {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        self.check_base_url()?;
        if let Some(public_url) = &self.public_url {
            check_public_url(public_url)?;
        }
        check_credentials(&self.account_sid, &self.auth)?;
        self.check_timeouts()?;
        if self.connections_max == 0 {
            return Err(ConfigError::ConnectionsMax);
        }
        Ok(())
    }

    fn check_base_url(&self) -> Result<(), ConfigError> {
        let url = &self.base_url;
        let fault = match url.scheme() {
            "https" => None,
            "http" if is_loopback(&self.base_url) => None,
            "http" => Some("plain http would show credentials and texts: use https, or a loopback address"),
            _ => Some("starts with https:// (or http:// on a loopback address)"),
        };
        let fault = fault.or_else(|| {
            if !url.username().is_empty() || url.password().is_some() {
                Some("holds credentials: they belong into their own settings")
            } else if url.query().is_some() || url.fragment().is_some() {
                Some("has a query or a fragment")
            } else {
                None
            }
        });
        fault.map_or(Ok(()), |why| Err(ConfigError::BaseUrl(why)))
    }

    /// Connecting must time out first: a time-out during connecting is certain, one of the call is not.
    fn check_timeouts(&self) -> Result<(), ConfigError> {
        if self.connect_timeout.is_zero() {
            Err(ConfigError::Timeouts("connect_timeout is more than zero"))
        } else if self.connect_timeout >= self.call_timeout {
            Err(ConfigError::Timeouts("connect_timeout is less than call_timeout"))
        } else if self.call_timeout > CALL_DURATION_MAX {
            Err(ConfigError::Timeouts(
                "call_timeout is at most 30 s, for the lease of a claim outlasts the call",
            ))
        } else {
            Ok(())
        }
    }
}

/// What authorises calls, out of what is stored of an account: its API key if it has one, else its auth token.
///
/// # Errors
/// If there is neither.
pub fn authorisation(api_key_sid: Option<&str>, secrets: &Secrets) -> Result<Auth, ConfigError> {
    match (api_key_sid, &secrets.api_secret, &secrets.auth_token) {
        (Some(sid), Some(secret), _) => Ok(Auth::ApiKey { sid: sid.to_owned(), secret: secret.clone() }),
        (_, _, Some(token)) => Ok(Auth::Token(token.clone())),
        _ => Err(ConfigError::Auth("there is neither an auth token nor an API key")),
    }
}

/// Whether they can be those of an account.
pub(crate) fn check_credentials(account_sid: &str, auth: &Auth) -> Result<(), ConfigError> {
    if !is_sid("AC", account_sid) {
        return Err(ConfigError::AccountSid);
    }
    if let Auth::ApiKey { sid, .. } = auth
        && !is_sid("SK", sid)
    {
        return Err(ConfigError::Auth("the SID of an API key is SK and 32 hexadecimal digits"));
    }
    if auth.basic(account_sid).1.is_empty() {
        return Err(ConfigError::Auth("the secret is empty"));
    }
    Ok(())
}

/// Twilio refuses callback URLs without a valid host name, with code 21609; underscores are not valid.
fn check_public_url(url: &Url) -> Result<(), ConfigError> {
    let fault = if !matches!(url.scheme(), "http" | "https") {
        "starts with https:// or http://"
    } else if url.host_str().is_some_and(|host| host.contains('_')) {
        "Twilio takes no host name with an underscore"
    } else if url.query().is_some() || url.fragment().is_some() {
        "has a query or a fragment"
    } else {
        return Ok(());
    };
    Err(ConfigError::PublicUrl(fault))
}

/// Whether it is the prefix and 32 hexadecimal digits.
pub(crate) fn is_sid(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|digits| digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Scheme, host and port: the parts of a URL that hold no credentials.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

impl fmt::Debug for TwilioConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TwilioConfig")
            .field("base_url", &origin(&self.base_url))
            .field("account_sid", &self.account_sid)
            .field("auth", &self.auth)
            .field("public_url", &self.public_url.as_ref().map(origin))
            .field("call_timeout", &self.call_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("connections_max", &self.connections_max)
            .finish()
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;

//! Media that contacts sent, which stay at Twilio: read with the account's credentials, and no further than Twilio itself
//! points.
//!
//! The URL comes out of a row, so it is judged when it is used: only the account's own media are asked for, of Twilio
//! alone. Twilio answers with a redirect to its store; the signature in that URL is what opens it, so nobody but Twilio's
//! API is shown the credentials. A client of the simulator (a base URL on this machine) never leaves this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, LOCATION};
use url::{Host, Url};

use crate::client::{TwilioClient, resource};
use crate::config::{is_loopback, is_sid};
use crate::redact;

/// Largest medium, in bytes: Twilio takes 5 MB for MMS and 16 MB for WhatsApp and RCS.
pub const MEDIUM_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Longest time for the whole of it, with its redirects.
pub const MEDIUM_READ_MAX: Duration = Duration::from_secs(60);
/// Twilio redirects once.
const REDIRECTS_MAX: usize = 3;
/// Where Twilio's webhooks say that media are, unless another region has them.
const API: &str = "api.twilio.com";
/// Hosts of Twilio's, by the end of their names. Media are at `mms.twiliocdn.com` and its like.
const TWILIO: [&str; 2] = [".twilio.com", ".twiliocdn.com"];
/// Amazon's store, as Twilio redirects to it for accounts whose media need no credentials. It has others' things too:
/// the first part of the path, or of the host, says whose.
const STORE: &str = "s3-external-1.amazonaws.com";
const STORE_PATH: &str = "/media.twiliocdn.com/";
const STORE_HOST: &str = "media.twiliocdn.com.s3-external-1.amazonaws.com";

/// Why a medium can't be read. Nothing personal is in it, and no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediumError {
    /// The row's URL, or a redirect, leads elsewhere than to the account's media at Twilio.
    #[error("its address is none of the account's media at Twilio")]
    Elsewhere,
    /// Twilio does not have it (any more).
    #[error("Twilio does not have it")]
    Gone,
    /// It has more than [`MEDIUM_BYTES_MAX`] bytes.
    #[error("it has more than {MEDIUM_BYTES_MAX} bytes")]
    TooLarge,
    /// It took too long.
    #[error("Twilio took too long")]
    TooSlow,
    /// No answer, or none with a medium.
    #[error("{0}")]
    Unanswered(String),
}

/// A medium whose answer has begun.
#[derive(Debug)]
pub struct Medium {
    response: reqwest::Response,
    read: u64,
}

impl Medium {
    /// What the store says that it is.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.response.headers().get(CONTENT_TYPE)?.to_str().ok()
    }

    /// Its bytes, if the store says how many; at most [`MEDIUM_BYTES_MAX`].
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece of it; `None` at its end.
    ///
    /// # Errors
    /// [`MediumError::TooLarge`] as soon as it proves to be, [`MediumError::TooSlow`], [`MediumError::Unanswered`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, MediumError> {
        let chunk = self.response.chunk().await.map_err(unanswered)?;
        self.read += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        if self.read > MEDIUM_BYTES_MAX { Err(MediumError::TooLarge) } else { Ok(chunk) }
    }
}

impl TwilioClient {
    /// Begins to read a medium of the account, whose URL came with an inbound message. Reading it changes nothing, so it
    /// may be repeated.
    ///
    /// # Errors
    /// [`MediumError`].
    pub async fn open_medium(&self, url: &str) -> Result<Medium, MediumError> {
        let mut url = first(url, self.account_sid(), self.base_url()).ok_or(MediumError::Elsewhere)?;
        let mut request = self.authorised(self.http_for(&url).get(url.clone()));
        for _ in 0..=REDIRECTS_MAX {
            let response = request.timeout(MEDIUM_READ_MAX).send().await.map_err(unanswered)?;
            match response.status().as_u16() {
                200 => return opened(response),
                301 | 302 | 303 | 307 | 308 => {}
                404 | 410 => return Err(MediumError::Gone),
                status => return Err(MediumError::Unanswered(format!("Twilio answered HTTP {status}"))),
            }
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            url = next.filter(|next| may_follow(next, self.base_url())).ok_or(MediumError::Elsewhere)?;
            request = self.http_for(&url).get(url.clone());
        }
        Err(MediumError::Unanswered(format!("Twilio redirected more than {REDIRECTS_MAX} times")))
    }

    /// The base URL is the configuration's, wherever it is; what a row or a redirect names is looked up with care.
    fn http_for(&self, url: &Url) -> &reqwest::Client {
        if url.origin() == self.base_url().origin() { self.http() } else { self.careful_http() }
    }
}

fn opened(response: reqwest::Response) -> Result<Medium, MediumError> {
    let is_too_large = response.content_length().is_some_and(|bytes| bytes > MEDIUM_BYTES_MAX);
    if is_too_large { Err(MediumError::TooLarge) } else { Ok(Medium { response, read: 0 }) }
}

fn unanswered(error: reqwest::Error) -> MediumError {
    if error.is_timeout() {
        return MediumError::TooSlow;
    }
    MediumError::Unanswered(redact::cause(error))
}

/// Where the account's medium is that a webhook named: below the base URL, or in another of Twilio's regions. `None` if it
/// is anything else.
fn first(text: &str, account_sid: &str, base_url: &Url) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let path: Vec<&str> = url.path_segments()?.collect();
    let ["2010-04-01", "Accounts", account, "Messages", message, "Media", medium] = path[..] else {
        return None;
    };
    let is_message = is_sid("MM", message) || is_sid("SM", message);
    if account != account_sid || !is_message || !is_sid("ME", medium) {
        return None;
    }
    let below_base = resource(base_url, &["Accounts", account, "Messages", message, "Media", medium]);
    if is_loopback(base_url) {
        return Some(below_base);
    }
    if !is_plain_https(&url) {
        return None;
    }
    match url.host_str()? {
        API => Some(below_base),
        host if host.ends_with(TWILIO[0]) => Some(url),
        _ => None,
    }
}

/// Whether a redirect may be followed.
fn may_follow(url: &Url, base_url: &Url) -> bool {
    if is_loopback(base_url) {
        return url.origin() == base_url.origin();
    }
    let is_twilios = |host: &str| {
        let is_in_store = host == STORE && url.path().starts_with(STORE_PATH);
        TWILIO.iter().any(|end| host.ends_with(end)) || is_in_store || host == STORE_HOST
    };
    is_plain_https(url) && url.host_str().is_some_and(is_twilios)
}

/// By name, at the port of https, without credentials of its own.
fn is_plain_https(url: &Url) -> bool {
    let has_name = matches!(url.host(), Some(Host::Domain(_)));
    let is_bare = url.username().is_empty() && url.password().is_none();
    url.scheme() == "https" && url.port().is_none() && has_name && is_bare
}

/// Finds the addresses of Twilio's hosts, and leaves out those that are on somebody's own network: a name server that
/// lies can't lead us there. Other names are those of proxies that the administrator chose.
pub(crate) struct PublicAddresses;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let host = name.as_str().to_ascii_lowercase();
            let is_asked_for = TWILIO.iter().any(|end| host.ends_with(end)) || host.ends_with(STORE);
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let fine = |address: &SocketAddr| !is_asked_for || is_public(address.ip());
            Ok(Box::new(found.filter(fine).collect::<Vec<_>>().into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the open Internet (the registries of special addresses of IANA, RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast();
    let is_shared_or_reserved = match address.octets() {
        [0 | 240..=255, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => true,
        [100, second, ..] => (64..128).contains(&second),
        _ => false,
    };
    !is_special && !is_shared_or_reserved
}

/// Addresses that hold one of IPv4 are what that is.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => is_public_v4(v4(high, low)),
        [0x2001, 0 | 0xdb8, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
#[path = "media_tests.rs"]
mod tests;

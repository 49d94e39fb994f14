//! A family of routes may have a key of its own, for front ends that send none: from listed origins or networks alone.
//!
//! The configuration names the key by its id, so that it holds no secret and the key can be revoked as any other. An
//! origin is what a browser says, and anything else can say it too: it keeps other sites out, not other programs.

use std::net::IpAddr;

use ipnet::IpNet;
use url::Url;
use uuid::Uuid;

use super::remote::is_within;

/// The families. `/v1` is none: whoever calls it can send a key.
const FAMILIES: [&str; 5] = ["/twilio", "/api/sms", "/api/templates", "/inbox", "/api/v1"];
const FORM: &str = "is not such as `/twilio 0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11 https://app.example.org 10.0.0.0/8`: a \
                    path, the id of a key, and origins or networks, with `;` before the next one";

/// As whom requests without `Authorization` are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefaultKey {
    path: String,
    key_id: Uuid,
    /// Pages that may.
    origins: Vec<String>,
    networks: Vec<IpNet>,
}

impl DefaultKey {
    /// Reads the setting.
    ///
    /// # Errors
    /// The end of a sentence about it.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, String> {
        text.split(';').filter(|part| !part.trim().is_empty()).map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (path, id) = (words.next().ok_or(FORM)?, words.next().ok_or(FORM)?);
        let path = path.trim_end_matches('/');
        if !FAMILIES.iter().any(|family| is_below(path, family)) {
            return Err(format!("names a path that is in no family: {}", FAMILIES.join(", ")));
        }
        let key_id = id.parse().map_err(|_| FORM)?;
        let mut key = Self { path: path.to_owned(), key_id, origins: vec![], networks: vec![] };
        for word in words {
            match network(word) {
                Some(network) => key.networks.push(network),
                None => key.origins.push(origin(word)?),
            }
        }
        let is_bound = !key.origins.is_empty() || !key.networks.is_empty();
        if is_bound { Ok(key) } else { Err(FORM.to_owned()) }
    }

    /// The pages that may.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// The key as which a request is taken that brings none: that of the longest path above it.
    pub(super) fn of(all: &[Self], path: &str, origin: Option<&str>, from: Option<IpAddr>) -> Option<Uuid> {
        all.iter()
            .filter(|key| is_below(path, &key.path))
            .filter(|key| {
                let is_known_page =
                    origin.is_some_and(|origin| key.origins.iter().any(|known| known == origin));
                is_known_page || from.is_some_and(|from| is_within(from, &key.networks))
            })
            .max_by_key(|key| key.path.len())
            .map(|key| key.key_id)
    }
}

/// Reads an origin as a browser writes it: scheme, host, and the port if it is not the usual one.
///
/// # Errors
/// The end of a sentence about it.
pub fn origin(text: &str) -> Result<String, String> {
    let form = || format!("holds `{text}`, which is no origin such as https://app.example.org");
    let url = Url::parse(text).map_err(|_| form())?;
    let origin = url.origin().ascii_serialization();
    let is_one = matches!(url.scheme(), "http" | "https") && text.trim_end_matches('/') == origin;
    if is_one { Ok(origin) } else { Err(form()) }
}

/// Reads a network, or an address as a network of its own.
#[must_use]
pub fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11";

    #[test]
    fn a_default_key_holds_for_its_paths_origins_and_networks_alone() {
        let other = Uuid::from_u128(1);
        let text = format!(
            "/twilio {ID} https://app.example.org http://localhost:3000; /twilio/send-sms/ {other} 10.1.0.0/16 ::1;"
        );
        let keys = DefaultKey::parse_all(&text).unwrap();
        let of = |path, origin, from: &str| DefaultKey::of(&keys, path, origin, Some(from.parse().unwrap()));
        let known = Some("https://app.example.org");
        let first = Some(ID.parse().unwrap());
        assert_eq!(of("/twilio/history", known, "192.0.2.1"), first);
        assert_eq!(of("/twilio/send-sms", known, "192.0.2.1"), first);
        assert_eq!(of("/twilio/send-sms", known, "10.1.2.3"), Some(other), "the longest path");
        assert_eq!(of("/twilio/send-sms", None, "::1"), Some(other));
        for (path, origin, from) in [
            ("/twilio/history", None, "10.1.2.3"),
            ("/twilio/history", Some("https://app.example.org.evil"), "192.0.2.1"),
            ("/twilio/history", Some("null"), "192.0.2.1"),
            ("/twiliox", known, "192.0.2.1"),
            ("/v1/messages", known, "10.1.2.3"),
            ("/twilio/send-sms", None, "10.2.0.1"),
        ] {
            assert_eq!(of(path, origin, from), None, "{path} {origin:?} {from}");
        }
    }

    #[test]
    fn what_is_bound_to_nothing_or_to_no_family_is_refused() {
        for (wrong, says) in [
            (format!("/twilio {ID}"), "is not such as"),
            (format!("/v1 {ID} 10.0.0.0/8"), "in no family"),
            (format!("/ {ID} 10.0.0.0/8"), "in no family"),
            ("/twilio 7 10.0.0.0/8".to_owned(), "is not such as"),
            (format!("/twilio {ID} *"), "no origin"),
            (format!("/twilio {ID} https://app.example.org/path"), "no origin"),
            (format!("/twilio {ID} https://App.example.org"), "no origin"),
            (format!("/twilio {ID} ftp://app.example.org"), "no origin"),
        ] {
            let why = DefaultKey::parse_all(&wrong).unwrap_err();
            assert!(why.contains(says), "{wrong}: {why}");
        }
        assert_eq!(DefaultKey::parse_all(" ; ").unwrap(), []);
    }
}

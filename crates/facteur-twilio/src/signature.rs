//! `X-Twilio-Signature`: what proves that a webhook comes from Twilio.
//!
//! The rules are those of Twilio's page "Webhooks security" and of its official libraries: Base64 of an
//! HMAC-SHA1, keyed with the account's primary auth token, over the exact URL (without its fragment) followed
//! by every form parameter, sorted by name. A JSON body is covered by its hash, which stands in the URL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// The query parameter that carries a JSON body's SHA-256 in lowercase hexadecimal.
const BODY_HASH_PARAMETER: &str = "bodySHA256";

/// Signs a form webhook: `url` exactly as Twilio was given it, `form` after decoding (for a GET: empty, for
/// its parameters stand in the URL).
#[must_use]
pub fn sign(auth_token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut mac = keyed(auth_token);
    mac.update(without_fragment(url).as_bytes());
    mac.update(signed_parameters(form).as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

/// Signs a webhook with a JSON body: the URL alone, which must already hold the body's `bodySHA256`.
#[must_use]
pub fn sign_body(auth_token: &str, url: &str) -> String {
    sign(auth_token, url, &[])
}

/// Whether one of the tokens (several while they are rotated) signed this form webhook.
///
/// The URL is tried with and without its port, and with and without its `user:password@`, for Twilio's
/// systems differ in what they sign. Comparison takes constant time; empty tokens never match.
#[must_use]
pub fn verify(tokens: &[&str], url: &str, form: &[(String, String)], signature_header: &str) -> bool {
    let Ok(signature) = STANDARD.decode(signature_header) else { return false };
    let parameters = signed_parameters(form);
    let urls = accepted_urls(url);
    tokens.iter().filter(|token| !token.is_empty()).any(|token| {
        urls.iter().any(|url| {
            let mut mac = keyed(token);
            mac.update(url.as_bytes());
            mac.update(parameters.as_bytes());
            mac.verify_slice(&signature).is_ok()
        })
    })
}

/// Whether one of the tokens signed this webhook with a JSON body: the URL's `bodySHA256` must be the hash of
/// the raw `body`, and the signature that of the URL.
#[must_use]
pub fn verify_json(tokens: &[&str], url: &str, body: &[u8], signature_header: &str) -> bool {
    let Some(announced) = body_hash(url) else { return false };
    let actual: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    announced.eq_ignore_ascii_case(&actual) && verify(tokens, url, &[], signature_header)
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length; longer ones are hashed")]
fn keyed(auth_token: &str) -> Hmac<Sha1> {
    Hmac::new_from_slice(auth_token.as_bytes()).expect("HMAC takes keys of any length")
}

/// Names in byte order, each value after its name; a repeated name with each of its values once, in order.
fn signed_parameters(form: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs.into_iter().flat_map(|(name, value)| [name, value]).collect()
}

/// Connection overrides travel in the fragment, which Twilio neither sends nor signs.
fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(before, _)| before)
}

fn body_hash(url: &str) -> Option<&str> {
    let (_, query) = without_fragment(url).split_once('?')?;
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(name, value)| (name == BODY_HASH_PARAMETER).then_some(value))
}

/// The forms of a URL that Twilio may have signed. The text is cut, never parsed and written anew: signing is
/// about the bytes on the wire.
fn accepted_urls(url: &str) -> Vec<String> {
    let url = without_fragment(url);
    let Some((scheme, rest)) = url.split_once("://") else { return vec![url.to_owned()] };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (userinfo, host_and_port) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    let (host, port) = split_port(host_and_port);
    let other_port = match (port, scheme.eq_ignore_ascii_case("https")) {
        (Some(_), _) => String::new(),
        (None, true) => ":443".to_owned(),
        (None, false) => ":80".to_owned(),
    };
    let mut urls = Vec::with_capacity(4);
    for userinfo in [userinfo, ""] {
        urls.push(format!("{scheme}://{userinfo}{host_and_port}{path}"));
        urls.push(format!("{scheme}://{userinfo}{host}{other_port}{path}"));
    }
    urls
}

/// Splits `host:port`; an IPv6 host keeps its brackets and colons.
fn split_port(host_and_port: &str) -> (&str, Option<&str>) {
    match host_and_port.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host_and_port, None),
    }
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;

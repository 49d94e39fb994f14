//! From a setting's text to its type. No sentence here repeats the text, which may be a secret.

use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

use facteur_core::gcra::Rate;
use facteur_core::phone::Country;
use facteur_core::reconcile::{Policies, Policy};
use facteur_core::sender::Sender;
use facteur_core::vault::Keyring;
use secrecy::SecretString;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::sections::LogFormat;

/// Longest text of any setting, in bytes.
const TEXT_BYTES_MAX: usize = 4_096;

fn bounded(text: &str) -> Result<&str, String> {
    let text = text.trim();
    match text.len() {
        0 => Err("is empty".to_owned()),
        1..=TEXT_BYTES_MAX => Ok(text),
        length => Err(format!("has {length} bytes; at most {TEXT_BYTES_MAX}")),
    }
}

/// A text as it is, on one line.
pub(super) fn line(text: &str) -> Result<String, String> {
    let text = bounded(text)?;
    if text.chars().any(char::is_control) {
        Err("holds a control character".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

pub(super) fn secret(text: &str) -> Result<SecretString, String> {
    Ok(bounded(text)?.into())
}

/// The keys of what is sealed in the database.
pub(super) fn keyring(text: &str) -> Result<Keyring, String> {
    Keyring::parse(bounded(text)?)
}

/// A URL whose scheme is one of `schemes`; the rest is the adapter's business.
pub(super) fn server_url(text: &str, schemes: &[&str]) -> Result<SecretString, String> {
    let text = bounded(text)?;
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(text.into()),
        _ => Err(format!("is not a URL that starts with {} and names a host", schemes.join(" or "))),
    }
}

/// An http(s) URL without user, query or fragment, to which paths can be added.
pub(super) fn http_url(text: &str) -> Result<Url, String> {
    let form = "is not an http or https URL without user, query and fragment";
    let url = Url::parse(bounded(text)?).map_err(|_| form.to_owned())?;
    let is_plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.has_host();
    if matches!(url.scheme(), "http" | "https") && is_plain { Ok(url) } else { Err(form.to_owned()) }
}

/// First part of the names of exchanges and queues.
pub(super) fn prefix(text: &str) -> Result<String, String> {
    let text = bounded(text)?;
    let is_fine = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.starts_with("amq.")
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
    if is_fine {
        Ok(text.to_owned())
    } else {
        Err("is not a letter and up to 63 more of a-z, 0-9, `.`, `_` and `-` (`amq.` is the broker's own)"
            .to_owned())
    }
}

/// A whole number from `min` to `max`.
pub(super) fn whole<T: FromStr + PartialOrd + Display>(text: &str, min: T, max: T) -> Result<T, String> {
    T::from_str(bounded(text)?)
        .ok()
        .filter(|number| (&min..=&max).contains(&number))
        .ok_or_else(|| format!("is not a whole number from {min} to {max}"))
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match bounded(text)?.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

pub(super) fn rate(text: &str) -> Result<Rate, String> {
    let number =
        bounded(text)?.parse::<f64>().map_err(|_| "is not a number of segments a second".to_owned())?;
    Rate::per_second(number).map_err(|why| format!("is out of range: {why}"))
}

/// One policy for all categories, or `category=policy` for some.
pub(super) fn policies(text: &str) -> Result<Policies, String> {
    let form =
        "is neither hold nor resend, nor such as otp=resend,marketing=hold (otp, transactional, marketing)";
    let policy =
        |name: &str| [Policy::Hold, Policy::Resend].into_iter().find(|policy| policy.as_str() == name.trim());
    let text = bounded(text)?;
    if let Some(all) = policy(text) {
        return Ok(Policies { otp: all, transactional: all, marketing: all });
    }
    let mut policies = Policies::default();
    for part in text.split(',') {
        let (category, name) = part.split_once('=').ok_or(form)?;
        let place = match category.trim() {
            "otp" => &mut policies.otp,
            "transactional" => &mut policies.transactional,
            "marketing" => &mut policies.marketing,
            _ => return Err(form.to_owned()),
        };
        *place = policy(name).ok_or(form)?;
    }
    Ok(policies)
}

pub(super) fn country(text: &str) -> Result<Country, String> {
    Country::parse(bounded(text)?)
        .map_err(|_| "is not the two letters of a country, such as FR (ISO 3166)".to_owned())
}

/// A SID: two letters and 32 hexadecimal digits.
pub(super) fn sid(text: &str, letters: &str) -> Result<String, String> {
    let text = bounded(text)?;
    let digits = text.strip_prefix(letters).unwrap_or_default();
    if digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text.to_owned())
    } else {
        Err(format!("is not {letters} and 32 hexadecimal digits"))
    }
}

/// A sender of texts: a number with its country code, a short code or an alphanumeric id.
pub(super) fn phone_sender(text: &str) -> Result<Sender, String> {
    Sender::parse(&unspaced(bounded(text)?))
        .ok()
        .filter(|sender| !sender.as_str().starts_with("whatsapp:") && !sender.is_messaging_service())
        .ok_or_else(|| {
            "is not a number with its country code (+33…), a short code or an alphanumeric id".to_owned()
        })
}

/// A sender on WhatsApp: a number with its country code, with or without `whatsapp:`.
pub(super) fn whatsapp_sender(text: &str) -> Result<Sender, String> {
    let text = bounded(text)?;
    let number = unspaced(text.strip_prefix("whatsapp:").unwrap_or(text));
    Sender::parse(&format!("whatsapp:{number}"))
        .map_err(|_| "is not a number with its country code (+33…), with or without whatsapp:".to_owned())
}

/// Spaces within a number are only there for the eye; within an alphanumeric id they count.
fn unspaced(text: &str) -> String {
    if text.starts_with('+') { text.split_whitespace().collect() } else { text.to_owned() }
}

pub(super) fn messaging_service(text: &str) -> Result<Sender, String> {
    Sender::parse(&sid(text, "MG")?)
}

pub(super) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    bounded(text)?
        .parse()
        .map_err(|_| "is not an address and a port, such as 127.0.0.1:9464 or [::]:9464".to_owned())
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    let text = bounded(text)?;
    EnvFilter::builder().parse(text).map(|_| text.to_owned()).map_err(|_| {
        "is not a log filter: error, warn, info, debug or trace, or directives such as info,facteur_amqp=debug"
            .to_owned()
    })
}

pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match bounded(text)? {
        "human" => Ok(LogFormat::Human),
        "json" => Ok(LogFormat::Json),
        _ => Err("is neither human nor json".to_owned()),
    }
}

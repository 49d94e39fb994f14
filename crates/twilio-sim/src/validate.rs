//! The form of a new message → an order that can be accepted, or Twilio's error. Nothing is stored here.

use std::time::Duration;

use url::Url;

use crate::address::{Channel, is_possible_sender, is_short_code, normalised_recipient};
use crate::clock::Moment;
use crate::config::SimConfig;
use crate::refusal::Refusal;

/// Longest body, in UTF-16 units (21617).
const BODY_UNITS_MAX: usize = 1_600;
/// Most media (21623).
const MEDIA_MAX: usize = 10;
/// Longest status callback URL (21609).
const CALLBACK_URL_BYTES_MAX: usize = 4_000;
/// The validity period, in seconds (21624).
const VALIDITY_S: std::ops::RangeInclusive<u64> = 1..=36_000;
/// How far ahead a message may be scheduled (35114).
const SCHEDULE_AHEAD: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(300)..=Duration::from_secs(35 * 24 * 3_600);
/// The sender that is always owned.
pub(crate) const MAGIC_SENDER: &str = "+15005550006";

/// Name and value of each field of a form or query.
pub(crate) type Form = [(String, String)];

/// The first value of a field; an empty one counts as absent.
pub(crate) fn field<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
}

/// A message that may be accepted.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) to: String,
    pub(crate) from: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) channel: Channel,
    pub(crate) body: String,
    pub(crate) media: Vec<String>,
    /// `ContentSid` and `ContentVariables`, as one text: what tells two of them apart.
    pub(crate) content: Option<String>,
    pub(crate) status_callback: Option<String>,
    pub(crate) validity: Option<Duration>,
    pub(crate) send_at: Option<Moment>,
}

/// Reads a form. The order of the checks is Twilio's as far as it is known: sender, recipient, content.
pub(crate) fn order(form: &Form, config: &SimConfig, test: bool, now: Moment) -> Result<Order, Refusal> {
    let to = field(form, "To").ok_or_else(|| Refusal::bad(21604, "A 'To' phone number is required."))?;
    let from = field(form, "From");
    let service = field(form, "MessagingServiceSid");
    if let Some(from) = from {
        check_sender(from, config, test)?;
    } else if service.is_none() {
        return Err(Refusal::bad(21603, "A 'From' phone number is required."));
    }
    check_service(service, config, test)?;
    let to = recipient(to, from)?;
    let media = media(form)?;
    let content = content(form)?;
    let body = body(form, media.is_empty() && content.is_none())?;
    Ok(Order {
        channel: Channel::split(&to).0,
        to,
        from: from.map(str::to_owned),
        body,
        media,
        content,
        status_callback: status_callback(form)?,
        validity: validity(form)?,
        send_at: schedule(form, service, now)?,
        service: service.map(str::to_owned),
    })
}

fn check_sender(from: &str, config: &SimConfig, test: bool) -> Result<(), Refusal> {
    let not_owned = || {
        let text = format!(
            "The From phone number {from} is not a valid, SMS-capable inbound phone number or short code for \
             your account."
        );
        Err(Refusal::bad(21606, text))
    };
    match from {
        MAGIC_SENDER => return Ok(()),
        "+15005550001" => return Err(invalid_sender(from)),
        "+15005550007" => return not_owned(),
        "+15005550008" => return Err(Refusal::queue_full(config.retry_after_s)),
        _ if test => return not_owned(),
        _ => {}
    }
    if !is_possible_sender(from) {
        return Err(invalid_sender(from));
    }
    match &config.owned_senders {
        Some(owned) if !owned.iter().any(|sender| sender == from) => {
            if Channel::split(from).0 == Channel::Sms {
                return not_owned();
            }
            Err(Refusal::bad(63007, "Twilio could not find a Channel with the specified From address"))
        }
        _ => Ok(()),
    }
}

fn invalid_sender(from: &str) -> Refusal {
    let text = format!(
        "The 'From' number {from} is not a valid phone number, shortcode, or alphanumeric sender ID."
    );
    Refusal::bad(21212, text)
}

fn check_service(service: Option<&str>, config: &SimConfig, test: bool) -> Result<(), Refusal> {
    let Some(sid) = service else { return Ok(()) };
    if test {
        return Err(Refusal::new(403, 20008, "Resource not accessible with Test Account Credentials"));
    }
    if !is_sid(sid, "MG") {
        return Err(Refusal::bad(21705, format!("The Messaging Service Sid {sid} is invalid.")));
    }
    match &config.messaging_services {
        Some(services) if !services.contains_key(sid) => {
            Err(Refusal::bad(21701, format!("The Messaging Service {sid} does not exist.")))
        }
        _ => Ok(()),
    }
}

fn recipient(to: &str, from: Option<&str>) -> Result<String, Refusal> {
    if is_short_code(to) && to.len() >= 5 {
        return Err(Refusal::bad(21265, format!("'To' number cannot be a Short Code: {to}")));
    }
    let invalid = || Refusal::bad(21211, format!("The 'To' number {to} is not a valid phone number."));
    let number = normalised_recipient(to).ok_or_else(invalid)?;
    if let Some(from) = from {
        if from == number {
            return Err(Refusal::bad(21266, "'To' and 'From' number cannot be the same."));
        }
        if Channel::split(from).0 != Channel::split(&number).0 {
            return Err(Refusal::bad(21910, "'From' and 'To' must be on the same channel."));
        }
    }
    let magic = match number.as_str() {
        "+15005550001" => invalid(),
        "+15005550002" => {
            let from = from.unwrap_or_default();
            let text = format!(
                "The 'To' phone number: {to}, is not currently reachable using the 'From' phone number: {from} \
                 via SMS."
            );
            Refusal::bad(21612, text)
        }
        "+15005550003" => {
            let text = "Permission to send an SMS has not been enabled for the region indicated by the 'To' \
                        number";
            Refusal::bad(21408, format!("{text}: {to}."))
        }
        "+15005550004" => opted_out(),
        "+15005550009" => Refusal::bad(21614, format!("To number: {to}, is not a mobile number")),
        _ => return Ok(number),
    };
    Err(magic)
}

pub(crate) fn opted_out() -> Refusal {
    Refusal::bad(21610, "Attempt to send to unsubscribed recipient")
}

fn body(form: &Form, required: bool) -> Result<String, Refusal> {
    let body = field(form, "Body").unwrap_or_default();
    if body.is_empty() && required {
        return Err(Refusal::bad(21602, "Message body is required."));
    }
    if body.encode_utf16().count() > BODY_UNITS_MAX {
        return Err(Refusal::bad(21617, "The concatenated message body exceeds the 1600 character limit."));
    }
    Ok(body.to_owned())
}

fn media(form: &Form) -> Result<Vec<String>, Refusal> {
    let media: Vec<String> =
        form.iter().filter(|(key, _)| key == "MediaUrl").map(|(_, url)| url.clone()).collect();
    if media.len() > MEDIA_MAX {
        return Err(Refusal::bad(21623, "Number of media files exceeds allowed limit."));
    }
    if media.iter().any(|url| !is_web_url(url)) {
        return Err(Refusal::bad(21620, "Invalid media URL(s)."));
    }
    Ok(media)
}

fn content(form: &Form) -> Result<Option<String>, Refusal> {
    let variables = field(form, "ContentVariables");
    let Some(sid) = field(form, "ContentSid") else {
        return match variables {
            Some(_) => Err(Refusal::bad(21654, "ContentSid is required.")),
            None => Ok(None),
        };
    };
    if !is_sid(sid, "HX") {
        return Err(Refusal::bad(21655, "The ContentSid is invalid."));
    }
    let variables = variables.unwrap_or("{}");
    if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(variables).is_err() {
        return Err(Refusal::bad(21656, "The ContentVariables parameter is invalid."));
    }
    Ok(Some(format!("{sid}\n{variables}")))
}

fn status_callback(form: &Form) -> Result<Option<String>, Refusal> {
    let Some(url) = field(form, "StatusCallback") else { return Ok(None) };
    let is_fine = url.len() <= CALLBACK_URL_BYTES_MAX
        && is_web_url(url)
        && Url::parse(url).is_ok_and(|url| url.host_str().is_some_and(|host| !host.contains('_')));
    if is_fine {
        Ok(Some(url.to_owned()))
    } else {
        Err(Refusal::bad(21609, "The StatusCallback URL is not a valid URL."))
    }
}

fn validity(form: &Form) -> Result<Option<Duration>, Refusal> {
    let Some(text) = field(form, "ValidityPeriod") else { return Ok(None) };
    match text.parse::<u64>() {
        Ok(seconds) if VALIDITY_S.contains(&seconds) => Ok(Some(Duration::from_secs(seconds))),
        _ => {
            let text = format!("The ValidityPeriod value {text} is not an integer between 1 and 36000.");
            Err(Refusal::bad(21624, text))
        }
    }
}

fn schedule(form: &Form, service: Option<&str>, now: Moment) -> Result<Option<Moment>, Refusal> {
    // Without a Messaging Service, Twilio treats the request as not scheduled (page of error 35111).
    let (Some(kind), Some(_)) = (field(form, "ScheduleType"), service) else { return Ok(None) };
    if kind != "fixed" {
        return Err(Refusal::bad(
            35126,
            "The ScheduleType value provided is not supported for this channel.",
        ));
    }
    let send_at = field(form, "SendAt").ok_or_else(|| Refusal::bad(35111, "SendAt timestamp is missing."))?;
    let moment = send_at.parse().map(Moment::at).ok();
    match moment.filter(|moment| SCHEDULE_AHEAD.contains(&moment.since(now))) {
        Some(moment) => Ok(Some(moment)),
        None => {
            let text = "SendAt time must be between 300 seconds and 35 days (3024000 seconds) in the future, \
                        inclusive.";
            Err(Refusal::bad(35114, text))
        }
    }
}

fn is_web_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Two letters and 32 hexadecimal digits.
pub(crate) fn is_sid(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

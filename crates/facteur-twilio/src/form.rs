//! A call as the form that Twilio's Messages resource takes.

use facteur_core::call::{Call, CallContent};
use url::Url;
use url::form_urlencoded::Serializer;

/// Twilio's connection overrides: try our webhook three more times, whatever went wrong. By default it tries
/// once more, and only if it could not connect.
const CALLBACK_OVERRIDES: &str = "rc=3&rp=all";

/// Where Twilio reports what becomes of a message.
#[derive(Debug, Clone)]
pub(crate) struct StatusCallback(Url);

impl StatusCallback {
    /// The status webhook under the public URL.
    pub(crate) fn at(public_url: &Url) -> Self {
        let mut url = public_url.clone();
        // Only URLs that can't be a base have no path; `TwilioConfig::check` lets none of them through.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["twilio", "webhook", "status"]);
        }
        url.set_fragment(Some(CALLBACK_OVERRIDES));
        Self(url)
    }

    /// With message id and attempt in the query string, which Twilio signs and returns: the evidence that a
    /// lost reply was an acceptance.
    fn of(&self, call: &Call) -> Url {
        let mut url = self.0.clone();
        url.set_query(Some(&format!("message={}&attempt={}", call.job_id, call.attempt)));
        url
    }
}

/// The form, encoded.
pub(crate) fn encode(call: &Call, status_callback: Option<&StatusCallback>) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("To", &call.to.twilio_address());
    let sender_field = if call.from.is_messaging_service() { "MessagingServiceSid" } else { "From" };
    form.append_pair(sender_field, call.from.as_str());
    match &call.content {
        CallContent::Message { text, media_urls } => {
            if !text.is_empty() {
                form.append_pair("Body", text);
            }
            for media_url in media_urls {
                form.append_pair("MediaUrl", media_url);
            }
        }
        CallContent::Template { content_sid, variables } => {
            form.append_pair("ContentSid", content_sid);
            if !variables.is_empty() {
                form.append_pair("ContentVariables", &serde_json::json!(variables).to_string());
            }
        }
    }
    if let Some(seconds) = call.validity_period_s {
        form.append_pair("ValidityPeriod", &seconds.to_string());
    }
    if let Some(status_callback) = status_callback {
        form.append_pair("StatusCallback", status_callback.of(call).as_str());
    }
    form.finish()
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;

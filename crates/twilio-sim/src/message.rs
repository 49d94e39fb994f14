//! A message and how Twilio shows it.

use std::sync::Arc;

use serde::Serialize;

use crate::address::Channel;
use crate::clock::Moment;
use crate::progress::{Status, Step, Timeline};
use crate::refusal::error_message;

/// One stored message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Counts up with every message; later ones are newer.
    pub(crate) ordinal: u64,
    pub(crate) sid: String,
    pub(crate) account_sid: Arc<str>,
    pub(crate) to: String,
    /// The sender, also if a service has yet to show which one it picked.
    pub(crate) from: String,
    pub(crate) service: Option<String>,
    pub(crate) channel: Channel,
    pub(crate) body: String,
    pub(crate) segments: u32,
    pub(crate) media: Vec<Media>,
    pub(crate) inbound: bool,
    pub(crate) created_at: Moment,
    /// When it was last changed over the API.
    pub(crate) edited_at: Option<Moment>,
    pub(crate) timeline: Timeline,
    pub(crate) status_callback: Option<String>,
}

/// One medium of a message.
#[derive(Debug, Clone)]
pub(crate) struct Media {
    pub(crate) sid: String,
    pub(crate) url: String,
}

impl Message {
    pub(crate) fn status(&self, now: Moment) -> Status {
        self.timeline.at(now).status
    }

    /// The message as the API shows it.
    pub(crate) fn view(&self, now: Moment) -> MessageView<'_> {
        self.show(self.timeline.at(now), self.timeline.sent_at(now))
    }

    /// The message as the answer to its creation shows it, however fast it is.
    pub(crate) fn view_of_creation(&self) -> MessageView<'_> {
        self.show(self.timeline.first(), None)
    }

    fn show(&self, step: Step, sent_at: Option<Moment>) -> MessageView<'_> {
        let base = format!("/2010-04-01/Accounts/{}/Messages/{}", self.account_sid, self.sid);
        let is_assigned =
            self.service.is_none() || !matches!(step.status, Status::Accepted | Status::Scheduled);
        MessageView {
            sid: &self.sid,
            account_sid: &self.account_sid,
            api_version: "2010-04-01",
            body: &self.body,
            date_created: self.created_at.rfc2822(),
            date_sent: sent_at.map(Moment::rfc2822),
            date_updated: self.edited_at.map_or(step.at, |edited| edited.max(step.at)).rfc2822(),
            direction: if self.inbound { "inbound" } else { "outbound-api" },
            error_code: step.error,
            error_message: step.error.and_then(error_message),
            from: is_assigned.then_some(self.from.as_str()),
            to: &self.to,
            messaging_service_sid: self.service.as_deref(),
            num_media: self.media.len().to_string(),
            num_segments: if is_assigned { self.segments.to_string() } else { "0".to_owned() },
            price: None,
            price_unit: Some("USD"),
            status: step.status.as_str(),
            subresource_uris: SubresourceUris { media: format!("{base}/Media.json") },
            uri: format!("{base}.json"),
        }
    }
}

/// A message in Twilio's JSON.
#[derive(Debug, Serialize)]
pub(crate) struct MessageView<'a> {
    sid: &'a str,
    account_sid: &'a str,
    api_version: &'static str,
    body: &'a str,
    date_created: String,
    date_sent: Option<String>,
    date_updated: String,
    direction: &'static str,
    error_code: Option<u32>,
    error_message: Option<&'static str>,
    from: Option<&'a str>,
    to: &'a str,
    messaging_service_sid: Option<&'a str>,
    num_media: String,
    num_segments: String,
    price: Option<&'static str>,
    price_unit: Option<&'static str>,
    status: &'static str,
    subresource_uris: SubresourceUris,
    uri: String,
}

#[derive(Debug, Serialize)]
struct SubresourceUris {
    media: String,
}

//! The account's list of messages, as evidence: a list counts only if every page of it could be read.

use std::time::Duration;

use facteur_core::Timestamp;
use facteur_core::ids::MessageSid;
use facteur_core::job::Recipient;
use facteur_core::reconcile::ListedMessage;
use facteur_core::status::TwilioStatus;
use jiff::fmt::rfc2822;
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::classify::document;
use crate::client::TwilioClient;
use crate::exchange::{Answer, NoAnswer};

/// Messages on a page: with the longest texts, a page stays below the longest answer that is read.
const PAGE_SIZE: usize = 50;
/// More pages than this to one recipient, and newer than what is looked for, are nobody's ordinary traffic.
const PAGES_MAX: usize = 20;

/// Why a list can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListFault {
    /// Twilio asked to slow down.
    Throttled {
        /// How long it asked us to wait.
        retry_after: Option<Duration>,
    },
    /// A page of it could not be read.
    NotReadable {
        /// What happened, without personal data.
        cause: String,
    },
}

impl std::fmt::Display for ListFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Throttled { .. } => f.write_str("Twilio asked to slow down"),
            Self::NotReadable { cause } => f.write_str(cause),
        }
    }
}

/// One page, and where the next one is.
struct Page {
    messages: Vec<ListedMessage>,
    next: Option<Url>,
}

impl TwilioClient {
    /// The messages to a recipient, newest first, back to `since`, perhaps with some that are older. Filtered by
    /// recipient alone: what has not been sent yet has no `DateSent`. Sends nothing, so it may be repeated.
    ///
    /// # Errors
    /// A [`ListFault`] if any page could not be read: what was read of the others proves nothing.
    pub async fn messages_to(
        &self,
        recipient: &Recipient,
        since: Timestamp,
    ) -> Result<Vec<ListedMessage>, ListFault> {
        let mut url = self.first_page_to(recipient);
        let mut found = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = self.page(url).await?;
            let is_past = page.messages.iter().all(|message| message.created_at < since);
            found.extend(page.messages);
            match page.next {
                Some(next) if !is_past => url = next,
                _ => return Ok(found),
            }
        }
        Err(not_readable(format!("the list goes on after {PAGES_MAX} pages")))
    }

    /// The account's latest messages, one page of them.
    ///
    /// # Errors
    /// A [`ListFault`] if the page could not be read.
    pub async fn latest_messages(&self) -> Result<Vec<ListedMessage>, ListFault> {
        let mut url = self.messages_url().clone();
        url.set_query(Some(&format!("PageSize={PAGE_SIZE}")));
        Ok(self.page(url).await?.messages)
    }

    fn first_page_to(&self, recipient: &Recipient) -> Url {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("To", &recipient.twilio_address()).append_pair("PageSize", &PAGE_SIZE.to_string());
        let mut url = self.messages_url().clone();
        url.set_query(Some(&query.finish()));
        url
    }

    async fn page(&self, url: Url) -> Result<Page, ListFault> {
        let answer = self
            .get_url(url)
            .await
            .map_err(|(NoAnswer::NotSent(cause) | NoAnswer::Lost(cause))| not_readable(cause))?;
        match answer {
            Answer { http_status: 200, .. } => {}
            Answer { http_status: 429, retry_after, .. } => return Err(ListFault::Throttled { retry_after }),
            Answer { http_status, .. } => {
                return Err(not_readable(format!("Twilio answered HTTP {http_status}")));
            }
        }
        let page = document(&answer).map_err(not_readable)?;
        let messages =
            page["messages"].as_array().ok_or_else(|| not_readable("the page holds no messages"))?;
        let messages = messages.iter().map(message).collect::<Option<_>>();
        let messages = messages.ok_or_else(|| not_readable("a message of the page can't be understood"))?;
        let next = match &page["next_page_uri"] {
            Value::Null => None,
            Value::String(uri) if uri.is_empty() => None,
            uri => Some(self.next_page(uri.as_str().unwrap_or_default())?),
        };
        Ok(Page { messages, next })
    }

    /// Followed as it is given, but only where our credentials belong.
    fn next_page(&self, uri: &str) -> Result<Url, ListFault> {
        let messages_url = self.messages_url();
        let url = if uri.starts_with('/') && !uri.starts_with("//") {
            let base = self.base_url().as_str().trim_end_matches('/');
            Url::parse(&format!("{base}{uri}")).ok()
        } else {
            Url::parse(uri).ok()
        };
        url.filter(|url| url.origin() == messages_url.origin() && url.path() == messages_url.path())
            .filter(|url| url.username().is_empty() && url.password().is_none())
            .ok_or_else(|| not_readable("the next page is said to be elsewhere"))
    }
}

fn not_readable(cause: impl Into<String>) -> ListFault {
    ListFault::NotReadable { cause: cause.into() }
}

/// `None` if what tells messages apart is missing. An unknown status counts as queued, as in the answer to a call.
fn message(message: &Value) -> Option<ListedMessage> {
    let text = |field: &str| message[field].as_str();
    Some(ListedMessage {
        sid: MessageSid::parse(text("sid")?).ok()?,
        to: text("to")?.to_owned(),
        body: text("body").unwrap_or_default().to_owned(),
        is_outbound: text("direction")?.starts_with("outbound"),
        created_at: rfc2822::parse(text("date_created")?).ok()?.timestamp(),
        twilio_status: text("status").and_then(TwilioStatus::parse).unwrap_or(TwilioStatus::Queued),
        code: message["error_code"].as_u64().and_then(|code| u32::try_from(code).ok()),
    })
}

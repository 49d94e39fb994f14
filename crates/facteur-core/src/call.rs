//! What one call to Twilio carries. Credentials are the adapter's business.

use std::collections::BTreeMap;

use crate::ids::{AttemptNumber, JobId};
use crate::job::Recipient;
use crate::sender::Sender;

/// One message, ready to be handed to Twilio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Our id; travels in the status callback's query string.
    pub job_id: JobId,
    /// Which attempt this is; travels there too.
    pub attempt: AttemptNumber,
    /// To whom.
    pub to: Recipient,
    /// From which sender.
    pub from: Sender,
    /// What.
    pub content: CallContent,
    /// How long the message is worth sending, in seconds (Twilio's `ValidityPeriod`).
    pub validity_period_s: Option<u32>,
}

/// The content, rendered.
#[derive(Clone, PartialEq, Eq)]
pub enum CallContent {
    /// Text, with or without media.
    Message {
        /// The text; may be empty if there are media.
        text: String,
        /// Media URLs.
        media_urls: Vec<String>,
    },
    /// A template of Twilio's own.
    Template {
        /// `HX…`.
        content_sid: String,
        /// Its variables.
        variables: BTreeMap<String, String>,
    },
}

impl std::fmt::Debug for CallContent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Message { text, media_urls } => {
                write!(f, "Message({} chars, {} media)", text.chars().count(), media_urls.len())
            }
            Self::Template { content_sid, variables } => {
                write!(f, "Template({content_sid}, {} variables)", variables.len())
            }
        }
    }
}

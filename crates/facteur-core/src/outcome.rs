//! What one call to Twilio told us.

use std::time::Duration;

use crate::ids::MessageSid;
use crate::status::TwilioStatus;

/// The five things that a call can tell. A call never returns an error: whatever happened is one of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Twilio took the message.
    Accepted {
        /// Twilio's id of it.
        sid: MessageSid,
        /// Twilio's first status of it.
        twilio_status: TwilioStatus,
    },
    /// Twilio said no: the message does not exist.
    Refused {
        /// Twilio's error code, if the answer held one.
        code: Option<u32>,
        /// The HTTP status.
        http_status: u16,
        /// Twilio's sentence, with numbers masked.
        message: String,
    },
    /// Twilio did not process the call: too much at once.
    Throttled {
        /// Twilio's error code, if the answer held one.
        code: Option<u32>,
        /// How long Twilio asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The request was certainly not sent: DNS, connect or TLS failed.
    Unreachable {
        /// What failed, without personal data.
        cause: String,
    },
    /// Nobody knows whether Twilio took it.
    Uncertain {
        /// What happened, without personal data.
        cause: String,
        /// The HTTP status, if there was an answer.
        http_status: Option<u16>,
    },
}

impl Outcome {
    /// The outcome's name, as stored and counted.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Refused { .. } => "refused",
            Self::Throttled { .. } => "throttled",
            Self::Unreachable { .. } => "unreachable",
            Self::Uncertain { .. } => "uncertain",
        }
    }

    /// Every name, for series that start at zero.
    pub const NAMES: [&'static str; 5] = ["accepted", "refused", "throttled", "unreachable", "uncertain"];
}

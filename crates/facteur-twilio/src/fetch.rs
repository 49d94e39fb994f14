//! What Twilio says about one message that it has: for receipts that don't come by themselves.

use std::time::Duration;

use facteur_core::ids::MessageSid;
use facteur_core::status::TwilioStatus;

use crate::classify::document;
use crate::client::TwilioClient;
use crate::exchange::{Answer, Exchange, NoAnswer};

/// Twilio's code for a resource that it doesn't have.
const NOT_FOUND: u64 = 20_404;

/// How a message stands at Twilio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageState {
    /// Its status; `None` for one that Twilio invented later.
    pub status: Option<TwilioStatus>,
    /// Twilio's error code, if something went wrong with it.
    pub code: Option<u32>,
}

/// Why nothing was learnt about the message. Asking sends nothing, so each may be asked again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Twilio says that it has no such message: it was deleted there, or never was in this account.
    #[error("Twilio has no such message")]
    Gone,
    /// Twilio asks to slow down.
    #[error("Twilio asks to slow down")]
    Throttled {
        /// For how long, if it says so.
        retry_after: Option<Duration>,
    },
    /// No answer, or one that says nothing about the message. Without personal data.
    #[error("{0}")]
    Unanswered(String),
}

impl TwilioClient {
    /// Asks for one message of the account. Sends nothing, so it may be repeated.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch_message(&self, sid: &MessageSid) -> Result<MessageState, FetchError> {
        let path = ["Accounts", self.account_sid(), "Messages", &format!("{}.json", sid.as_str())];
        state(self.get(&path, None).await, sid)
    }
}

fn state(exchange: Exchange, sid: &MessageSid) -> Result<MessageState, FetchError> {
    let answer = match exchange {
        Ok(answer) => answer,
        Err(NoAnswer::NotSent(cause) | NoAnswer::Lost(cause)) => return Err(FetchError::Unanswered(cause)),
    };
    match answer.http_status {
        200 => read(&answer, sid),
        429 => Err(FetchError::Throttled { retry_after: answer.retry_after }),
        // A 404 of something else than Twilio (a proxy, a wrong address) says nothing about the message.
        404 if document(&answer).is_ok_and(|error| error["code"] == NOT_FOUND) => Err(FetchError::Gone),
        status => Err(FetchError::Unanswered(format!("Twilio answered HTTP {status}"))),
    }
}

fn read(answer: &Answer, sid: &MessageSid) -> Result<MessageState, FetchError> {
    let message = document(answer).map_err(FetchError::Unanswered)?;
    if message["sid"] != sid.as_str() {
        return Err(FetchError::Unanswered("the answer is about another message".to_owned()));
    }
    let Some(status) = message["status"].as_str() else {
        return Err(FetchError::Unanswered("the answer names no status".to_owned()));
    };
    let code = message["error_code"].as_u64().and_then(|code| u32::try_from(code).ok());
    Ok(MessageState { status: TwilioStatus::parse(status), code })
}

//! Whether the account answers: for `doctor`, and as a probe that sends no message.

use serde_json::Value;

use crate::classify::document;
use crate::client::TwilioClient;
use crate::exchange::{Answer, NoAnswer};

/// What a look at the account told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountCheck {
    /// Twilio answered for the account.
    Ok {
        /// The account's name.
        friendly_name: String,
        /// `active`, `suspended` or `closed`.
        status: String,
        /// `Full` or `Trial`.
        account_type: String,
    },
    /// The API key works for messages; Twilio shows the account to main keys and the auth token alone.
    MessagesOnly,
    /// Twilio refused the credentials.
    BadCredentials,
    /// No answer.
    Unreachable {
        /// What failed, without secrets.
        cause: String,
    },
    /// Another answer.
    Other {
        /// Its HTTP status.
        http_status: u16,
    },
}

impl AccountCheck {
    /// The status in which an account can send.
    pub const ACTIVE: &'static str = "active";

    /// What it came to, as a stable word: `ok`, `not_active`, `bad_credentials`, `unreachable` or `unexpected`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok { status, .. } if status != Self::ACTIVE => "not_active",
            Self::Ok { .. } | Self::MessagesOnly => "ok",
            Self::BadCredentials => "bad_credentials",
            Self::Unreachable { .. } => "unreachable",
            Self::Other { .. } => "unexpected",
        }
    }

    /// Whether messages may be sent with these credentials.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.word() == "ok"
    }

    /// The same for a person, with what to do.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Ok { friendly_name, status, account_type } if status == Self::ACTIVE => {
                format!("Twilio takes the credentials: the account is {friendly_name} ({account_type}, {status})")
            }
            Self::Ok { friendly_name, status, .. } => format!(
                "Twilio takes the credentials, but the account {friendly_name} is {status} and can't send: see the \
                 Twilio console"
            ),
            Self::MessagesOnly => {
                "Twilio takes the API key for messages; it may not read the account itself".to_owned()
            }
            Self::BadCredentials => {
                "Twilio refuses the credentials: compare the account's SID and its auth token, or API key and secret, \
                 with the Twilio console, and set them again"
                    .to_owned()
            }
            Self::Unreachable { cause } => format!("Twilio can't be reached now ({cause}): try again"),
            Self::Other { http_status } => {
                format!("Twilio answers with HTTP status {http_status}, which says nothing about the credentials")
            }
        }
    }
}

impl TwilioClient {
    /// Reads the account. Sends nothing, so it may be repeated.
    pub async fn check_account(&self) -> AccountCheck {
        let checked = match self.get(&["Accounts", &format!("{}.json", self.account_sid())], None).await {
            Ok(answer) => account(&answer),
            Err(no_answer) => unreachable(no_answer),
        };
        if checked == AccountCheck::BadCredentials && self.has_api_key() {
            return self.check_messages().await;
        }
        checked
    }

    /// Twilio answers 401 also to a good API key that may not read the account (error 20003).
    async fn check_messages(&self) -> AccountCheck {
        match self.get(&["Accounts", self.account_sid(), "Messages.json"], Some("PageSize=1")).await {
            Ok(Answer { http_status: 200, .. }) => AccountCheck::MessagesOnly,
            Ok(Answer { http_status: 401, .. }) => AccountCheck::BadCredentials,
            Ok(Answer { http_status, .. }) => AccountCheck::Other { http_status },
            Err(no_answer) => unreachable(no_answer),
        }
    }
}

fn account(answer: &Answer) -> AccountCheck {
    match (answer.http_status, document(answer)) {
        (200, Ok(account)) if account["sid"].is_string() => AccountCheck::Ok {
            friendly_name: text(&account["friendly_name"]),
            status: text(&account["status"]),
            account_type: text(&account["type"]),
        },
        (401, _) => AccountCheck::BadCredentials,
        (http_status, _) => AccountCheck::Other { http_status },
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn unreachable(no_answer: NoAnswer) -> AccountCheck {
    match no_answer {
        NoAnswer::NotSent(cause) | NoAnswer::Lost(cause) => AccountCheck::Unreachable { cause },
    }
}

//! What integrations are: shown, created, changed, refused.

use facteur_core::Timestamp;
use facteur_core::ids::Tenant;
use facteur_core::integration::{IntegrationType, Secrets};
use facteur_core::vault::VaultError;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use crate::batch_error::{BatchFailure, classify};

/// An integration as it may be shown: there is nothing secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrationRow {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub tenant: String,
    /// What people call it.
    pub name: String,
    /// What it carries.
    pub kind: IntegrationType,
    /// `AC…`.
    pub account_sid: String,
    /// `SK…`, if an API key authorises calls.
    pub api_key_sid: Option<String>,
    /// The key that sealed the credentials.
    pub key_id: String,
    /// From which number a message leaves that names no sender: `+…`, a short code or an alphanumeric id.
    pub phone_number: Option<String>,
    /// `MG…`, in the number's place.
    pub messaging_service_sid: Option<String>,
    /// Whether its messages leave; if not, they wait.
    pub is_active: bool,
    /// Whether it is its tenant's default of its type.
    pub is_default: bool,
    /// The last look at the account: when, what came of it as a stable word, and the sentence.
    pub tested: Option<(Timestamp, String, String)>,
    /// Who changed it last.
    pub changed_by: String,
    /// Since when it exists.
    pub created_at: Timestamp,
    /// When it, or the credentials of its account, was changed last.
    pub updated_at: Timestamp,
}

/// An integration to be created.
#[derive(Debug, Clone)]
pub struct NewIntegration {
    /// Whose it is.
    pub tenant: Tenant,
    /// What people call it: 1 to 100 characters, once for each tenant.
    pub name: String,
    /// What it carries.
    pub kind: IntegrationType,
    /// `AC…`; may be that of another integration of the tenant, which then has the same credentials.
    pub account_sid: String,
    /// `SK…`, if an API key authorises calls.
    pub api_key_sid: Option<String>,
    /// The credentials; may be absent if the account is known.
    pub secrets: Option<Secrets>,
    /// As [`IntegrationRow::phone_number`].
    pub phone_number: Option<String>,
    /// As [`IntegrationRow::messaging_service_sid`].
    pub messaging_service_sid: Option<String>,
    /// Whether its messages leave.
    pub is_active: bool,
}

/// What is to be changed of an integration; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct IntegrationPatch {
    /// Another name.
    pub name: Option<String>,
    /// Another API key.
    pub api_key_sid: Option<String>,
    /// Other credentials. An auth token that is replaced still verifies webhooks.
    pub secrets: Option<Secrets>,
    /// Another number; `Some(None)` takes it away.
    pub phone_number: Option<Option<String>>,
    /// Another Messaging Service; `Some(None)` takes it away.
    pub messaging_service_sid: Option<Option<String>>,
}

/// Why an integration could not be read or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntegrationError {
    /// Not there, or another tenant's.
    #[error("there is no such integration")]
    Missing,
    /// The account stands for another tenant.
    #[error(
        "the account belongs to another tenant: an account at Twilio, or a subaccount, serves one tenant"
    )]
    AccountTaken,
    /// The tenant has one of that name.
    #[error("the tenant has an integration of this name already")]
    NameTaken,
    /// No credentials are given, and none are known.
    #[error("the credentials are missing: give the account's auth token, or an API key and its secret")]
    SecretMissing,
    /// The credentials can't be sealed or opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The database's; [`BatchFailure::Data`] if a word is not as it must be.
    #[error(transparent)]
    Database(#[from] BatchFailure),
}

impl From<tokio_postgres::Error> for IntegrationError {
    fn from(error: tokio_postgres::Error) -> Self {
        let answer = error.as_db_error();
        let is_name = answer.is_some_and(|answer| {
            *answer.code() == SqlState::UNIQUE_VIOLATION && answer.constraint() == Some("integrations_name")
        });
        if is_name { Self::NameTaken } else { Self::Database(classify(error)) }
    }
}

impl IntegrationPatch {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields().is_empty()
    }

    /// The names of what it changes.
    pub(super) fn fields(&self) -> Vec<&'static str> {
        let given = [
            ("name", self.name.is_some()),
            ("api_key_sid", self.api_key_sid.is_some()),
            ("credentials", self.secrets.is_some()),
            ("phone_number", self.phone_number.is_some()),
            ("messaging_service_sid", self.messaging_service_sid.is_some()),
        ];
        given.into_iter().filter(|(_, is_given)| *is_given).map(|(name, _)| name).collect()
    }
}

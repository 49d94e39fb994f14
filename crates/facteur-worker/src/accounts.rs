//! Clients of the accounts that messages go over: the environment's, and those of tenants that have their own. A client
//! is made when it is first needed, and anew when the credentials have changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use facteur_core::breaker::{Cause, Fault};
use facteur_core::ids::Tenant;
use facteur_core::integration::Via;
use facteur_core::vault::VaultError;
use facteur_postgres::{Account, Directory};
use facteur_twilio::{ConfigError, TwilioClient, authorisation};

use crate::breakers::Breakers;

/// Why no call can be made over an account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// There is no such account (any more).
    #[error("the account {0} is that of no integration, and not the environment's")]
    Unknown(String),
    /// Its credentials can't be opened.
    #[error(transparent)]
    Sealed(#[from] VaultError),
    /// Its credentials are not as Twilio's are.
    #[error("the credentials can't be used: {0}")]
    Malformed(#[from] ConfigError),
}

/// The clients; clones share them.
#[derive(Clone)]
pub(crate) struct Accounts {
    home: TwilioClient,
    directory: Directory,
    made: Arc<Mutex<HashMap<String, Made>>>,
}

/// A client, and the revision of the credentials that it was made with.
struct Made {
    revision: i64,
    client: Result<TwilioClient, Unusable>,
}

impl Accounts {
    pub(crate) fn new(home: TwilioClient, directory: Directory) -> Self {
        Self { home, directory, made: Arc::default() }
    }

    /// The SID of the environment's account.
    pub(crate) fn home_sid(&self) -> &str {
        self.home.account_sid()
    }

    /// The client of an account.
    pub(crate) fn client(&self, sid: &str) -> Result<TwilioClient, Unusable> {
        let Some(account) = self.stored(sid) else {
            return if sid == self.home.account_sid() {
                Ok(self.home.clone())
            } else {
                Err(Unusable::Unknown(sid.to_owned()))
            };
        };
        let mut made = self.made();
        if let Some(known) = made.get(sid).filter(|known| known.revision == account.revision) {
            return known.client.clone();
        }
        let client = self.make(&account);
        made.insert(sid.to_owned(), Made { revision: account.revision, client: client.clone() });
        client
    }

    /// Whether callbacks about the account's messages can reach us and be verified: only an auth token signs them.
    /// `at_home` is the answer for the environment's account.
    pub(crate) fn can_receive_callbacks(&self, sid: &str, at_home: bool) -> bool {
        let Some(account) = self.stored(sid) else { return at_home };
        let has_token = || account.secrets.as_ref().is_ok_and(|secrets| secrets.auth_token.is_some());
        self.home.asks_for_callbacks() && has_token()
    }

    /// Opens the breaker of an account over which no call can be made, so that its jobs wait in line.
    pub(crate) fn find_fault(&self, via: &Via, breakers: &Breakers) {
        if via.integration.is_some()
            && let Err(unusable) = self.client(&via.account)
        {
            breakers.refused(&via.account, Fault::new(Cause::AccountAtFault, unusable.to_string()));
        }
    }

    /// What is stored of an account. The environment's belongs to the tenant `default`, whose stored credentials go
    /// before those of the environment; nobody else's do.
    fn stored(&self, sid: &str) -> Option<Arc<Account>> {
        let is_ours = |account: &Arc<Account>| {
            sid != self.home.account_sid() || account.tenant == Tenant::default_tenant().as_str()
        };
        self.directory.account_now(sid).filter(is_ours)
    }

    fn make(&self, account: &Account) -> Result<TwilioClient, Unusable> {
        let secrets = account.secrets.as_ref().map_err(Clone::clone)?;
        let auth = authorisation(account.api_key_sid.as_deref(), secrets)?;
        Ok(self.home.for_account(&account.sid, auth)?)
    }

    fn made(&self) -> MutexGuard<'_, HashMap<String, Made>> {
        // What another thread left is valid: a client is put there in one step.
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

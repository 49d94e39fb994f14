//! The directory's part about integrations: who sends over which account, and with what credentials. Credentials are
//! read and opened when their row has changed, not every second.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use facteur_core::integration::{Integration, IntegrationType, Secrets};
use facteur_core::sender::Sender;
use facteur_core::vault::{Keyring, VaultError};
use tokio_postgres::Row;

use crate::batch_error::{BatchFailure, classify};
use crate::integrations::account;
use crate::pool::Client;

const ACCOUNTS: &str = "SELECT sid, revision FROM facteur.accounts ORDER BY sid LIMIT $1";

const CREDENTIALS: &str = "SELECT sid, tenant, api_key_sid, key_id, secret, revision FROM facteur.accounts WHERE sid = ANY ($1::text[])";

const INTEGRATIONS: &str = "SELECT id, tenant, integration_type, account_sid, phone_number, messaging_service_sid, \
         is_default FROM facteur.integrations ORDER BY id LIMIT $1";

const DEFAULT_POOLS: &str = "SELECT tenant, name, channel FROM facteur.sender_pools WHERE is_default \
     ORDER BY tenant, channel LIMIT $1";

/// An account at Twilio of a tenant.
#[derive(Debug)]
pub struct Account {
    /// `AC…`.
    pub sid: String,
    /// Whose it is.
    pub tenant: String,
    /// The API key that authorises calls, if it is not the auth token.
    pub api_key_sid: Option<String>,
    /// Another one means other credentials.
    pub revision: i64,
    /// The credentials, or why they can't be opened.
    pub secrets: Result<Secrets, VaultError>,
}

/// What is known of all tenants' integrations.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) by_sid: HashMap<String, Arc<Account>>,
    pub(super) of_tenants: HashMap<String, Vec<Integration>>,
    /// The name of each tenant's default pool of a type.
    pub(super) default_pools: BTreeMap<(String, IntegrationType), String>,
}

/// Loads them; what has not changed is taken from `before`.
pub(super) async fn load(
    client: &Client,
    keyring: &Keyring,
    before: Option<&Accounts>,
    rows_max: i64,
) -> Result<Accounts, BatchFailure> {
    let asked = async |text: &str| {
        let statement = client.prepare_cached(text).await.map_err(classify)?;
        client.query(&statement, &[&rows_max]).await.map_err(classify)
    };
    let (integrations, pools, sids) =
        tokio::try_join!(asked(INTEGRATIONS), asked(DEFAULT_POOLS), asked(ACCOUNTS))?;
    let mut accounts = Accounts::default();
    let mut changed: Vec<String> = Vec::new();
    for row in &sids {
        let (sid, revision): (String, i64) = (row.get("sid"), row.get("revision"));
        match before.and_then(|before| before.by_sid.get(&sid)).filter(|known| known.revision == revision) {
            Some(known) => drop(accounts.by_sid.insert(sid, Arc::clone(known))),
            None => changed.push(sid),
        }
    }
    if !changed.is_empty() {
        let statement = client.prepare_cached(CREDENTIALS).await.map_err(classify)?;
        for row in client.query(&statement, &[&changed]).await.map_err(classify)? {
            let account = account(&row, keyring);
            if let Err(why) = &account.secrets {
                tracing::error!(account = account.sid, "nothing can be sent over an account: {why}");
            }
            accounts.by_sid.insert(account.sid.clone(), Arc::new(account));
        }
    }
    for row in &integrations {
        accounts.of_tenants.entry(row.get("tenant")).or_default().extend(integration(row));
    }
    let pool = |row: &Row| {
        let kind = IntegrationType::from_name(row.get("channel"))?;
        Some(((row.get("tenant"), kind), row.get("name")))
    };
    accounts.default_pools = pools.iter().filter_map(pool).collect();
    Ok(accounts)
}

/// `None` for a type that a newer release invented.
fn integration(row: &Row) -> Option<Integration> {
    let kind = IntegrationType::from_name(row.get("integration_type"))?;
    let service: Option<&str> = row.get("messaging_service_sid");
    let number: Option<&str> = row.get("phone_number");
    let number = number.map(|number| match kind {
        IntegrationType::Sms => number.to_owned(),
        IntegrationType::Whatsapp => format!("whatsapp:{number}"),
    });
    let senders = service.map(str::to_owned).into_iter().chain(number);
    Some(Integration {
        id: row.get("id"),
        kind,
        account: row.get("account_sid"),
        senders: senders.filter_map(|address| Sender::parse(&address).ok()).collect(),
        is_default: row.get("is_default"),
    })
}

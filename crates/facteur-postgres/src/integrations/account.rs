//! The accounts behind integrations: their credentials, sealed on the way in, opened for whoever makes a call.

use facteur_core::integration::Secrets;
use facteur_core::vault::{Keyring, NONCE_BYTES, Sealed, VaultError};
use secrecy::ExposeSecret;
use tokio_postgres::{Row, Transaction};

use super::IntegrationError;
use crate::batch_error::BatchFailure;
use crate::directory::Account;
use crate::pool::Database;

/// Accounts that are sealed anew in one transaction.
const ROTATION_ROWS: i64 = 100;

const LOCK: &str = "SELECT sid, tenant, api_key_sid, key_id, secret, revision FROM facteur.accounts WHERE sid = $1 FOR UPDATE";

/// Of two at once, either of the table's unique indexes may be the one that objects.
const INSERT: &str = "INSERT INTO facteur.accounts (sid, tenant, api_key_sid, key_id, secret, changed_by) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";

const UPDATE: &str = "UPDATE facteur.accounts SET api_key_sid = coalesce($2, api_key_sid), key_id = $3, secret = $4, \
         changed_by = $5, revision = revision + 1, updated_at = clock_timestamp() WHERE sid = $1";

/// An account that was refused is tried with its new credentials as soon as every worker has heard of them: with the old
/// ones it would be refused once more, and left alone for longer.
const TRY_AGAIN: &str = "UPDATE facteur.breakers SET retry_at = least(retry_at, clock_timestamp() + interval '3 seconds') \
     WHERE scope = 'integration' AND key = $1 AND state = 'open'";

const FIND: &str =
    "SELECT sid, tenant, api_key_sid, key_id, secret, revision FROM facteur.accounts WHERE sid = $1";

const ANY: &str =
    "SELECT sid, tenant, api_key_sid, key_id, secret, revision FROM facteur.accounts ORDER BY sid LIMIT 1";

const SEALED_OTHERWISE: &str = "SELECT sid, tenant, key_id, secret FROM facteur.accounts \
     WHERE key_id <> $1 AND sid > $2 ORDER BY sid LIMIT $3 FOR UPDATE";

/// The revision stays: the credentials are the same, and nobody needs to read them again.
const RESEAL: &str = "UPDATE facteur.accounts SET key_id = $2, secret = $3 WHERE sid = $1";

/// Credentials to be written.
#[derive(Clone, Copy)]
pub(super) struct New<'a> {
    pub(super) sid: &'a str,
    pub(super) tenant: &'a str,
    pub(super) api_key_sid: Option<&'a str>,
    pub(super) secrets: Option<&'a Secrets>,
}

/// Writes the credentials of an account, new or known.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    keyring: &Keyring,
    new: New<'_>,
    actor: &str,
) -> Result<(), IntegrationError> {
    let given = new.secrets.filter(|secrets| secrets.auth_token.is_some() || secrets.api_secret.is_some());
    let has_key_without_secret =
        new.api_key_sid.is_some() && given.is_none_or(|given| given.api_secret.is_none());
    if has_key_without_secret {
        return Err(IntegrationError::SecretMissing);
    }
    if let Some(secrets) = given {
        let is_usable = secrets.auth_token.is_some() || new.api_key_sid.is_some();
        let sealed = seal(keyring, new.sid, new.tenant, secrets)?;
        let inserted = transaction
            .execute(
                INSERT,
                &[&new.sid, &new.tenant, &new.api_key_sid, &sealed.key_id, &sealed.bytes, &actor],
            )
            .await?;
        if inserted == 1 {
            return if is_usable { Ok(()) } else { Err(IntegrationError::SecretMissing) };
        }
    }
    let Some(row) = transaction.query_opt(LOCK, &[&new.sid]).await? else {
        return Err(IntegrationError::SecretMissing);
    };
    if row.get::<_, &str>("tenant") != new.tenant {
        return Err(IntegrationError::AccountTaken);
    }
    let Some(secrets) = given else { return Ok(()) };
    let before = match opened(&row, keyring) {
        Ok(before) => before,
        Err(VaultError::NoKey) => return Err(VaultError::NoKey.into()),
        // What can't be opened any more is what somebody wants to replace.
        Err(_) => Secrets::default(),
    };
    let sealed = seal(keyring, new.sid, new.tenant, &before.renewed(secrets))?;
    transaction.execute(UPDATE, &[&new.sid, &new.api_key_sid, &sealed.key_id, &sealed.bytes, &actor]).await?;
    transaction.execute(TRY_AGAIN, &[&new.sid]).await?;
    Ok(())
}

/// The credentials of an account, for one look at it. `None` if there is no such account.
///
/// # Errors
/// The database's; whether they can be opened is part of the answer.
pub async fn credentials(
    database: &Database,
    keyring: &Keyring,
    sid: &str,
) -> Result<Option<Account>, IntegrationError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(FIND).await?;
    let row = client.query_opt(&statement, &[&sid]).await?;
    Ok(row.map(|row| account(&row, keyring)))
}

/// Whether the keys fit: there is no account with credentials, or those of the first one can be opened.
///
/// # Errors
/// Why not; the database's.
pub async fn is_readable(database: &Database, keyring: &Keyring) -> Result<(), IntegrationError> {
    let client = database.client().await?;
    let statement = client.prepare_cached(ANY).await?;
    match client.query_opt(&statement, &[]).await? {
        Some(row) => Ok(opened(&row, keyring).map(drop)?),
        None => Ok(()),
    }
}

/// What a rotation of keys did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotation {
    /// Accounts that are sealed by the current key now.
    pub resealed: usize,
    /// Accounts that could not be opened, by SID, and why.
    pub failed: Vec<(String, VaultError)>,
}

/// Seals with the current key whatever another one sealed.
///
/// # Errors
/// [`VaultError::NoKey`]; the database's. What was done until then stays done.
pub async fn rotate_keys(database: &Database, keyring: &Keyring) -> Result<Rotation, IntegrationError> {
    let current = keyring.current_id()?.to_owned();
    let (mut rotation, mut after) = (Rotation::default(), String::new());
    loop {
        let mut client = database.client().await?;
        let transaction = client.transaction().await?;
        let rows = transaction.query(SEALED_OTHERWISE, &[&current, &after, &ROTATION_ROWS]).await?;
        for row in &rows {
            let (sid, tenant): (String, String) = (row.get("sid"), row.get("tenant"));
            match opened(row, keyring) {
                Ok(secrets) => {
                    let sealed = seal(keyring, &sid, &tenant, &secrets)?;
                    transaction.execute(RESEAL, &[&sid, &sealed.key_id, &sealed.bytes]).await?;
                    rotation.resealed += 1;
                }
                Err(why) => rotation.failed.push((sid.clone(), why)),
            }
            after = sid;
        }
        transaction.commit().await?;
        if rows.is_empty() {
            return Ok(rotation);
        }
    }
}

/// What a row with these columns holds.
pub(crate) fn account(row: &Row, keyring: &Keyring) -> Account {
    Account {
        sid: row.get("sid"),
        tenant: row.get("tenant"),
        api_key_sid: row.get("api_key_sid"),
        revision: row.get("revision"),
        secrets: opened(row, keyring),
    }
}

/// Opens the credentials of a row.
fn opened(row: &Row, keyring: &Keyring) -> Result<Secrets, VaultError> {
    let sealed = Sealed { key_id: row.get("key_id"), bytes: row.get("secret") };
    let place = Secrets::place(row.get("sid"), row.get("tenant"));
    let text = keyring.open(&sealed, &place)?;
    Secrets::from_text(text.expose_secret()).ok_or(VaultError::Broken(sealed.key_id))
}

fn seal(keyring: &Keyring, sid: &str, tenant: &str, secrets: &Secrets) -> Result<Sealed, IntegrationError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce)
        .map_err(|_| BatchFailure::Unavailable("the system gives no random numbers".to_owned()))?;
    let text = secrets.to_text();
    Ok(keyring.seal(text.expose_secret().as_bytes(), &Secrets::place(sid, tenant), nonce)?)
}

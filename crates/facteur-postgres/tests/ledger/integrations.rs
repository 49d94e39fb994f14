use std::sync::Arc;

use facteur_core::hold::{Hold, Scope};
use facteur_core::ids::{AttemptNumber, Tenant};
use facteur_core::integration::{Home, IntegrationType, Secrets, Via};
use facteur_core::ledger::{Claim, ClaimRequest};
use facteur_core::receipt::{Receipt, ReceiptSource, ReceiptStatus};
use facteur_core::sender::Sender;
use facteur_core::vault::{Keyring, VaultError};
use facteur_postgres::integrations::{
    self, IntegrationError, IntegrationPatch, IntegrationRow, NewIntegration, create, find,
};
use facteur_postgres::senders::{self, SenderError, SenderPatch};
use facteur_postgres::{Applied, Asked, Callbacks, Directory, sweep};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use crate::fixture::{ACCOUNT, Fixture, accepted, record, row, sid, token};

const ADA: &str = "cli:ada";
const OLD: &str = "old:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NEW: &str = "new:f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn keyring(text: &str) -> Arc<Keyring> {
    Arc::new(Keyring::parse(text).unwrap())
}

fn tenant(slug: &str) -> Tenant {
    Tenant::parse(slug).unwrap()
}

fn account(number: u32) -> String {
    format!("AC{number:032x}")
}

fn secret(text: &str) -> Option<Secrets> {
    Some(Secrets { auth_token: Some(text.into()), ..Secrets::default() })
}

fn new(slug: &str, name: &str, number: u32) -> NewIntegration {
    NewIntegration {
        tenant: tenant(slug),
        name: name.to_owned(),
        kind: IntegrationType::Sms,
        account_sid: account(number),
        api_key_sid: None,
        secrets: secret("5ecre7"),
        phone_number: Some("+33700000001".to_owned()),
        messaging_service_sid: None,
        is_active: true,
    }
}

async fn made(fixture: &Fixture, new: &NewIntegration) -> IntegrationRow {
    create(&fixture.database, &keyring(OLD), new, ADA).await.unwrap()
}

async fn token_of(fixture: &Fixture, keys: &str, number: u32) -> Result<String, VaultError> {
    let found = integrations::credentials(&fixture.database, &keyring(keys), &account(number)).await.unwrap();
    let secrets = found.unwrap().secrets?;
    Ok(secrets.auth_token.map(|token| token.expose_secret().to_owned()).unwrap_or_default())
}

#[tokio::test]
async fn credentials_are_sealed_anew_by_each_write_and_open_at_their_own_place_alone() {
    let fixture = Fixture::new().await;
    let row = made(&fixture, &new("acme", "one", 1)).await;
    let sealed = "SELECT encode(secret, 'hex') FROM facteur.accounts WHERE sid LIKE '%1'";
    let first = fixture.text(sealed).await.unwrap();
    let again = IntegrationPatch { secrets: secret("5ecre7"), ..IntegrationPatch::default() };
    integrations::update(&fixture.database, &keyring(OLD), (None, row.id), &again, ADA).await.unwrap();
    assert_ne!(fixture.text(sealed).await.unwrap(), first, "the same token under another nonce");
    assert_eq!(token_of(&fixture, OLD, 1).await.as_deref(), Ok("5ecre7"));
    let everything = fixture
        .text("SELECT string_agg(a::text || i::text, '') FROM facteur.accounts a, facteur.integrations i")
        .await;
    assert!(everything.is_some_and(|text| !text.contains("5ecre7") && !text.contains(&hex("5ecre7"))));

    made(&fixture, &NewIntegration { secrets: secret("other"), ..new("rival", "two", 2) }).await;
    let copy = "UPDATE facteur.accounts SET (key_id, secret) = \
                (SELECT key_id, secret FROM facteur.accounts WHERE tenant = 'acme') WHERE tenant = 'rival'";
    fixture.sql(copy).await;
    assert_eq!(token_of(&fixture, OLD, 2).await, Err(VaultError::Broken("old".to_owned())));
    assert_eq!(token_of(&fixture, NEW, 1).await, Err(VaultError::UnknownKey("old".to_owned())));
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_rotation_seals_everything_with_the_new_key_and_tells_what_it_can_not_open() {
    let fixture = Fixture::new().await;
    for number in 1..=3 {
        made(&fixture, &new("acme", &format!("n{number}"), number)).await;
    }
    fixture.sql("UPDATE facteur.accounts SET secret = '\\x00' WHERE sid LIKE '%3'").await;
    let both = keyring(&format!("{NEW},{OLD}"));
    let rotation = integrations::rotate_keys(&fixture.database, &both).await.unwrap();
    assert_eq!(rotation.resealed, 2);
    assert_eq!(rotation.failed, [(account(3), VaultError::Broken("old".to_owned()))]);
    assert_eq!(token_of(&fixture, NEW, 1).await.as_deref(), Ok("5ecre7"), "without the old key");
    assert_eq!(integrations::rotate_keys(&fixture.database, &both).await.unwrap().resealed, 0);
    let none = integrations::rotate_keys(&fixture.database, &Keyring::default()).await;
    assert_eq!(none, Err(IntegrationError::Vault(VaultError::NoKey)));
    let unreadable = integrations::is_readable(&fixture.database, &Keyring::default()).await;
    assert_eq!(unreadable, Err(IntegrationError::Vault(VaultError::NoKey)));
    integrations::is_readable(&fixture.database, &both).await.unwrap();
}

#[tokio::test]
async fn an_account_serves_one_tenant_and_a_name_one_integration() {
    let fixture = Fixture::new().await;
    made(&fixture, &new("acme", "one", 1)).await;
    let refused = async |new: NewIntegration| {
        create(&fixture.database, &keyring(OLD), &new, ADA).await.map(|row| row.id).unwrap_err()
    };
    assert_eq!(refused(new("rival", "one", 1)).await, IntegrationError::AccountTaken);
    assert_eq!(
        refused(NewIntegration { secrets: None, ..new("rival", "one", 1) }).await,
        IntegrationError::AccountTaken
    );
    assert_eq!(refused(new("acme", "one", 2)).await, IntegrationError::NameTaken);
    assert_eq!(
        refused(NewIntegration { secrets: None, ..new("acme", "x", 3) }).await,
        IntegrationError::SecretMissing
    );
    let key = NewIntegration { api_key_sid: Some(format!("SK{}", "0".repeat(32))), ..new("acme", "x", 3) };
    assert_eq!(refused(key).await, IntegrationError::SecretMissing, "an API key without its secret");
    assert_eq!(token_of(&fixture, OLD, 1).await.as_deref(), Ok("5ecre7"), "a refused write changes nothing");
    assert_eq!(fixture.count("SELECT count(*) FROM facteur.accounts").await, 1);
    let whatsapp = NewIntegration { kind: IntegrationType::Whatsapp, secrets: None, ..new("acme", "two", 1) };
    assert!(made(&fixture, &whatsapp).await.is_default, "of its own type");
    assert_eq!(
        find(&fixture.database, Some(&tenant("rival")), made(&fixture, &new("acme", "y", 1)).await.id).await,
        Err(IntegrationError::Missing),
        "another tenant's is not there"
    );
}

#[tokio::test]
async fn a_new_token_replaces_the_old_one_which_still_signs_and_the_breaker_is_tried_soon() {
    let fixture = Fixture::new().await;
    let row = made(&fixture, &new("acme", "one", 1)).await;
    fixture
        .sql(&format!(
            "INSERT INTO facteur.breakers (scope, key, state, reason, sentence, retry_at) \
        VALUES ('integration', '{}', 'open', 'x', 'x', now() + interval '10 min')",
            account(1)
        ))
        .await;
    let patch = IntegrationPatch { secrets: secret("newer"), ..IntegrationPatch::default() };
    integrations::update(&fixture.database, &keyring(OLD), (None, row.id), &patch, ADA).await.unwrap();
    let found =
        integrations::credentials(&fixture.database, &keyring(OLD), &account(1)).await.unwrap().unwrap();
    let secrets = found.secrets.unwrap();
    let signing: Vec<&str> = secrets.signing_tokens().map(|token| token.expose_secret()).collect();
    assert_eq!((found.revision, signing), (2, vec!["newer", "5ecre7"]));
    assert_eq!(
        fixture.count("SELECT count(*) FROM facteur.breakers WHERE retry_at <= clock_timestamp() + interval '3 seconds'").await,
        1
    );
}

#[tokio::test]
async fn what_would_leave_over_an_integration_that_is_not_active_is_held_at_the_claim() {
    let fixture = Fixture::new().await;
    let created = made(&fixture, &NewIntegration { is_active: false, ..new("acme", "one", 1) }).await;
    assert!(!created.is_active && created.is_default);
    let via = Via { account: account(1), integration: Some(created.id) };
    let held = Claim::Held(Hold::Pause(Scope::Integration(created.id.to_string())));
    let job = row();
    let claim = async |number| {
        let request =
            ClaimRequest { row: job.clone(), token: token(number), via: via.clone(), is_budgeted: false };
        fixture.store.claim(request).await.unwrap()
    };
    assert_eq!(claim(1).await, held);
    let active = integrations::set_active(&fixture.database, (None, created.id), true, ADA).await.unwrap();
    assert!(active.is_active);
    assert!(matches!(claim(2).await, Claim::Yours(_)));
    integrations::set_active(&fixture.database, (None, created.id), false, ADA).await.unwrap();
    let foreign =
        integrations::set_active(&fixture.database, (Some(&tenant("rival")), created.id), true, ADA).await;
    assert_eq!(foreign, Err(IntegrationError::Missing));
}

fn home() -> Home {
    Home { account: ACCOUNT.to_owned(), sms: Sender::parse("HOME").ok(), whatsapp: None, is_shared: true }
}

#[tokio::test]
async fn the_directory_hears_of_integrations_senders_pools_and_changed_credentials() {
    let fixture = Fixture::new().await;
    let stopping = CancellationToken::new();
    let directory = Directory::start_with_keys(fixture.database.clone(), keyring(OLD), stopping.clone());
    let (acme, job) = (tenant("acme"), row());
    let asked = Asked { tenant: &acme, recipient: &job.recipient, named: None };
    let way = async || {
        let way = directory.way(asked, &home()).await;
        (way.sender.map(|sender| sender.to_string()), way.via.map(|via| via.account))
    };
    assert_eq!(way().await, (Some("HOME".to_owned()), Some(ACCOUNT.to_owned())));
    let one = made(&fixture, &new("acme", "one", 1)).await;
    let two = made(&fixture, &NewIntegration { phone_number: None, ..new("acme", "two", 2) }).await;
    while way().await != (Some("+33700000001".to_owned()), Some(account(1))) {
        tokio::task::yield_now().await;
    }
    assert!(one.is_default && !two.is_default);
    let pooled = Sender::parse("+33700000002").unwrap();
    senders::put_pool(&fixture.database, &acme, "main", IntegrationType::Sms, true, ADA).await.unwrap();
    let patch = SenderPatch {
        integration: Some(Some(two.id)),
        pool: Some(Some("main".to_owned())),
        ..SenderPatch::default()
    };
    let not_theirs = senders::put(&fixture.database, Some(&acme), &pooled, &patch, ADA).await;
    assert_eq!(not_theirs, Err(SenderError::Foreign));
    senders::put(&fixture.database, None, &pooled, &patch, ADA).await.unwrap();
    while way().await != (Some("+33700000002".to_owned()), Some(account(2))) {
        tokio::task::yield_now().await;
    }
    assert_eq!(directory.tenant_of("+33700000002").await.as_deref(), Some("acme"));
    let over = directory.way_of(&pooled, &home()).await;
    assert_eq!(over, Some(Via { account: account(2), integration: Some(two.id) }));
    integrations::set_default(&fixture.database, None, two.id, ADA).await.unwrap();
    let patch = IntegrationPatch { secrets: secret("newer"), ..IntegrationPatch::default() };
    integrations::update(&fixture.database, &keyring(OLD), (None, one.id), &patch, ADA).await.unwrap();
    while directory.account(&account(1)).await.unwrap().revision != 2 {
        tokio::task::yield_now().await;
    }
    let known = directory.account_now(&account(1)).unwrap();
    assert_eq!(known.secrets.as_ref().unwrap().auth_token.as_ref().unwrap().expose_secret(), "newer");
    assert!(!format!("{known:?}").contains("newer"));
    stopping.cancel();
}

#[tokio::test]
async fn attempts_searches_and_proofs_bear_the_account_that_they_went_over() {
    let fixture = Fixture::new().await;
    let (sent, lost) = (row(), row());
    for (number, job) in [(1, &sent), (2, &lost)] {
        let via = Via { account: account(number), integration: None };
        let request =
            ClaimRequest { row: job.clone(), token: token(u128::from(number)), via, is_budgeted: false };
        assert!(matches!(fixture.store.claim(request).await, Ok(Claim::Yours(_))));
    }
    let mut done = record(&sent, 1, AttemptNumber(1), accepted(1));
    done.account = account(1);
    fixture.store.record(done).await.unwrap();
    assert_eq!(fixture.text("SELECT account FROM facteur.attempts").await, Some(account(1)));
    fixture.sql("UPDATE facteur.jobs SET due_at = clock_timestamp() WHERE status = 'sending'").await;
    assert_eq!(sweep(&fixture.database, ACCOUNT, true).await.unwrap().uncertain, 1);
    assert_eq!(fixture.text("SELECT account FROM facteur.reconciliations").await, Some(account(2)));
    let callbacks = Callbacks::start(fixture.database.clone());
    for (number, job) in [(1, &sent), (2, &lost)] {
        callbacks.apply(told(job.id.0, number, number)).await.unwrap();
    }
    let proofs = "SELECT string_agg(account, ' ' ORDER BY account) FROM facteur.webhook_proofs";
    assert_eq!(fixture.text(proofs).await, Some(format!("{} {}", account(1), account(2))));
}

fn told(job: uuid::Uuid, by: u32, number: u32) -> Receipt {
    Receipt {
        account: account(by),
        job_id: facteur_core::ids::JobId(job),
        attempt: AttemptNumber(1),
        sid: sid(number),
        status: ReceiptStatus::parse("delivered").unwrap(),
        code: None,
        source: ReceiptSource::Callback,
    }
}

#[tokio::test]
async fn a_tenants_account_tells_of_nobody_elses_messages() {
    let fixture = Fixture::new().await;
    made(&fixture, &new("acme", "one", 1)).await;
    made(&fixture, &new("rival", "one", 2)).await;
    let mut job = row();
    job.tenant = tenant("acme");
    let request = ClaimRequest {
        row: job.clone(),
        token: token(1),
        via: Via { account: account(1), integration: None },
        is_budgeted: false,
    };
    fixture.store.claim(request).await.unwrap();
    let callbacks = Callbacks::start(fixture.database.clone());
    assert_eq!(callbacks.apply(told(job.id.0, 2, 1)).await, Ok(Applied::Unknown));
    assert_eq!(fixture.status(&job).await, "sending");
    assert!(matches!(callbacks.apply(told(job.id.0, 1, 1)).await, Ok(Applied::New { .. })));
    assert_eq!(fixture.status(&job).await, "delivered");
}

use facteur_postgres::api_keys::{self, NewKey};
use facteur_postgres::{PostgresConfig, migrate};

use super::*;

const PAGE: &str = "https://app.example.org";

fn asks(path: &str, origin: Option<&str>, from: &str) -> Asks {
    let (path, origin) = (path.to_owned(), origin.map(str::to_owned));
    Asks { bearer: None, path, origin, from: from.parse().ok(), is_passed_on: false }
}

#[tokio::test]
async fn a_family_takes_its_default_key_until_it_is_revoked_and_never_a_superadmins() {
    let test_database = facteur_testkit::database().await;
    let config = PostgresConfig {
        url: test_database.url.clone(),
        pool_size: 2,
        application_name: "test".to_owned(),
        publishes_events: false,
    };
    migrate::run(&config).await.unwrap();
    let database = Database::open(&config).unwrap();
    let key = async |role, tenant| {
        let new = NewKey {
            name: "front end",
            tenant,
            role,
            created_by: "test",
            expires_at: None,
            request_id: None,
        };
        api_keys::create(&database, &new).await.unwrap().row
    };
    let (sender, all) = (key("sender", Some("acme")).await, key("superadmin", None).await);
    let text = format!("/twilio {} {PAGE} 198.51.100.0/24; /inbox {} {PAGE}", sender.id, all.id);
    let default_keys = DefaultKey::parse_all(&text).unwrap();
    let access = Access::new(AccessSettings { default_keys, ..Default::default() }, database.clone());
    let actor = async |path: &str, origin: Option<&str>, from: &str| {
        let found = access.by_default(&asks(path, origin, from)).await.unwrap();
        found.map(|principal| (principal.actor.clone(), principal.scope().map(str::to_owned)))
    };
    let expected = Some((format!("key:{}", sender.prefix), Some("acme".to_owned())));
    assert_eq!(actor("/twilio/send-sms", Some(PAGE), "192.0.2.1").await, expected);
    assert_eq!(actor("/twilio/send-sms", None, "198.51.100.7").await, expected);
    assert_eq!(actor("/twilio/send-sms", None, "192.0.2.1").await, None);
    let passed_on = Asks { is_passed_on: true, ..asks("/twilio/send-sms", None, "198.51.100.7") };
    assert!(access.by_default(&passed_on).await.unwrap().is_none(), "a proxy that nobody trusts");
    assert_eq!(actor("/v1/messages", Some(PAGE), "198.51.100.7").await, None);
    assert_eq!(actor("/inbox/contacts", Some(PAGE), "198.51.100.7").await, None, "a superadmin's");
    api_keys::revoke(&database, sender.id, None, "test", None).await.unwrap();
    access.keys.forget();
    assert_eq!(actor("/twilio/send-sms", Some(PAGE), "192.0.2.1").await, None);
}

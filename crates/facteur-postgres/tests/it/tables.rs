use facteur_core::gcra::Rate;
use facteur_core::ids::Tenant;
use facteur_core::job::Category;
use facteur_core::phone::PhoneNumber;
use facteur_core::sender::Sender;
use facteur_postgres::{BatchFailure, Directory, TemplateStore, senders, suppressions};
use tokio_util::sync::CancellationToken;

use crate::ground::ground;

fn tenant(slug: &str) -> Tenant {
    Tenant::parse(slug).unwrap()
}

#[tokio::test]
async fn a_template_is_the_tenants_own_before_it_is_the_built_in_one() {
    let ground = ground().await;
    let store = TemplateStore::new(ground.database.clone());
    let found = async |slug: &str, name: &str, language: Option<&str>| {
        store.find(slug, name, language).await.unwrap().map(|found| (found.language, found.text))
    };
    let (name, acme) = ("appointment_confirmed", tenant("acme"));
    let built_in = found("acme", name, None).await.unwrap();
    assert!(built_in.0 == "fr" && built_in.1.starts_with("Bonjour {{name}}"));
    assert!(found("acme", name, Some("en")).await.unwrap().1.starts_with("Hello {{name}}"));
    // No language of ours: French.
    assert_eq!(found("acme", name, Some("de")).await.unwrap(), built_in);
    assert_eq!(found("acme", "no_such_thing", None).await, None);

    assert_eq!(store.put(&acme, name, "fr", Category::Transactional, "Salut {{name}}").await.unwrap(), 1);
    assert_eq!(found("acme", name, None).await.unwrap().1, "Salut {{name}}");
    assert_eq!(found("acme", name, Some("de")).await.unwrap().1, "Salut {{name}}");
    // A built-in one in the language that was asked for is better than an own one in another.
    assert!(found("acme", name, Some("en")).await.unwrap().1.starts_with("Hello"));
    assert_eq!(found("other", name, None).await.unwrap(), built_in);

    assert_eq!(store.put(&acme, name, "fr", Category::Marketing, "Coucou {{name}}").await.unwrap(), 2);
    let latest = store.find("acme", name, Some("fr")).await.unwrap().unwrap();
    assert_eq!((latest.text.as_str(), latest.category), ("Coucou {{name}}", Category::Marketing));
    assert_eq!(ground.text("SELECT count(*) FROM facteur.template_versions").await, "(2)");
}

#[tokio::test]
async fn an_own_template_in_any_language_is_better_than_none() {
    let ground = ground().await;
    let store = TemplateStore::new(ground.database.clone());
    store.put(&tenant("acme"), "hello", "de", Category::Otp, "Hallo {{name}}").await.unwrap();
    for language in [None, Some("de"), Some("en")] {
        assert_eq!(store.find("acme", "hello", language).await.unwrap().unwrap().text, "Hallo {{name}}");
    }
}

#[tokio::test]
async fn another_processs_change_of_a_template_arrives() {
    let ground = ground().await;
    let (ours, theirs) =
        (TemplateStore::new(ground.database.clone()), TemplateStore::new(ground.database.clone()));
    let acme = tenant("acme");
    theirs.put(&acme, "hello", "fr", Category::Otp, "one").await.unwrap();
    assert_eq!(ours.find("acme", "hello", None).await.unwrap().unwrap().text, "one");
    theirs.put(&acme, "hello", "fr", Category::Otp, "two").await.unwrap();
    while ours.find("acme", "hello", None).await.unwrap().unwrap().text != "two" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_no_template_is_refused() {
    let ground = ground().await;
    let store = TemplateStore::new(ground.database.clone());
    let long = "x".repeat(65);
    for (name, language, text) in
        [("", "fr", "x"), (long.as_str(), "fr", "x"), ("a", "français", "x"), ("a", "fr", "{{open")]
    {
        let refused = store.put(&tenant("acme"), name, language, Category::Otp, text).await;
        assert!(matches!(refused, Err(BatchFailure::Data(_))), "{name:?} {language:?} {text:?}");
    }
    assert_eq!(store.find("acme", "a\0", Some("fr")).await.unwrap(), None);
}

#[tokio::test]
async fn rates_and_owners_of_senders_reach_every_process() {
    let ground = ground().await;
    let stopping = CancellationToken::new();
    let directory = Directory::start(ground.database.clone(), stopping.clone());
    let database = &ground.database;
    let sender = Sender::parse("+33700000000").unwrap();
    let address = sender.as_str();
    let rate = Rate::per_second(2.5).unwrap();
    assert_eq!((directory.rate_of(address).await, directory.tenant_of(address).await), (None, None));
    senders::set_tenant(database, &sender, Some(&tenant("acme"))).await.unwrap();
    senders::set_rate(database, &sender, rate, "cli:ada").await.unwrap();
    while directory.rate_of(address).await != Some(rate) {
        tokio::task::yield_now().await;
    }
    assert_eq!(directory.tenant_of(address).await.as_deref(), Some("acme"));
    assert!(senders::clear_rate(database, &sender, "cli:ada").await.unwrap());
    assert!(!senders::clear_rate(database, &sender, "cli:ada").await.unwrap());
    while directory.rate_of(address).await.is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(directory.tenant_of(address).await.as_deref(), Some("acme"));
    stopping.cancel();
}

#[tokio::test]
async fn suppressions_hold_for_one_sender_or_for_all_of_a_tenant() {
    let ground = ground().await;
    let (acme, other) = (tenant("acme"), tenant("other"));
    let number = PhoneNumber::from_e164("+33612345678").unwrap();
    let sender = Sender::parse("+33700000000").unwrap();
    let database = &ground.database;
    let contains =
        async |tenant, sender| suppressions::contains(database, tenant, &number, sender).await.unwrap();

    assert!(suppressions::add(database, &acme, &number, Some(&sender), "STOP").await.unwrap());
    assert!(!suppressions::add(database, &acme, &number, Some(&sender), "STOP").await.unwrap());
    assert!(
        contains(&acme, Some(&sender)).await
            && !contains(&acme, None).await
            && !contains(&other, Some(&sender)).await
    );
    assert!(suppressions::add(database, &acme, &number, None, "21610").await.unwrap());
    assert!(contains(&acme, None).await);

    let listed = suppressions::list(database, &acme, None, 1_000).await.unwrap();
    assert_eq!(
        listed.iter().map(|one| one.sender.as_deref()).collect::<Vec<_>>(),
        [None, Some("+33700000000")]
    );
    let after =
        listed.first().map(|first| (first.recipient.reveal(), first.sender.as_deref().unwrap_or_default()));
    assert_eq!(suppressions::list(database, &acme, after, 1_000).await.unwrap().len(), 1);
    assert!(!format!("{listed:?}").contains("612345678"));

    assert!(suppressions::remove(database, &acme, &number, None).await.unwrap());
    assert!(!suppressions::remove(database, &acme, &number, None).await.unwrap());
    assert!(contains(&acme, Some(&sender)).await && !contains(&acme, None).await);
}

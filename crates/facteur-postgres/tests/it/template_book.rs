use facteur_core::ids::Tenant;
use facteur_core::job::{Category, Channel, Recipient};
use facteur_core::phone::PhoneNumber;
use facteur_postgres::page::Position;
use facteur_postgres::template_book::{self as book, Changed, NewTemplate, TemplateChange, TemplateFilter};
use facteur_postgres::{BatchFailure, TemplateStore, consents, redactions, tenant_names};
use uuid::Uuid;

use crate::ground::ground;

fn new<'a>(tenant: &'a str, name: &'a str, text: &'a str) -> NewTemplate<'a> {
    NewTemplate {
        tenant,
        name,
        language: "fr",
        category: Category::Transactional,
        channel: None,
        event: None,
        subject: None,
        is_active: true,
        text,
        changed_by: "test".into(),
    }
}

#[tokio::test]
async fn another_text_is_a_new_version_and_the_old_ones_stay_as_they_were() {
    let ground = ground().await;
    let database = &ground.database;
    let made = book::create(database, &new("acme", "hello", "un")).await.unwrap().unwrap();
    assert_eq!((made.version, made.text.as_str(), made.is_active), (1, "un", true));
    assert_eq!(book::create(database, &new("acme", "hello", "deux")).await.unwrap(), None);

    let change = TemplateChange { text: Some("deux"), name: Some("salut"), ..TemplateChange::default() };
    let Changed::Done(changed) = book::change(database, Some("acme"), made.id, &change, "ada").await.unwrap()
    else {
        panic!("not changed")
    };
    assert_eq!((changed.version, changed.text.as_str(), changed.name.as_str()), (2, "deux", "salut"));
    // The same text again is no version, and what is not named stays.
    let same =
        TemplateChange { text: Some("deux"), channel: Some(Some(Channel::Sms)), ..TemplateChange::default() };
    let Changed::Done(changed) = book::change(database, None, made.id, &same, "ada").await.unwrap() else {
        panic!("not changed")
    };
    assert_eq!((changed.version, changed.channel.as_deref()), (2, Some("sms")));
    assert_eq!(book::find(database, Some("acme"), made.id).await.unwrap(), Some(*changed));
    let versions = book::versions(database, made.id).await.unwrap();
    let told: Vec<_> = versions.iter().map(|one| (one.version, one.text.as_str())).collect();
    assert_eq!(told, [(2, "deux"), (1, "un")]);

    let refused = ground.client().await.execute("UPDATE facteur.template_versions SET text = 'x'", &[]).await;
    assert!(refused.unwrap_err().as_db_error().unwrap().message().contains("never changed"));
}

#[tokio::test]
async fn names_are_a_tenants_own_and_nobody_elses_templates_are_found() {
    let ground = ground().await;
    let database = &ground.database;
    let mine = book::create(database, &new("acme", "hello", "x")).await.unwrap().unwrap();
    let other = book::create(database, &new("acme", "bye", "x")).await.unwrap().unwrap();
    assert!(book::create(database, &new("other", "hello", "x")).await.unwrap().is_some());
    assert_eq!(book::find(database, Some("other"), mine.id).await.unwrap(), None);
    let change = TemplateChange { name: Some("hello"), ..TemplateChange::default() };
    let taken = book::change(database, Some("acme"), other.id, &change, "ada").await.unwrap();
    assert_eq!(taken, Changed::NameTaken);
    let foreign = book::change(database, Some("other"), other.id, &change, "ada").await.unwrap();
    assert_eq!(foreign, Changed::NotFound);
    assert!(!book::delete(database, Some("other"), mine.id, "ada").await.unwrap());
    assert!(book::delete(database, Some("acme"), mine.id, "ada").await.unwrap());
    assert_eq!(ground.text("SELECT count(*) FROM facteur.template_versions").await, "(2)");
    let audited = "SELECT action, count(*) FROM facteur.audit_log GROUP BY action ORDER BY action";
    assert_eq!(ground.text(audited).await, "(template_created,3);(template_deleted,1)");
    for (name, text) in [("", "x"), ("a", " "), ("a", "{{open"), ("a", "a\0")] {
        let refused = book::create(database, &new("acme", name, text)).await;
        assert!(matches!(refused, Err(BatchFailure::Data(_))), "{name:?} {text:?}");
    }
}

#[tokio::test]
async fn a_list_comes_in_pages_and_is_filtered() {
    let ground = ground().await;
    let database = &ground.database;
    for name in ["a", "b", "c", "d", "e"] {
        let event = (name < "c").then_some("ticket_created");
        let channel = (name == "a").then_some(Channel::Whatsapp);
        book::create(database, &NewTemplate { event, channel, ..new("acme", name, name) }).await.unwrap();
    }
    book::create(database, &new("other", "a", "x")).await.unwrap();
    let acme = TemplateFilter { tenant: Some("acme"), ..TemplateFilter::default() };
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = book::list(database, acme, after, 2).await.unwrap();
        let Some(last) = page.iter().take(2).next_back() else { break };
        after = Some(Position { at: last.created_at, id: last.id });
        seen.extend(page.iter().take(2).map(|one| one.name.clone()));
    }
    assert_eq!(seen, ["e", "d", "c", "b", "a"]);
    assert_eq!(book::list(database, TemplateFilter::default(), None, 200).await.unwrap().len(), 6);
    let events = TemplateFilter { event: Some("ticket_created"), ..acme };
    assert_eq!(book::list(database, events, None, 200).await.unwrap().len(), 2);
    let whatsapp = TemplateFilter { channel: Some("whatsapp"), ..events };
    assert_eq!(book::list(database, whatsapp, None, 200).await.unwrap()[0].name, "a");
    let of_event = book::of_event(database, "acme", "ticket_created").await.unwrap();
    assert_eq!(of_event.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn what_is_not_active_is_not_found_by_jobs_and_the_built_in_one_takes_its_place() {
    let ground = ground().await;
    let (database, store) = (&ground.database, TemplateStore::new(ground.database.clone()));
    let made = book::create(database, &new("acme", "trial_start", "Salut")).await.unwrap().unwrap();
    let text = async || store.find("acme", "trial_start", Some("fr")).await.unwrap().unwrap().text;
    assert_eq!(text().await, "Salut");
    let off = TemplateChange { is_active: Some(false), ..TemplateChange::default() };
    book::change(database, None, made.id, &off, "ada").await.unwrap();
    store.forget();
    assert!(text().await.starts_with("Bonjour {{name}}"));
}

#[tokio::test]
async fn two_changes_at_once_are_two_versions() {
    let ground = ground().await;
    let database = &ground.database;
    let made = book::create(database, &new("acme", "hello", "0")).await.unwrap().unwrap();
    let texts: Vec<String> = (1..=8).map(|n| n.to_string()).collect();
    let changes = texts.iter().map(|text| async move {
        let change = TemplateChange { text: Some(text), ..TemplateChange::default() };
        book::change(database, None, made.id, &change, "ada").await.unwrap()
    });
    futures_util::future::join_all(changes).await;
    let versions = book::versions(database, made.id).await.unwrap();
    assert_eq!(versions.iter().map(|one| one.version).collect::<Vec<_>>(), [9, 8, 7, 6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_consent_is_for_one_channel_of_one_tenant_and_can_be_withdrawn() {
    let ground = ground().await;
    let (database, acme) = (&ground.database, Tenant::parse("acme").unwrap());
    let number = PhoneNumber::from_e164("+33612345678").unwrap();
    let sms = Recipient { channel: Channel::Sms, number };
    let whatsapp = Recipient { channel: Channel::Whatsapp, ..sms.clone() };
    assert!(!consents::has(database, &acme, &sms).await.unwrap());
    consents::give(database, &acme, &sms, "key:a").await.unwrap();
    consents::give(database, &acme, &sms, "key:b").await.unwrap();
    assert!(consents::has(database, &acme, &sms).await.unwrap());
    assert!(!consents::has(database, &acme, &whatsapp).await.unwrap());
    assert!(!consents::has(database, &Tenant::parse("other").unwrap(), &sms).await.unwrap());
    assert_eq!(ground.text("SELECT source FROM facteur.contact_consents").await, "(key:a)");
    assert!(consents::withdraw(database, &acme, &sms).await.unwrap());
    assert!(!consents::withdraw(database, &acme, &sms).await.unwrap());
}

#[tokio::test]
async fn a_tenant_is_known_by_its_other_names() {
    let ground = ground().await;
    let (database, acme) = (&ground.database, Tenant::parse("acme").unwrap());
    ground
        .run("INSERT INTO facteur.tenant_aliases (alias, tenant, changed_by) VALUES ('77', 'acme', 'test')")
        .await;
    assert_eq!(tenant_names::of_alias(database, "77").await.unwrap(), Some(acme));
    assert_eq!(tenant_names::of_alias(database, "78").await.unwrap(), None);
}

#[tokio::test]
async fn what_holds_a_password_is_forgotten_when_its_job_has_ended_and_not_before() {
    let ground = ground().await;
    let secret = r#"{"to": "+33612345678", "template": "trial_start", "variables": {"password": "hunter2"}}"#;
    let mut ids = Vec::new();
    for status in ["waiting", "uncertain", "sent", "dead"] {
        let id = ground.job(status, true).await;
        ground
            .run(&format!(
                "UPDATE facteur.messages SET text = 'hunter2', document = convert_to('{secret}', 'UTF8'), \
                     headers = headers || '{{\"facteur-secret\": true}}' WHERE id = '{id}'"
            ))
            .await;
        ids.push(id);
    }
    let letter = Uuid::now_v7();
    ground
        .run(&format!(
            "INSERT INTO facteur.dead_letters (id, job_id, tenant, code, sentence, body, routing_key) \
             VALUES ('{letter}', '{}', 'acme', 'refused', 'x', convert_to('{secret}', 'UTF8'), 'send.bulk')",
            ids[3]
        ))
        .await;
    // One that holds no secret is not touched.
    let plain = ground.job("sent", true).await;
    assert_eq!(redactions::redact(&ground.database).await.unwrap(), 2);
    assert_eq!(redactions::redact(&ground.database).await.unwrap(), 0);
    let clear = "SELECT count(*) FROM facteur.messages WHERE text LIKE '%hunter2%' \
                 AND convert_from(document, 'UTF8') LIKE '%hunter2%'";
    assert_eq!(ground.text(clear).await, "(2)");
    let letters = "SELECT convert_from(body, 'UTF8')::jsonb FROM facteur.dead_letters";
    assert!(!ground.text(letters).await.contains("hunter2"));
    let left = format!(
        "SELECT convert_from(document, 'UTF8')::jsonb ->> 'template' FROM facteur.messages WHERE id = '{}'",
        ids[2]
    );
    assert_eq!(ground.text(&left).await, "(trial_start)");
    let kept = format!("SELECT text FROM facteur.messages WHERE id = '{plain}'");
    assert_eq!(ground.text(&kept).await, "(Bonjour)");
    // What has ended meanwhile follows.
    ground.run(&format!("UPDATE facteur.jobs SET status = 'delivered' WHERE id = '{}'", ids[0])).await;
    assert_eq!(redactions::redact(&ground.database).await.unwrap(), 1);
}

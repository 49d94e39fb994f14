//! Family 4 but for Celery, and the saved templates of family 1, as `docs/api.md` describes them.

use serde_json::{Value, json};

use crate::lab::{Answer, Lab};

const ADMIN: &str = "/api/v1/admin/notification-templates";
const UUID: &str = "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f99";

struct Desk {
    lab: Lab,
    key: String,
}

impl Desk {
    async fn start() -> Self {
        let lab = Lab::start().await;
        let key = lab.key("admin", Some("acme")).await;
        let alias = format!(
            "INSERT INTO facteur.tenant_aliases (alias, tenant, changed_by) VALUES ('{UUID}', 'acme', 'test')"
        );
        lab.sql(&alias).await;
        Self { lab, key }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.lab.api(method, path, &self.key, &body).await
    }

    /// Asks and expects 200.
    async fn told(&self, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(method, path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
        answer.json()
    }

    /// Happens for the tenant by its UUID.
    async fn event(&self, event: &str, body: Value) -> Value {
        self.told("POST", &format!("/api/v1/tenants/{UUID}/events/{event}"), body).await
    }

    async fn template(&self, body: Value) -> String {
        self.told("POST", &format!("{ADMIN}/"), body).await["id"].as_str().unwrap().to_owned()
    }
}

/// The documented fields stand at the top and under `data`.
fn is_twice(told: &Value, fields: &[&str]) {
    for field in fields {
        assert!(told.get(field).is_some() && told["data"][field] == told[field], "{field}: {told}");
    }
}

#[tokio::test]
async fn notification_templates_are_created_read_changed_listed_previewed_and_deleted() {
    let desk = Desk::start().await;
    let body = json!({
        "tenant": UUID, "name": "Ticket créé", "channel": "sms", "event": "ticket_created", "subject": "Ticket",
        "body": "Bonjour {{customer_name}}, ticket {{ticket_number}} le {{date}}", "is_active": true
    });
    let made = desk.told("POST", &format!("{ADMIN}/"), body).await;
    let fields = ["id", "tenant", "name", "channel", "event", "subject", "body", "is_active"];
    is_twice(&made, &fields);
    assert_eq!((&made["tenant"], &made["name"]), (&json!("acme"), &json!("Ticket créé")));
    let path = format!("{ADMIN}/{}/", made["id"].as_str().unwrap());
    is_twice(&desk.told("GET", &path, Value::Null).await, &fields);
    for method in ["PUT", "PATCH"] {
        let changed = desk.told(method, &path, json!({"subject": method, "tenant": "acme"})).await;
        is_twice(&changed, &fields);
        assert_eq!((&changed["subject"], &changed["body"]), (&json!(method), &made["body"]));
    }
    let preview = format!("{path}preview/");
    let shown =
        desk.told("POST", &preview, json!({"context": {"customer_name": "Awa", "date": "2026-01-15"}})).await;
    assert_eq!(shown["body"], "Bonjour Awa, ticket {{ticket_number}} le jeudi 15 janvier 2026");
    assert_eq!((&shown["missing"], &shown["segments"]), (&json!(["ticket_number"]), &json!(1)));
    desk.template(json!({"name": "b", "body": "x"})).await;
    let list = desk.ask("GET", &format!("{ADMIN}/?limit=1&tenant={UUID}"), Value::Null).await;
    let listed = list.json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["name"]), (1, &json!("b")));
    let link = list.head.lines().find_map(|line| line.strip_prefix("link: <")).unwrap();
    let next = link.strip_suffix(">; rel=\"next\"").unwrap();
    let second = desk.ask("GET", next, Value::Null).await;
    assert_eq!(second.json()[0]["name"], "Ticket créé");
    assert!(!second.head.contains("link: "), "{}", second.head);
    is_twice(&desk.told("DELETE", &path, Value::Null).await, &["id", "deleted"]);
    assert_eq!(desk.ask("GET", &path, Value::Null).await.status, 404);
    let refused = desk.ask("POST", ADMIN, json!({"name": "c", "body": "{{"})).await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("body")));
}

#[tokio::test]
async fn a_notification_is_sent_by_template_or_body_and_is_found_again() {
    let desk = Desk::start().await;
    let id = desk
        .template(json!({"name": "Appel", "channel": "whatsapp", "subject": "S", "body": "Ticket {{ticket_number}}"}))
        .await;
    desk.lab.sql("INSERT INTO facteur.senders (address) VALUES ('whatsapp:+14155238886')").await;
    let fields = [
        "id",
        "tenant",
        "channel",
        "recipient",
        "subject",
        "body",
        "status",
        "error_message",
        "provider_id",
        "created_at",
    ];
    let sent = desk
        .told(
            "POST",
            "/api/v1/notifications/",
            json!({"body": "Bonjour {{name}}", "channel": "sms", "recipient": "+221771234567",
                   "context": {"name": "{{name}}"}, "tenant_id": UUID, "subject": "Sujet"}),
        )
        .await;
    is_twice(&sent, &fields);
    let expected = json!({"tenant": "acme", "channel": "sms", "recipient": "+221771234567", "subject": "Sujet",
        "body": "Bonjour {{name}}", "status": "pending", "error_message": null, "provider_id": null});
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&sent[name], value, "{name}");
    }
    let path = format!("/api/v1/notifications/{}", sent["id"].as_str().unwrap());
    let read = desk.told("GET", &path, Value::Null).await;
    is_twice(&read, &fields);
    assert_eq!((&read["subject"], &read["body"]), (&json!("Sujet"), &json!("Bonjour {{name}}")));
    // By a built-in template's name, in the place of an id.
    let context =
        json!({"customer_name": "Awa", "ticket_number": 7, "queue_name": "B", "agent_name": "Claire"});
    let called = json!({"template_id": "ticket_called", "recipient": "+221771234567", "context": context});
    let called = desk.told("POST", "/api/v1/notifications", called).await;
    assert!(called["body"].as_str().unwrap().starts_with("Bonjour Awa, c'est à vous : ticket 7"), "{called}");
    let list = desk.told("GET", "/api/v1/notifications/?channel=sms", Value::Null).await;
    assert_eq!((list.as_array().unwrap().len(), &list[0]["id"]), (2, &called["id"]));
    assert_eq!((&list[0]["subject"], &list[1]["subject"]), (&Value::Null, &json!("Sujet")));

    for (body, field) in [
        (json!({"recipient": "+221771234567"}), "template_id"),
        (json!({"recipient": "+221771234567", "template_id": id, "body": "x"}), "template_id"),
        (json!({"recipient": "+221771234567", "template_id": "none"}), "template_id"),
        (json!({"recipient": "+221771234567", "template_id": UUID}), "template_id"),
        (json!({"recipient": "+221771234567", "template_id": id, "channel": "sms"}), "channel"),
        (json!({"recipient": "12", "body": "x"}), "recipient"),
        (json!({"recipient": "+221771234567", "body": "{{a}}", "context": {"b": 1}}), "context"),
        (json!({"recipient": "+221771234567", "template_id": "ticket_called", "context": {}}), "context"),
        (json!({"body": "x"}), "recipient"),
    ] {
        let refused = desk.ask("POST", "/api/v1/notifications", body.clone()).await;
        assert_eq!(
            (refused.status, refused.json()["field"].as_str()),
            (422, Some(field)),
            "{body}: {}",
            refused.body
        );
    }
}

#[tokio::test]
async fn an_event_sends_every_active_template_of_its_channels_to_who_agreed() {
    let desk = Desk::start().await;
    let body = |name: &str, channel: Option<&str>, language: &str, text: &str| json!({"name": name, "channel": channel, "event": "order_ready", "body": text, "language": language});
    desk.template(body("a", Some("sms"), "fr", "Prêt, {{name}}")).await;
    desk.template(body("a", Some("sms"), "en", "Ready, {{name}}")).await;
    desk.template(body("b", None, "fr", "Merci {{name}}")).await;
    let off = desk.template(body("c", Some("sms"), "fr", "jamais")).await;
    desk.told("PATCH", &format!("{ADMIN}/{off}"), json!({"is_active": false})).await;
    desk.template(body("d", Some("mms"), "fr", "Photo {{name}}")).await;
    let happened = |extra: Value| {
        let mut body = json!({"recipient": "+221771234567", "context": {"name": "Awa"}});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let texts = |told: &Value| -> Vec<String> {
        let one = |one: &Value| one["body"].as_str().unwrap().to_owned();
        told["notifications"].as_array().unwrap().iter().map(one).collect()
    };
    let skipped = |told: &Value| -> Vec<String> {
        let one =
            |one: &Value| format!("{} {} {}", one["template"], one["channel"], one["code"]).replace('"', "");
        told["skipped"].as_array().unwrap().iter().map(one).collect()
    };
    let none = desk.event("order_ready", happened(json!({}))).await;
    is_twice(&none, &["tenant", "event", "notifications", "skipped"]);
    assert!(texts(&none).is_empty());
    assert_eq!(skipped(&none), ["a sms consent_missing", "b sms consent_missing", "d mms consent_missing"]);

    let sms = desk.event("order_ready", happened(json!({"consent": true, "channels": ["sms"]}))).await;
    assert_eq!((texts(&sms), skipped(&sms)), (vec!["Prêt, Awa".to_owned(), "Merci Awa".to_owned()], vec![]));
    // The consent was recorded, for SMS alone; another language is chosen where there is one.
    let again = desk.event("order_ready", happened(json!({"language": "en"}))).await;
    assert_eq!(texts(&again), ["Ready, Awa", "Merci Awa"]);
    assert_eq!(skipped(&again), ["d mms consent_missing"]);
    let source = desk.lab.text("SELECT channel || ' ' || source FROM facteur.contact_consents").await;
    assert_eq!(source, Some(format!("sms key:{}", &desk.key[..11])));
    let withdrawn = desk.event("order_ready", happened(json!({"consent": false}))).await;
    assert_eq!((texts(&withdrawn).len(), skipped(&withdrawn).len()), (0, 3));
    assert_eq!(texts(&desk.event("order_ready", happened(json!({}))).await).len(), 0);
    assert_eq!(texts(&desk.event("nothing_known", happened(json!({"consent": true}))).await).len(), 0);

    let lacking = json!({"recipient": "+221771234567", "consent": true});
    let path = "/api/v1/tenants/acme/events/order_ready";
    let lacking = desk.ask("POST", path, lacking).await;
    assert_eq!(
        (lacking.status, lacking.json()["field"].as_str()),
        (422, Some("context")),
        "{}",
        lacking.body
    );
    let number = desk.ask("POST", path, json!({"recipient": "12", "consent": true})).await;
    assert_eq!((number.status, number.json()["field"].as_str()), (422, Some("recipient")));
}

#[tokio::test]
async fn a_tenant_without_templates_of_an_event_says_what_facteur_says_until_it_says_nothing() {
    let desk = Desk::start().await;
    let body = json!({"recipient": "+221771234567", "consent": true, "context": {
        "customer_name": "Awa", "ticket_number": "A042", "service_name": "Accueil", "eta_minutes": 15}});
    let told = desk.event("ticket_created", body.clone()).await;
    let text = told["notifications"][0]["body"].as_str().unwrap();
    assert!(text.starts_with("Bonjour Awa, votre ticket A042 est enregistré (Accueil)."), "{text}");
    let own = json!({"name": "mine", "event": "ticket_created", "body": "x", "is_active": false});
    desk.template(own).await;
    let told = desk.event("ticket_created", body).await;
    assert_eq!((&told["notifications"], &told["skipped"]), (&json!([]), &json!([])));
}

#[tokio::test]
async fn another_tenants_names_templates_and_notifications_do_not_exist() {
    let desk = Desk::start().await;
    let id = desk.template(json!({"name": "a", "body": "x"})).await;
    let sent =
        desk.told("POST", "/api/v1/notifications", json!({"body": "x", "recipient": "0612345678"})).await;
    let stranger = desk.lab.key("admin", Some("other")).await;
    let ask = async |method: &str, path: String, body: Value| {
        desk.lab.api(method, &path, &stranger, &body).await.status
    };
    for (method, path, body) in [
        ("GET", format!("{ADMIN}/{id}"), Value::Null),
        ("PATCH", format!("{ADMIN}/{id}"), json!({"body": "y"})),
        ("DELETE", format!("{ADMIN}/{id}"), Value::Null),
        ("POST", format!("{ADMIN}/{id}/preview"), json!({})),
        ("GET", format!("/api/v1/notifications/{}", sent["id"].as_str().unwrap()), Value::Null),
        ("POST", format!("/api/v1/tenants/{UUID}/events/x"), json!({"recipient": "0612345678"})),
        ("POST", "/api/v1/tenants/acme/events/x".to_owned(), json!({"recipient": "0612345678"})),
        ("POST", "/api/v1/tenants/No%20Slug/events/x".to_owned(), json!({"recipient": "0612345678"})),
        ("GET", format!("/api/templates/{id}"), Value::Null),
        ("PUT", format!("/api/templates/{id}"), json!({"content": "y"})),
        ("DELETE", format!("/api/templates/{id}"), Value::Null),
    ] {
        assert_eq!(ask(method, path.clone(), body).await, 404, "{method} {path}");
    }
    for (method, path, body) in [
        ("GET", format!("{ADMIN}?tenant={UUID}"), Value::Null),
        ("POST", ADMIN.to_owned(), json!({"tenant": "acme", "name": "b", "body": "x"})),
        ("GET", "/api/v1/notifications?tenant_id=acme".to_owned(), Value::Null),
        (
            "POST",
            "/api/v1/notifications".to_owned(),
            json!({"body": "x", "recipient": "0612345678", "tenant_id": UUID}),
        ),
    ] {
        assert_eq!(ask(method, path.clone(), body).await, 403, "{method} {path}");
    }
}

#[tokio::test]
async fn saved_templates_are_kept_with_the_key_that_sends() {
    let desk = Desk::start().await;
    let key = desk.lab.key("sender", Some("acme")).await;
    let ask = async |method: &str, path: &str, body: Value| desk.lab.api(method, path, &key, &body).await;
    let fields = ["id", "name", "content", "channel"];
    let made = ask(
        "POST",
        "/api/templates/",
        json!({"name": "Invitation", "content": "Bonjour {{nom}}", "channel": "sms"}),
    )
    .await;
    assert_eq!(made.status, 200, "{}", made.body);
    is_twice(&made.json(), &fields);
    let path = format!("/api/templates/{}/", made.json()["id"].as_str().unwrap());
    for method in ["PUT", "PATCH"] {
        let changed =
            ask(method, &path, json!({"content": format!("{method} {{{{nom}}}}"), "name": "Rappel"}))
                .await
                .json();
        is_twice(&changed, &fields);
        assert_eq!((&changed["name"], &changed["channel"]), (&json!("Rappel"), &json!("sms")));
    }
    assert_eq!(ask("GET", &path, Value::Null).await.json()["content"], "PATCH {{nom}}");
    let list = ask("GET", "/api/templates", Value::Null).await.json();
    assert_eq!((list.as_array().unwrap().len(), &list[0]["name"]), (1, &json!("Rappel")));
    let refused = ask("POST", "/api/templates", json!({"name": "a", "content": "{{a b}}"})).await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some("content")));
    assert_eq!(ask("DELETE", &path, Value::Null).await.json()["deleted"], true);
    assert_eq!(ask("GET", &path, Value::Null).await.status, 404);
}

use serde_json::{Value, json};

use crate::lab::{Answer, Lab};

/// A lab with an administrator of a tenant.
struct Desk {
    lab: Lab,
    key: String,
}

impl Desk {
    async fn start() -> Self {
        let lab = Lab::start().await;
        let key = lab.key("admin", Some("acme")).await;
        Self { lab, key }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.lab.api(method, path, &self.key, &body).await
    }

    async fn made(&self, body: Value) -> String {
        let answer = self.ask("POST", "/v1/templates", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["id"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_template_is_written_read_changed_and_deleted_and_its_versions_stay() {
    let desk = Desk::start().await;
    let body = json!({"name": "hello", "text": "Bonjour {{name}}", "channel": "sms", "event": "greeting", "subject": "Hi"});
    let id = desk.made(body.clone()).await;
    let path = format!("/v1/templates/{id}");
    let again = desk.ask("POST", "/v1/templates", body).await;
    assert_eq!((again.status, again.code().as_str()), (409, "template_exists"));

    let changed = desk.ask("PUT", &path, json!({"text": "Salut {{name}} {{x}}", "event": null})).await.json();
    assert_eq!(
        (&changed["version"], &changed["event"], &changed["channel"]),
        (&json!(2), &Value::Null, &json!("sms"))
    );
    assert_eq!(changed["variables"], json!(["name", "x"]));
    let read = desk.ask("GET", &path, Value::Null).await.json();
    assert_eq!(read["text"], "Salut {{name}} {{x}}");
    assert_eq!(
        (&read["versions"][0]["version"], &read["versions"][1]["text"]),
        (&json!(2), &json!("Bonjour {{name}}"))
    );
    assert_eq!(desk.ask("PUT", &path, json!({"is_active": false})).await.json()["version"], 2);
    let list = desk.ask("GET", "/v1/templates?name=hello&limit=1", Value::Null).await.json();
    assert_eq!((&list["data"][0]["id"], &list["next_cursor"]), (&json!(id), &Value::Null));

    assert_eq!(desk.ask("DELETE", &path, Value::Null).await.status, 204);
    assert_eq!(desk.ask("GET", &path, Value::Null).await.status, 404);
    assert_eq!(desk.ask("DELETE", &path, Value::Null).await.status, 404);
    let audited = "SELECT string_agg(action || ' ' || actor, ', ' ORDER BY id) FROM facteur.audit_log \
                   WHERE action <> 'key_created'";
    let actor = format!("key:{}", &desk.key[..11]);
    let expected = ["created", "changed", "changed", "deleted"]
        .map(|what| format!("template_{what} {actor}"))
        .join(", ");
    assert_eq!(desk.lab.text(audited).await, Some(expected));
}

#[tokio::test]
async fn nobody_reaches_another_tenants_templates() {
    let desk = Desk::start().await;
    let id = desk.made(json!({"name": "hello", "text": "x"})).await;
    let path = format!("/v1/templates/{id}");
    let stranger = desk.lab.key("admin", Some("other")).await;
    for (method, path, body) in [
        ("GET", path.clone(), Value::Null),
        ("PUT", path.clone(), json!({"text": "y"})),
        ("DELETE", path.clone(), Value::Null),
        ("POST", format!("{path}/preview"), json!({})),
        ("GET", "/v1/templates/none".to_owned(), Value::Null),
    ] {
        let answer = desk.lab.api(method, &path, &stranger, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{method} {path}");
    }
    let list = desk.lab.api("GET", "/v1/templates", &stranger, &Value::Null).await.json();
    assert_eq!(list["data"], json!([]));
    let foreign = desk.lab.api("GET", "/v1/templates?tenant=acme", &stranger, &Value::Null).await;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "tenant_foreign"));
    let sender = desk.lab.key("sender", Some("acme")).await;
    assert_eq!(desk.lab.api("GET", &path, &sender, &Value::Null).await.status, 200);
    assert_eq!(desk.lab.api("PUT", &path, &sender, &json!({"text": "y"})).await.status, 403);
}

#[tokio::test]
async fn the_built_in_templates_are_listed_read_and_previewed_and_can_only_be_replaced() {
    let desk = Desk::start().await;
    let listed = desk.ask("GET", "/v1/templates/built-in", Value::Null).await.json();
    let all = listed["data"].as_array().unwrap();
    assert_eq!(all.len(), 26);
    let french = all.iter().find(|one| one["name"] == "ticket_called" && one["language"] == "fr").unwrap();
    assert_eq!((&french["is_built_in"], &french["replaced_by"]), (&json!(true), &Value::Null));
    let path = format!("/v1/templates/{}", french["id"].as_str().unwrap());
    assert_eq!(desk.ask("GET", &path, Value::Null).await.json()["text"], french["text"]);
    let preview =
        desk.ask("POST", &format!("{path}/preview"), json!({"variables": {"ticket_number": 7}})).await.json();
    assert_eq!(preview["missing"], json!(["agent_name", "customer_name", "queue_name"]));
    for (method, body) in [("PUT", json!({"text": "x"})), ("DELETE", Value::Null)] {
        let refused = desk.ask(method, &path, body).await;
        assert_eq!((refused.status, refused.code().as_str()), (409, "template_built_in"));
    }
    let own = desk.made(json!({"name": "ticket_called", "text": "À vous"})).await;
    let listed = desk.ask("GET", "/v1/templates/built-in", Value::Null).await.json();
    let replaced =
        listed["data"].as_array().unwrap().iter().filter(|one| one["replaced_by"] == json!(own)).count();
    assert_eq!(replaced, 1);
}

#[tokio::test]
async fn a_preview_says_what_a_text_would_cost_and_what_it_lacks() {
    let desk = Desk::start().await;
    let preview = async |body: Value| desk.ask("POST", "/v1/templates/preview", body).await.json();
    let shown = preview(json!({
        "text": "C'est prêt, {{name}} ! {{link}}", "variables": {"name": "{{link}}", "x": true},
        "recipients": 1000, "price_per_segment": 0.05
    }))
    .await;
    // A value is text: what looks like a placeholder in it is not one.
    assert_eq!(shown["text"], "C'est prêt, {{link}} ! {{link}}");
    assert_eq!((&shown["missing"], &shown["unknown"]), (&json!(["link"]), &json!(["x"])));
    assert_eq!((&shown["encoding"], &shown["ucs2_characters"]), (&json!("UCS-2"), &json!(["ê"])));
    assert_eq!((&shown["is_sendable"], &shown["estimate"]["amount"]), (&json!(false), &json!(50.0)));
    let gsm = preview(json!({"text": "C'est prévu à l'été : 5 € [ok] Ç"})).await;
    assert_eq!(
        (&gsm["encoding"], &gsm["segments"], &gsm["is_sendable"]),
        (&json!("GSM-7"), &json!(1), &json!(true))
    );
    // é as a letter and an accent of its own is another thing than é.
    let combining = preview(json!({"text": "e\u{301}te\u{301} 👨‍👩‍👧"})).await;
    assert_eq!(combining["ucs2_characters"], json!(["\u{301}", "👨", "\u{200d}", "👩", "👧"]));
    assert_eq!(combining["units"], 14);
    let long = json!({"text": "é".repeat(161), "channel": "whatsapp"});
    assert_eq!(preview(long.clone()).await["segments"], 1);
    assert_eq!(preview(json!({"text": "é".repeat(161)})).await["segments"], 2);
    let estimate = async |body: Value| preview(body).await["estimate"].clone();
    assert_eq!(
        estimate(json!({"text": "é".repeat(161), "recipients": 1000})).await,
        json!({"recipients": 1000, "segments": 2000, "price_per_segment": 0.0725, "amount": 145.0, "currency": "EUR"})
    );
    let given = estimate(json!({"text": "x", "recipients": 3, "price_per_segment": 0.5})).await;
    assert_eq!(
        (&given["amount"], &given["currency"]),
        (&json!(1.5), &Value::Null),
        "a price that is given wins"
    );
    let mms =
        estimate(json!({"text": "x".repeat(300), "channel": "mms", "country": "sn", "recipients": 2})).await;
    assert_eq!((&mms["segments"], &mms["amount"]), (&json!(2), &json!(0.4)));
    for unpriced in [json!({"text": "x", "country": "SN"}), json!({"text": "x", "channel": "whatsapp"})] {
        let estimate = estimate(unpriced).await;
        let none = [&estimate["price_per_segment"], &estimate["amount"], &estimate["currency"]];
        assert_eq!(none, [&Value::Null; 3], "no price is made up");
    }
    for (body, field) in [
        (json!({"text": "{{open"}), "text"),
        (json!({"text": "x", "country": "XX"}), "country"),
        (json!({"text": "{{a.b}}"}), "text"),
        (json!({"text": "x", "recipients": 0}), "recipients"),
        (json!({"text": "x", "price_per_segment": -1}), "price_per_segment"),
        (json!({"text": "x", "variables": {"a": {"b": 1}}}), "variables.a"),
        (json!({"text": "x", "colour": "red"}), "colour"),
    ] {
        let refused = desk.ask("POST", "/v1/templates/preview", body).await;
        assert_eq!(
            (refused.status, refused.json()["field"].as_str()),
            (422, Some(field)),
            "{}",
            refused.body
        );
    }
}

#[tokio::test]
async fn what_is_no_template_is_refused_with_its_field() {
    let desk = Desk::start().await;
    for (body, field) in [
        (json!({"text": "x"}), Some("name")),
        (json!({"name": "a"}), Some("text")),
        (json!({"name": "a", "text": " "}), Some("text")),
        (json!({"name": "a", "text": "{{"}), Some("text")),
        (json!({"name": "a", "text": "x", "channel": "pigeon"}), Some("channel")),
        (json!({"name": "a", "text": "x", "category": "spam"}), Some("category")),
        (json!({"name": "", "text": "x"}), None),
        (json!({"name": "a", "text": "x", "language": "français"}), None),
        (json!({"name": "a", "text": "x", "event": ""}), None),
    ] {
        let refused = desk.ask("POST", "/v1/templates", body.clone()).await;
        assert_eq!(
            (refused.status, refused.json()["field"].as_str()),
            (422, field),
            "{body}: {}",
            refused.body
        );
    }
    // SQL in a name is a name.
    let id = desk.made(json!({"name": "'; DROP TABLE facteur.templates; --", "text": "x"})).await;
    assert_eq!(desk.ask("GET", &format!("/v1/templates/{id}"), Value::Null).await.status, 200);
}

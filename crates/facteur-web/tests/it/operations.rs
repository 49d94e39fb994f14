use serde_json::{Value, json};

use crate::lab::Lab;

#[tokio::test]
async fn a_tenant_pauses_what_is_its_own_and_nothing_else() {
    let lab = Lab::start().await;
    lab.sql("INSERT INTO facteur.senders (address, tenant) VALUES ('+33700000001', 'acme'), ('+33700000002', 'other')").await;
    let (key, all) = (lab.key("admin", Some("acme")).await, lab.key("superadmin", None).await);
    let pause = async |key: &str, scope: &str, name: &str| {
        let body = json!({"scope": scope, "key": name, "reason": "a wrong date"});
        lab.api("POST", "/v1/pauses", key, &body).await.status
    };
    assert_eq!(pause(&key, "tenant", "acme").await, 200);
    let forbidden = [
        ("tenant", "other"),
        ("lane", "bulk"),
        ("integration", "AC1"),
        ("sender", "+33700000002"),
        ("bulk", "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11"),
    ];
    for (scope, name) in forbidden {
        assert_eq!(pause(&key, scope, name).await, 403, "{scope} {name}");
        assert_eq!(pause(&all, scope, name).await, 200, "{scope} {name}");
    }
    assert_eq!(pause(&key, "moon", "full").await, 422);
    lab.until("SELECT count(*)::text FROM facteur.pauses WHERE ended_at IS NULL", "6").await;
    let count = async |key: &str| {
        lab.api("GET", "/v1/pauses", key, &Value::Null).await.json()["data"].as_array().unwrap().len()
    };
    assert_eq!((count(&key).await, count(&all).await), (1, 6));
    assert_eq!(lab.api("DELETE", "/v1/pauses/lane/bulk", &key, &Value::Null).await.status, 404);
    assert_eq!(lab.api("DELETE", "/v1/pauses/tenant/acme", &key, &Value::Null).await.status, 200);
    assert_eq!(lab.api("DELETE", "/v1/pauses/tenant/acme", &key, &Value::Null).await.status, 404);
    let status = lab.api("GET", "/v1/status", &key, &Value::Null).await;
    assert_eq!((status.status, &status.json()["pauses"]), (200, &json!(5)), "{}", status.body);
}

#[tokio::test]
async fn a_pause_that_can_not_be_is_refused_with_the_reason() {
    let lab = Lab::start().await;
    let key = lab.key("admin", Some("acme")).await;
    let ask = async |reason: &str, until: &str| {
        let body = json!({"scope": "tenant", "key": "acme", "reason": reason, "until": until});
        let answer = lab.api("POST", "/v1/pauses", &key, &body).await;
        (answer.status, answer.code())
    };
    assert_eq!(ask("", "2099-01-01T00:00:00Z").await, (422, "invalid_value".to_owned()));
    assert_eq!(ask("x", "tomorrow").await, (422, "invalid_field".to_owned()));
    assert_eq!(ask("x", "2001-01-01T00:00:00Z").await, (422, "invalid_value".to_owned()));
}

#[tokio::test]
async fn dead_letters_are_listed_and_shown_to_their_tenants_admin() {
    let lab = Lab::start().await;
    lab.sql(
        "INSERT INTO facteur.dead_letters (id, job_id, tenant, code, sentence, body, routing_key) \
         SELECT lpad(n::text, 32, '0')::uuid, gen_random_uuid(), CASE WHEN n = 3 THEN 'other' ELSE 'acme' END, 'uncertain', 'why', \
                '{\"to\": 1}', 'send.normal' FROM generate_series(1, 3) n",
    )
    .await;
    let key = lab.key("admin", Some("acme")).await;
    let list = lab.api("GET", "/v1/dead-letters?limit=1", &key, &Value::Null).await.json();
    let next = list["next_cursor"].as_str().unwrap();
    let rest = lab.api("GET", &format!("/v1/dead-letters?cursor={next}"), &key, &Value::Null).await.json();
    assert_eq!((list["data"].as_array().unwrap().len(), rest["data"].as_array().unwrap().len()), (1, 1));
    assert!(list["data"][0]["advice"].is_string(), "{list}");
    assert!(list["data"][0]["body"].is_null(), "a list carries nothing personal: {list}");
    let one = |number: u8| format!("/v1/dead-letters/00000000-0000-0000-0000-00000000000{number}");
    let shown = lab.api("GET", &one(1), &key, &Value::Null).await;
    assert_eq!((shown.status, &shown.json()["body"]), (200, &json!("{\"to\": 1}")), "{}", shown.body);
    assert_eq!(lab.api("GET", &one(3), &key, &Value::Null).await.status, 404);
    assert_eq!(lab.api("GET", "/v1/dead-letters?state=lost", &key, &Value::Null).await.status, 400);
    let sender = lab.key("sender", Some("acme")).await;
    assert_eq!(lab.api("GET", "/v1/dead-letters", &sender, &Value::Null).await.status, 403);
}

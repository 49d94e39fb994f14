use facteur_postgres::audit::{self, Entry};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::Lab;

fn entry(tenant: &str, action: &str, details: Value) -> Entry {
    Entry {
        tenant: tenant.to_owned(),
        actor: "key:fk_tester01".to_owned(),
        action: action.to_owned(),
        subject: None,
        request_id: None,
        details,
    }
}

#[tokio::test]
async fn a_key_that_is_made_and_revoked_is_on_the_record() {
    let lab = Lab::start().await;
    let admin = lab.key("admin", Some("acme")).await;
    let made = lab.api("POST", "/v1/keys", &admin, &json!({"name": "shop", "role": "sender"})).await.json();
    let id = made["id"].as_str().unwrap();
    for _ in 0..2 {
        assert_eq!(lab.api("DELETE", &format!("/v1/keys/{id}"), &admin, &Value::Null).await.status, 204);
    }
    let log = lab.api("GET", &format!("/v1/audit?subject={id}"), &admin, &Value::Null).await;
    let records = log.json()["data"].as_array().unwrap().clone();
    let told: Vec<_> = records.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["key_revoked", "key_created"], "{log:?}");
    assert_eq!(records[1]["actor"], format!("key:{}", &admin[..11]));
    assert_eq!(records[1]["details"]["name"], "shop");
    assert!(records[1]["request_id"].as_str().is_some_and(|id| Uuid::parse_str(id).is_ok()), "{log:?}");
    assert!(!log.body.contains(made["key"].as_str().unwrap()), "{log:?}");
}

#[tokio::test]
async fn records_are_filtered_paged_and_kept_apart_by_tenant() {
    let lab = Lab::start().await;
    let client = lab.database.client().await.unwrap();
    let entries: Vec<_> = (0..7)
        .map(|number| entry(["acme", "other"][number % 2], "send_sms", json!({ "number": number })))
        .collect();
    audit::record_all(&client, &entries).await.unwrap();
    let (admin, all) = (lab.key("admin", Some("acme")).await, lab.key("superadmin", None).await);
    let list =
        async |key: &str, query: &str| lab.api("GET", &format!("/v1/audit{query}"), key, &Value::Null).await;
    let numbers = |page: &Value| -> Vec<u64> {
        page["data"].as_array().unwrap().iter().filter_map(|row| row["details"]["number"].as_u64()).collect()
    };
    let sent = "?action=send_sms";
    assert_eq!(numbers(&list(&admin, sent).await.json()), [6, 4, 2, 0]);
    assert_eq!(numbers(&list(&all, sent).await.json()), [6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(numbers(&list(&all, "?action=send_sms&tenant=other").await.json()), [5, 3, 1]);
    let mut seen = Vec::new();
    let mut query = format!("{sent}&limit=2");
    loop {
        let page = list(&all, &query).await.json();
        seen.extend(numbers(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("{sent}&limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
    let others = list(&all, "?tenant=*").await.json();
    assert!(others["data"].as_array().unwrap().iter().all(|row| row["tenant"] == "*"), "{others}");
    for (query, count) in [
        ("?actor=key:fk_tester01", 7),
        ("?actor=key:fk_other", 0),
        ("?action=send_sms&since=2020-01-01T00:00:00Z&until=2999-01-01T00:00:00Z", 7),
        ("?until=2020-01-01T00:00:00Z", 0),
        ("?since=2999-01-01T00:00:00Z", 0),
    ] {
        assert_eq!(numbers(&list(&all, query).await.json()).len(), count, "{query}");
    }
    for (query, status, code) in [
        ("?tenant=other", 403, "tenant_foreign"),
        ("?tenant=*", 422, "invalid_field"),
        ("?limit=0", 422, "invalid_field"),
        ("?since=yesterday", 400, "invalid_field"),
        ("?cursor=x", 400, "cursor_invalid"),
        ("?acton=send_sms", 400, "unknown_field"),
    ] {
        let answer = list(&admin, query).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{query}: {answer:?}");
    }
}

#[tokio::test]
async fn a_record_tells_what_became_of_its_messages() {
    let lab = Lab::start().await;
    let (job, unknown) = (lab.sending().await, Uuid::new_v4());
    let client = lab.database.client().await.unwrap();
    let record =
        entry("default", "send_sms", json!({ "messages": [job.to_string(), unknown.to_string(), 7] }));
    audit::record(&client, &record).await.unwrap();
    let admin = lab.key("admin", Some("default")).await;
    let told = lab.api("GET", "/v1/audit?action=send_sms", &admin, &Value::Null).await.json();
    let expected = json!([
        {"id": job.to_string(), "status": "sending", "sid": null, "error_code": null},
        {"id": unknown.to_string(), "status": null, "sid": null, "error_code": null},
    ]);
    assert_eq!(told["data"][0]["messages"], expected, "{told}");
}

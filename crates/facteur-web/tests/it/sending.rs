use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::{Lab, OUTBOX_ROWS_MAX};

const PATH: &str = "/v1/messages";

fn bonjour() -> Value {
    json!({"to": "06 12 34 56 78", "body": "Bonjour Jean"})
}

#[tokio::test]
async fn a_message_is_accepted_with_what_will_be_sent_and_can_be_read_at_once() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let answer = lab.api("POST", PATH, &key, &bonjour()).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let message = answer.json();
    let expected = [
        ("tenant", json!("acme")),
        ("status", json!("waiting")),
        ("reason", json!("enqueued")),
        ("channel", json!("sms")),
        ("to", json!("+33612345678")),
        ("from", json!("+15005550006")),
        ("body", json!("Bonjour Jean")),
        ("lane", json!("normal")),
        ("segments", json!(1)),
        ("sid", json!(null)),
    ];
    for (field, value) in expected {
        assert_eq!(message[field], value, "{field}");
    }
    let id = message["id"].as_str().unwrap();
    assert!(answer.head.contains(&format!("/v1/messages/{id}")), "{}", answer.head);
    let read = lab.api("GET", &format!("{PATH}/{id}"), &key, &Value::Null).await;
    assert_eq!((read.status, &read.json()["status"]), (200, &json!("waiting")), "{}", read.body);
    let wake_up = "SELECT routing_key || ' ' || (headers ->> 'facteur-turn') || ' ' || \
                   (headers ? 'facteur-enqueued-at-ms')::text FROM facteur.outbox";
    assert_eq!(lab.text(wake_up).await.as_deref(), Some("send.normal 1 true"));
    let audit = "SELECT actor || ' ' || action || ' ' || subject FROM facteur.audit_log WHERE action <> 'key_created'";
    let expected = format!("key:{} send_message {id}", &key[..11]);
    assert_eq!(lab.text(audit).await, Some(expected));
}

#[tokio::test]
async fn the_trace_of_a_request_travels_with_its_message() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = format!("traceparent: {trace}\r\n");
    assert_eq!(lab.json(PATH, &key, &headers, &bonjour().to_string()).await.status, 202);
    let carried = "SELECT headers ->> 'traceparent' FROM facteur.outbox";
    assert_eq!(lab.text(carried).await.as_deref(), Some(trace));
}

#[tokio::test]
async fn the_lane_follows_the_wish_the_category_and_the_templates_category() {
    let lab = Lab::start().await;
    lab.sql(
        "INSERT INTO facteur.templates (tenant, name, language, version, category) VALUES ('acme', 'promo', 'fr', 1, 'marketing'); \
         INSERT INTO facteur.template_versions (tenant, name, language, version, text) VALUES ('acme', 'promo', 'fr', 1, 'Bonjour {{name}}')",
    )
    .await;
    let key = lab.key("sender", Some("acme")).await;
    let rows = [
        (json!({"category": "otp"}), "urgent"),
        (json!({"category": "otp", "lane": "bulk"}), "bulk"),
        (json!({"category": "marketing", "lane": "urgent"}), "bulk"),
        (json!({}), "normal"),
        (json!({"body": null, "template": "promo", "variables": {"name": "Jean"}}), "bulk"),
    ];
    for (extra, lane) in rows {
        let mut body = bonjour();
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = lab.api("POST", PATH, &key, &body).await;
        assert_eq!((answer.status, &answer.json()["lane"]), (202, &json!(lane)), "{body} {}", answer.body);
    }
}

#[tokio::test]
async fn a_scheduled_message_waits_without_a_wake_up() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let tomorrow =
        lab.text("SELECT to_char(now() + interval '1 day', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')").await.unwrap();
    let body = json!({"to": "0612345678", "body": "Bonjour", "send_at": tomorrow});
    let answer = lab.api("POST", PATH, &key, &body).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("scheduled")), "{}", answer.body);
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.outbox").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn each_message_of_many_is_accepted_or_refused_for_itself() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let id = Uuid::new_v4();
    let messages = json!({"messages": [
        bonjour(),
        {"to": "123", "body": "x"},
        {"to": "+33612345679", "template": "no_such"},
        {"id": id, "to": "+33612345670", "body": "👍🏽 e\u{301}"},
        {"id": id, "to": "+33612345671", "body": "the same id"},
    ]});
    let answer = lab.api("POST", PATH, &key, &messages).await;
    let told = answer.json();
    assert_eq!(
        (answer.status, &told["accepted"], &told["refused"]),
        (202, &json!(2), &json!(3)),
        "{}",
        answer.body
    );
    let codes: Vec<&str> =
        told["messages"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap_or("-")).collect();
    assert_eq!(codes, ["-", "number_invalid", "template_unknown", "-", "id_conflict"]);
    assert_eq!(told["messages"][1]["field"], json!("to"));
    let again = json!({"messages": [{"id": id, "to": "+33612345670", "body": "another text"}]});
    let refused = lab.api("POST", PATH, &key, &again).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "all_refused"), "{}", refused.body);
    assert_eq!(refused.json()["messages"][0]["code"], json!("id_conflict"));
    let same = json!({"id": id, "to": "+33612345670", "body": "👍🏽 e\u{301}"});
    assert_eq!(lab.api("POST", PATH, &key, &same).await.status, 202);
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.jobs").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_accepted() {
    let lab = Lab::start().await;
    lab.sql("INSERT INTO facteur.senders (address, tenant) VALUES ('+33700000009', 'other')").await;
    lab.renewed().await;
    let key = lab.key("sender", Some("acme")).await;
    let to = "\"to\": \"+33612345678\"";
    let long = "x".repeat(1_601);
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    let rows: Vec<(String, u16, &str, &str)> = vec![
        ("{".to_owned(), 400, "malformed_json", ""),
        (String::new(), 400, "malformed_json", ""),
        ("[]".to_owned(), 422, "invalid_field", ""),
        ("{\"messages\": []}".to_owned(), 422, "invalid_field", "messages"),
        ("{\"messages\": {}}".to_owned(), 422, "invalid_field", "messages"),
        (format!("{{\"messages\": [{{{to}, \"bdy\": \"x\"}}]}}"), 422, "unknown_field", "messages[0].bdy"),
        ("{\"body\": \"x\"}".to_owned(), 422, "field_missing", "to"),
        (format!("{{{to}}}"), 422, "content_missing", "body"),
        (format!("{{{to}, \"body\": 7}}"), 422, "invalid_field", "body"),
        (format!("{{{to}, \"body\": \"\\u0000\"}}"), 400, "nul_byte", ""),
        (format!("{{{to}, \"body\": \"{long}\"}}"), 422, "text_too_long", "body"),
        (format!("{{{to}, \"body\": \"x\", \"template\": \"y\"}}"), 422, "content_ambiguous", "body"),
        (format!("{{{to}, \"body\": \"x\", \"variables\": {deep}}}"), 422, "invalid_field", "variables"),
        (format!("{{{to}, \"body\": \"x\", \"id\": \"7\"}}"), 422, "invalid_field", "id"),
        (format!("{{{to}, \"body\": \"x\", \"tenant\": \"other\"}}"), 403, "tenant_foreign", "tenant"),
        (format!("{{{to}, \"body\": \"x\", \"tenant\": \"'; DROP TABLE\"}}"), 422, "invalid_field", "tenant"),
        (format!("{{{to}, \"body\": \"x\", \"from\": \"+33700000009\"}}"), 422, "sender_foreign", "from"),
        (
            format!("{{{to}, \"body\": \"x\", \"from\": \"whatsapp:+33700000009\"}}"),
            422,
            "sender_channel",
            "from",
        ),
        ("{\"to\": \"whatsapp:+33612345678\", \"body\": \"x\"}".to_owned(), 422, "sender_missing", "from"),
        (format!("{{{to}, \"template\": \"appointment_confirmed\"}}"), 422, "variable_missing", "variables"),
        (format!("{{{to}, \"body\": \"x\", \"expires_at\": \"2001-01-01T00:00:00Z\"}}"), 422, "expired", ""),
        (format!("{{{to}, \"body\": \"x\", \"send_at\": \"tomorrow\"}}"), 422, "invalid_field", "send_at"),
        (format!("{{{to}, \"body\": \"x\", \"channel\": \"fax\"}}"), 422, "invalid_field", "channel"),
        (format!("{{{to}, \"media_urls\": [\"ftp://x\"]}}"), 422, "media_url_invalid", "media_urls[0]"),
    ];
    for (body, status, code, field) in rows {
        let answer = lab.json(PATH, &key, "", &body).await;
        let told = answer.json();
        let found = (
            answer.status,
            told["code"].as_str().unwrap_or_default(),
            told["field"].as_str().unwrap_or_default(),
        );
        let shown: String = body.chars().take(100).collect();
        assert_eq!(found, (status, code, field), "{shown} {}", answer.body);
        assert!(!answer.body.contains("12345678"), "a number is not told: {}", answer.body);
    }
    let many = json!({"messages": vec![bonjour(); 1_001]}).to_string();
    assert_eq!(lab.json(PATH, &key, "", &many).await.status, 422);
    let huge = format!("{{{to}, \"body\": \"{}\"}}", "x".repeat(5 * 1024 * 1024));
    assert_eq!(lab.json(PATH, &key, "", &huge).await.status, 413);
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.jobs").await.as_deref(), Some("0"));
    let viewer = lab.key("viewer", Some("acme")).await;
    assert_eq!(lab.api("POST", PATH, &viewer, &bonjour()).await.status, 403);
}

#[tokio::test]
async fn under_one_key_a_request_is_answered_as_the_first_time() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let ask = async |name: &str, body: &str| {
        lab.json(PATH, &key, &format!("Idempotency-Key: {name}\r\n"), body).await
    };
    let first = ask("order-42", "{\"to\": \"0612345678\", \"body\": \"Bonjour\"}").await;
    let again = ask("order-42", "{\"body\":\"Bonjour\",\"to\":\"0612345678\"}").await;
    assert_eq!((first.status, again.status), (202, 202), "{}", again.body);
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert!(again.head.to_lowercase().contains("idempotency-replayed: true"), "{}", again.head);
    assert!(!first.head.to_lowercase().contains("idempotency-replayed"), "{}", first.head);
    let other = ask("order-42", "{\"to\": \"0612345678\", \"body\": \"Au revoir\"}").await;
    assert_eq!((other.status, other.code().as_str()), (422, "idempotency_key_reused"));
    let stranger = lab.key("sender", Some("other")).await;
    let theirs = lab.json(PATH, &stranger, "Idempotency-Key: order-42\r\n", &bonjour().to_string()).await;
    assert_eq!(theirs.status, 202, "a key is a tenant's own");
    for wrong in [String::new(), "x".repeat(256), "é".to_owned()] {
        let answer = ask(&wrong, &bonjour().to_string()).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "idempotency_key_invalid"), "{wrong}");
    }
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.jobs").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn of_concurrent_requests_under_one_key_exactly_one_is_accepted() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let body = bonjour().to_string();
    let asks = (0..20).map(|_| lab.json(PATH, &key, "Idempotency-Key: one\r\n", &body));
    let mut ids = std::collections::BTreeSet::new();
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.status, 202, "{}", answer.body);
        ids.insert(answer.json()["id"].to_string());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.outbox").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn who_prefers_to_wait_is_told_the_outcome_and_nobody_waits_longer() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let id = Uuid::new_v4();
    let body = json!({"id": id, "to": "0612345678", "body": "Bonjour"}).to_string();
    let worker = async {
        lab.until(&format!("SELECT status FROM facteur.jobs WHERE id = '{id}'"), "waiting").await;
        lab.sql(&format!(
            "INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, sid, next_status, reason) \
             VALUES ('{id}', 1, gen_random_uuid(), now(), 1, 'accepted', 'SM00000000000000000000000000000001', 'sent', 'accepted'); \
             UPDATE facteur.jobs SET status = 'sent', reason = 'accepted' WHERE id = '{id}'"
        ))
        .await;
    };
    let (answer, ()) = tokio::join!(lab.json(PATH, &key, "Prefer: wait=30\r\n", &body), worker);
    let told = answer.json();
    assert_eq!((answer.status, &told["status"]), (200, &json!("sent")), "{}", answer.body);
    assert_eq!(told["sid"], json!("SM00000000000000000000000000000001"));
    assert!(answer.head.to_lowercase().contains("preference-applied: wait=30"), "{}", answer.head);

    let answer = lab.json(PATH, &key, "Prefer: wait=1\r\n", &bonjour().to_string()).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("waiting")));
}

#[tokio::test]
async fn a_request_that_waits_does_not_hold_up_the_end_of_the_process() {
    let mut lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let body = bonjour().to_string();
    let (answer, ()) = tokio::join!(lab.json(PATH, &key, "Prefer: wait=30\r\n", &body), async {
        lab.until("SELECT count(*)::text FROM facteur.jobs", "1").await;
        lab.stop.cancel();
    });
    assert_eq!(answer.status, 202, "{}", answer.body);
    tokio::time::timeout(Duration::from_secs(20), &mut lab.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn while_the_database_is_away_nothing_is_promised_and_nothing_is_sent_later() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    assert_eq!(lab.api("POST", PATH, &key, &bonjour()).await.status, 202);
    lab.proxy.cut().await;
    let answer = lab.api("POST", PATH, &key, &bonjour()).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.head.to_lowercase().contains("retry-after"), "{}", answer.head);
    lab.proxy.heal().await;
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    while lab.api("POST", PATH, &key, &bonjour()).await.status != 202 {
        looks.tick().await;
    }
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.jobs").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_full_outbox_refuses_more_until_it_has_room() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    lab.sql(&format!(
        "INSERT INTO facteur.outbox (relay, exchange, routing_key, message_id, kind, body) \
         SELECT 'bulk', 'jobs', 'send.bulk', gen_random_uuid(), 'facteur.job.v1', '{{}}' FROM generate_series(1, {OUTBOX_ROWS_MAX})"
    ))
    .await;
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    let refused = loop {
        let answer = lab.api("POST", PATH, &key, &bonjour()).await;
        if answer.status != 202 {
            break answer;
        }
        looks.tick().await;
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "outbox_full"));
    assert!(refused.head.to_lowercase().contains("retry-after: 10"), "{}", refused.head);
    lab.sql("DELETE FROM facteur.outbox").await;
    while lab.api("POST", PATH, &key, &bonjour()).await.status != 202 {
        looks.tick().await;
    }
}

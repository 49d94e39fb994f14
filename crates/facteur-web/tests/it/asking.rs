use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::Lab;

const PATH: &str = "/v1/messages";

async fn send(lab: &Lab, key: &str, message: Value) -> String {
    let answer = lab.api("POST", PATH, key, &message).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn ids(lab: &Lab, key: &str, query: &str) -> Vec<String> {
    let answer = lab.api("GET", &format!("{PATH}?{query}"), key, &Value::Null).await;
    assert_eq!(answer.status, 200, "{query} {}", answer.body);
    let told = answer.json();
    let rows = told["data"].as_array().unwrap();
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_message_is_found_by_id_and_by_sid_with_its_attempts_and_events() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let id = send(&lab, &key, json!({"to": "0612345678", "body": "Bonjour"})).await;
    let sid = "SM00000000000000000000000000000007";
    lab.sql(&format!(
        "INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, code, sid, next_status, reason) \
         VALUES ('{id}', 1, gen_random_uuid(), now(), 42, 'accepted', 30003, '{sid}', 'sent', 'accepted'); \
         INSERT INTO facteur.status_events (job_id, attempt, sid, twilio_status, code, source) \
         VALUES ('{id}', 1, '{sid}', 'undelivered', 30003, 'callback'); \
         UPDATE facteur.jobs SET status = 'undelivered', reason = 'not_delivered', attempt = 1 WHERE id = '{id}'"
    ))
    .await;
    for name in [id.as_str(), sid] {
        let answer = lab.api("GET", &format!("{PATH}/{name}"), &key, &Value::Null).await;
        let told = answer.json();
        assert_eq!(
            (answer.status, &told["id"], &told["sid"]),
            (200, &json!(id), &json!(sid)),
            "{}",
            answer.body
        );
        assert_eq!(
            (&told["tried"][0]["duration_ms"], &told["events"][0]["code"]),
            (&json!(42), &json!(30003))
        );
        assert!(told["error"].as_str().is_some_and(|error| !error.is_empty()), "{}", answer.body);
        assert!(told["events"][0]["meaning"].is_string(), "{}", answer.body);
    }
}

#[tokio::test]
async fn nobody_sees_another_tenants_messages() {
    let lab = Lab::start().await;
    let (key, stranger) = (lab.key("sender", Some("acme")).await, lab.key("admin", Some("other")).await);
    let id = send(&lab, &key, json!({"to": "0612345678", "body": "Bonjour"})).await;
    let paths = [
        ("GET", format!("{PATH}/{id}")),
        ("GET", format!("{PATH}/{id}/explain")),
        ("DELETE", format!("{PATH}/{id}")),
        ("POST", format!("{PATH}/{id}/cancel")),
    ];
    for (method, path) in paths {
        let answer = lab.api(method, &path, &stranger, &Value::Null).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (404, "not_found"),
            "{method} {path} {}",
            answer.body
        );
    }
    assert_eq!(ids(&lab, &stranger, "").await, Vec::<String>::new());
    let foreign = lab.api("GET", &format!("{PATH}?tenant=acme"), &stranger, &Value::Null).await;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "tenant_foreign"));
    let all = lab.key("superadmin", None).await;
    assert_eq!(ids(&lab, &all, "tenant=acme").await, [id]);
    for none in ["7", "SM7", &Uuid::new_v4().to_string(), "%00", "..", "'"] {
        let answer = lab.api("GET", &format!("{PATH}/{none}"), &key, &Value::Null).await;
        assert_eq!(answer.status, 404, "{none} {}", answer.body);
    }
}

#[tokio::test]
async fn lists_are_filtered_and_paged_without_gaps_or_repeats() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let bulk = Uuid::new_v4();
    let mut sent = Vec::new();
    for number in 0..7 {
        let to = format!("+3361234567{number}");
        let mut message = json!({"to": to, "body": "Bonjour", "category": if number % 2 == 0 { "otp" } else { "marketing" }});
        if number < 3 {
            message["bulk_id"] = json!(bulk);
        }
        sent.push(send(&lab, &key, message).await);
    }
    sent.reverse();
    lab.sql(&format!(
        "UPDATE facteur.jobs SET status = 'failed', reason = 'refused' WHERE id = '{}'",
        sent[1]
    ))
    .await;
    assert_eq!(ids(&lab, &key, "").await, sent);
    assert_eq!(ids(&lab, &key, "to=%2B33612345675").await, sent[1..2]);
    assert_eq!(ids(&lab, &key, "to=+33612345675").await, sent[1..2], "a plus sign that was not escaped");
    assert_eq!(ids(&lab, &key, "to=06%2012%2034%2056%2075").await, sent[1..2]);
    assert_eq!(ids(&lab, &key, &format!("bulk_id={bulk}")).await, sent[4..]);
    assert_eq!(ids(&lab, &key, "status=failed,dead").await, sent[1..2]);
    assert_eq!(ids(&lab, &key, "category=marketing").await.len(), 3);
    assert_eq!(ids(&lab, &key, "channel=whatsapp").await.len(), 0);
    assert_eq!(ids(&lab, &key, "from=%2B15005550006").await.len(), 7);
    assert_eq!(
        ids(&lab, &key, "since=2001-01-01T00:00:00Z&until=2002-01-01T00:00:00%2B01:00").await.len(),
        0
    );

    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let query = format!("{PATH}?limit=3{cursor}");
        let page = lab.api("GET", &query, &key, &Value::Null).await.json();
        let rows = page["data"].as_array().unwrap();
        found.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, sent);
}

#[tokio::test]
async fn a_filter_that_few_rows_pass_looks_at_a_bounded_number_and_goes_on_from_there() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("acme")).await;
    lab.sql(
        "INSERT INTO facteur.messages (id, tenant, lane, category, channel, recipient, segments, document, created_at) \
         SELECT lpad(to_hex(n), 32, '0')::uuid, 'acme', 'normal', 'otp', 'sms', '+33612345678', 1, '{}', now() - n * interval '1 second' \
         FROM generate_series(1, 6000) n; \
         INSERT INTO facteur.jobs (id, fingerprint, tenant, lane, status, reason, deadline) \
         SELECT lpad(to_hex(n), 32, '0')::uuid, '', 'acme', 'normal', CASE n WHEN 5500 THEN 'dead' ELSE 'sent' END, 'accepted', now() \
         FROM generate_series(1, 6000) n",
    )
    .await;
    let first = lab.api("GET", &format!("{PATH}?status=dead"), &key, &Value::Null).await.json();
    assert_eq!(first["data"].as_array().unwrap().len(), 0);
    let next = first["next_cursor"].as_str().unwrap();
    let second =
        lab.api("GET", &format!("{PATH}?status=dead&cursor={next}"), &key, &Value::Null).await.json();
    assert_eq!((second["data"].as_array().unwrap().len(), &second["next_cursor"]), (1, &json!(null)));
}

#[tokio::test]
async fn a_wrong_query_is_told_which_parameter_is_at_fault() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("acme")).await;
    let rows = [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("status=gone", "status"),
        ("to=12", "to"),
        ("channel=fax", "channel"),
        ("category=x", "category"),
        ("bulk_id=7", "bulk_id"),
        ("since=yesterday", "since"),
        ("colour=red", "colour"),
        ("from=%27%20OR%201=1", "from"),
    ];
    for (query, field) in rows {
        let answer = lab.api("GET", &format!("{PATH}?{query}"), &key, &Value::Null).await;
        assert!(matches!(answer.status, 400 | 422), "{query} {}", answer.body);
        assert_eq!(answer.json()["field"], json!(field), "{query} {}", answer.body);
    }
}

#[tokio::test]
async fn a_message_explains_why_it_waits() {
    let lab = Lab::start().await;
    let key = lab.key("admin", Some("acme")).await;
    let id = send(&lab, &key, json!({"to": "0612345678", "body": "Bonjour"})).await;
    let explain = async || lab.api("GET", &format!("{PATH}/{id}/explain"), &key, &Value::Null).await.json();
    let told = explain().await;
    assert_eq!((&told["status"], &told["reason"]), (&json!("waiting"), &json!("enqueued")));
    assert!(told["why"].as_str().unwrap().contains("accepted"), "{told}");
    assert!(told["oldest_waiting_s"].is_number(), "{told}");
    let pause = json!({"scope": "tenant", "key": "acme", "reason": "a wrong date"});
    assert_eq!(lab.api("POST", "/v1/pauses", &key, &pause).await.status, 200);
    lab.sql(
        "UPDATE facteur.jobs SET reason = 'paused', waits_for = 'pause:tenant:acme', in_line_since = now()",
    )
    .await;
    let told = explain().await;
    assert_eq!(
        (&told["waits_for"], &told["pause"]["reason"]),
        (&json!("pause:tenant:acme"), &json!("a wrong date"))
    );
    assert!(told["next"].as_str().unwrap().contains("when it is resumed"), "{told}");
    lab.sql("UPDATE facteur.jobs SET reason = 'rate_limit', waits_for = 'rate:+15005550006'").await;
    let told = explain().await;
    assert_eq!(told["ahead"], json!(0), "{told}");
}

#[tokio::test]
async fn a_message_is_cancelled_before_it_leaves_and_not_after() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    let first = send(&lab, &key, json!({"to": "0612345678", "body": "Bonjour"})).await;
    let why = json!({"reason": "moved"});
    let canceled = lab.api("POST", &format!("{PATH}/{first}/cancel"), &key, &why).await;
    assert_eq!((canceled.status, &canceled.json()["was_seen"]), (200, &json!(true)), "{}", canceled.body);
    let again = lab.api("DELETE", &format!("{PATH}/{first}"), &key, &Value::Null).await;
    assert_eq!((again.status, again.code().as_str()), (409, "already_ended"), "{}", again.body);
    let second = send(&lab, &key, json!({"to": "0612345678", "body": "Bonsoir"})).await;
    lab.sql(&format!("UPDATE facteur.jobs SET status = 'sending' WHERE id = '{second}'")).await;
    let late = lab.api("DELETE", &format!("{PATH}/{second}"), &key, &Value::Null).await;
    assert_eq!((late.status, late.code().as_str()), (409, "too_late"), "{}", late.body);
    let unseen = Uuid::new_v4();
    let answer = lab.api("DELETE", &format!("{PATH}/{unseen}"), &key, &Value::Null).await;
    assert_eq!((answer.status, &answer.json()["was_seen"]), (200, &json!(false)));
    let body = json!({"id": unseen, "to": "0612345678", "body": "too late"});
    let told = lab.api("POST", PATH, &key, &body).await;
    assert_eq!(told.status, 202, "{}", told.body);
    assert_eq!(
        lab.text(&format!("SELECT status FROM facteur.jobs WHERE id = '{unseen}'")).await.as_deref(),
        Some("canceled")
    );
}

//! Family 1, as `docs/api.md` describes it.

use facteur_web::{AccessSettings, DefaultKey};
use serde_json::{Value, json};

use crate::lab::{Answer, Lab, PUBLIC, TOKEN, sid};

async fn front_end() -> (Lab, String) {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    (lab, key)
}

/// Asserts that the fields stand at the top and under `data`, and returns them.
fn twice(answer: &Answer) -> Value {
    let mut body = answer.json();
    assert_eq!(answer.status, 200, "{}", answer.body);
    let data = body.as_object_mut().unwrap().remove("data").unwrap();
    assert_eq!(body, data, "{}", answer.body);
    body
}

fn refused(answer: &Answer) -> (u16, String, Value) {
    (answer.status, answer.code(), answer.json()["field"].clone())
}

#[tokio::test]
async fn a_message_is_taken_in_the_documented_shape_and_asked_for_by_id_and_by_sid() {
    let (lab, key) = front_end().await;
    let body = json!({"phone_number": "06 12 34 56 78", "message": "Bonjour", "channel": "sms"});
    let sent = twice(&lab.api("POST", "/twilio/send-sms/", &key, &body).await);
    let fields: Vec<&str> = sent.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        ["channel", "created_at", "error", "id", "message_sid", "phone_number", "status"],
        "{sent}"
    );
    assert_eq!((&sent["status"], &sent["phone_number"]), (&json!("pending"), &json!("+33612345678")));
    assert_eq!((&sent["message_sid"], &sent["error"]), (&Value::Null, &Value::Null));
    let id = sent["id"].as_str().unwrap();
    let sid = sid(7);
    lab.sql(&format!(
        "UPDATE facteur.jobs SET status = 'failed', reason = 'number_invalid', attempt = 1 WHERE id = '{id}'; \
         INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, sid, code, \
             next_status, reason) \
         VALUES ('{id}', 1, '{id}', now(), 1, 'accepted', '{}', 30003, 'sent', 'accepted')",
        sid.as_str()
    ))
    .await;
    for name in [id, sid.as_str()] {
        let told = twice(&lab.api("GET", &format!("/twilio/status/{name}"), &key, &Value::Null).await);
        assert_eq!((&told["id"], &told["status"]), (&json!(id), &json!("failed")), "{name}");
        assert_eq!(told["message_sid"], sid.as_str());
        assert!(told["error"].is_string(), "{told}");
    }
    let foreign = lab.key("admin", Some("globex")).await;
    let told = lab.api("GET", &format!("/twilio/status/{id}"), &foreign, &Value::Null).await;
    assert_eq!(told.status, 404);
}

#[tokio::test]
async fn each_route_sends_on_its_own_channel_and_a_contradiction_is_refused() {
    let (lab, key) = front_end().await;
    let picture =
        json!({"phone_number": "+15005550010", "message": "Hello", "media_url": "https://example.org/a.jpg"});
    let sent = twice(&lab.api("POST", "/twilio/send-mms", &key, &picture).await);
    assert_eq!(sent["channel"], "mms");
    let text = |channel: &str| json!({"phone_number": "+33612345678", "message": "x", "channel": channel});
    let mut whatsapp = picture.clone();
    whatsapp["channel"] = json!("whatsapp");
    let answer = lab.api("POST", "/twilio/send-whatsapp", &key, &whatsapp).await;
    assert_eq!(answer.code(), "sender_missing", "no WhatsApp sender is configured here: {}", answer.body);
    let mut silent = picture.clone();
    silent.as_object_mut().unwrap().remove("media_url");
    let mut odd = picture.clone();
    odd["media_url"] = json!("data:image/png;base64,AAAA");
    for (path, body, code, field) in [
        ("send-sms", text("mms"), "invalid_field", "channel"),
        ("send-sms", text("carrier pigeon"), "invalid_field", "channel"),
        ("send-whatsapp", text("sms"), "invalid_field", "channel"),
        ("send-sms", picture, "invalid_field", "media_url"),
        ("send-mms", silent, "field_missing", "media_url"),
        ("send-mms", odd, "media_url_invalid", "media_url"),
        ("send-sms", json!({"phone_number": "12", "message": "x"}), "number_invalid", "phone_number"),
        ("send-sms", json!({"phone_number": "+33612345678", "message": " "}), "content_missing", "message"),
        ("send-sms", json!({"message": "x"}), "field_missing", "phone_number"),
    ] {
        let answer = lab.api("POST", &format!("/twilio/{path}"), &key, &body).await;
        assert_eq!(refused(&answer), (422, code.to_owned(), json!(field)), "{path} {body}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_bulk_tells_of_each_recipient_and_its_counts_add_up() {
    let (lab, key) = front_end().await;
    // The recipients stand before the text, as the front end writes them.
    let body = r#"{"channel": "sms", "recipients": [
        {"phone_number": "+33612345678", "name": "Jean Dupont", "variables": {"nom": "Jean", "date": "2026-06-15"}},
        {"phone_number": "12", "name": "Nobody", "variables": {"nom": "x", "date": "y"}},
        {"phone_number": "+33612345679", "name": null, "variables": {"nom": "Zoé"}},
        {"phone_number": "06 12 34 56 78", "variables": {"nom": "Jean", "date": "again"}}],
        "message": "Bonjour {{nom}}, vous êtes invité le {{date}}", "media_url": null}"#;
    let bulk = twice(&lab.json("/twilio/send-bulk", &key, "", body).await);
    let counts = |sent: i64, failed: i64, pending: i64| [4, sent, failed, pending].map(|count| json!(count));
    let told = ["total_recipients", "sent_count", "failed_count", "pending_count"].map(|n| bulk[n].clone());
    assert_eq!((told, &bulk["status"]), (counts(0, 3, 1), &json!("processing")), "{bulk}");
    let lines = bulk["messages"].as_array().unwrap();
    let statuses: Vec<&str> = lines.iter().map(|line| line["status"].as_str().unwrap()).collect();
    assert_eq!(statuses, ["pending", "failed", "failed", "failed"]);
    assert_eq!((&lines[0]["error"], &lines[0]["message_id"]), (&Value::Null, &Value::Null));
    assert!(lines[1]["error"].as_str().unwrap().contains("phone_number"), "{bulk}");
    assert!(lines[2]["error"].as_str().unwrap().contains("date"), "{bulk}");
    let stored = lab.text("SELECT text FROM facteur.bulk_recipients WHERE line = 1").await;
    assert_eq!(stored.as_deref(), Some("Bonjour Jean, vous êtes invité le 2026-06-15"));
    let id = bulk["id"].as_str().unwrap();
    let status = twice(&lab.api("GET", &format!("/twilio/bulk/{id}/status"), &key, &Value::Null).await);
    assert_eq!(status["progress"], json!({"total": 4, "sent": 0, "failed": 3, "pending": 1}));
    assert_eq!((&status["status"], status["errors"].as_array().unwrap().len()), (&json!("processing"), 3));
    assert_eq!(status["errors"][0]["recipient"], "12");
    let again = twice(&lab.api("POST", &format!("/twilio/bulk/{id}/retry"), &key, &json!({})).await);
    assert_eq!(again, bulk, "a line that was refused can't succeed, and one that waits is not tried anew");
    let foreign = lab.key("admin", Some("globex")).await;
    for (method, act) in [("GET", "status"), ("POST", "retry")] {
        let answer = lab.api(method, &format!("/twilio/bulk/{id}/{act}"), &foreign, &Value::Null).await;
        assert_eq!(answer.status, 404, "{act}");
    }
}

#[tokio::test]
async fn a_bulk_that_can_not_be_read_names_the_field_as_the_front_end_does() {
    let (lab, key) = front_end().await;
    for (body, status, code, field) in [
        (r#"{"recipients": [{"phone_number": "+33612345678"}]}"#, 422, "content_missing", "message"),
        (
            r#"{"message": "x", "recipients": [{"name": "x"}]}"#,
            422,
            "field_missing",
            "recipients[0].phone_number",
        ),
        (r#"{"message": "x", "recipients": []}"#, 422, "recipients_missing", "recipients"),
        (r#"{"message": "x"}"#, 422, "field_missing", "recipients"),
        (r#"{"message": "{{", "recipients": [{"phone_number": "1"}]}"#, 422, "invalid_field", "message"),
        (
            r#"{"message": "x", "wrong": 1, "recipients": [{"phone_number": "1"}]}"#,
            422,
            "unknown_field",
            "wrong",
        ),
    ] {
        let answer = lab.json("/twilio/send-bulk", &key, "", body).await;
        assert_eq!(refused(&answer), (status, code.to_owned(), json!(field)), "{body}: {}", answer.body);
    }
    let key_header = "Idempotency-Key: one\r\n";
    let body = r#"{"message": "x", "recipients": [{"phone_number": "+33612345678"}]}"#;
    let first = twice(&lab.json("/twilio/send-bulk", &key, key_header, body).await);
    let second = twice(&lab.json("/twilio/send-bulk", &key, key_header, body).await);
    assert_eq!(first["id"], second["id"]);
    assert_eq!(
        lab.text("SELECT count(*)::text FROM facteur.bulks WHERE state = 'processing'").await.unwrap(),
        "1"
    );
}

#[tokio::test]
async fn the_history_is_a_bare_array_whose_next_page_is_linked() {
    let (lab, key) = front_end().await;
    for text in ["one", "two", "three"] {
        let body = json!({"phone_number": "+33612345678", "message": text});
        twice(&lab.api("POST", "/twilio/send-sms", &key, &body).await);
    }
    let mut path = "/twilio/history?channel=sms&limit=2".to_owned();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let answer = lab.api("GET", &path, &key, &Value::Null).await;
        let rows = answer.json();
        ids.extend(rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        let link = answer.head.lines().find_map(|line| line.strip_prefix("link: <"));
        path =
            link.and_then(|link| link.split_once('>')).map(|(path, _)| path.to_owned()).unwrap_or_default();
    }
    let expected = "SELECT string_agg(id::text, ',' ORDER BY created_at DESC, id DESC) FROM facteur.messages";
    assert_eq!(Some(ids.join(",")), lab.text(expected).await);
    assert_eq!(path, "", "the last page links no other");
    let none = lab.api("GET", "/twilio/history?channel=mms", &key, &Value::Null).await;
    assert_eq!(none.json(), json!([]));
    let odd = lab.api("GET", "/twilio/history?channel=x", &key, &Value::Null).await;
    assert_eq!(refused(&odd), (400, "invalid_field".to_owned(), json!("channel")));
}

#[tokio::test]
async fn a_page_of_the_configured_origin_may_send_with_credentials_and_no_other() {
    const ORIGIN: &str = "https://app.example.org";
    let access = AccessSettings { origins: vec![ORIGIN.to_owned()], ..AccessSettings::default() };
    let lab = Lab::with_access(vec![TOKEN], Some(PUBLIC), access).await;
    let key = lab.key("sender", Some("acme")).await;
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /twilio/send-sms HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,content-type\r\n\r\n"
        )
    };
    let allowed = |answer: &Answer| {
        let head = answer.head.to_ascii_lowercase();
        let has = |line: &str| head.lines().any(|found| found.starts_with(line));
        has(&format!("access-control-allow-origin: {ORIGIN}"))
            && has("access-control-allow-credentials: true")
    };
    let asked = lab.raw(&preflight(ORIGIN)).await;
    assert!(asked.status == 204 && allowed(&asked), "{asked:?}");
    assert!(asked.head.to_ascii_lowercase().contains("authorization, content-type"), "{asked:?}");
    let body = r#"{"phone_number": "+33612345678", "message": "Bonjour"}"#;
    let sent = lab.json("/twilio/send-sms", &key, &format!("Origin: {ORIGIN}\r\n"), body).await;
    assert!(sent.status == 200 && allowed(&sent), "{sent:?}");
    let stranger = lab.raw(&preflight("https://elsewhere.example.org")).await;
    assert!(!stranger.head.to_ascii_lowercase().contains("access-control"), "{stranger:?}");
}

#[tokio::test]
async fn a_front_end_without_a_key_sends_by_the_default_key_of_its_origin() {
    const ID: &str = "0197c1de-0000-7000-8000-00000000fe03";
    let default_keys = DefaultKey::parse_all(&format!("/twilio {ID} https://app.example.org")).unwrap();
    let access = AccessSettings { default_keys, ..AccessSettings::default() };
    let lab = Lab::with_access(vec![TOKEN], Some(PUBLIC), access).await;
    lab.key("sender", Some("acme")).await;
    lab.sql(&format!("UPDATE facteur.api_keys SET id = '{ID}'")).await;
    let body = r#"{"phone_number": "+33612345678", "message": "Bonjour"}"#;
    let ask = |path: &str, origin: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: {origin}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for (path, origin, status) in [
        ("/twilio/send-sms", "https://app.example.org", 200),
        ("/twilio/send-sms", "https://elsewhere.example.org", 401),
        ("/api/sms/send", "https://app.example.org", 401),
    ] {
        let answer = lab.raw(&ask(path, origin)).await;
        assert_eq!(answer.status, status, "{path} {origin}: {}", answer.body);
    }
    let tenants = "SELECT string_agg(tenant, ',') FROM facteur.messages";
    assert_eq!(lab.text(tenants).await.as_deref(), Some("acme"));
}

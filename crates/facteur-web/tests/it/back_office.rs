//! Family 2, as `docs/api.md` describes it.

use serde_json::{Value, json};

use crate::lab::{Answer, Lab};

async fn office(role: &str) -> (Lab, String) {
    let lab = Lab::start().await;
    let key = lab.key(role, Some("acme")).await;
    (lab, key)
}

/// What a sent message looks like: at the top and under `data`. Returns our id.
fn is_sent(answer: &Answer) -> String {
    let body = answer.json();
    assert_eq!((answer.status, &body["success"]), (200, &json!(true)), "{}", answer.body);
    assert_eq!((&body["status"], &body["data"]["status"]), (&json!("pending"), &json!("pending")));
    assert_eq!(body["messageId"], body["data"]["messageId"]);
    body["messageId"].as_str().unwrap().to_owned()
}

async fn stored(lab: &Lab, id: &str) -> String {
    lab.text(&format!("SELECT text FROM facteur.messages WHERE id = '{id}'")).await.unwrap_or_default()
}

#[tokio::test]
async fn a_text_is_taken_and_told_in_the_familys_shape() {
    let (lab, key) = office("admin").await;
    let body = json!({"to": "06 12 34 56 78", "message": "Bonjour", "from": "+15005550006"});
    for path in ["/api/sms/send", "/api/sms/send/"] {
        let id = is_sent(&lab.api("POST", path, &key, &body).await);
        assert_eq!(stored(&lab, &id).await, "Bonjour");
        let to = lab.text(&format!("SELECT recipient FROM facteur.messages WHERE id = '{id}'")).await;
        assert_eq!(to.as_deref(), Some("+33612345678"));
    }
    let audited = "SELECT count(*) || ' ' || action || ' ' || tenant FROM facteur.audit_log \
                   WHERE action <> 'key_created' GROUP BY action, tenant";
    assert_eq!(lab.text(audited).await.as_deref(), Some("2 send_sms acme"));
}

/// The family's shape of an error: status, code and field are these.
fn is_refused(answer: &Answer, expected: (u16, &str, Option<&str>)) {
    let told = answer.json();
    let found = (answer.status, told["code"].as_str().unwrap_or_default(), told["field"].as_str());
    assert_eq!(found, expected, "{}", answer.body);
    assert_eq!(told["success"], false, "{}", answer.body);
    assert!(told["error"].as_str().is_some_and(|error| error.len() > 5), "{}", answer.body);
}

#[tokio::test]
async fn errors_have_the_familys_shape_wherever_they_come_from() {
    let (lab, key) = office("admin").await;
    let (key, sender) = (key.as_str(), lab.key("sender", Some("acme")).await);
    let sms = json!({"to": "+33612345678", "message": "x"});
    for (method, path, key, body, status, code) in [
        ("POST", "/api/sms/send", "", &sms, 401, "unauthenticated"),
        ("POST", "/api/sms/send", sender.as_str(), &sms, 403, "forbidden"),
        ("POST", "/api/sms/notification", sender.as_str(), &json!({}), 403, "forbidden"),
        ("POST", "/api/sms/bulk", sender.as_str(), &json!({}), 403, "forbidden"),
        ("GET", "/api/sms/test?to=0612345678", sender.as_str(), &Value::Null, 403, "forbidden"),
        ("POST", "/api/sms/none", key, &sms, 404, "not_found"),
        ("GET", "/api/sms/send", key, &Value::Null, 405, "method_not_allowed"),
    ] {
        is_refused(&lab.api(method, path, key, body).await, (status, code, None));
    }
    let to = "+33612345678";
    for (body, code, field) in [
        (json!({"to": to}), "field_missing", "message"),
        (json!({"to": "12", "message": "x"}), "number_invalid", "to"),
        (json!({"to": to, "message": " "}), "content_missing", "message"),
        (json!({"to": to, "message": "é".repeat(1601)}), "text_too_long", "message"),
        (json!({"to": to, "message": "x", "from": "?"}), "invalid_field", "from"),
        (json!({"to": to, "message": "x", "y": 1}), "unknown_field", "y"),
    ] {
        is_refused(&lab.api("POST", "/api/sms/send", key, &body).await, (422, code, Some(field)));
    }
    let lacking = lab.api("GET", "/api/sms/test", key, &Value::Null).await;
    is_refused(&lacking, (400, "field_missing", Some("to")));
    // Other routes keep the common shape.
    assert!(lab.api("GET", "/v1/none", key, &Value::Null).await.json()["success"].is_null());
}

#[tokio::test]
async fn every_notification_type_is_rendered_in_the_language_that_was_asked_for() {
    let (lab, key) = office("superadmin").await;
    let data = json!({
        "name": "Jean", "date": "lundi 15 janvier 2026", "time": "14:30", "email": "j@x.fr", "password": "p",
        "customer_name": "Awa", "ticket_number": "A042", "service_name": "Accueil", "queue_name": "Guichet 3",
        "eta_minutes": 15, "agent_name": "Claire"
    });
    for kind in [
        "appointment_confirmed",
        "appointment_reminder",
        "appointment_cancelled",
        "dossier_updated",
        "document_uploaded",
        "message_received",
        "onboarding_confirmation",
        "questionnaire_reminder",
        "interview_confirmation",
        "trial_start",
        "ticket_created",
        "ticket_called",
        "ticket_almost",
    ] {
        for (language, hello) in [(Value::Null, "Bonjour "), (json!("en"), "Hello ")] {
            let body = json!({"to": "+33612345678", "type": kind, "data": data, "language": language});
            let id = is_sent(&lab.api("POST", "/api/sms/notification", &key, &body).await);
            let text = stored(&lab, &id).await;
            assert!(
                text.starts_with(hello) && !text.contains("{{") && text == text.trim_end(),
                "{kind}: {text:?}"
            );
        }
    }
    let audited =
        "SELECT count(*) || ' ' || min(action) FROM facteur.audit_log WHERE action = 'send_notification_sms'";
    assert_eq!(lab.text(audited).await.as_deref(), Some("26 send_notification_sms"));
}

#[tokio::test]
async fn dates_are_written_out_links_may_be_left_out_and_values_are_not_templates() {
    let (lab, key) = office("admin").await;
    lab.sql("INSERT INTO facteur.tenants (slug, time_zone) VALUES ('acme', 'Europe/Paris')").await;
    let text = async |data: Value| {
        let body = json!({"to": "+33612345678", "type": "interview_confirmation", "data": data});
        let id = is_sent(&lab.api("POST", "/api/sms/notification", &key, &body).await);
        stored(&lab, &id).await
    };
    assert_eq!(
        text(json!({"name": "Jean", "date": "2026-01-15T13:00:00Z"})).await,
        "Bonjour Jean, votre entretien du jeudi 15 janvier 2026 à 14:00 est confirmé."
    );
    assert_eq!(
        text(json!({"name": "{{date}}", "date": "demain", "link": "https://x.fr/é", "other": 1})).await,
        "Bonjour {{date}}, votre entretien du demain est confirmé. https://x.fr/é"
    );
}

#[tokio::test]
async fn what_a_notification_lacks_and_types_that_do_not_exist_are_told() {
    let (lab, key) = office("admin").await;
    let ask = async |body: Value| lab.api("POST", "/api/sms/notification", &key, &body).await;
    let unknown = ask(json!({"to": "+33612345678", "type": "birthday", "data": {}})).await;
    let told = unknown.json();
    assert_eq!((unknown.status, &told["field"], &told["success"]), (422, &json!("type"), &json!(false)));
    for known in ["appointment_confirmed", "trial_start", "onboarding_confirmation"] {
        assert!(told["error"].as_str().unwrap().contains(known), "{}", unknown.body);
    }
    let lacking = ask(json!({"to": "+33612345678", "type": "trial_start", "data": {"name": "Jean"}})).await;
    assert_eq!((lacking.status, lacking.json()["field"].as_str()), (422, Some("data")));
    assert!(lacking.body.contains("email, password") && !lacking.body.contains("Jean"), "{}", lacking.body);
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.messages").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_password_is_marked_to_be_forgotten_and_stands_in_no_audit_record() {
    let (lab, key) = office("admin").await;
    let data = json!({"name": "Jean", "email": "j@x.fr", "password": "hunter2"});
    let body = json!({"to": "+33612345678", "type": "trial_start", "data": data});
    let answer = lab.api("POST", "/api/sms/notification", &key, &body).await;
    let id = is_sent(&answer);
    assert!(!answer.body.contains("hunter2"));
    assert!(stored(&lab, &id).await.contains("hunter2"));
    let marked =
        format!("SELECT (headers -> 'facteur-secret')::text FROM facteur.messages WHERE id = '{id}'");
    assert_eq!(lab.text(&marked).await.as_deref(), Some("true"));
    let details = "SELECT details::text FROM facteur.audit_log WHERE action = 'send_notification_sms'";
    assert_eq!(lab.text(details).await.as_deref(), Some("{}"));
    lab.sql(&format!("UPDATE facteur.jobs SET status = 'sent' WHERE id = '{id}'")).await;
    assert_eq!(facteur_postgres::redactions::redact(&lab.database).await.unwrap(), 1);
    let clear = format!(
        "SELECT (text IS NULL AND convert_from(document, 'UTF8') NOT LIKE '%hunter2%')::text \
         FROM facteur.messages WHERE id = '{id}'"
    );
    assert_eq!(lab.text(&clear).await.as_deref(), Some("true"));
}

#[tokio::test]
async fn numbers_are_formatted_for_any_bearer() {
    let (lab, key) = office("viewer").await;
    let format = async |body: Value| lab.api("POST", "/api/sms/format-phone", &key, &body).await;
    let told = format(json!({"phone": "0612345678", "country": "FR"})).await.json();
    let expected = json!({"success": true, "formatted": "+33612345678", "valid": true, "country": "FR", "type": "mobile"});
    assert_eq!(told["data"], expected);
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&told[name], value);
    }
    for (phone, country, formatted, kind) in [
        ("01 42 68 53 00", Value::Null, json!("+33142685300"), json!("fixed_line")),
        ("77 123 45 67", json!("sn"), json!("+221771234567"), json!("mobile")),
        ("whatsapp:+14155238886", Value::Null, json!("+14155238886"), json!("fixed_line_or_mobile")),
        ("+15005550006", Value::Null, json!("+15005550006"), json!("personal_number")),
        ("061234", json!("FR"), Value::Null, Value::Null),
        ("abc", Value::Null, Value::Null, Value::Null),
    ] {
        let told = format(json!({"phone": phone, "country": country})).await.json();
        assert_eq!((&told["formatted"], &told["type"]), (&formatted, &kind), "{phone}");
        assert_eq!(told["valid"], json!(!formatted.is_null()), "{phone}");
    }
    let wrong = format(json!({"phone": "0612345678", "country": "Atlantis"})).await;
    assert_eq!((wrong.status, wrong.json()["field"].as_str()), (422, Some("country")));
}

#[tokio::test]
async fn the_test_text_reaches_a_number_whose_plus_was_lost() {
    let (lab, key) = office("admin").await;
    for query in ["+221771234567", "%2B221771234567", "+33612345678", "0612345678"] {
        let id = is_sent(&lab.api("GET", &format!("/api/sms/test?to={query}"), &key, &Value::Null).await);
        let to =
            lab.text(&format!("SELECT recipient FROM facteur.messages WHERE id = '{id}'")).await.unwrap();
        assert_eq!(to, if query.contains("221") { "+221771234567" } else { "+33612345678" }, "{query}");
    }
}

#[tokio::test]
async fn a_bulk_counts_every_line_and_a_bad_number_stops_nobody() {
    let (lab, key) = office("admin").await;
    let recipients = json!([
        {"phone": "06 12 34 56 78", "name": "Jean"},
        {"phone": "12", "name": "Nobody"},
        {"phone": "+33612345678", "name": "Jean again"},
        {"phone": "+33612345679"}
    ]);
    let body = json!({"recipients": recipients, "message": "Bonjour {{name}}"});
    let told = lab.api("POST", "/api/sms/bulk/", &key, &body).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let told = told.json();
    let counts = ["total_recipients", "sent_count", "failed_count", "pending_count"].map(|name| {
        assert_eq!(told[name], told["data"][name]);
        told[name].as_i64().unwrap()
    });
    assert_eq!(counts, [4, 0, 3, 1]);
    assert_eq!(
        (&told["success"], &told["status"], &told["channel"]),
        (&json!(true), &json!("processing"), &json!("sms"))
    );
    let lines: Vec<_> = told["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["status"].as_str().unwrap(), &line["error"]))
        .collect();
    assert_eq!((lines[0].0, lines[0].1), ("pending", &Value::Null));
    for (status, error) in &lines[1..] {
        assert!(*status == "failed" && error.as_str().is_some_and(|error| error.len() > 5), "{error}");
    }
    let audited =
        "SELECT count(*)::text FROM facteur.audit_log WHERE action = 'send_bulk_sms' AND tenant = 'acme'";
    assert_eq!(lab.text(audited).await.as_deref(), Some("1"));
    for (body, field) in [
        (json!({"recipients": [], "message": "x"}), "recipients"),
        (json!({"recipients": [{"name": "x"}], "message": "x"}), "recipients[0].phone"),
        (json!({"recipients": [{"phone": "0612345678"}]}), "message"),
        (json!({"recipients": [{"phone": "0612345678"}], "message": "{{"}), "message"),
    ] {
        let refused = lab.api("POST", "/api/sms/bulk", &key, &body).await;
        let told = refused.json();
        assert_eq!((refused.status, told["field"].as_str()), (422, Some(field)), "{}", refused.body);
        assert_eq!(told["success"], false);
    }
}

/// Sends and waits; meanwhile the message comes to this end.
async fn ended(lab: &Lab, key: &str, wait_s: u8, status: &str, code: u32) -> Answer {
    let body = json!({"to": "+33612345678", "message": format!("text {code}")}).to_string();
    let request = format!(
        "POST /api/sms/send HTTP/1.1\r\nHost: x\r\nConnection: close\r\nPrefer: wait={wait_s}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let end = async {
        let open = format!("SELECT count(*)::text FROM facteur.messages WHERE text = 'text {code}'");
        lab.until(&open, "1").await;
        lab.sql(&format!(
            "INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, code, next_status, reason) \
             SELECT id, 1, gen_random_uuid(), now(), 1, 'refused', {code}, '{status}', 'refused' \
             FROM facteur.messages WHERE text = 'text {code}'; \
             UPDATE facteur.jobs SET status = '{status}', attempt = 1 \
             WHERE id = (SELECT id FROM facteur.messages WHERE text = 'text {code}')"
        ))
        .await;
    };
    tokio::join!(lab.raw(&request), end).0
}

#[tokio::test]
async fn who_waits_is_told_in_plain_words_why_a_message_is_not_sent() {
    let (lab, key) = office("admin").await;
    for (code, status, words) in [
        (21608, "dead", "only send to verified numbers"),
        (21408, "dead", "not enabled for the recipient's country"),
        (30002, "failed", "suspended"),
    ] {
        let answer = ended(&lab, &key, 30, status, code).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["success"]), (422, &json!(false)), "{}", answer.body);
        let error = told["error"].as_str().unwrap();
        assert!(error.contains(words) && error.contains(&code.to_string()), "{error}");
    }
    // Wrong credentials keep it back: it is sent once they are right.
    let answer = ended(&lab, &key, 5, "waiting", 20003).await;
    let told = answer.json();
    assert_eq!((answer.status, &told["status"]), (200, &json!("pending")), "{}", answer.body);
    let error = told["error"].as_str().unwrap_or_default();
    assert!(error.contains("credentials are wrong"), "{}", answer.body);
}

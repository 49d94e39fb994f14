//! What is another tenant's is as if it were not there: it can't be seen, changed, or told from nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::document::Document;
use crate::lab::{Answer, Lab};

/// An id, wherever one stands in a path's example.
const UNKNOWN_ID: &str = "0197c1de-0000-7000-8000-0000000000ff";

/// Method, path and body: each names something of the tenant `default`.
const FOREIGN: &[(&str, &str, &str)] = &[
    ("POST", "/v1/messages", r#"{"to": "+33612345678", "body": "x", "from": "+33612345678"}"#),
    ("POST", "/v1/messages", r#"{"to": "+33612345678", "template": "parcel", "variables": {"name": "x"}}"#),
    ("POST", "/v1/messages", r#"{"to": "+33612345678", "body": "x", "tenant": "default"}"#),
    (
        "POST",
        "/v1/messages",
        r#"{"messages": [{"to": "+33612345678", "body": "x"}, {"to": "+33612345678", "body": "x", "tenant": "default"}]}"#,
    ),
    ("POST", "/v1/bulks", r#"{"template": "parcel", "recipients": [{"to": "+33612345678", "name": "x"}]}"#),
    ("POST", "/v1/bulks", r#"{"body": "x", "from": "+33612345678", "recipients": [{"to": "+33612345678"}]}"#),
    ("POST", "/v1/bulks", r#"{"body": "x", "tenant": "default", "recipients": [{"to": "+33612345678"}]}"#),
    ("POST", "/v1/conversations", r#"{"to": "+33612345678", "body": "x", "from": "+33612345678"}"#),
    ("POST", "/v1/conversations", r#"{"to": "+33612345678", "body": "x", "tenant": "default"}"#),
    ("PUT", "/v1/senders/+33612345678", r#"{"rate_per_s": 1}"#),
    ("PUT", "/v1/senders/+33699999999", r#"{"integration_id": "0197c1de-0000-7000-8000-00000000fb01"}"#),
    ("PUT", "/v1/senders/+33699999999", r#"{"pool": "main"}"#),
    ("PUT", "/v1/senders/+33699999999", r#"{"tenant": "default"}"#),
    ("PUT", "/v1/sender-pools/main", r#"{"tenant": "default", "channel": "sms"}"#),
    ("POST", "/v1/pauses", r#"{"scope": "tenant", "key": "default", "reason": "x"}"#),
    ("POST", "/v1/pauses", r#"{"scope": "sender", "key": "+33612345678", "reason": "x"}"#),
    (
        "POST",
        "/v1/pauses",
        r#"{"scope": "bulk", "key": "0197c1de-0000-7000-8000-00000000fe12", "reason": "x"}"#,
    ),
    ("POST", "/v1/suppressions", r#"{"number": "+33612345678", "reason": "x", "tenant": "default"}"#),
    ("POST", "/v1/templates", r#"{"name": "x", "language": "en", "text": "x", "tenant": "default"}"#),
    ("POST", "/v1/keys", r#"{"name": "x", "role": "viewer", "tenant": "default"}"#),
    (
        "POST",
        "/v1/integrations",
        r#"{"name": "x", "integration_type": "sms", "account_sid": "ACc0000000000000000000000000000003", "auth_token": "x"}"#,
    ),
    (
        "POST",
        "/inbox/integrations",
        r#"{"company_id": "default", "name": "x", "integration_type": "sms", "account_id": "AC00000000000000000000000000000009", "api_key": "x"}"#,
    ),
    ("POST", "/api/sms/send", r#"{"to": "+33612345678", "message": "x", "from": "+33612345678"}"#),
    (
        "POST",
        "/api/v1/notifications",
        r#"{"template_id": "0197c1de-0000-7000-8000-00000000fa23", "recipient": "+33612345678"}"#,
    ),
    ("POST", "/api/v1/notifications", r#"{"template_id": "ticket", "recipient": "+33612345678"}"#),
    (
        "POST",
        "/api/v1/notifications",
        r#"{"body": "x", "recipient": "+33612345678", "tenant_id": "default"}"#,
    ),
    (
        "POST",
        "/api/v1/tenants/default/events/ticket_created",
        r#"{"recipient": "+33612345678", "consent": true}"#,
    ),
    ("POST", "/api/v1/admin/notification-templates", r#"{"tenant": "default", "name": "x", "body": "x"}"#),
    ("GET", "/v1/messages?tenant=default", r#"null"#),
    ("GET", "/v1/templates?tenant=default", r#"null"#),
    ("GET", "/v1/templates/built-in?tenant=default", r#"null"#),
    ("GET", "/v1/contacts?tenant=default", r#"null"#),
    ("GET", "/v1/conversations?tenant=default", r#"null"#),
    ("GET", "/v1/suppressions?tenant=default", r#"null"#),
    ("GET", "/v1/audit?tenant=default", r#"null"#),
    ("GET", "/v1/audit?tenant=*", r#"null"#),
    ("GET", "/api/v1/notifications?tenant_id=default", r#"null"#),
    ("GET", "/api/v1/admin/notification-templates?tenant=default", r#"null"#),
    ("DELETE", "/v1/suppressions/+33612345678?reason=x&tenant=default", r#"null"#),
    ("DELETE", "/v1/pauses/tenant/default", r#"null"#),
    ("DELETE", "/v1/sender-pools/old", r#"null"#),
];

/// Lists, each with a filter for something of the tenant `default`.
const LISTS: &[&str] = &[
    "/v1/messages?bulk_id=0197c1de-0000-7000-8000-00000000fe02",
    "/v1/messages?to=%2B33612345678",
    "/v1/messages?from=%2B15005550006",
    "/v1/conversations?contact=0197c1de-0000-7000-8000-00000000ab02",
    "/v1/conversations?integration=0197c1de-0000-7000-8000-00000000fb01",
    "/v1/contacts?number=%2B33612345699",
    "/v1/suppressions?number=%2B33612345678",
    "/v1/bulks",
    "/v1/integrations",
    "/v1/sender-pools",
    "/v1/templates",
    "/v1/dead-letters",
    "/v1/pauses",
    "/v1/audit?subject=0197c1de-0000-7000-8000-00000000fe01",
];

/// Every row of every table but those that say who asked, in one number.
async fn everything(lab: &Lab) -> String {
    let tables = "SELECT string_agg(format('SELECT %L AS t, md5(coalesce(string_agg(r::text, E''\\n'' ORDER BY r::text), '''')) \
                  AS h FROM facteur.%I r', relname, relname), ' UNION ALL ') FROM pg_class \
                  WHERE relnamespace = 'facteur'::regnamespace AND relkind IN ('r', 'p') \
                    AND relname NOT IN ('api_keys', 'workers', 'schema_migrations')";
    let union = lab.text(tables).await.unwrap();
    lab.text(&format!("SELECT string_agg(t || ' ' || h, E'\\n' ORDER BY t) FROM ({union}) all_of_them"))
        .await
        .unwrap()
}

/// The tables whose rows are others than before.
fn changed<'a>(before: &'a str, after: &'a str) -> Vec<&'a str> {
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) =
        (before.lines().collect(), after.lines().collect());
    before.symmetric_difference(&after).copied().collect()
}

fn told(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json())
}

#[tokio::test]
async fn an_id_of_another_tenant_is_answered_as_one_that_does_not_exist_and_nothing_changes() {
    let lab = Lab::start().await;
    lab.seed().await;
    // Something beside the examples that names a message by Twilio's SID.
    lab.sql(
        "INSERT INTO facteur.attempts (job_id, number, claim_token, started_at, duration_ms, outcome, sid, next_status, reason) \
         VALUES ('0197c1de-0000-7000-8000-00000000fe01', 1, gen_random_uuid(), now(), 1, 'accepted', \
                 'SM000000000000000000000000000000aa', 'sent', 'accepted')",
    )
    .await;
    let document = Document::read(&lab).await;
    let foreign = lab.key("admin", Some("somebody-else")).await;
    let before = everything(&lab).await;
    let mut asked = 0;
    let mut wrong = Vec::new();
    for operation in document.operations().iter().filter(|operation| operation.permission.is_some()) {
        let path = operation.example_path();
        let Some(id) = operation.path_examples().into_iter().find(|text| text.len() == 36) else { continue };
        let body = document.body_example(operation);
        let body = body.as_ref();
        let sid = path.contains("/messages/") || path.contains("/twilio/status/");
        let spellings = [
            Some(id.clone()),
            Some(id.to_uppercase()),
            sid.then(|| "SM000000000000000000000000000000aa".to_owned()),
        ];
        let expected = operation.ask(&lab, &path.replace(&id, UNKNOWN_ID), Some(&foreign), body).await;
        // A message that nobody has seen can be cancelled before it comes: that is no answer to compare with.
        let is_cancel = path.ends_with("/cancel") || operation.method == "DELETE";
        let is_tombstone = is_cancel && path.contains("/v1/messages/");
        for spelling in spellings.into_iter().flatten() {
            asked += 1;
            let answer = operation.ask(&lab, &path.replace(&id, &spelling), Some(&foreign), body).await;
            let is_same = told(&answer) == told(&expected) || is_tombstone;
            if !is_same || !matches!(answer.status, 403 | 404) {
                wrong.push(format!(
                    "{operation} of {spelling}: {} {}, expected {}",
                    answer.status, answer.body, expected.body
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(asked >= 60, "only {asked} routes have an id");
    // The cancellation of what nobody has seen is its own tenant's, and on the record.
    lab.sql(&format!("DELETE FROM facteur.jobs WHERE id = '{UNKNOWN_ID}'")).await;
    lab.sql(&format!("DELETE FROM facteur.audit_log WHERE subject = '{UNKNOWN_ID}'")).await;
    let after = everything(&lab).await;
    assert_eq!(changed(&before, &after), [""; 0]);
}

#[tokio::test]
async fn ids_of_another_tenant_in_bodies_filters_and_cursors_lead_nowhere() {
    let lab = Lab::start().await;
    lab.seed().await;
    let foreign = lab.key("admin", Some("somebody-else")).await;
    lab.sql("INSERT INTO facteur.senders (address, tenant) VALUES ('+33699999999', 'somebody-else')").await;
    lab.renewed().await;
    let before = everything(&lab).await;
    for (method, path, body) in FOREIGN {
        let body = serde_json::from_str(body).unwrap();
        let answer = lab.api(method, path, &foreign, &body).await;
        assert!((400..500).contains(&answer.status), "{method} {path} {body}: {answer:?}");
    }
    for list in LISTS {
        let answer = lab.api("GET", list, &foreign, &Value::Null).await.json();
        assert_eq!(answer["data"], json!([]), "{list}");
    }
    let after = everything(&lab).await;
    assert_eq!(changed(&before, &after), [""; 0]);
}

#[tokio::test]
async fn a_cursor_of_another_tenants_list_leads_into_ones_own() {
    let lab = Lab::start().await;
    let (ours, theirs) = (lab.key("admin", Some("ours")).await, lab.key("admin", Some("theirs")).await);
    for (key, text) in [(&theirs, "theirs"), (&ours, "ours"), (&theirs, "theirs"), (&theirs, "theirs")] {
        let sent = lab.api("POST", "/v1/messages", key, &json!({"to": "+33612345678", "body": text})).await;
        assert_eq!(sent.status, 202, "{sent:?}");
    }
    let page = lab.api("GET", "/v1/messages?limit=1", &theirs, &Value::Null).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let answer = lab.api("GET", &format!("/v1/messages?cursor={cursor}"), &ours, &Value::Null).await.json();
    let texts: Vec<_> = answer["data"].as_array().unwrap().iter().map(|message| &message["body"]).collect();
    assert_eq!(texts, ["ours"]);
}

#[tokio::test]
async fn an_idempotency_key_stands_for_one_tenants_request_alone() {
    let lab = Lab::start().await;
    let body = json!({"to": "+33612345678", "body": "x"}).to_string();
    let mut ids = std::collections::BTreeSet::new();
    for tenant in ["ours", "theirs"] {
        let key = lab.key("sender", Some(tenant)).await;
        let answer = lab.json("/v1/messages", &key, "Idempotency-Key: one\r\n", &body).await;
        assert_eq!((answer.status, &answer.json()["tenant"]), (202, &json!(tenant)), "{answer:?}");
        ids.insert(answer.json()["id"].to_string());
        let bulk = json!({"body": "x", "recipients": [{"to": "+33612345678"}]}).to_string();
        let answer = lab.json("/v1/bulks", &key, "Idempotency-Key: one\r\n", &bulk).await;
        assert_eq!((answer.status, &answer.json()["tenant"]), (202, &json!(tenant)), "{answer:?}");
        ids.insert(answer.json()["id"].to_string());
    }
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn a_bulk_is_paused_and_resumed_by_its_own_tenant_whoever_names_it_in_messages() {
    let lab = Lab::start().await;
    let (ours, theirs) = (lab.key("admin", Some("ours")).await, lab.key("admin", Some("theirs")).await);
    let bulk = json!({"body": "x", "recipients": [{"to": "+33612345678"}]});
    let id = lab.api("POST", "/v1/bulks", &ours, &bulk).await.json()["id"].as_str().unwrap().to_owned();
    let stray = json!({"to": "+33612345679", "body": "x", "bulk_id": id});
    assert_eq!(lab.api("POST", "/v1/messages", &theirs, &stray).await.status, 202);
    let pause = json!({"scope": "bulk", "key": id, "reason": "x"});
    let path = format!("/v1/pauses/bulk/{id}");
    assert_eq!(lab.api("POST", "/v1/pauses", &theirs, &pause).await.status, 403);
    assert_eq!(lab.api("POST", "/v1/pauses", &ours, &pause).await.status, 200);
    let seen = async |key| {
        lab.api("GET", "/v1/pauses", key, &Value::Null).await.json()["data"].as_array().unwrap().len()
    };
    assert_eq!((seen(&theirs).await, seen(&ours).await), (0, 1));
    assert_eq!(lab.api("DELETE", &path, &theirs, &Value::Null).await.status, 404);
    assert_eq!(lab.api("DELETE", &path, &ours, &Value::Null).await.status, 200);
}

#[tokio::test]
async fn a_message_that_was_cancelled_before_it_came_is_told_so_and_stands_in_nobody_elses_way_unseen() {
    let lab = Lab::start().await;
    let (ours, theirs) = (lab.key("sender", Some("ours")).await, lab.key("sender", Some("theirs")).await);
    let id = "0197c1de-6b1c-7c3e-9a53-5a3f0a5f2f11";
    let answer = lab.api("DELETE", &format!("/v1/messages/{id}"), &ours, &Value::Null).await;
    assert_eq!((answer.status, &answer.json()["was_seen"]), (200, &json!(false)));
    let body = json!({"id": id, "to": "+33612345678", "body": "x"});
    let answer = lab.api("POST", "/v1/messages", &ours, &body).await;
    assert_eq!((answer.status, &answer.json()["status"]), (202, &json!("canceled")), "{answer:?}");
    let answer = lab.api("POST", "/v1/messages", &theirs, &body).await;
    assert_eq!((answer.status, answer.code().as_str()), (422, "id_conflict"), "{answer:?}");
}

use serde_json::{Value, json};

use crate::lab::Lab;

const PATH: &str = "/v1/suppressions";

#[tokio::test]
async fn a_number_in_any_spelling_is_suppressed_once_listed_and_lifted_with_a_reason() {
    let lab = Lab::start().await;
    let (sender, admin) = (lab.key("sender", Some("acme")).await, lab.key("admin", Some("acme")).await);
    for (spelling, status) in [("06 12 34 56 78", 201), ("+33612345678", 200), ("33 6.12.34.56.78", 200)] {
        let body = json!({"number": spelling, "reason": "asked by phone"});
        let answer = lab.api("POST", PATH, &sender, &body).await;
        assert_eq!((answer.status, &answer.json()["number"]), (status, &json!("+33612345678")), "{spelling}");
    }
    let other = json!({"number": "0612345678", "sender": "+33700000001", "reason": "STOP"});
    assert_eq!(lab.api("POST", PATH, &sender, &other).await.json()["sender"], "+33700000001");
    for query in ["", "?number=0612345678", "?number=%2B33612345678", "?number=+33612345678"] {
        let listed = lab.api("GET", &format!("{PATH}{query}"), &sender, &Value::Null).await.json();
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(2), "{query}: {listed}");
    }
    let one = format!("{PATH}/0612345678?reason=asked%20again");
    assert_eq!(lab.api("DELETE", &one, &sender, &Value::Null).await.status, 403);
    assert_eq!(lab.api("DELETE", &one, &admin, &Value::Null).await.status, 204);
    assert_eq!(lab.api("DELETE", &one, &admin, &Value::Null).await.status, 404);
    let one = format!("{PATH}/+33612345678?sender=%2B33700000001&reason=x");
    assert_eq!(lab.api("DELETE", &one, &admin, &Value::Null).await.status, 204);
    let told =
        "SELECT string_agg(action || ':' || (details ->> 'reason'), ' ' ORDER BY id) FROM facteur.audit_log";
    let expected = "suppression_added:asked by phone suppression_added:STOP \
                    suppression_removed:asked again suppression_removed:x";
    assert_eq!(lab.text(told).await.as_deref(), Some(expected));
}

#[tokio::test]
async fn pages_lead_through_all_of_a_tenants_and_through_nobody_elses() {
    let lab = Lab::start().await;
    let (viewer, root) = (lab.key("viewer", Some("acme")).await, lab.key("superadmin", None).await);
    lab.sql(
        "INSERT INTO facteur.suppressions (tenant, recipient, sender, reason) \
         SELECT CASE WHEN n > 5 THEN 'other' ELSE 'acme' END, '+3361234567' || n, '', 'x' FROM generate_series(1, 7) n",
    )
    .await;
    let mut found = Vec::new();
    let mut path = format!("{PATH}?limit=2");
    loop {
        let page = lab.api("GET", &path, &viewer, &Value::Null).await.json();
        let rows = page["data"].as_array().unwrap();
        found.extend(rows.iter().map(|row| row["number"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{PATH}?limit=2&cursor={cursor}");
    }
    assert_eq!(found, (1..=5).map(|n| format!("+3361234567{n}")).collect::<Vec<_>>());
    let others = lab.api("GET", &format!("{PATH}?tenant=other"), &root, &Value::Null).await.json();
    assert_eq!(others["data"].as_array().map(Vec::len), Some(2));
    let foreign = lab.api("GET", &format!("{PATH}?tenant=other"), &viewer, &Value::Null).await;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "tenant_foreign"));
    for wrong in ["x", "AAAA", "%00", "KzMz"] {
        let answer = lab.api("GET", &format!("{PATH}?cursor={wrong}"), &viewer, &Value::Null).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_and_no_number_is_said_back() {
    let lab = Lab::start().await;
    let key = lab.key("admin", Some("acme")).await;
    for (body, field) in [
        (json!({"number": "061234", "reason": "x"}), "number"),
        (json!({"number": "", "reason": "x"}), "number"),
        (json!({"number": "0612345678", "reason": " "}), "reason"),
        (json!({"number": "0612345678", "reason": "x".repeat(201)}), "reason"),
        (json!({"number": "0612345678"}), "reason"),
        (json!({"number": "0612345678", "reason": "x", "sender": "+33"}), "sender"),
        (json!({"number": "0612345678", "reason": "x", "tenant": "No Slug"}), "tenant"),
    ] {
        let answer = lab.api("POST", PATH, &key, &body).await;
        assert_eq!(
            (answer.status, answer.json()["field"].as_str()),
            (422, Some(field)),
            "{body}: {}",
            answer.body
        );
        assert!(!answer.body.contains("061234"), "{}", answer.body);
    }
    let without = lab.api("DELETE", &format!("{PATH}/0612345678"), &key, &Value::Null).await;
    assert_eq!((without.status, without.json()["field"].as_str()), (400, Some("reason")), "{}", without.body);
}

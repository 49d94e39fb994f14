use serde_json::{Value, json};

use crate::lab::Lab;

#[tokio::test]
async fn an_admin_changes_what_is_named_null_takes_away_and_only_a_superadmin_sets_the_weight() {
    let lab = Lab::start().await;
    let (admin, root) = (lab.key("admin", Some("acme")).await, lab.key("superadmin", None).await);
    let path = "/v1/tenants/acme";
    let change = json!({"countries_allowed": ["FR", "be"], "segments_per_day": 100, "quiet_hours": true,
        "time_zone": "europe/paris", "language": "fr", "default_country": "FR"});
    let set = lab.api("PATCH", path, &admin, &change).await;
    assert_eq!(set.status, 200, "{}", set.body);
    assert_eq!(set.json()["countries_allowed"], json!(["BE", "FR"]));
    assert_eq!(set.json()["time_zone"], "Europe/Paris");
    let patched = lab.api("PATCH", path, &admin, &json!({"segments_per_day": null})).await.json();
    assert_eq!((&patched["segments_per_day"], &patched["quiet_hours"]), (&Value::Null, &json!(true)));
    assert_eq!(lab.api("GET", path, &admin, &Value::Null).await.json(), patched);
    let weight = json!({"weight": 3});
    let refused = lab.api("PATCH", path, &admin, &weight).await;
    assert_eq!((refused.status, refused.json()["field"].as_str()), (403, Some("weight")));
    assert_eq!(lab.api("PATCH", path, &root, &weight).await.json()["weight"], 3);
    let actor =
        lab.text("SELECT actor FROM facteur.audit_log WHERE action = 'tenant_changed' ORDER BY id LIMIT 1");
    assert_eq!(actor.await, Some(format!("key:{}", &admin[..11])));
}

#[tokio::test]
async fn other_tenants_are_nobodys_business_and_a_viewer_changes_nothing() {
    let lab = Lab::start().await;
    let (viewer, admin) = (lab.key("viewer", Some("acme")).await, lab.key("admin", Some("acme")).await);
    for (key, method, path, status) in [
        (&viewer, "GET", "/v1/tenants/acme", 200),
        (&viewer, "GET", "/v1/tenants/acme/usage", 200),
        (&viewer, "PATCH", "/v1/tenants/acme", 403),
        (&admin, "GET", "/v1/tenants/other", 404),
        (&admin, "PATCH", "/v1/tenants/other", 404),
        (&admin, "GET", "/v1/tenants/other/usage", 404),
        (&admin, "GET", "/v1/tenants/Not%20A%20Slug", 404),
    ] {
        let body = if method == "PATCH" { json!({"quiet_hours": true}) } else { Value::Null };
        assert_eq!(lab.api(method, path, key, &body).await.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_setting_that_can_not_be_is_refused_with_its_field() {
    let lab = Lab::start().await;
    let root = lab.key("superadmin", None).await;
    for (body, field) in [
        (json!({"countries_allowed": ["FR", "XX"]}), "countries_allowed[1]"),
        (json!({"countries_allowed": []}), "countries_allowed"),
        (json!({"countries_allowed": "FR"}), "countries_allowed"),
        (json!({"segments_per_day": 0}), "segments_per_day"),
        (json!({"segments_per_day": -1}), "segments_per_day"),
        (json!({"segments_per_day": 5_000_000_000_u64}), "segments_per_day"),
        (json!({"time_zone": "Mars"}), "time_zone"),
        (json!({"default_country": "France"}), "default_country"),
        (json!({"weight": 0}), "weight"),
        (json!({"color": "red"}), "color"),
    ] {
        let answer = lab.api("PATCH", "/v1/tenants/acme", &root, &body).await;
        assert_eq!(
            (answer.status, answer.json()["field"].as_str()),
            (422, Some(field)),
            "{body}: {}",
            answer.body
        );
    }
    let bad = lab.api("PATCH", "/v1/tenants/acme", &root, &json!({"language": "'; DROP"})).await;
    assert_eq!(bad.status, 422, "{}", bad.body);
}

#[tokio::test]
async fn usage_tells_each_day_that_was_counted() {
    let lab = Lab::start().await;
    let viewer = lab.key("viewer", Some("acme")).await;
    lab.sql("INSERT INTO facteur.tenant_usage VALUES ('acme', '2026-12-01', 7), ('acme', '2026-12-02', 9), ('other', '2026-12-02', 1)").await;
    let usage = lab.api("GET", "/v1/tenants/acme/usage", &viewer, &Value::Null).await.json();
    let days = json!([{"day": "2026-12-02", "segments": 9}, {"day": "2026-12-01", "segments": 7}]);
    assert_eq!(usage, json!({"tenant": "acme", "time_zone": "UTC", "segments_per_day": null, "days": days}));
    let one = lab.api("GET", "/v1/tenants/acme/usage?days=1", &viewer, &Value::Null).await.json();
    assert_eq!(one["days"].as_array().map(Vec::len), Some(1));
    assert_eq!(lab.api("GET", "/v1/tenants/acme/usage?days=0", &viewer, &Value::Null).await.status, 422);
}

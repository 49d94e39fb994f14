use serde_json::{Value, json};

use crate::lab::{ACCOUNT, Answer, Callback, Lab, sid};

const ACME: &str = "ACa0000000000000000000000000000001";
const SECRET: &str = "acme5ecre7a00000000000000000001";

fn body(account: &str) -> Value {
    json!({
        "name": "SMS Twilio Principal", "integration_type": "sms", "account_sid": account, "auth_token": SECRET,
        "phone_number": "+33 6 12 34 56 78",
    })
}

async fn asked(lab: &Lab, method: &str, path: &str, key: &str, body: &Value) -> Answer {
    let answer = lab.api(method, path, key, body).await;
    assert!(!answer.body.contains("5ecre7"), "{answer:?}");
    answer
}

#[tokio::test]
async fn an_integration_is_created_read_changed_and_deactivated_and_its_secret_never_comes_out() {
    let lab = Lab::start().await;
    let key = lab.key("admin", Some("acme")).await;
    let made = asked(&lab, "POST", "/v1/integrations", &key, &body(ACME)).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let of = |field: &str| made[field].clone();
    assert_eq!(
        (of("tenant"), of("phone_number"), of("is_default")),
        (json!("acme"), json!("+33612345678"), json!(true))
    );
    let path = format!("/v1/integrations/{}", made["id"].as_str().unwrap());
    assert_eq!(asked(&lab, "GET", &path, &key, &Value::Null).await.json(), made);
    let listed = asked(&lab, "GET", "/v1/integrations", &key, &Value::Null).await.json();
    assert_eq!(listed, json!({"data": [made], "next_cursor": null}));
    let renamed =
        asked(&lab, "PATCH", &path, &key, &json!({"name": "Autre", "auth_token": "newer5ecre7"})).await;
    assert_eq!((renamed.status, renamed.json()["name"].clone()), (200, json!("Autre")));
    assert_eq!(lab.text("SELECT revision::text FROM facteur.accounts").await.as_deref(), Some("2"));
    let off = asked(&lab, "DELETE", &path, &key, &Value::Null).await.json();
    assert_eq!(off["is_active"], json!(false));
    let pauses = "SELECT string_agg(scope || ' ' || (ended_at IS NULL), ',') FROM facteur.pauses";
    assert_eq!(lab.text(pauses).await.as_deref(), Some("integration true"));
    let on = asked(&lab, "PATCH", &path, &key, &json!({"is_active": true})).await.json();
    assert_eq!(on["is_active"], json!(true));
    assert_eq!(
        lab.text(
            "SELECT string_agg(secret::text, '') FROM facteur.accounts WHERE secret::text LIKE '%5ecre7%'"
        )
        .await,
        None
    );
}

#[tokio::test]
async fn other_tenants_and_weaker_roles_see_and_change_nothing() {
    let lab = Lab::start().await;
    let (acme, rival) = (lab.key("admin", Some("acme")).await, lab.key("admin", Some("rival")).await);
    let (sender, superadmin) = (lab.key("sender", Some("acme")).await, lab.key("superadmin", None).await);
    let id = asked(&lab, "POST", "/v1/integrations", &acme, &body(ACME)).await.json()["id"].clone();
    let path = format!("/v1/integrations/{}", id.as_str().unwrap());
    for (method, suffix, body) in [
        ("GET", "", Value::Null),
        ("PATCH", "", json!({})),
        ("DELETE", "", Value::Null),
        ("POST", "/default", Value::Null),
        ("POST", "/test", Value::Null),
    ] {
        for base in [path.clone(), path.replace("/v1", "/inbox")] {
            let path = format!("{base}{suffix}");
            let foreign = asked(&lab, method, &path, &rival, &body).await;
            assert_eq!((foreign.status, foreign.code().as_str()), (404, "not_found"), "{method} {path}");
            assert_eq!(asked(&lab, method, &path, &sender, &body).await.status, 403, "{method} {path}");
            assert_eq!(
                asked(&lab, method, &path.replace(id.as_str().unwrap(), "7"), &acme, &body).await.status,
                404
            );
        }
    }
    let taken = asked(&lab, "POST", "/v1/integrations", &rival, &body(ACME)).await;
    assert_eq!((taken.status, taken.code().as_str()), (409, "account_taken"));
    let home = asked(&lab, "POST", "/v1/integrations", &rival, &body(ACCOUNT)).await;
    assert_eq!(
        (home.status, home.code().as_str()),
        (409, "account_taken"),
        "the environment's is nobody's to take"
    );
    let again = asked(&lab, "POST", "/v1/integrations", &acme, &body(ACME)).await;
    assert_eq!((again.status, again.code().as_str()), (409, "name_taken"));
    assert_eq!(asked(&lab, "GET", "/v1/integrations", &rival, &Value::Null).await.json()["data"], json!([]));
    assert_eq!(asked(&lab, "GET", &path, &superadmin, &Value::Null).await.status, 200);
}

#[tokio::test]
async fn what_is_wrong_is_told_with_its_field() {
    let lab = Lab::start().await;
    let key = lab.key("admin", Some("acme")).await;
    let with = |field: &str, value: Value| {
        let mut body = body(ACME);
        body[field] = value;
        body
    };
    let long = "x".repeat(101);
    let rows = [
        (with("account_sid", json!("AC1")), "invalid_field", "account_sid"),
        (with("phone_number", json!("é")), "invalid_field", "phone_number"),
        (with("messaging_service_sid", json!("MG1")), "invalid_field", "messaging_service_sid"),
        (with("integration_type", json!("fax")), "invalid_field", "integration_type"),
        (with("auth_token", Value::Null), "credentials_missing", "auth_token"),
        (with("auth_token", json!("5ecre7 with spaces")), "invalid_field", "auth_token"),
        (with("api_key_sid", json!("SK1")), "invalid_field", "api_key_sid"),
        (with("tenant", json!("No Tenant")), "invalid_field", "tenant"),
        (with("surprise", json!(1)), "unknown_field", "surprise"),
    ];
    for (body, code, field) in rows {
        let answer = asked(&lab, "POST", "/v1/integrations", &key, &body).await;
        let found = (answer.status, answer.code(), answer.json()["field"].clone());
        assert_eq!(found, (422, code.to_owned(), json!(field)), "{answer:?}");
    }
    assert_eq!(asked(&lab, "POST", "/v1/integrations", &key, &with("name", json!(long))).await.status, 422);
    assert_eq!(asked(&lab, "POST", "/v1/integrations", &key, &with("name", json!(" "))).await.status, 422);
}

#[tokio::test]
async fn a_test_asks_twilio_and_answers_in_plain_words() {
    let lab = Lab::start().await;
    let key = lab.key("superadmin", None).await;
    let good = json!({
        "tenant": "default", "name": "good", "integration_type": "sms", "account_sid": twilio_sim::ACCOUNT_SID,
        "auth_token": twilio_sim::AUTH_TOKEN,
    });
    for (body, is_ok, result) in [(good, true, "ok"), (body(ACME), false, "bad_credentials")] {
        let id = asked(&lab, "POST", "/v1/integrations", &key, &body).await.json()["id"].clone();
        let path = format!("/v1/integrations/{}", id.as_str().unwrap());
        let told = asked(&lab, "POST", &format!("{path}/test"), &key, &Value::Null).await.json();
        assert_eq!((told["is_ok"].clone(), told["result"].clone()), (json!(is_ok), json!(result)), "{told}");
        let kept = asked(&lab, "GET", &path, &key, &Value::Null).await.json()["last_test"].clone();
        assert_eq!(
            (kept["result"].clone(), kept["message"].clone()),
            (json!(result), told["message"].clone())
        );
    }
}

#[tokio::test]
async fn the_shared_inbox_finds_its_own_shapes() {
    let lab = Lab::start().await;
    let superadmin = lab.key("superadmin", None).await;
    let named = asked(&lab, "PUT", "/v1/tenant-aliases/42", &superadmin, &json!({"tenant": "acme"})).await;
    assert_eq!(named.status, 204, "{named:?}");
    let key = lab.key("admin", Some("acme")).await;
    let new = json!({
        "name": "SMS Twilio Principal", "integration_type": "sms", "account_id": ACME, "api_key": SECRET,
        "phone_number": "+33612345678", "is_active": true, "company_id": 42,
    });
    let made = asked(&lab, "POST", "/inbox/integrations/", &key, &new).await;
    assert_eq!(made.status, 200, "{made:?}");
    let made = made.json();
    assert_eq!(made["data"]["id"], made["id"]);
    for (field, value) in
        [("account_id", json!(ACME)), ("company_id", json!("acme")), ("is_default", json!(true))]
    {
        assert_eq!(made[field], value, "{made}");
    }
    let second =
        json!({"name": "deux", "integration_type": "whatsapp", "account_id": ACME, "is_active": false});
    let second = asked(&lab, "POST", "/inbox/integrations", &key, &second).await.json();
    assert_eq!(second["is_active"], json!(false));
    let page = asked(&lab, "GET", "/inbox/integrations?limit=1", &key, &Value::Null).await;
    assert_eq!(page.json().as_array().unwrap().len(), 1, "a bare array");
    let link = page.head.lines().find_map(|line| line.strip_prefix("link: ")).unwrap();
    let next = link.split(['<', '>']).nth(1).unwrap();
    let next = asked(&lab, "GET", next, &key, &Value::Null).await;
    assert_eq!((next.json()[0]["id"].clone(), next.head.contains("link: ")), (made["id"].clone(), false));
    let path = format!("/inbox/integrations/{}", made["id"].as_str().unwrap());
    let changed = asked(&lab, "PATCH", &path, &key, &json!({"is_active": false})).await.json();
    assert_eq!(
        (changed["is_active"].clone(), changed["data"]["is_active"].clone()),
        (json!(false), json!(false))
    );
    let tested = asked(&lab, "POST", &format!("{path}/test"), &key, &Value::Null).await.json();
    assert_eq!(tested["success"], json!(false));
    let wrong = asked(
        &lab,
        "POST",
        "/inbox/integrations",
        &key,
        &json!({"name": "x", "integration_type": "sms", "account_id": "AC1", "api_key": SECRET}),
    )
    .await;
    assert_eq!((wrong.status, wrong.json()["field"].clone()), (422, json!("account_id")), "{wrong:?}");
    let foreign = asked(
        &lab,
        "POST",
        "/inbox/integrations",
        &key,
        &json!({"name": "x", "integration_type": "sms", "account_id": ACME, "company_id": "rival"}),
    )
    .await;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "tenant_foreign"));
}

#[tokio::test]
async fn senders_and_pools_are_their_tenants_to_change() {
    let lab = Lab::start().await;
    let (acme, superadmin) = (lab.key("admin", Some("acme")).await, lab.key("superadmin", None).await);
    let path = "/v1/senders/+33612345678";
    let foreign = asked(&lab, "PUT", path, &acme, &json!({"rate_per_s": 5})).await;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "sender_foreign"));
    assert_eq!(asked(&lab, "PUT", path, &superadmin, &json!({"tenant": "acme"})).await.status, 204);
    assert_eq!(
        asked(&lab, "PUT", "/v1/sender-pools/main", &acme, &json!({"channel": "sms", "is_default": true}))
            .await
            .status,
        204
    );
    assert_eq!(asked(&lab, "PUT", path, &acme, &json!({"rate_per_s": 5, "pool": "main"})).await.status, 204);
    assert_eq!(asked(&lab, "PUT", path, &acme, &json!({"pool": "other"})).await.status, 404);
    assert_eq!(asked(&lab, "PUT", path, &acme, &json!({"rate_per_s": 0})).await.status, 422);
    assert_eq!(asked(&lab, "PUT", path, &acme, &json!({"tenant": null})).await.status, 403);
    let pools = asked(&lab, "GET", "/v1/sender-pools", &acme, &Value::Null).await.json();
    let main = json!({"tenant": "acme", "name": "main", "channel": "sms", "is_default": true, "senders": ["+33612345678"]});
    assert_eq!(pools["data"], json!([main]));
    assert_eq!(
        asked(&lab, "PUT", "/v1/sender-pools/main", &acme, &json!({"channel": "whatsapp"})).await.code(),
        "pool_channel"
    );
    assert_eq!(asked(&lab, "DELETE", "/v1/sender-pools/main", &acme, &Value::Null).await.status, 204);
    let listed = asked(&lab, "GET", "/v1/senders", &acme, &Value::Null).await.json();
    let one = &listed["data"][0];
    assert_eq!(
        (one["rate_per_s"].clone(), one["pool"].clone(), one["tenant"].clone()),
        (json!(5.0), Value::Null, json!("acme"))
    );
}

#[tokio::test]
async fn a_tenants_account_verifies_its_own_callbacks_and_no_others() {
    let lab = Lab::start().await;
    let key = lab.key("superadmin", None).await;
    for (tenant, account, token) in
        [("acme", ACME, SECRET), ("rival", "ACb0000000000000000000000000000002", "rival5ecre7")]
    {
        let body = json!({"tenant": tenant, "name": "x", "integration_type": "sms", "account_sid": account, "auth_token": token});
        assert_eq!(asked(&lab, "POST", "/v1/integrations", &key, &body).await.status, 201);
    }
    let job = lab.sending().await;
    lab.sql("UPDATE facteur.jobs SET tenant = 'acme'").await;
    let told = |account: &str| Callback::new(job, &sid(1), "delivered").set("AccountSid", account);
    let post = async |callback: &Callback, token: &str| {
        let signature = callback.signature(token);
        lab.post(&callback.path_and_query, &callback.encoded(), Some(&signature)).await
    };
    let acme = told(ACME);
    lab.renewed().await;
    assert_eq!(post(&acme, "forged").await.code(), "signature_wrong");
    assert_eq!(post(&acme, "rival5ecre7").await.code(), "signature_wrong");
    let rival = told("ACb0000000000000000000000000000002");
    assert_eq!(post(&rival, "rival5ecre7").await.status, 204);
    assert_eq!(lab.status(job).await, "sending", "signed by another tenant's account");
    assert_eq!(post(&acme, SECRET).await.status, 204);
    assert_eq!(lab.status(job).await, "delivered");
}

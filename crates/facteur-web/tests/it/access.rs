use std::time::Duration;

use facteur_postgres::api_keys::{self, NewKey};
use facteur_web::AccessSettings;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lab::{Answer, Lab};

const PAGE: &str = "https://app.example.org";

impl Lab {
    async fn get(&self, path: &str, headers: &str) -> Answer {
        self.raw(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")).await
    }

    async fn whoami(&self, bearer: &str) -> u16 {
        self.get("/v1/whoami", &format!("Authorization: Bearer {bearer}\r\n")).await.status
    }

    /// Waits until a bearer is no longer let in.
    async fn until_refused(&self, bearer: &str) {
        let mut looks = tokio::time::interval(Duration::from_millis(50));
        let refused = tokio::time::timeout(Duration::from_secs(30), async {
            while self.whoami(bearer).await != 401 {
                looks.tick().await;
            }
        });
        assert!(refused.await.is_ok(), "still let in");
    }
}

async fn lab(access: AccessSettings) -> Lab {
    Lab::with_access(vec![], Some("https://sms.example.org"), access).await
}

#[tokio::test]
async fn a_bearer_learns_who_it_is_and_nobody_else_is_let_in() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("acme")).await;
    for path in ["/v1/whoami", "/v1/whoami/", "/v1/whoami?x=1"] {
        let answer = lab.api("GET", path, &key, &Value::Null).await;
        let expected = json!({"actor": format!("key:{}", &key[..11]), "role": "sender", "tenant": "acme"});
        assert_eq!((answer.status, answer.json()), (200, expected), "{path}");
    }
    let unknown = facteur_core::api_key::key(&[9; 32]);
    for wrong in ["", "fk_", "fk_00000000", "' OR 1=1 --", "a.b.c", unknown.as_str(), &format!("{key}x")] {
        let answer = lab.api("GET", "/v1/whoami", wrong, &Value::Null).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{wrong}");
        assert!(answer.head.to_lowercase().contains("\r\nwww-authenticate: bearer"), "{answer:?}");
    }
    let basic = lab.get("/v1/whoami", &format!("Authorization: Basic {key}\r\n")).await;
    assert_eq!(basic.status, 401);
    assert_eq!(lab.get("/v1/whoami", &format!("authorization: bearer  {key} \r\n")).await.status, 200);
    assert_eq!(lab.api("GET", "/v1/nothing", &key, &Value::Null).await.status, 404);
    assert_eq!(lab.api("POST", "/v1/whoami", &key, &Value::Null).await.status, 405);
}

#[tokio::test]
async fn the_document_and_its_page_are_open_and_need_no_network() {
    let lab = Lab::start().await;
    let document = lab.api("GET", "/v1/openapi.json", "", &Value::Null).await;
    assert_eq!(document.status, 200);
    assert!(document.json()["paths"]["/v1/whoami"]["get"].is_object(), "{}", document.body);
    let page = lab.api("GET", "/docs/", "", &Value::Null).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("https://"), "{}", page.body);
    let head = page.head.to_lowercase();
    assert!(head.contains("script-src 'self';") && head.contains("frame-ancestors 'none'"), "{head}");
}

#[tokio::test]
async fn a_key_that_is_revoked_or_expired_is_worthless_within_a_second() {
    let lab = Lab::start().await;
    let new = |expires_at| NewKey {
        name: "test",
        tenant: Some("acme"),
        role: "viewer",
        created_by: "test",
        expires_at,
        request_id: None,
    };
    let made = api_keys::create(&lab.database, &new(None)).await.unwrap();
    assert_eq!(lab.whoami(&made.key).await, 200);
    // By another process, as the command line is one.
    api_keys::revoke(&lab.database, made.row.id, None, "test", None).await.unwrap();
    lab.until_refused(&made.key).await;
    let made = api_keys::create(&lab.database, &new(None)).await.unwrap();
    assert_eq!(lab.whoami(&made.key).await, 200);
    lab.sql("UPDATE facteur.api_keys SET expires_at = now() WHERE revoked_at IS NULL").await;
    lab.until_refused(&made.key).await;
    // Through this process, at once.
    let admin = lab.key("admin", Some("acme")).await;
    let made = lab.api("POST", "/v1/keys", &admin, &json!({"name": "x", "role": "viewer"})).await.json();
    let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(lab.whoami(key).await, 200);
    assert_eq!(lab.api("DELETE", &format!("/v1/keys/{id}"), &admin, &Value::Null).await.status, 204);
    assert_eq!(lab.whoami(key).await, 401);
}

#[tokio::test]
async fn nobody_makes_a_key_that_may_more_than_its_maker() {
    let lab = Lab::start().await;
    let (admin, all) = (lab.key("admin", Some("acme")).await, lab.key("superadmin", None).await);
    let rows = [
        (&admin, json!({"name": "x", "role": "admin"}), 201, ""),
        (&admin, json!({"name": "x", "role": "sender", "tenant": "acme"}), 201, ""),
        (&admin, json!({"name": "x", "role": "superadmin"}), 403, "role_too_strong"),
        (&admin, json!({"name": "x", "role": "viewer", "tenant": "other"}), 403, "tenant_foreign"),
        (&all, json!({"name": "x", "role": "superadmin"}), 201, ""),
        (&all, json!({"name": "x", "role": "admin", "tenant": "other"}), 201, ""),
        (&all, json!({"name": "x", "role": "superadmin", "tenant": "other"}), 422, "invalid_field"),
        (&all, json!({"name": " ", "role": "viewer"}), 422, "invalid_field"),
        (&all, json!({"name": "x", "role": "root"}), 422, "invalid_field"),
        (
            &all,
            json!({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}),
            422,
            "invalid_field",
        ),
        (
            &all,
            json!({"name": "x", "role": "viewer", "expires": "2030-01-01T00:00:00Z"}),
            422,
            "unknown_field",
        ),
        (&all, json!({"role": "viewer"}), 422, "field_missing"),
    ];
    for (key, body, status, code) in rows {
        let answer = lab.api("POST", "/v1/keys", key, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{body}: {answer:?}");
    }
    let made = lab.api("POST", "/v1/keys", &all, &json!({"name": "x", "role": "superadmin"})).await.json();
    assert_eq!(made["tenant"], Value::Null);
    let path = format!("/v1/keys/{}", made["id"].as_str().unwrap());
    for (path, code) in [(path.as_str(), 404), ("/v1/keys/7", 404)] {
        assert_eq!(lab.api("DELETE", path, &admin, &Value::Null).await.status, code, "{path}");
    }
    assert_eq!(lab.whoami(made["key"].as_str().unwrap()).await, 200);
    let listed = lab.api("GET", "/v1/keys?limit=2", &admin, &Value::Null).await.json();
    let cursor = listed["next_cursor"].as_str().unwrap();
    let rest = lab.api("GET", &format!("/v1/keys?cursor={cursor}"), &admin, &Value::Null).await.json();
    assert_eq!((listed["data"].as_array().unwrap().len(), rest["data"].as_array().unwrap().len()), (2, 1));
    let is_own = |page: &Value| page["data"].as_array().unwrap().iter().all(|key| key["tenant"] == "acme");
    assert!(is_own(&listed) && is_own(&rest), "{listed} {rest}");
    assert!(!listed.to_string().contains("digest") && !listed.to_string().contains(&admin), "{listed}");
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_behind_the_requests() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("acme")).await;
    let query =
        "SELECT count(*)::text FROM facteur.api_keys WHERE last_used_at > now() - interval '1 minute'";
    assert_eq!(lab.whoami(&key).await, 200);
    lab.stop.cancel();
    lab.until(query, "1").await;
}

#[tokio::test]
async fn while_the_database_is_away_a_bearer_is_asked_to_come_again_and_not_refused() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("acme")).await;
    lab.proxy.cut().await;
    let answer = lab.get("/v1/whoami", &format!("Authorization: Bearer {key}\r\n")).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "database_unavailable"), "{answer:?}");
    lab.proxy.heal().await;
    assert_eq!(lab.whoami(&key).await, 200);
}

#[tokio::test]
async fn who_fails_too_often_waits_and_whoever_was_known_does_not() {
    let access =
        AccessSettings { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..Default::default() };
    let lab = lab(access).await;
    let (known, late) = (lab.key("viewer", Some("acme")).await, lab.key("viewer", Some("acme")).await);
    let from = "X-Forwarded-For: 198.51.100.7\r\n";
    let ask = async |key: &str, from: &str| {
        lab.get("/v1/whoami", &format!("{from}Authorization: Bearer {key}\r\n")).await
    };
    assert_eq!(ask(&known, from).await.status, 200);
    for _ in 0..20 {
        assert_eq!(ask("fk_guess", from).await.status, 401);
    }
    let braked = ask("fk_guess", from).await;
    assert_eq!((braked.status, braked.code().as_str()), (429, "too_many_failures"));
    assert!(braked.head.to_lowercase().contains("\r\nretry-after: "), "{braked:?}");
    assert_eq!(ask(&late, from).await.status, 429, "a key that was not known before waits too");
    assert_eq!(ask(&known, from).await.status, 200);
    assert_eq!(ask(&late, "X-Forwarded-For: 198.51.100.8\r\n").await.status, 200);
    assert_eq!(ask(&late, from).await.status, 200, "now it is known");
}

#[tokio::test]
async fn pages_of_configured_origins_may_call_and_others_are_told_nothing() {
    let lab = lab(AccessSettings { origins: vec![PAGE.to_owned()], ..Default::default() }).await;
    let preflight = async |origin: &str| {
        lab.raw(&format!(
            "OPTIONS /v1/keys HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: {origin}\r\n\
             Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n\r\n"
        ))
        .await
    };
    let known = preflight(PAGE).await;
    let head = known.head.to_lowercase();
    assert_eq!(known.status, 204, "{known:?}");
    for line in [
        "\r\naccess-control-allow-origin: https://app.example.org\r\n",
        "\r\naccess-control-allow-credentials: true\r\n",
        "\r\naccess-control-allow-methods: get, post",
        "\r\naccess-control-allow-headers: authorization",
        "\r\nvary: origin\r\n",
    ] {
        assert!(format!("{head}\r\n").contains(line), "{line}: {head}");
    }
    let answer = lab.get("/v1/whoami", &format!("Origin: {PAGE}\r\n")).await;
    assert!(
        answer.status == 401 && answer.head.contains("access-control-allow-origin: https://app.example.org")
    );
    for origin in
        ["https://app.example.org.evil", "http://app.example.org", "https://APP.example.org", "null", "*"]
    {
        for answer in [preflight(origin).await, lab.get("/v1/whoami", &format!("Origin: {origin}\r\n")).await]
        {
            assert!(answer.status >= 400, "{origin}: {answer:?}");
            assert!(!answer.head.contains("access-control-"), "{origin}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_what_they_may_not() {
    let lab = lab(AccessSettings::default()).await;
    let key = lab.key("viewer", Some("acme")).await;
    for (path, bearer) in [("/v1/whoami", key.as_str()), ("/v1/whoami", "x"), ("/nothing", "")] {
        let answer = lab.get(path, &format!("Authorization: Bearer {bearer}\r\n")).await;
        for line in [
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
            "strict-transport-security: max-age=31536000",
        ] {
            assert!(answer.head.contains(line), "{path}: {line} is missing in {}", answer.head);
        }
    }
}

#[tokio::test]
async fn a_request_is_named_by_its_client_if_the_name_can_be_shown() {
    let lab = Lab::start().await;
    let named = lab.get("/v1/whoami", "X-Request-Id: order-42.a_B\r\n").await;
    assert!(named.head.contains("x-request-id: order-42.a_B"), "{}", named.head);
    let long = "x".repeat(65);
    for odd in ["a b", "<script>", "é", "", long.as_str()] {
        let answer = lab.get("/v1/whoami", &format!("X-Request-Id: {odd}\r\n")).await;
        let id = answer.head.split("x-request-id: ").nth(1).unwrap().split("\r\n").next().unwrap();
        assert!(Uuid::parse_str(id).is_ok(), "{odd}: {id}");
    }
}

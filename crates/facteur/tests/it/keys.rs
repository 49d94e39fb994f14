//! API keys, as they are typed.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::services::Services;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_shown_once_listed_and_revoked() {
    let services = Services::start().await;
    assert_eq!(services.json(&["keys", "list"], 0).await, json!({ "keys": [] }));
    let line = [
        "keys",
        "create",
        "--role",
        "admin",
        "--tenant",
        "acme",
        "--name",
        "back office",
        "--expires",
        "90d",
    ];
    let made = services.json(&line, 0).await;
    let key = made["key"].as_str().unwrap();
    assert!(facteur_core::api_key::is_well_formed(key), "{made}");
    assert_eq!((&made["role"], &made["tenant"]), (&json!("admin"), &json!("acme")));
    assert!(made["expires_at"].is_string(), "{made}");
    let listed = services.run(&["keys", "list", "--tenant", "acme"]).await.stdout;
    assert!(listed.contains("back office") && !listed.contains(key), "{listed}");
    assert_eq!(services.json(&["keys", "list", "--tenant", "other"], 0).await, json!({ "keys": [] }));
    let id = made["id"].as_str().unwrap();
    let revoked = services.json(&["keys", "revoke", id], 0).await;
    assert!(revoked["revoked"]["revoked_at"].is_string(), "{revoked}");
    let again = services.json(&["keys", "revoke", id], 0).await;
    assert_eq!(again["revoked"]["revoked_at"], revoked["revoked"]["revoked_at"]);
    assert_eq!(
        services.json(&["keys", "revoke", &Uuid::new_v4().to_string()], 4).await,
        json!({ "revoked": null })
    );
    let all = services.json(&["keys", "create", "--role", "superadmin"], 0).await;
    assert_eq!(all["tenant"], Value::Null);
    let text = services.run(&["keys", "create", "--role", "viewer"]).await.stdout;
    assert!(text.starts_with("fk_") && text.contains("the tenant default"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_makes_no_sense_is_refused_with_what_would_be_right() {
    let services = Services::start().await;
    let long = "x".repeat(101);
    for (more, expected) in [
        (&["--role", "superadmin", "--tenant", "acme"][..], "leave --tenant out"),
        (&["--role", "admin", "--tenant", "Acme!"], "a-z"),
        (&["--role", "admin", "--expires", "soon"], "such as 90d"),
        (&["--role", "admin", "--expires", "2020-01-01T00:00:00Z"], "in the future"),
        (&["--role", "admin", "--name", &long], "1 to 100"),
        (&["--role", "root"], "viewer"),
        (&[], "--role"),
    ] {
        let line: Vec<_> = ["keys", "create"].iter().chain(more).copied().collect();
        let ran = services.run(&line).await;
        assert!(ran.code == Some(2) && ran.stderr.contains(expected), "{line:?}: {ran:?}");
    }
    assert_eq!(services.json(&["keys", "list"], 0).await, json!({ "keys": [] }));
}

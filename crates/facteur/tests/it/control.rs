//! Pauses, cancellations and limits, as they are typed.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::services::Services;

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_made_changed_listed_and_ended() {
    let services = Services::start().await;
    assert_eq!(services.json(&["pause", "list"], 0).await, json!({ "pauses": [] }));
    let made = services.json(&["pause", "lane", "bulk", "--reason", "fire", "--for", "2h"], 0).await;
    assert_eq!(
        (&made["scope"], &made["key"], &made["was_paused"]),
        (&json!("lane"), &json!("bulk"), &json!(false))
    );
    assert!(
        made["until"].is_string() && made["by"].as_str().is_some_and(|by| by.starts_with("cli")),
        "{made}"
    );
    let changed = services.json(&["pause", "lane", "bulk", "--reason", "water"], 0).await;
    assert_eq!((&changed["was_paused"], &changed["until"]), (&json!(true), &Value::Null));
    services.json(&["pause", "sender", "+33700000001", "--reason", "fire"], 0).await;
    let unseen = services.json(&["pause", "tenant", "acmee", "--reason", "fire"], 0).await;
    assert_eq!(unseen["was_seen"], json!(false));
    let listed = services.json(&["pause", "list"], 0).await;
    assert_eq!(listed["pauses"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&listed["pauses"][0]["reason"], &listed["pauses"][0]["waiting"]),
        (&json!("water"), &json!(0))
    );
    let text = services.run(&["pause", "list"]).await.stdout;
    assert!(text.contains("+33700000001") && text.contains("water"), "{text}");
    services.json(&["resume", "lane", "bulk", "--reason", "done"], 0).await;
    assert_eq!(services.json(&["resume", "lane", "bulk"], 4).await, json!({ "resumed": null }));
    assert_eq!(services.json(&["pause", "list"], 0).await["pauses"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_paused_is_refused_with_what_would_be_right() {
    let services = Services::start().await;
    let long = "x".repeat(501);
    let far = ["--for", "9600h"];
    for (what, more, expected) in [
        (["lane", "slow"], &[][..], "urgent, normal and bulk"),
        (["tenant", "Acme!"], &[], "a-z"),
        (["sender", "0612345678"], &[], "a sender is a number"),
        (["bulk", "7"], &[], "UUID"),
        (["integration", "AC1"], &[], "32 hexadecimal digits"),
        (
            ["integration", "ACffffffffffffffffffffffffffffffff"],
            &[],
            "neither the account that is configured",
        ),
        (["lane", "bulk"], &["--for", "soon"], "such as 90s"),
        (["lane", "bulk"], &["--for", "-2h"], "such as 90s"),
        (["lane", "bulk"], &["--until", "tomorrow"], "such as 2026"),
        (["lane", "bulk"], &["--until", "2020-01-01T00:00:00Z"], "lies in the future"),
        (["lane", "bulk"], &far, "within a year"),
    ] {
        let line: Vec<_> =
            ["pause"].iter().chain(&what).chain(&["--reason", "fire"]).chain(more).copied().collect();
        let ran = services.run(&line).await;
        assert_eq!(ran.code, Some(2), "{line:?}: {ran:?}");
        assert!(ran.stderr.contains(expected), "{line:?}: {ran:?}");
    }
    for reason in ["", long.as_str()] {
        let ran = services.run(&["pause", "lane", "bulk", "--reason", reason]).await;
        assert!(ran.code == Some(2) && ran.stderr.contains("1 to 500 characters"), "{ran:?}");
    }
    assert_eq!(services.json(&["pause", "list"], 0).await, json!({ "pauses": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancellation_is_shown_first_and_holds_for_what_was_never_seen() {
    let services = Services::start().await;
    let id = Uuid::new_v4().to_string();
    let dry = services.json(&["cancel", &id], 0).await;
    assert_eq!((&dry["done"], &dry["will_not_leave"]), (&json!(false), &json!(true)));
    services.json(&["status", &id], 4).await;
    let done = services.json(&["cancel", &id, "--tenant", "acme", "--yes", "--reason", "a mistake"], 0).await;
    assert_eq!((&done["done"], &done["will_not_leave"]), (&json!(true), &json!(true)));
    let story = services.json(&["status", &id], 0).await;
    assert_eq!((&story["status"], &story["tenant"]), (&json!("canceled"), &json!("acme")));
    assert!(story["sentence"].as_str().unwrap().contains("before it was seen"), "{story}");
    let again = services.json(&["cancel", &id, "--yes", "--reason", "a mistake"], 0).await;
    assert_eq!(again["status"], json!("canceled"));
    let bulk = services.json(&["cancel", "--bulk", &id, "--yes", "--reason", "wrong text"], 0).await;
    assert_eq!((&bulk["done"], &bulk["canceled"]), (&json!(true), &json!(0)));
    let ran = services.run(&["cancel", &id, "--tenant", "A B"]).await;
    assert!(ran.code == Some(2) && ran.stderr.contains("a-z"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_weights_are_set_listed_and_cleared() {
    let services = Services::start().await;
    services.json(&["limits", "set", "+33700000001", "600/min"], 0).await;
    services.json(&["limits", "weight", "acme", "3"], 0).await;
    let listed = services.json(&["limits", "list"], 0).await;
    let sender = &listed["senders"][0];
    assert_eq!(
        (&sender["sender"], &sender["rate_per_s"], &sender["source"], &sender["waiting"]),
        (&json!("+33700000001"), &json!(10.0), &json!("own"), &json!(0))
    );
    assert!(sender["changed_by"].as_str().is_some_and(|by| by.starts_with("cli")), "{sender}");
    assert_eq!(
        (&listed["tenants"][0]["tenant"], &listed["tenants"][0]["weight"]),
        (&json!("acme"), &json!(3))
    );
    let text = services.run(&["limits", "list"]).await.stdout;
    assert!(text.contains("10/s") && text.contains("acme"), "{text}");
    services.json(&["limits", "clear", "+33700000001"], 0).await;
    let listed = services.json(&["limits", "list", "--set", "worker.sender_rate=2"], 0).await;
    assert_eq!(
        (&listed["senders"][0]["rate_per_s"], &listed["senders"][0]["source"]),
        (&json!(2.0), &json!("default"))
    );
    for (rate, expected) in [
        ("0", "facteur pause sender"),
        ("-1/s", "facteur pause sender"),
        ("NaN", "facteur pause sender"),
        ("1e9/s", "facteur pause sender"),
        ("fast", "such as 10/s"),
    ] {
        let ran = services.run(&["limits", "set", "--", "+33700000001", rate]).await;
        assert!(ran.code == Some(2) && ran.stderr.contains(expected), "{rate}: {ran:?}");
    }
    let ran = services.run(&["limits", "set", "0700000001", "10/s"]).await;
    assert!(ran.code == Some(2) && ran.stderr.contains("is no sender"), "{ran:?}");
}

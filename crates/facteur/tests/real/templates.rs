//! Templates while workers run: what a message says, and what is forgotten once it is said.

use crate::system::{System, assert_discreet};

/// Runs a command: exit code, and what it printed.
async fn templates(system: &System, arguments: &[&str]) -> (i32, String) {
    system.command(&[&["templates"], arguments].concat()).await
}

/// The same, which must end well.
async fn done(system: &System, arguments: &[&str]) -> String {
    let (code, printed) = system.command(arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {printed}");
    printed
}

#[tokio::test]
async fn a_message_says_what_its_template_said_when_it_was_first_judged() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let (code, printed) = templates(&system, &["put", "hello", "--text", "Premier {{name}}"]).await;
    assert!(code == 0 && printed.contains("version 1"), "{printed}");
    system.publish("send.normal", r#"{"to": "+33612000001", "body": "Premier Jean"}"#).await;
    system.wait_until_final(1).await;

    done(&system, &["pause", "tenant", "default", "--reason", "test"]).await;
    let job = r#"{"to": "+33612000001", "template": "hello", "variables": {"name": "Jean"}}"#;
    system.publish("send.normal", job).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE waits_for = 'pause:tenant:default'", 1).await;
    let (code, printed) = templates(&system, &["put", "hello", "--text", "Second {{name}}"]).await;
    assert!(code == 0 && printed.contains("version 2"), "{printed}");
    done(&system, &["resume", "tenant", "default"]).await;
    system.wait_until_final(2).await;
    // To the simulator the second message is a copy of the first: it says the same.
    assert_eq!(system.simulator.stats().duplicates_by_recipient_and_text, 1);
}

#[tokio::test]
async fn templates_are_listed_shown_previewed_and_deleted_on_the_command_line() {
    let system = System::new().await;
    let own = ["put", "hello", "--text", "Prêt {{name}}", "--channel", "sms", "--event", "order_ready"];
    assert_eq!(templates(&system, &own).await.0, 0);
    let (_, listed) = templates(&system, &["list"]).await;
    assert!(listed.contains("order_ready") && listed.contains("ticket_called"), "{listed}");
    assert_eq!(templates(&system, &["put", "hello", "--text", "Prêt !", "--event", ""]).await.0, 0);
    let (_, shown) = templates(&system, &["show", "hello", "--json"]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        (&shown["version"], &shown["event"], &shown["channel"]),
        (&2.into(), &().into(), &"sms".into())
    );
    assert_eq!(shown["versions"][1]["text"], "Prêt {{name}}");
    let (_, preview) = templates(&system, &["preview", "--text", "Prêt {{name}}", "--var", "x=1"]).await;
    for part in ["UCS-2", "ê", "no value for name", "no placeholder for x"] {
        assert!(preview.contains(part), "{part}: {preview}");
    }
    let (code, built_in) = templates(&system, &["preview", "ticket_called", "--language", "en"]).await;
    assert!(code == 0 && built_in.contains("no value for agent_name"), "{built_in}");
    let (_, would) = templates(&system, &["delete", "hello"]).await;
    assert!(would.contains("would be deleted"), "{would}");
    assert_eq!(templates(&system, &["delete", "hello", "--yes"]).await.0, 0);
    for gone in [["show", "hello"], ["preview", "hello"], ["delete", "hello"]] {
        assert_eq!(templates(&system, &gone).await.0, 4, "{gone:?}");
    }
    for wrong in [&["put", "new"][..], &["put", "new", "--text", "{{"], &["show", "a", "--tenant", "A B"]] {
        assert_eq!(templates(&system, wrong).await.0, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_password_is_forgotten_when_its_message_has_ended_and_such_a_dead_letter_can_not_be_sent_again() {
    let system = System::new().await;
    let mut worker = system.worker().await;
    let job = |to: &str| {
        let variables = r#"{"name": "Jean", "email": "j@exemple.fr", "password": "SECRET-4711"}"#;
        format!(r#"{{"to": "{to}", "template": "trial_start", "variables": {variables}}}"#)
    };
    system.publish("send.normal", job("+33612000001")).await;
    // The simulator refuses this number as one of a country that is not enabled.
    let refused = system.publish("send.normal", job("+15005550003")).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status IN ('sent', 'dead')", 2).await;
    let clear = "SELECT count(*) FROM facteur.messages m LEFT JOIN facteur.dead_letters d ON d.job_id = m.id \
                 WHERE m.text IS NOT NULL OR convert_from(m.document, 'UTF8') LIKE '%SECRET%' \
                    OR convert_from(d.body, 'UTF8') LIKE '%SECRET%'";
    system.wait_until(clear, 0).await;
    let letters = format!("SELECT count(*) FROM facteur.dead_letters WHERE job_id = '{refused}'");
    system.wait_until(&letters, 1).await;
    let refused = refused.to_string();
    let again = ["dead", "requeue", &refused, "--yes", "--force", "--reason", "enabled"];
    let (_, told) = system.command(&again).await;
    assert!(told.contains("held a password"), "{told}");
    assert_eq!(system.jobs("status = 'dead'").await, 1);
    assert_eq!(system.simulator.stats().accepted, 1);
    worker.terminate(std::time::Duration::from_secs(60)).await;
    assert_discreet(&worker);
}

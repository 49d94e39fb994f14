use facteur_core::envelope::{EnvelopeContent, HeaderValue};

use crate::system::System;

/// What is published, and the code that it must end with: as a dead letter, or as a message.
fn table() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text =
        |length: usize| format!(r#"{{"to": "+33612000001", "body": "{}"}}"#, "x".repeat(length)).into_bytes();
    let media = format!(
        r#"{{"to": "+33612000001", "media_urls": [{}]}}"#,
        [r#""https://a.example/b""#; 11].join(",")
    );
    let good = r#"{"to": "+33612000001", "body": "x"}"#;
    vec![
        ("send.normal", b"{\"to\": ".to_vec(), "malformed_json"),
        ("send.normal", br#"["+33612000001", "x"]"#.to_vec(), "malformed_json"),
        ("send.normal", br#"{"to": 33612000001, "body": "x"}"#.to_vec(), "invalid_field"),
        ("send.normal", br#"{"to": "+33612000001", "body": "x", "prioritty": 1}"#.to_vec(), "unknown_field"),
        ("send.normal", br#"{"body": "x"}"#.to_vec(), "recipient_missing"),
        ("send.normal", br#"{"to": "+33612000001"}"#.to_vec(), "content_missing"),
        (
            "send.normal",
            br#"{"to": "+33612000001", "body": "x", "template": "y"}"#.to_vec(),
            "content_ambiguous",
        ),
        (
            "send.normal",
            br#"{"to": "+33612000001", "template": "no_such_template"}"#.to_vec(),
            "template_unknown",
        ),
        (
            "send.normal",
            br#"{"to": "+33612000001", "template": "ticket_created"}"#.to_vec(),
            "variable_missing",
        ),
        ("send.normal", br#"{"to": "12", "body": "x"}"#.to_vec(), "number_invalid"),
        ("send.normal", text(1_601), "text_too_long"),
        ("send.normal", media.into_bytes(), "too_many_media"),
        (
            "send.normal",
            br#"{"to": "+33612000001", "body": "x", "expires_at": "2020-01-01T00:00:00Z"}"#.to_vec(),
            "expired",
        ),
        ("send.normal", text(20 * 1024 * 1024), "body_too_large"),
        ("send.normal", b"{\"to\": \"+33612000001\", \"body\": \"\xff\xfe\"}".to_vec(), "invalid_utf8"),
        ("send.normal", br#"{"to": "+33612000001", "body": "a\u0000b"}"#.to_vec(), "nul_byte"),
        ("send.slowly", good.as_bytes().to_vec(), "unroutable"),
    ]
}

#[tokio::test]
async fn each_bad_input_ends_with_its_code_its_bytes_kept_and_the_next_job_goes_on() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let mut expected = Vec::new();
    for (routing_key, body, code) in table() {
        let id = system.publish(routing_key, body.clone()).await;
        expected.push((id, body, code));
    }
    system.publish_many("send.normal", 5).await;
    system.wait_until("SELECT count(*) FROM facteur.jobs WHERE status = 'sent'", 5).await;
    for (id, body, code) in expected {
        if code == "expired" {
            system
                .wait_until(
                    &format!("SELECT count(*) FROM facteur.jobs WHERE id = '{id}' AND status = 'expired'"),
                    1,
                )
                .await;
            continue;
        }
        system
            .wait_until(
                &format!(
                    "SELECT count(*) FROM facteur.dead_letters WHERE job_id = '{id}' AND code = '{code}'"
                ),
                1,
            )
            .await;
        let row = system
            .client()
            .await
            .query_one("SELECT body, sentence FROM facteur.dead_letters WHERE job_id = $1", &[&id])
            .await
            .unwrap();
        assert!(row.get::<_, Vec<u8>>("body") == body, "{code}: the bytes are kept");
        let sentence: String = row.get("sentence");
        assert!(!sentence.is_empty() && !sentence.contains("33612"), "{code}: {sentence}");
    }
    assert_eq!(system.simulator.stats().accepted, 5);
}

#[tokio::test]
async fn what_has_no_id_or_is_no_job_of_ours_is_a_dead_letter_too() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let good = r#"{"to": "+33612000001", "body": "x"}"#;
    let nameless = EnvelopeContent { body: good.into(), ..EnvelopeContent::default() };
    let celery = EnvelopeContent {
        body: "[[\"+33612000001\", \"x\"], {}, {\"callbacks\": null}]".into(),
        content_type: Some("application/json".to_owned()),
        headers: [("task".to_owned(), HeaderValue::Text("notifications.send_sms".to_owned()))].into(),
        ..EnvelopeContent::default()
    };
    let xml = EnvelopeContent { content_type: Some("text/xml".to_owned()), ..nameless.clone() };
    for content in [nameless, celery, xml] {
        system.publish_content("send.normal", content).await;
    }
    system.wait_until("SELECT count(*) FROM facteur.dead_letters", 3).await;
    for code in ["id_missing", "celery_unsupported", "content_type_unsupported"] {
        assert_eq!(
            system.count(&format!("SELECT count(*) FROM facteur.dead_letters WHERE code = '{code}'")).await,
            1,
            "{code}"
        );
    }
}

#[tokio::test]
async fn the_same_id_with_another_text_is_a_conflict_and_the_first_one_stands() {
    let system = System::new().await;
    let _worker = system.worker().await;
    let id = system.publish("send.normal", r#"{"to": "+33612000001", "body": "first"}"#).await;
    system.wait_until_final(1).await;
    let other = EnvelopeContent {
        body: r#"{"to": "+33612000001", "body": "second"}"#.into(),
        message_id: Some(id.to_string()),
        ..EnvelopeContent::default()
    };
    system.publish_content("send.normal", other).await;
    system.wait_until("SELECT count(*) FROM facteur.dead_letters WHERE code = 'id_conflict'", 1).await;
    assert_eq!(system.jobs("status = 'sent'").await, 1);
    assert_eq!(system.simulator.stats().accepted, 1);
}

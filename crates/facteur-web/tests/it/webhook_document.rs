//! What the document says of webhooks is what they do.

use serde_json::{Map, Value};

use crate::document::Document;
use crate::lab::{Callback, Lab, TOKEN};

#[tokio::test]
async fn the_example_of_every_webhook_is_taken_if_twilio_signed_it_and_refused_if_not() {
    let lab = Lab::start().await;
    let document = Document::read(&lab).await;
    let webhooks = document.secured_by("twilio");
    let paths: Vec<_> = webhooks.iter().map(|operation| operation.path.as_str()).collect();
    let expected = [
        "/inbox/webhooks/sms",
        "/inbox/webhooks/whatsapp",
        "/twilio/webhook/inbound",
        "/twilio/webhook/status",
    ];
    assert_eq!(paths, expected);
    for operation in &webhooks {
        let (kind, example) = document.body_example(operation).unwrap();
        assert_eq!(kind, "application/x-www-form-urlencoded", "{operation}");
        let example: Map<String, Value> = serde_json::from_str(&example).unwrap();
        let text = |(name, value): (String, Value)| (name, value.as_str().unwrap().to_owned());
        let form: Vec<_> = example.into_iter().map(text).collect();
        let callback = Callback { path_and_query: operation.path.clone(), form };
        let signature = callback.signature(TOKEN);
        let post = async |form: &str, signature| lab.post(&operation.path, form, signature).await;
        let encoded = callback.encoded();
        let large = format!("{encoded}&More={}", "x".repeat(64 * 1024));
        let rows = [
            (post(&encoded, Some(signature.as_str())).await, operation.successes()[0], ""),
            (post(&encoded, None).await, 403, "signature_missing"),
            (post(&encoded, Some("forged")).await, 403, "signature_wrong"),
            (post("AccountSid=ACforeign", Some(signature.as_str())).await, 403, "other_account"),
            (post(&large, Some(signature.as_str())).await, 413, "body_too_large"),
        ];
        for (answer, status, code) in rows {
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{operation}: {answer:?}");
            assert!(operation.statuses().contains(&status), "{operation}: {status} is not documented");
        }
    }
}

//! A request that comes several times at once under one idempotency key is carried out once, over every route that sends.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::lab::Lab;

const AT_ONCE: usize = 4;

#[tokio::test]
async fn what_comes_several_times_at_once_is_sent_once_over_every_route() {
    let lab = Lab::start().await;
    let key = lab.key("admin", Some("acme")).await;
    let (to, text) = ("+33612345678", "Bonjour");
    let ticket =
        json!({"customer_name": "Awa", "ticket_number": "A042", "service_name": "x", "eta_minutes": 15});
    let rows: [(&str, Value); 12] = [
        ("/v1/messages", json!({"to": to, "body": text})),
        ("/v1/messages", json!({"messages": [{"to": to, "body": text}]})),
        ("/v1/conversations", json!({"to": to, "body": text})),
        ("/inbox/conversations", json!({"source": "sms", "phone_number": to, "message": {"content": text}})),
        ("/twilio/send-sms", json!({"phone_number": to, "message": text})),
        ("/api/sms/send", json!({"to": to, "message": text})),
        (
            "/api/sms/notification",
            json!({"to": to, "type": "appointment_confirmed", "data": {"name": "x", "date": "x", "time": "x"}}),
        ),
        ("/api/v1/notifications", json!({"body": text, "recipient": to})),
        (
            "/api/v1/tenants/acme/events/ticket_created",
            json!({"recipient": to, "consent": true, "context": ticket}),
        ),
        ("/v1/bulks", json!({"body": text, "recipients": [{"to": to}]})),
        ("/twilio/send-bulk", json!({"message": text, "recipients": [{"phone_number": to}]})),
        ("/api/sms/bulk", json!({"message": text, "recipients": [{"phone": to}]})),
    ];
    let sent =
        "SELECT ((SELECT count(*) FROM facteur.jobs) + (SELECT count(*) FROM facteur.bulk_recipients))::text";
    for (number, (path, body)) in rows.iter().enumerate() {
        let (header, body) = (format!("Idempotency-Key: key-{number}\r\n"), body.to_string());
        let answers = join_all((0..AT_ONCE).map(|_| lab.json(path, &key, &header, &body))).await;
        // One upload takes over from another that is under way.
        let is_fine = |status: u16| matches!(status, 200 | 202 | 409);
        assert!(answers.iter().all(|answer| is_fine(answer.status)), "{path}: {answers:?}");
        let again = lab.json(path, &key, &header, &body).await;
        assert!(matches!(again.status, 200 | 202), "{path}: {again:?}");
        assert_eq!(lab.text(sent).await, Some((number + 1).to_string()), "{path}: {answers:?}");
        let other = body.replace("123456", "123457");
        let other = lab.json(path, &key, &header, &other).await;
        assert!(matches!(other.status, 409 | 422), "{path}: {other:?}");
        assert_eq!(other.code(), "idempotency_key_reused", "{path}: {other:?}");
    }
    let told = "SELECT count(*)::text FROM facteur.audit_log WHERE action LIKE 'send_%'";
    assert_eq!(lab.text(told).await, Some(rows.len().to_string()), "each is in the audit log once");
}

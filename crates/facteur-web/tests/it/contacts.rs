use facteur_core::ids::Tenant;
use facteur_core::job::{Channel, Recipient};
use facteur_core::phone::PhoneNumber;
use facteur_core::sender::Sender;
use facteur_postgres::{consents, suppressions};
use serde_json::{Value, json};

use crate::inbound::{CONTACT, OURS, inbound};
use crate::lab::{Answer, Lab};

/// Tables of which some row holds the contact's number, as text or within bytes.
const HOLDERS: &str = "SELECT string_agg(t, ' ' ORDER BY t) FROM (SELECT table_name AS t, query_to_xml( \
    format('SELECT 1 FROM facteur.%I r WHERE r::text LIKE %L OR r::text LIKE %L LIMIT 1', table_name, '%33612345678%', \
    '%3333363132333435363738%'), false, true, '')::text AS found FROM information_schema.tables \
    WHERE table_schema = 'facteur' AND table_type = 'BASE TABLE') h WHERE found <> ''";

async fn contact(lab: &Lab, key: &str) -> String {
    let found = lab.api("GET", "/v1/contacts?number=0612345678", key, &Value::Null).await.json();
    format!("/v1/contacts/{}", found["data"][0]["id"].as_str().unwrap())
}

async fn erase(lab: &Lab, path: &str, key: &str) -> Answer {
    lab.api("DELETE", path, key, &Value::Null).await
}

#[tokio::test]
async fn a_consent_is_shown_set_and_withdrawn_for_each_channel_and_the_audit_log_knows_who_did_it() {
    let lab = Lab::start().await;
    let key = lab.key("admin", Some("default")).await;
    lab.twilio(&inbound(1, "Bonjour")).await;
    let path = contact(&lab, &key).await;
    let sms = format!("{path}/consents/sms");
    assert_eq!(lab.api("GET", &path, &key, &Value::Null).await.json()["consents"], json!([]));
    for source in ["form", "phone"] {
        let set = lab.api("PUT", &sms, &key, &json!({"given": true, "source": source})).await;
        let told = &set.json()["consents"][0];
        assert_eq!(
            (set.status, &told["channel"], &told["source"]),
            (200, &json!("sms"), &json!("form")),
            "{set:?}"
        );
    }
    let (tenant, number) = (Tenant::default_tenant(), PhoneNumber::from_e164(CONTACT).unwrap());
    let has = async |channel| {
        consents::has(&lab.database, &tenant, &Recipient { channel, number: number.clone() }).await.unwrap()
    };
    assert!(has(Channel::Sms).await && !has(Channel::Whatsapp).await);
    for _ in 0..2 {
        let set = lab.api("PUT", &sms, &key, &json!({"given": false, "source": "a call"})).await;
        assert_eq!((set.status, &set.json()["consents"]), (200, &json!([])), "{set:?}");
    }
    assert!(!has(Channel::Sms).await);
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.suppressions").await.as_deref(), Some("0"));
    let told = "SELECT string_agg(concat_ws(' ', action, details ->> 'channel', details ->> 'source'), ', ' ORDER BY id) \
                FROM facteur.audit_log WHERE action LIKE 'consent%' AND actor LIKE 'key:%'";
    assert_eq!(lab.text(told).await.as_deref(), Some("consent_given sms form, consent_withdrawn sms a call"));
    for (body, field) in [
        (json!({"given": true}), "source"),
        (json!({"given": true, "source": " "}), "source"),
        (json!({"given": true, "source": "x".repeat(201)}), "source"),
        (json!({"given": "yes", "source": "x"}), "given"),
        (json!({"given": true, "source": "x", "why": "x"}), "why"),
    ] {
        let refused = lab.api("PUT", &sms, &key, &body).await;
        assert_eq!((refused.status, refused.json()["field"].as_str()), (422, Some(field)), "{refused:?}");
    }
    let good = json!({"given": true, "source": "x"});
    assert_eq!(lab.api("PUT", &format!("{path}/consents/pigeon"), &key, &good).await.status, 404);
    let foreign = lab.key("admin", Some("somebody-else")).await;
    assert_eq!(lab.api("PUT", &sms, &foreign, &good).await.status, 404);
    assert!(!has(Channel::Sms).await);
}

#[tokio::test]
async fn an_erased_contact_is_forgotten_everywhere_but_where_it_opted_out() {
    let lab = Lab::start().await;
    let key = lab.key("admin", Some("default")).await;
    let photo = inbound(1, "Voici").set("NumMedia", "1").set("MediaUrl0", &lab.picture("x.png").await);
    lab.twilio(&photo.set("WaId", "33612345678").set("ProfileName", "Jean")).await;
    let path = contact(&lab, &key).await;
    let medium = lab.text("SELECT '/v1/media/' || id FROM facteur.media").await.unwrap();
    let consent = json!({"given": true, "source": "form"});
    lab.api("PUT", &format!("{path}/consents/sms"), &key, &consent).await;
    let sent = lab.api("POST", "/v1/messages", &key, &json!({"to": CONTACT, "body": "Bonjour Jean"})).await;
    assert_eq!(sent.status, 202, "{sent:?}");
    let message = format!("/v1/messages/{}", sent.json()["id"].as_str().unwrap());
    let refused = erase(&lab, &path, &key).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "message_on_its_way"), "{refused:?}");
    assert_eq!(lab.api("GET", &path, &key, &Value::Null).await.json()["name"], "Jean");
    assert_eq!(lab.text("SELECT text FROM facteur.inbound_messages").await.as_deref(), Some("Voici"));
    lab.api("POST", &format!("{message}/cancel"), &key, &json!({"reason": "an erasure"})).await;
    lab.twilio(&inbound(2, "STOP")).await;
    let foreign = lab.key("admin", Some("somebody-else")).await;
    assert_eq!(erase(&lab, &path, &foreign).await.status, 404);
    let erased = erase(&lab, &path, &key).await;
    assert_eq!(erased.status, 204, "{erased:?}");
    // The relay empties the outbox; there is none here.
    assert_eq!(lab.text(HOLDERS).await.as_deref(), Some("audit_log outbox suppressions"));
    let in_log =
        "SELECT string_agg(action, ' ') FROM facteur.audit_log WHERE details::text LIKE '%3612345678%'";
    assert_eq!(lab.text(in_log).await.as_deref(), Some("opted_out"));
    let told = "SELECT concat_ws(' ', subject, details::text) FROM facteur.audit_log WHERE action = 'contact_erased'";
    let id = path.strip_prefix("/v1/contacts/").unwrap();
    let expected = format!("{id} {{\"lines_of_bulks\": 0, \"messages_to_it\": 1, \"messages_from_it\": 2}}");
    assert_eq!(lab.text(told).await, Some(expected));
    for gone in [&path, &medium] {
        assert_eq!(lab.api("GET", gone, &key, &Value::Null).await.status, 404, "{gone}");
    }
    assert_eq!(erase(&lab, &path, &key).await.status, 404);
    let left = lab.api("GET", &message, &key, &Value::Null).await.json();
    assert_eq!(
        (&left["status"], &left["body"], &left["to"]),
        (&json!("canceled"), &Value::Null, &Value::Null),
        "{left}"
    );
    let conversation = lab.api("GET", "/v1/conversations", &key, &Value::Null).await.json();
    let conversation = &conversation["data"][0];
    assert_eq!(
        (&conversation["contact_id"], &conversation["name"]),
        (&Value::Null, &Value::Null),
        "{conversation}"
    );
    let written = format!("/v1/conversations/{}/messages", conversation["id"].as_str().unwrap());
    let written = lab.api("GET", &written, &key, &Value::Null).await.json();
    assert_eq!(written["data"].as_array().map(Vec::len), Some(3), "{written}");
    // It stays opted out, also as the new contact that it is if it writes again; what came before does not come again.
    for message in [inbound(1, "Voici"), inbound(3, "Encore moi")] {
        lab.twilio(&message).await;
    }
    let again = contact(&lab, &key).await;
    let shown = lab.api("GET", &again, &key, &Value::Null).await.json();
    assert_eq!((&shown["is_opted_out"], &shown["consents"]), (&json!(true), &json!([])), "{shown}");
    assert_ne!(again, path);
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.inbound_messages").await.as_deref(), Some("3"));
    // What every claim asks.
    let (tenant, number) = (Tenant::default_tenant(), PhoneNumber::from_e164(CONTACT).unwrap());
    let ours = Sender::parse(OURS).unwrap();
    assert!(suppressions::contains(&lab.database, &tenant, &number, Some(&ours)).await.unwrap());
}

#[tokio::test]
async fn lines_of_bulks_forget_an_erased_contact_and_still_add_up() {
    let lab = Lab::start().await;
    let key = lab.key("admin", Some("default")).await;
    lab.twilio(&inbound(1, "Bonjour")).await;
    let path = contact(&lab, &key).await;
    let recipient = |to: &str| json!({"to": to, "name": "Jean", "variables": {"nom": "Jean"}});
    let body = json!({"body": "Bonjour {{nom}}",
                      "recipients": [recipient(CONTACT), recipient("+33612345679"), recipient("06 12 34 56 78")]});
    let made = lab.api("POST", "/v1/bulks", &key, &body).await;
    assert_eq!(made.status, 202, "{made:?}");
    let bulk = format!("/v1/bulks/{}", made.json()["id"].as_str().unwrap());
    let refused = erase(&lab, &path, &key).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "message_on_its_way"), "{refused:?}");
    lab.api("POST", &format!("{bulk}/cancel"), &key, &json!({"reason": "an erasure"})).await;
    let before = lab.api("GET", &bulk, &key, &Value::Null).await.json();
    assert_eq!(erase(&lab, &path, &key).await.status, 204);
    assert_eq!(lab.text(HOLDERS).await, None);
    let after = lab.api("GET", &bulk, &key, &Value::Null).await.json();
    assert_eq!(after, before);
    let lines = "SELECT string_agg(concat_ws(' ', line, state, left(recipient, 7), name), ', ' ORDER BY line) \
                 FROM facteur.bulk_recipients WHERE recipient LIKE 'erased:%'";
    assert_eq!(lab.text(lines).await.as_deref(), Some("1 canceled erased:, 3 refused erased:"));
}

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::lab::{ACCOUNT, Callback, Lab, OLD_TOKEN, TOKEN, sid};

const PATH: &str = "/inbox/webhooks/sms";
const WHY: &str = "SELECT string_agg(why, ' ' ORDER BY id) FROM facteur.webhook_quarantine";
const SUPPRESSED: &str =
    "SELECT string_agg(sender || ' ' || reason, ', ' ORDER BY sender, reason) FROM facteur.suppressions";
pub(crate) const CONTACT: &str = "+33612345678";
pub(crate) const OURS: &str = "+15005550006";

/// What somebody writes to us, as Twilio tells it.
pub(crate) fn inbound(number: u32, text: &str) -> Callback {
    let sid = sid(number);
    let form = [
        ("MessageSid", sid.as_str()),
        ("SmsSid", sid.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", CONTACT),
        ("To", OURS),
        ("Body", text),
        ("NumMedia", "0"),
        ("NumSegments", "1"),
        ("FromCountry", "FR"),
        ("SomethingNew", "Twilio adds parameters, é"),
    ];
    let form = form.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Callback { path_and_query: PATH.to_owned(), form }
}

#[tokio::test]
async fn a_message_is_kept_once_with_its_contact_its_conversation_and_every_parameter() {
    let lab = Lab::start().await;
    for path in [PATH, "/inbox/webhooks/sms/?x=%2B1", "/twilio/webhook/inbound", PATH] {
        let answer = lab.twilio(&inbound(1, "Bonjour, à 14 h ? 👋").at(path)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.head.contains("content-type: text/xml"), "{answer:?}");
        assert!(answer.body.ends_with("<Response/>"), "{answer:?}");
    }
    lab.twilio(&inbound(2, "Encore moi").set("Added", "again")).await;
    let kept = "SELECT string_agg(concat_ws('|', text, channel, parameters ->> 'SomethingNew', parameters ->> 'FromCountry', \
                parameters ->> 'Body'), ' / ' ORDER BY received_at) FROM facteur.inbound_messages";
    let expected = "Bonjour, à 14 h ? 👋|sms|Twilio adds parameters, é|FR / \
                    Encore moi|sms|Twilio adds parameters, é|FR";
    assert_eq!(lab.text(kept).await.as_deref(), Some(expected));
    let conversation =
        "SELECT concat_ws('|', status, unread, number, sender, channel) FROM facteur.conversations";
    assert_eq!(lab.text(conversation).await.as_deref(), Some("new|2|+33612345678|+15005550006|sms"));
    assert_eq!(lab.text("SELECT number FROM facteur.contacts").await.as_deref(), Some(CONTACT));
    assert_eq!(lab.text(WHY).await, None);
}

#[tokio::test]
async fn copies_of_one_message_that_come_at_once_are_one() {
    let lab = Lab::start().await;
    let (message, address) = (inbound(1, "STOP"), lab.address);
    let signature = message.signature(TOKEN);
    let mut copies = JoinSet::new();
    for _ in 0..20 {
        let (form, signature) = (message.encoded(), signature.clone());
        copies.spawn(async move { crate::lab::post_to(address, PATH, &form, Some(&signature)).await.status });
    }
    assert_eq!(copies.join_all().await, vec![200; 20]);
    let count = "SELECT concat_ws(' ', (SELECT count(*) FROM facteur.inbound_messages), \
                 (SELECT count(*) FROM facteur.conversations), (SELECT count(*) FROM facteur.audit_log))";
    assert_eq!(lab.text(count).await.as_deref(), Some("1 1 1"));
}

#[tokio::test]
async fn what_is_forged_is_refused_and_what_nobody_understands_is_told() {
    let lab = Lab::start().await;
    let good = inbound(1, "Bonjour");
    let signature = good.signature(TOKEN);
    let other = good.clone().set("AccountSid", "AC00000000000000000000000000000001");
    let mut crowded = good.clone();
    crowded.form.extend((0..191).map(|n| (format!("n{n}"), String::new())));
    assert_eq!(crowded.form.len(), 201);
    let nameless = good.clone().set("From", "");
    let rows = [
        (&good, None, 403, "signature_missing"),
        (&good, Some(good.signature("another token")), 403, "signature_wrong"),
        (&good.clone().set("Body", "Bonsoir"), Some(signature.clone()), 403, "signature_wrong"),
        (&good.clone().at("/inbox/webhooks/whatsapp"), Some(signature.clone()), 403, "signature_wrong"),
        (&other, Some(other.signature(TOKEN)), 403, "other_account"),
        (&crowded, Some(crowded.signature(TOKEN)), 400, "too_many_parameters"),
        (&nameless, Some(nameless.signature(TOKEN)), 400, "address_missing"),
    ];
    for (message, signature, status, code) in rows {
        let answer = lab.post(&message.path_and_query, &message.encoded(), signature.as_deref()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
    }
    assert_eq!(lab.text("SELECT count(*)::text FROM facteur.inbound_messages").await.as_deref(), Some("0"));
    let kept = "SELECT (count(*) BETWEEN 5 AND 7)::text FROM facteur.webhook_quarantine WHERE route LIKE '/inbox/webhooks/%'";
    lab.until(kept, "true").await;
}

#[tokio::test]
async fn long_and_odd_texts_and_the_token_before_a_rotation_are_taken() {
    let lab = Lab::start().await;
    let long = inbound(1, &"é".repeat(8 * 1024)).set("Odd", "nul \0 inside");
    let answer = lab.post(PATH, &long.encoded(), Some(&long.signature(OLD_TOKEN))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let from_short_code = inbound(2, "nul \0 inside").set("From", "38383");
    assert_eq!(lab.twilio(&from_short_code).await.status, 200);
    let kept =
        "SELECT string_agg(length(text) || ' ' || number, ', ' ORDER BY sid) FROM facteur.inbound_messages";
    assert_eq!(lab.text(kept).await.as_deref(), Some("8192 +33612345678, 11 38383"));
    let too_long = inbound(3, &"x".repeat(64 * 1024));
    assert_eq!(lab.twilio(&too_long).await.status, 413);
}

#[tokio::test]
async fn who_writes_stop_is_not_written_to_until_they_write_start() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("default")).await;
    let service = "MG00000000000000000000000000000001";
    lab.sql(
        "INSERT INTO facteur.suppressions (tenant, recipient, sender, reason) \
             VALUES ('default', '+33612345678', '', 'asked by phone')",
    )
    .await;
    lab.twilio(&inbound(1, "ne dis pas stop")).await;
    assert_eq!(lab.text(SUPPRESSED).await.as_deref(), Some(" asked by phone"));
    lab.twilio(&inbound(2, "Arrêt !")).await;
    let stopped = "SELECT concat_ws('|', status, unread) FROM facteur.conversations";
    assert_eq!(lab.text(stopped).await.as_deref(), Some("closed|1"));
    lab.twilio(&inbound(3, "basta").set("OptOutType", "STOP").set("MessagingServiceSid", service)).await;
    let both = format!(" asked by phone, {OURS} opted_out, {service} opted_out");
    assert_eq!(lab.text(SUPPRESSED).await, Some(both));
    let contacts = lab.api("GET", "/v1/contacts", &key, &Value::Null).await.json();
    assert_eq!(contacts["data"][0]["is_opted_out"], true, "{contacts}");
    lab.twilio(&inbound(4, "START").set("MessagingServiceSid", service)).await;
    assert_eq!(lab.text(SUPPRESSED).await.as_deref(), Some(" asked by phone"));
    // A copy of the STOP of before says nothing new.
    lab.twilio(&inbound(2, "Arrêt !")).await;
    assert_eq!(lab.text(SUPPRESSED).await.as_deref(), Some(" asked by phone"));
    let told = "SELECT string_agg(action || ' ' || (details ->> 'senders'), ', ' ORDER BY id) FROM facteur.audit_log \
                WHERE actor = 'contact'";
    let expected =
        format!("opted_out [\"{OURS}\"], opted_out [\"{service}\"], opted_in [\"{OURS}\", \"{service}\"]");
    assert_eq!(lab.text(told).await, Some(expected));
}

#[tokio::test]
async fn a_whatsapp_message_opens_its_window_and_belongs_to_whom_its_sender_belongs_to() {
    let lab = Lab::start().await;
    lab.sql("INSERT INTO facteur.senders (address, tenant) VALUES ('whatsapp:+14155238886', 'acme')").await;
    let message = inbound(1, "Salut")
        .set("From", "whatsapp:+33612345678")
        .set("To", "whatsapp:+14155238886")
        .set("ProfileName", "Jean");
    lab.renewed().await;
    assert_eq!(lab.twilio(&message).await.status, 200);
    let named = "SELECT name FROM facteur.contacts WHERE tenant = 'acme'";
    assert_eq!(lab.text(named).await.as_deref(), Some("Jean"));
    let kept =
        "SELECT concat_ws('|', number, sender, channel) FROM facteur.conversations WHERE tenant = 'acme'";
    assert_eq!(lab.text(kept).await.as_deref(), Some("+33612345678|whatsapp:+14155238886|whatsapp"));
    let window = "SELECT concat_ws('|', sender, contact, last_inbound_at > now() - interval '1 minute') \
                  FROM facteur.conversation_windows";
    assert_eq!(lab.text(window).await.as_deref(), Some("whatsapp:+14155238886|+33612345678|t"));
}

#[tokio::test]
async fn media_are_kept_by_reference() {
    let lab = Lab::start().await;
    let message = inbound(1, "")
        .set("NumMedia", "2")
        .set("MediaUrl0", "https://api.twilio.com/1")
        .set("MediaContentType0", "image/jpeg")
        .set("MediaUrl1", "https://api.twilio.com/2");
    assert_eq!(lab.twilio(&message).await.status, 200);
    let kept = "SELECT string_agg(concat_ws(' ', url, content_type), ', ' ORDER BY place) FROM facteur.media";
    let expected = "https://api.twilio.com/1 image/jpeg, https://api.twilio.com/2 application/octet-stream";
    assert_eq!(lab.text(kept).await.as_deref(), Some(expected));
    assert_eq!(lab.text("SELECT channel FROM facteur.inbound_messages").await.as_deref(), Some("mms"));
}

#[tokio::test]
async fn while_the_database_is_away_twilio_is_asked_to_come_again() {
    let lab = Lab::start().await;
    lab.twilio(&inbound(1, "Bonjour")).await;
    lab.proxy.cut().await;
    let answer = lab.twilio(&inbound(2, "Encore moi")).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"), "{answer:?}");
    lab.proxy.heal().await;
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(50));
    while lab.twilio(&inbound(2, "Encore moi")).await.status != 200 {
        looks.tick().await;
    }
    let unread = "SELECT unread::text FROM facteur.conversations";
    assert_eq!(lab.text(unread).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_conversation_goes_back_and_forth_in_the_words_of_both_apis() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("default")).await;
    lab.twilio(&inbound(1, "Bonjour")).await;
    let listed =
        lab.api("GET", "/inbox/conversations/?status=new&unread=true", &key, &Value::Null).await.json();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert_eq!((&listed[0]["unread_count"], &listed[0]["phone_number"]), (&json!(1), &json!(CONTACT)));
    let one = format!("/inbox/conversations/{id}");
    let seen = lab.api("PATCH", &one, &key, &json!({"assignee": "marie", "is_read": true})).await.json();
    assert_eq!((&seen["status"], &seen["data"]["assignee"]), (&json!("open"), &json!("marie")), "{seen}");
    let reply = json!({"content": "À 14 h", "media_urls": []});
    let reply = lab.api("POST", &format!("{one}/messages"), &key, &reply).await;
    assert_eq!((reply.status, &reply.json()["status"]), (200, &json!("pending")), "{}", reply.body);
    assert_eq!(reply.json()["external_id"], Value::Null);
    let sent = "SELECT concat_ws('|', recipient, sender, text) FROM facteur.messages";
    assert_eq!(lab.text(sent).await.as_deref(), Some("+33612345678|+15005550006|À 14 h"));
    let read = lab.api("GET", &one, &key, &Value::Null).await.json();
    assert_eq!(read["status"], "waiting_for_them", "{read}");
    let texts: Vec<_> = read["messages"].as_array().unwrap().iter().map(|m| m["content"].clone()).collect();
    assert_eq!(texts, ["Bonjour", "À 14 h"]);
    lab.twilio(&inbound(2, "Merci")).await;
    let canonical = lab.api("GET", &format!("/v1/conversations/{id}"), &key, &Value::Null).await.json();
    assert_eq!((&canonical["status"], &canonical["unread"]), (&json!("waiting_for_us"), &json!(1)));
    let page = format!("/v1/conversations/{id}/messages?limit=2");
    let page = lab.api("GET", &page, &key, &Value::Null).await.json();
    let told: Vec<_> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["direction"].clone(), m["status"].clone()))
        .collect();
    assert_eq!(told, [(json!("inbound"), json!("received")), (json!("outbound"), json!("waiting"))]);
    let next =
        format!("/v1/conversations/{id}/messages?limit=2&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = lab.api("GET", &next, &key, &Value::Null).await.json();
    assert_eq!((&rest["data"][0]["body"], &rest["next_cursor"]), (&json!("Bonjour"), &Value::Null));
    for (method, path) in [("GET", one.clone()), ("PATCH", one.clone()), ("POST", format!("{one}/messages"))]
    {
        let foreign = lab.key("admin", Some("somebody-else")).await;
        let body = if method == "GET" { Value::Null } else { json!({}) };
        assert_eq!(lab.api(method, &path, &foreign, &body).await.status, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn the_company_may_write_first_and_what_is_wrong_is_named_in_the_apps_words() {
    let lab = Lab::start().await;
    let key = lab.key("sender", Some("default")).await;
    let path = "/inbox/conversations";
    let first = json!({"source": "sms", "phone_number": "06 12 34 56 78",
                       "message": {"content": "Bonjour Jean", "is_from_client": false}});
    let made = lab.api("POST", path, &key, &first).await;
    assert_eq!((made.status, &made.json()["status"]), (200, &json!("waiting_for_them")), "{}", made.body);
    assert_eq!(made.json()["data"]["messages"][0]["content"], "Bonjour Jean", "{}", made.body);
    // The answer of the contact belongs to the same conversation.
    lab.twilio(&inbound(1, "Bonjour")).await;
    let conversations = "SELECT string_agg(status, ' ') FROM facteur.conversations";
    assert_eq!(lab.text(conversations).await.as_deref(), Some("waiting_for_us"));
    for (field, body) in [
        ("phone_number", json!({"source": "sms", "phone_number": "06123", "message": {"content": "x"}})),
        (
            "content",
            json!({"source": "sms", "phone_number": CONTACT, "message": {"content": "x".repeat(1601)}}),
        ),
        (
            "message.is_from_client",
            json!({"source": "sms", "phone_number": CONTACT,
            "message": {"content": "x", "is_from_client": true}}),
        ),
        ("source", json!({"source": "pigeon", "phone_number": CONTACT, "message": {"content": "x"}})),
    ] {
        let answer = lab.api("POST", path, &key, &body).await;
        assert_eq!((answer.status, answer.json()["field"].as_str()), (422, Some(field)), "{}", answer.body);
    }
    for (query, field) in [("status=lost", "status"), ("limit=0", "limit")] {
        let answer = lab.api("GET", &format!("{path}?{query}"), &key, &Value::Null).await;
        assert_eq!((answer.status, answer.json()["field"].as_str()), (422, Some(field)), "{}", answer.body);
    }
}

#[tokio::test]
async fn lists_are_filtered_and_lead_from_page_to_page() {
    let lab = Lab::start().await;
    let key = lab.key("viewer", Some("default")).await;
    for number in 1..=5 {
        let message = inbound(number, "Bonjour").set("From", &format!("+3361234567{number}"));
        lab.twilio(&message).await;
    }
    let mut path = "/inbox/conversations?unread=true&limit=2".to_owned();
    let mut found = Vec::new();
    loop {
        let page = lab.api("GET", &path, &key, &Value::Null).await;
        let rows = page.json();
        found.extend(rows.as_array().unwrap().iter().map(|row| row["phone_number"].clone()));
        let Some((_, rest)) = page.head.split_once("link: <") else { break };
        path = rest.split_once('>').unwrap().0.to_owned();
    }
    assert_eq!(found, (1..=5).rev().map(|n| json!(format!("+3361234567{n}"))).collect::<Vec<_>>());
    let contact = lab.api("GET", "/v1/contacts?number=0612345673", &key, &Value::Null).await.json();
    let contact = contact["data"][0]["id"].as_str().unwrap().to_owned();
    let of_one = format!("/v1/conversations?contact={contact}&status=new");
    let of_one = lab.api("GET", &of_one, &key, &Value::Null).await.json();
    assert_eq!(of_one["data"].as_array().map(Vec::len), Some(1), "{of_one}");
    assert_eq!(of_one["data"][0]["number"], "+33612345673");
    let none = lab.api("GET", "/v1/conversations?status=closed", &key, &Value::Null).await.json();
    assert_eq!(none["data"], json!([]));
}

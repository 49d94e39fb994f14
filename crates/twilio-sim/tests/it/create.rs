//! Creating messages: the resource, the magic numbers, every refusal.

use serde_json::json;
use twilio_sim::{API_KEY_SECRET, API_KEY_SID, SimConfig, TEST_ACCOUNT_SID, TEST_AUTH_TOKEN};

use crate::lab::{FROM, Lab, SERVICE, TO, answer, immediate};

#[tokio::test]
async fn a_new_message_looks_like_twilios() {
    let lab = Lab::start(SimConfig::default()).await;
    let created = lab.send("Bonjour Jean").await;
    let sid = created.sid();
    let mut message = created.json();
    assert!(sid.starts_with("SM") && sid.len() == 34);
    let date = message["date_created"].take();
    assert!(date.as_str().unwrap().ends_with(" +0000"), "{date}");
    assert_eq!(message["date_updated"].take(), date);
    let base = format!("/2010-04-01/Accounts/AC00000000000000000000000000000000/Messages/{sid}");
    let expected = json!({
        "sid": sid, "account_sid": "AC00000000000000000000000000000000", "api_version": "2010-04-01",
        "body": "Bonjour Jean", "date_created": null, "date_sent": null, "date_updated": null,
        "direction": "outbound-api", "error_code": null, "error_message": null, "from": FROM, "to": TO,
        "messaging_service_sid": null, "num_media": "0", "num_segments": "1", "price": null,
        "price_unit": "USD", "status": "queued", "uri": format!("{base}.json"),
        "subresource_uris": { "media": format!("{base}/Media.json") },
    });
    assert_eq!(message, expected);
}

#[tokio::test]
async fn answers_carry_twilios_headers() {
    let lab = Lab::start(immediate()).await;
    let created = lab.send("hello").await;
    assert_eq!(created.header("content-type"), "application/json;charset=utf-8");
    assert_eq!(created.header("twilio-concurrent-requests"), "1");
    assert_eq!(created.header("twilio-request-id").len(), 34);
    assert!(created.header("twilio-request-id").starts_with("RQ"));
    assert!(created.header("twilio-request-duration").parse::<f64>().is_ok());
}

#[tokio::test]
async fn segments_and_media_are_counted() {
    let lab = Lab::start(immediate()).await;
    let long = "a".repeat(161);
    assert_eq!(lab.send(&long).await.json()["num_segments"], "2");
    let media = [("MediaUrl", "https://example.com/a.png"), ("MediaUrl", "https://example.com/b.pdf")];
    let mms = lab.create(&[("To", TO), ("From", FROM), ("Body", &long), media[0], media[1]]).await;
    assert!(mms.sid().starts_with("MM"));
    assert_eq!((&mms.json()["num_media"], &mms.json()["num_segments"]), (&json!("2"), &json!("1")));
}

#[tokio::test]
async fn a_service_send_is_accepted_and_shows_its_sender_later() {
    let lab = Lab::start(SimConfig::default()).await;
    let created = lab.create(&[("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x")]).await;
    let message = created.json();
    assert_eq!((&message["status"], &message["from"]), (&json!("accepted"), &json!(null)));
    assert_eq!((&message["num_segments"], &message["messaging_service_sid"]), (&json!("0"), &json!(SERVICE)));
    let lab = Lab::start(immediate()).await;
    let sid = lab.create(&[("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x")]).await.sid();
    let message = lab.get(&Lab::message_path(&sid)).await.json();
    assert_eq!((&message["from"], &message["num_segments"]), (&json!(FROM), &json!("1")));
}

#[tokio::test]
async fn every_refusal_has_twilios_status_and_code() {
    let lab = Lab::start(immediate()).await;
    let long = "a".repeat(1_601);
    let emoji = "😀".repeat(801);
    let media: Vec<(&str, &str)> = vec![("MediaUrl", "https://example.com/a.png"); 11];
    let good = [("To", TO), ("From", FROM), ("Body", "hello")];
    let with = |extra: &[(&'static str, &'static str)]| [&good[..], extra].concat();
    let service = [("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x"), ("ScheduleType", "fixed")];
    for (form, status, code) in [
        (vec![], 400, 21604),
        (vec![("To", TO), ("Body", "x")], 400, 21603),
        (vec![("To", TO), ("From", ""), ("Body", "x")], 400, 21603),
        (vec![("To", TO), ("From", FROM)], 400, 21602),
        (vec![("To", TO), ("From", FROM), ("Body", &long)], 400, 21617),
        (vec![("To", TO), ("From", FROM), ("Body", &emoji)], 400, 21617),
        (vec![("To", "123"), ("From", FROM), ("Body", "x")], 400, 21211),
        (vec![("To", "38383"), ("From", FROM), ("Body", "x")], 400, 21265),
        (vec![("To", FROM), ("From", FROM), ("Body", "x")], 400, 21266),
        (vec![("To", TO), ("From", "not a number!"), ("Body", "x")], 400, 21212),
        (vec![("To", &format!("whatsapp:{TO}")), ("From", FROM), ("Body", "x")], 400, 21910),
        (vec![("To", TO), ("MessagingServiceSid", "MG1"), ("Body", "x")], 400, 21705),
        ([&good[..], &media[..]].concat(), 400, 21623),
        (with(&[("MediaUrl", "no url")]), 400, 21620),
        (with(&[("StatusCallback", "ftp://example.com/")]), 400, 21609),
        (with(&[("StatusCallback", "http://my_host.example.com/")]), 400, 21609),
        (with(&[("ValidityPeriod", "36001")]), 400, 21624),
        (with(&[("ContentVariables", "{}")]), 400, 21654),
        (with(&[("ContentSid", "HX1")]), 400, 21655),
        (
            with(&[("ContentSid", "HX00000000000000000000000000000001"), ("ContentVariables", "[")]),
            400,
            21656,
        ),
        (service.to_vec(), 400, 35111),
        ([&service[..], &[("SendAt", "2020-01-01T00:00:00Z")]].concat(), 400, 35114),
        ([&service[..], &[("SendAt", "tomorrow")]].concat(), 400, 35114),
        (
            vec![("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x"), ("ScheduleType", "x")],
            400,
            35126,
        ),
    ] {
        let answer = lab.create(&form).await;
        assert_eq!(answer.error(), (status, code), "{form:?}: {}", answer.text);
    }
    assert_eq!(lab.sim.stats().accepted, 0);
    assert_eq!(lab.sim.stats().refused_by_code[&21603], 2);
}

#[tokio::test]
async fn magic_numbers_work_with_test_credentials_and_with_the_main_account() {
    let lab = Lab::start(immediate()).await;
    for magic_only in [false, true] {
        let lab = Lab::start(immediate()).await;
        let lab = if magic_only { lab.log_in(TEST_ACCOUNT_SID, TEST_AUTH_TOKEN) } else { lab };
        for (to, from, status, code) in [
            (TO, "+15005550001", 400, 21212),
            (TO, "+15005550007", 400, 21606),
            (TO, "+15005550008", 429, 21611),
            ("+15005550001", FROM, 400, 21211),
            ("+15005550002", FROM, 400, 21612),
            ("+15005550003", FROM, 400, 21408),
            ("+15005550004", FROM, 400, 21610),
            ("+15005550009", FROM, 400, 21614),
            (TO, FROM, 201, 0),
        ] {
            let answer = lab.create(&[("To", to), ("From", from), ("Body", "x")]).await;
            assert_eq!(answer.error(), (status, code), "{to} {from}");
        }
    }
    let other = lab.create(&[("To", TO), ("From", "+33700000001"), ("Body", "x")]).await;
    assert_eq!(other.status, 201);
}

#[tokio::test]
async fn test_credentials_store_nothing_and_open_nothing_else() {
    let lab = Lab::start(immediate()).await.log_in(TEST_ACCOUNT_SID, TEST_AUTH_TOKEN);
    let created = lab.send("x").await;
    assert_eq!(created.json()["status"], "queued");
    assert_eq!(lab.sim.stats().accepted, 0);
    assert_eq!(lab.get(&lab.messages_path()).await.error(), (403, 20008));
    let unknown = lab.create(&[("To", TO), ("From", "+33700000001"), ("Body", "x")]).await;
    assert_eq!(unknown.error(), (400, 21606));
    let service = lab.create(&[("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x")]).await;
    assert_eq!(service.error(), (403, 20008));
}

#[tokio::test]
async fn credentials_are_the_token_or_an_api_key_and_nothing_else() {
    let lab = Lab::start(immediate()).await.log_in(API_KEY_SID, API_KEY_SECRET);
    assert_eq!(lab.send("x").await.status, 201);
    let lab = lab.log_in("AC00000000000000000000000000000000", "wrong");
    let refused = lab.send("x").await;
    let expected = json!({
        "code": 20003, "detail": "Your AccountSid or AuthToken was incorrect.", "message": "Authenticate",
        "more_info": "https://www.twilio.com/docs/errors/20003", "status": 401,
    });
    assert_eq!((refused.status, refused.json()), (401, expected));
    assert!(refused.header("www-authenticate").starts_with("Basic"));
    // Right credentials, but of another account than the path's.
    let lab = lab.log_in("AC00000000000000000000000000000000", "00000000000000000000000000000000");
    let path = format!("/2010-04-01/Accounts/{TEST_ACCOUNT_SID}/Messages.json");
    assert_eq!(lab.post(&path, &[]).await.error(), (401, 20003));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let lab = Lab::start(immediate()).await;
    let path = "/2010-04-01/Accounts/invalid_sid/Messages.json";
    let expected = json!({
        "code": 20404, "message": format!("The requested resource {path} was not found"),
        "more_info": "https://www.twilio.com/docs/errors/20404", "status": 404,
    });
    assert_eq!(lab.post(path, &[]).await.json(), expected);
    assert_eq!(lab.delete(&lab.messages_path()).await.error(), (405, 20004));
    assert_eq!(lab.get("/elsewhere").await.error(), (404, 20404));
}

#[tokio::test]
async fn a_body_that_is_no_form_has_no_fields_and_a_huge_one_is_refused() {
    let lab = Lab::start(immediate()).await;
    let json = lab.request("POST", &lab.messages_path()).header("content-type", "application/json");
    let body = json!({ "To": TO, "From": FROM, "Body": "x" }).to_string();
    assert_eq!(answer(json.body(body)).await.error(), (400, 21604));
    let huge = lab.request("POST", &lab.messages_path()).body(vec![b'a'; 2 << 20]);
    // The server may close the connection while the client still writes.
    if let Ok(response) = huge.send().await {
        assert_eq!(response.status().as_u16(), 413);
    }
    assert_eq!(lab.sim.stats().accepted, 0);
}

#[tokio::test]
async fn owned_senders_and_services_can_be_restricted() {
    let pool = vec!["+33700000001".to_owned()];
    let config = SimConfig {
        owned_senders: Some(pool.clone()),
        messaging_services: Some([(SERVICE.to_owned(), pool)].into()),
        ..immediate()
    };
    let lab = Lab::start(config).await;
    let sends =
        async |sender: (&str, &str), to: &str| lab.create(&[("To", to), sender, ("Body", "x")]).await.error();
    assert_eq!(sends(("From", "+33700000001"), TO).await, (201, 0));
    assert_eq!(sends(("From", "+33700000002"), TO).await, (400, 21606));
    let whatsapp = format!("whatsapp:{TO}");
    assert_eq!(sends(("From", "whatsapp:+33700000002"), &whatsapp).await, (400, 63007));
    let other = SERVICE.replace('1', "2");
    assert_eq!(sends(("MessagingServiceSid", &other), TO).await, (400, 21701));
    let sid = lab.create(&[("To", TO), ("MessagingServiceSid", SERVICE), ("Body", "x")]).await.sid();
    assert_eq!(lab.get(&Lab::message_path(&sid)).await.json()["from"], "+33700000001");
}

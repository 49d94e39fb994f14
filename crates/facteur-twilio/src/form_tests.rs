use std::collections::BTreeMap;

use facteur_core::call::{Call, CallContent};
use facteur_core::ids::{AttemptNumber, JobId};
use facteur_core::job::{Channel, Recipient};
use facteur_core::phone::PhoneNumber;
use facteur_core::sender::Sender;
use url::{Url, form_urlencoded};
use uuid::Uuid;

use super::{StatusCallback, encode};

fn call(from: &str, content: CallContent) -> Call {
    Call {
        job_id: JobId(Uuid::from_u128(42)),
        attempt: AttemptNumber(3),
        to: Recipient { channel: Channel::Sms, number: PhoneNumber::from_e164("+33612345678").unwrap() },
        from: Sender::parse(from).unwrap(),
        content,
        validity_period_s: None,
    }
}

fn text(text: &str, media_urls: &[&str]) -> CallContent {
    let media_urls = media_urls.iter().map(|url| (*url).to_owned()).collect();
    CallContent::Message { text: text.to_owned(), media_urls }
}

fn fields(encoded: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded.as_bytes()).into_owned().collect()
}

fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_text_is_three_fields_with_every_character_kept() {
    let body = "Grüße 👋  a+b & c=d%\n";
    let form = encode(&call("+15005550006", text(body, &[])), None);
    let wanted = [("To", "+33612345678"), ("From", "+15005550006"), ("Body", body)];
    assert_eq!(fields(&form), expected(&wanted));
    assert!(form.starts_with("To=%2B33612345678&From=%2B15005550006&Body=Gr%C3%BC%C3%9Fe+"), "{form}");
}

#[test]
fn media_repeat_their_field_and_an_empty_text_is_left_out() {
    let form = encode(&call("FACTEUR", text("", &["https://a/1", "https://a/2"])), None);
    let media = [("MediaUrl", "https://a/1"), ("MediaUrl", "https://a/2")];
    assert_eq!(
        fields(&form),
        expected(&[&[("To", "+33612345678"), ("From", "FACTEUR")], &media[..]].concat())
    );
}

#[test]
fn a_messaging_service_stands_in_its_own_field() {
    let service = format!("MG{}", "a1".repeat(16));
    let form = encode(&call(&service, text("x", &[])), None);
    assert_eq!(fields(&form)[1], ("MessagingServiceSid".to_owned(), service));
}

#[test]
fn whatsapp_addresses_carry_their_prefix() {
    let mut call = call("whatsapp:+14155238886", text("x", &[]));
    call.to.channel = Channel::Whatsapp;
    let wanted = [("To", "whatsapp:+33612345678"), ("From", "whatsapp:+14155238886"), ("Body", "x")];
    assert_eq!(fields(&encode(&call, None)), expected(&wanted));
}

#[test]
fn twilios_templates_carry_their_variables_as_one_json_object() {
    let template = |variables: &[(&str, &str)]| CallContent::Template {
        content_sid: "HX0".to_owned(),
        variables: variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    };
    let form = encode(&call("FACTEUR", template(&[("2", "3 \"h\""), ("1", "Zoé")])), None);
    let variables = r#"{"1":"Zoé","2":"3 \"h\""}"#;
    assert_eq!(fields(&form)[2..], expected(&[("ContentSid", "HX0"), ("ContentVariables", variables)]));
    let form = encode(&call("FACTEUR", template(&[])), None);
    assert_eq!(fields(&form)[2..], expected(&[("ContentSid", "HX0")]));
}

#[test]
fn the_callback_names_message_and_attempt_under_any_public_url() {
    let query = "message=00000000-0000-0000-0000-00000000002a&attempt=3#rc=3&rp=all";
    for (public_url, webhook) in [
        ("https://hooks.example", "https://hooks.example/twilio/webhook/status"),
        ("https://hooks.example/", "https://hooks.example/twilio/webhook/status"),
        ("http://u:p@hooks.example:8080/a/b/", "http://u:p@hooks.example:8080/a/b/twilio/webhook/status"),
        ("https://hooks.example/a", "https://hooks.example/a/twilio/webhook/status"),
    ] {
        let callback = StatusCallback::at(&Url::parse(public_url).unwrap());
        let mut call = call("FACTEUR", text("x", &[]));
        call.validity_period_s = Some(240);
        let url = format!("{webhook}?{query}");
        let wanted = [("ValidityPeriod", "240"), ("StatusCallback", url.as_str())];
        assert_eq!(fields(&encode(&call, Some(&callback)))[3..], expected(&wanted));
    }
}

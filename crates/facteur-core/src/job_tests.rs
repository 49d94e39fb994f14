use proptest::prelude::*;
use serde_json::json;

use super::*;

fn job(document: serde_json::Value) -> Job {
    let document: JobDocument = serde_json::from_value(document).unwrap();
    let defaults = JobDefaults { country: Country::FRANCE };
    Job::from_document(JobId(Uuid::nil()), document, &defaults, Timestamp::UNIX_EPOCH).unwrap()
}

fn fingerprint(document: serde_json::Value) -> [u8; 32] {
    job(document).fingerprint().0
}

#[test]
fn the_channel_follows_from_recipient_and_media() {
    let media = json!(["https://exemple.fr/a.png"]);
    let rows = [
        (json!({"to": "0612345678", "body": "a"}), Channel::Sms, "+33612345678"),
        (json!({"to": "0612345678", "body": "a", "media_urls": []}), Channel::Sms, "+33612345678"),
        (json!({"to": "0612345678", "media_urls": media}), Channel::Mms, "+33612345678"),
        (json!({"to": "0612345678", "body": "a", "channel": "mms"}), Channel::Mms, "+33612345678"),
        (json!({"to": "0612345678", "channel": "sms", "media_urls": media}), Channel::Mms, "+33612345678"),
        (json!({"to": "whatsapp:0612345678", "body": "a"}), Channel::Whatsapp, "whatsapp:+33612345678"),
        (
            json!({"to": "0612345678", "body": "a", "channel": "whatsapp"}),
            Channel::Whatsapp,
            "whatsapp:+33612345678",
        ),
        (
            json!({"to": "whatsapp:+33612345678", "media_urls": media}),
            Channel::Whatsapp,
            "whatsapp:+33612345678",
        ),
    ];
    for (document, channel, address) in rows {
        let recipient = job(document.clone()).recipient;
        assert_eq!(
            (recipient.channel, recipient.twilio_address().as_str()),
            (channel, address),
            "{document}"
        );
    }
}

#[test]
fn neither_number_nor_text_shows_in_a_debug_line() {
    let lines = [
        json!({"to": "0612345678", "body": "Secret"}),
        json!({"to": "0612345678", "template": "t", "variables": {"code": "Secret"}}),
        json!({"to": "0612345678", "content_sid": format!("HX{}", "0".repeat(32)), "content_variables": {"1": "Secret"}}),
    ];
    for document in lines {
        let line = format!("{:?}", job(document));
        assert!(!line.contains("Secret") && !line.contains("612345"), "{line}");
    }
}

#[test]
fn the_same_job_in_another_spelling_has_the_same_fingerprint() {
    let spellings = [
        json!({"to": "0612345678", "body": "Bonjour"}),
        json!({"to": "+33 6 12 34 56 78", "body": "Bonjour", "tenant": "default"}),
        json!({"to": "0612345678", "body": "Bonjour", "channel": "sms", "media_urls": []}),
        // What is neither tenant nor content does not count.
        json!({"to": "0612345678", "body": "Bonjour", "metadata": {"try": 2}, "send_at": "1970-01-02T00:00:00Z"}),
    ];
    for document in &spellings {
        assert_eq!(fingerprint(document.clone()), fingerprint(spellings[0].clone()), "{document}");
    }
    let with_number = json!({"to": "0612345678", "template": "t", "variables": {"b": "2", "a": 1}});
    let with_text = json!({"to": "0612345678", "template": "t", "variables": {"a": "1", "b": 2}});
    assert_eq!(fingerprint(with_number), fingerprint(with_text));
}

#[test]
fn every_part_of_tenant_and_content_changes_the_fingerprint() {
    let sid = |last: char| format!("HX{}{last}", "0".repeat(31));
    let others = [
        json!({"to": "0612345678", "body": "Bonjour"}),
        json!({"to": "0612345679", "body": "Bonjour"}),
        json!({"to": "whatsapp:0612345678", "body": "Bonjour"}),
        json!({"to": "0612345678", "body": "Bonjour", "channel": "mms"}),
        json!({"to": "0612345678", "body": "Bonjour "}),
        json!({"to": "0612345678", "body": "Bonjour", "tenant": "mairie"}),
        json!({"to": "0612345678", "body": "Bonjour", "from": "+15005550006"}),
        json!({"to": "0612345678", "body": "Bonjour", "media_urls": ["https://a.fr/1"]}),
        json!({"to": "0612345678", "body": "Bonjour", "media_urls": ["https://a.fr/1", "https://a.fr/2"]}),
        json!({"to": "0612345678", "template": "Bonjour"}),
        json!({"to": "0612345678", "template": "Bonjour", "channel": "mms"}),
        json!({"to": "0612345678", "template": "Bonjour", "language": "fr"}),
        json!({"to": "0612345678", "template": "Bonjour", "variables": {"a": "b"}}),
        json!({"to": "0612345678", "template": "Bonjour", "variables": {"b": "a"}}),
        json!({"to": "0612345678", "template": "Bonjour", "variables": {"ab": ""}}),
        // The same strings once as a variable, once as media.
        json!({"to": "0612345678", "channel": "mms", "template": "t", "variables": {"http://a.fr": "http://b.fr"}}),
        json!({"to": "0612345678", "channel": "mms", "template": "t", "media_urls": ["http://a.fr", "http://b.fr"]}),
        json!({"to": "0612345678", "content_sid": sid('1')}),
        json!({"to": "0612345678", "content_sid": sid('2')}),
        json!({"to": "0612345678", "content_sid": sid('1'), "content_variables": {"1": "a"}}),
    ];
    for (index, one) in others.iter().enumerate() {
        for other in &others[..index] {
            assert_ne!(fingerprint(one.clone()), fingerprint(other.clone()), "{one} {other}");
        }
    }
}

#[test]
fn limits_are_counted_in_characters() {
    let longest = job(json!({"to": "0612345678", "body": "é".repeat(TEXT_CHARS_MAX)}));
    let Content::Message { text, .. } = longest.content else { panic!("not a message") };
    assert_eq!(text.chars().count(), TEXT_CHARS_MAX);
    let urls: Vec<_> = (0..MEDIA_COUNT_MAX).map(|n| format!("https://exemple.fr/{n}.png")).collect();
    assert!(matches!(job(json!({"to": "0612345678", "media_urls": urls})).content, Content::Message { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn jobs_share_a_fingerprint_only_if_they_say_the_same(one in "[ab]{1,4}", other in "[ab]{1,4}") {
        let of = |text: &str| fingerprint(json!({"to": "0612345678", "body": text}));
        prop_assert_eq!(of(&one) == of(&other), one == other);
        let split = |text: &str| {
            let (name, value) = text.split_at(text.len() / 2);
            fingerprint(json!({"to": "0612345678", "template": "t", "variables": {name: value}}))
        };
        prop_assert_eq!(split(&one) == split(&other), one == other);
    }
}

//! What stands on the wire.

use std::collections::BTreeMap;

use facteur_core::call::CallContent;
use facteur_twilio::{Auth, TwilioClient, TwilioConfig};
use url::Url;

use crate::fixtures::{ACCOUNT, assert_discreet, call, config};
use crate::server::{Act, Request, Server, http};

async fn request(
    change: impl FnOnce(TwilioConfig) -> TwilioConfig,
    call: facteur_core::call::Call,
) -> Request {
    let server = Server::start(vec![Act::Reply(http("500 Oops", &[], ""))]).await;
    TwilioClient::new(change(config(&server.url))).unwrap().send(&call).await;
    server.requests().remove(0)
}

fn headers(request: &Request) -> BTreeMap<&str, &str> {
    request.head.lines().skip(1).filter_map(|line| line.split_once(": ")).collect()
}

#[tokio::test]
async fn a_call_is_one_form_with_basic_authentication() {
    let request = request(|config| config, call()).await;
    assert_eq!(
        request.head.lines().next(),
        Some(format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1").as_str())
    );
    let mut headers = headers(&request);
    assert!(headers.remove("host").is_some_and(|host| host.starts_with("127.0.0.1:")));
    let expected = [
        ("accept", "application/json"),
        // base64 of the account SID, a colon and the token.
        ("authorization", "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjpzM2NyM3QtdG9rZW4="),
        ("content-length", "55"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("user-agent", concat!("facteur/", env!("CARGO_PKG_VERSION"))),
    ];
    assert_eq!(headers, expected.into());
    assert_eq!(request.body, "To=%2B33612345678&From=%2B15005550006&Body=Bonjour+Jean");
}

#[tokio::test]
async fn an_api_key_stands_in_for_the_account_in_the_credentials_alone() {
    let key = Auth::ApiKey { sid: format!("SK{}", "0".repeat(32)), secret: "s3cr3t-key".into() };
    let request = request(|config| TwilioConfig { auth: key, ..config }, call()).await;
    assert!(request.head.starts_with(&format!("POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json ")));
    let credentials = "Basic U0swMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDpzM2NyM3Qta2V5";
    assert_eq!(headers(&request)["authorization"], credentials);
}

#[tokio::test]
async fn every_option_of_a_call_has_its_field() {
    let mut call = call();
    call.content = CallContent::Message {
        text: "é".to_owned(),
        media_urls: vec!["https://a/1?b=2".to_owned(), "https://a/2".to_owned()],
    };
    call.validity_period_s = Some(600);
    let behind_a_path = |config: TwilioConfig| TwilioConfig {
        base_url: config.base_url.join("/gateway/").unwrap(),
        public_url: Some(Url::parse("https://hooks.example/facteur").unwrap()),
        ..config
    };
    let request = request(behind_a_path, call).await;
    assert!(request.head.starts_with(&format!("POST /gateway/2010-04-01/Accounts/{ACCOUNT}/Messages.json ")));
    let callback = "https%3A%2F%2Fhooks.example%2Ffacteur%2Ftwilio%2Fwebhook%2Fstatus%3F\
                    message%3D00000000-0000-0000-0000-00000000002a%26attempt%3D1%23rc%3D3%26rp%3Dall";
    assert_eq!(
        request.body,
        format!(
            "To=%2B33612345678&From=%2B15005550006&Body=%C3%A9&MediaUrl=https%3A%2F%2Fa%2F1%3Fb%3D2\
             &MediaUrl=https%3A%2F%2Fa%2F2&ValidityPeriod=600&StatusCallback={callback}"
        )
    );
}

#[test]
fn a_call_does_not_show_its_recipient_or_text() {
    let mut call = call();
    // A sender is our own and may be shown.
    call.from = facteur_core::sender::Sender::parse("FACTEUR").unwrap();
    assert_discreet(&format!("{call:?}"));
}

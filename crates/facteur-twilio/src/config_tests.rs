use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::{Auth, ConfigError, TwilioConfig};
use crate::TwilioClient;

fn config(base_url: &str) -> TwilioConfig {
    TwilioConfig {
        base_url: Url::parse(base_url).unwrap(),
        account_sid: format!("AC{}", "0a".repeat(16)),
        auth: Auth::Token(SecretString::from("s3cr3t-token")),
        public_url: None,
        call_timeout: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(5),
        connections_max: 1,
    }
}

fn fault(config: TwilioConfig) -> String {
    TwilioClient::new(config).unwrap_err().to_string()
}

#[test]
fn base_urls_of_an_api_are_taken() {
    for url in
        ["http://127.0.0.1:9090", "http://127.8.0.1/", "http://[::1]:9090/twilio/", "http://localhost:9090"]
    {
        assert!(TwilioClient::new(config(url)).is_ok(), "{url}");
    }
    for url in ["https://api.twilio.com", "https://api.dublin.ie1.twilio.com", "https://proxy.example/twilio"]
    {
        assert_eq!(config(url).check(), Ok(()), "{url}");
    }
}

#[test]
fn other_base_urls_are_refused_by_name() {
    for url in [
        "http://api.twilio.com",
        "http://10.0.0.1:9090",
        "http://localhost.example:9090",
        "http://[::2]/",
        "ftp://127.0.0.1/",
        "data:text/plain,x",
        "https://user@api.twilio.com",
        "https://:word@api.twilio.com",
        "https://api.twilio.com?x=1",
        "https://api.twilio.com#x",
    ] {
        assert!(matches!(TwilioClient::new(config(url)), Err(ConfigError::BaseUrl(_))), "{url}");
    }
}

#[test]
fn what_can_not_work_is_refused_by_name() {
    let good = || config("http://127.0.0.1:1");
    let timeouts = |connect_ms, call_ms| TwilioConfig {
        connect_timeout: Duration::from_millis(connect_ms),
        call_timeout: Duration::from_millis(call_ms),
        ..good()
    };
    assert!(TwilioClient::new(timeouts(1, 30_000)).is_ok());
    for (connect_ms, call_ms) in [(0, 1_000), (1_000, 1_000), (2_000, 1_000), (1_000, 30_001)] {
        assert!(fault(timeouts(connect_ms, call_ms)).contains("connect_timeout"), "{connect_ms} {call_ms}");
    }
    for sid in ["", "AC", "SK00000000000000000000000000000000", "AC0000000000000000000000000000000g"] {
        assert!(fault(TwilioConfig { account_sid: sid.to_owned(), ..good() }).starts_with("account_sid: "));
    }
    let keys = [("SK12", "x"), ("SK00000000000000000000000000000000", "")];
    let keys = keys.map(|(sid, secret)| Auth::ApiKey { sid: sid.to_owned(), secret: secret.into() });
    for auth in keys.into_iter().chain([Auth::Token("".into())]) {
        assert!(fault(TwilioConfig { auth, ..good() }).starts_with("auth: "));
    }
    assert!(fault(TwilioConfig { connections_max: 0, ..good() }).starts_with("connections_max: "));
    for url in ["ftp://h/", "data:x", "https://my_host.example/", "https://h/?a=1", "https://h/#a"] {
        let public_url = Some(Url::parse(url).unwrap());
        assert!(fault(TwilioConfig { public_url, ..good() }).starts_with("public_url: "), "{url}");
    }
}

#[test]
fn debug_shows_no_secret() {
    let key = Auth::ApiKey { sid: format!("SK{}", "0".repeat(32)), secret: "s3cr3t-key".into() };
    let public_url = Some(Url::parse("https://user:s3cr3t-url@hooks.example/s3cr3t-path").unwrap());
    let shown = [
        format!("{:?}", config("https://user:s3cr3t-base@api.twilio.com")),
        format!("{:?}", TwilioConfig { auth: key, public_url, ..config("http://127.0.0.1:1") }),
        format!("{:?}", TwilioClient::new(config("http://127.0.0.1:1")).unwrap()),
    ];
    for text in shown {
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(text.contains("AC0a0a"), "{text}");
    }
}

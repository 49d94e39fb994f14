use sha2::{Digest, Sha256};

use super::{accepted_urls, sign, sign_body, verify, verify_json};

const TOKEN: &str = "12345";
const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
const OWN_TOKEN: &str = "0123456789abcdef0123456789abcdef";

fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The call of Twilio's own test suites.
fn call() -> Vec<(String, String)> {
    form(&[
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+14158675309"),
        ("Digits", "1234"),
        ("From", "+14158675309"),
        ("To", "+18005551212"),
    ])
}

/// A status callback as Twilio sends it, and more fields after it.
fn status_callback(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let account = format!("AC{}", "a".repeat(32));
    let message = format!("SM{}", "b".repeat(32));
    let mut pairs = vec![
        ("AccountSid", account.as_str()),
        ("ApiVersion", "2010-04-01"),
        ("From", "+15005550006"),
        ("MessageSid", &message),
        ("MessageStatus", "delivered"),
        ("SmsSid", &message),
        ("SmsStatus", "delivered"),
        ("To", "+14155550123"),
    ];
    pairs.extend_from_slice(more);
    form(&pairs)
}

#[test]
fn the_vectors_of_twilios_own_libraries_are_met() {
    let docs_example: Vec<_> = call()
        .into_iter()
        .map(
            |(name, value)| {
                if value == "+14158675309" { (name, "+14158675310".to_owned()) } else { (name, value) }
            },
        )
        .collect();
    let repeated = form(&[
        ("Sid", "CA123"),
        ("SidAccount", "AC123"),
        ("Digits", "5678"),
        ("Digits", "1234"),
        ("Digits", "1234"),
    ]);
    let addresses =
        form(&[("MessagingBinding.Address", "+1325xxxxxxx"), ("MessagingBinding.Address", "+1415xxxxxxx")]);
    let vectors = [
        (URL, call(), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        ("https://mycompany.com:443/myapp.php?foo=1&bar=2", call(), "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("http://mycompany.com:80/myapp.php?foo=1&bar=2", call(), "0ZXoZLH/DfblKGATFgpif+LLRf4="),
        ("http://mycompany.com:1234/myapp.php?foo=1&bar=2", call(), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (URL, repeated, "IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        (URL, addresses, "83O6e2vORAoJHUNzJjDWN1jz+BA="),
        (
            "https://mycompany.com/myapp.php?foo=1&bar=2&Body=It%27s+amazing",
            call(),
            "TfZzewPq8wqrGlMfyAud8+/IvJ0=",
        ),
        ("https://user:pass@mycompany.com/myapp.php?foo=1&bar=2", call(), "CukzLTc1tT5dXEDIHm/tKBanW10="),
        ("https://example.com/myapp.php?foo=1&bar=2", docs_example, "L/OH5YylLD5NRKLltdqwSvS0BnU="),
    ];
    for (url, form, signature) in vectors {
        assert_eq!(sign(TOKEN, url, &form), signature, "{url}");
        assert!(verify(&[TOKEN], url, &form, signature), "{url}");
    }
}

#[test]
fn forms_with_any_text_are_signed_as_decoded() {
    let status_url = "https://hooks.example.com/twilio/status?job=42";
    let text = [("Body", "Grüße 👋  a+b & c=d\n"), ("NumMedia", "0"), ("ErrorCode", "")];
    assert_eq!(sign(OWN_TOKEN, status_url, &status_callback(&[])), "1ODQCwFuWujCApIRZcgQcBH0jSU=");
    assert_eq!(sign(OWN_TOKEN, status_url, &status_callback(&text)), "26oKz5OLBiRHMdrcuimzqfWDs2k=");
}

#[test]
fn a_get_is_signed_by_its_url_alone() {
    let url = "https://hooks.example.com/twilio/in?MessageSid=SM1&From=%2B14155550123";
    assert_eq!(sign(OWN_TOKEN, url, &[]), "iCBpC0a3C6xweIHjckodyiQUXd0=");
}

#[test]
fn json_bodies_are_covered_by_their_hash_in_the_url() {
    let hash = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let url = format!("{URL}&bodySHA256={hash}");
    let body = br#"{"property": "value", "boolean": true}"#;
    let signature = "a9nBmqA0ju/hNViExpshrM61xv4=";
    assert_eq!(sign_body(TOKEN, &url), signature);
    assert!(verify_json(&[TOKEN], &url, body, signature));
    assert!(!verify_json(&[TOKEN], &url, br#"{"property": "other", "boolean": true}"#, signature));
    assert!(!verify_json(&["54321"], &url, body, signature));
    assert!(
        !verify_json(&[TOKEN], URL, body, &sign_body(TOKEN, URL)),
        "without a hash nothing covers the body"
    );
}

#[test]
fn json_webhooks_verify_with_and_without_port() {
    let hash: String = Sha256::digest(b"{}").iter().map(|byte| format!("{byte:02x}")).collect();
    let with_port = format!("https://mycompany.com:443/myapp.php?foo=1&bar=2&bodySHA256={hash}");
    let without_port = format!("{URL}&bodySHA256={hash}");
    let signatures = ["Ldidvp12m26NI7eqEvxnEpkd9Hc=", "rw/jVviOgicj2+kHZULvebnA4ag="];
    assert_eq!([sign_body(TOKEN, &with_port), sign_body(TOKEN, &without_port)], signatures);
    for url in [&with_port, &without_port] {
        for signature in signatures {
            assert!(verify_json(&[TOKEN], url, b"{}", signature), "{url}");
        }
    }
}

#[test]
fn both_port_forms_verify_whichever_twilio_signed() {
    let plain = "http://mycompany.com/myapp.php?foo=1&bar=2";
    let signatures = [
        (URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        ("https://mycompany.com:443/myapp.php?foo=1&bar=2", "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (plain, "0ZXoZLH/DfblKGATFgpif+LLRf4="),
    ];
    for (url, signature) in signatures {
        assert!(verify(&[TOKEN], url, &call(), signature), "{url}");
    }
    let odd_port = "http://mycompany.com:1234/myapp.php?foo=1&bar=2";
    assert!(verify(&[TOKEN], odd_port, &call(), &sign(TOKEN, plain, &call())));
    assert!(!verify(&[TOKEN], plain, &call(), &sign(TOKEN, odd_port, &call())), "only the scheme's own port");
}

#[test]
fn user_and_password_may_be_signed_or_left_out() {
    let url = "https://user:p@ss@mycompany.com/myapp.php?foo=1&bar=2";
    assert!(verify(&[TOKEN], url, &call(), &sign(TOKEN, url, &call())));
    assert!(verify(&[TOKEN], url, &call(), &sign(TOKEN, URL, &call())));
    let with_port = "https://mycompany.com:443/myapp.php?foo=1&bar=2";
    assert!(verify(&[TOKEN], url, &call(), &sign(TOKEN, with_port, &call())));
    assert!(!verify(&[TOKEN], URL, &call(), &sign(TOKEN, url, &call())));
}

#[test]
fn ports_are_found_in_any_authority() {
    let cases = [
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]:443/a"),
        ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]/a"),
        ("https://h?x=http://b:1/", "https://h:443?x=http://b:1/"),
        ("http://h", "http://h:80"),
    ];
    for (url, other) in cases {
        let urls = accepted_urls(url);
        assert_eq!((urls[0].as_str(), urls[1].as_str()), (url, other));
    }
    assert_eq!(accepted_urls("no url"), ["no url"]);
}

#[test]
fn the_fragment_is_never_signed() {
    let url = format!("{URL}#rc=3&rp=all");
    assert_eq!(sign(TOKEN, &url, &call()), sign(TOKEN, URL, &call()));
    assert!(verify(&[TOKEN], &url, &call(), "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
}

#[test]
fn one_of_several_tokens_is_enough_while_they_are_rotated() {
    let signature = sign(TOKEN, URL, &call());
    assert!(verify(&["new", TOKEN], URL, &call(), &signature));
    assert!(!verify(&["new", "newer"], URL, &call(), &signature));
    assert!(!verify(&[], URL, &call(), &signature));
}

#[test]
fn forgeries_are_refused() {
    let good = sign(TOKEN, URL, &call());
    let mut changed = call();
    changed[2].1 = "1235".to_owned();
    assert!(!verify(&[TOKEN], URL, &changed, &good));
    assert!(!verify(&[TOKEN], "https://mycompany.com/myapp.php?foo=1&bar=3", &call(), &good));
    assert!(!verify(&[TOKEN], "https://MyCompany.com/myapp.php?foo=1&bar=2", &call(), &good));
    for header in ["", "=", "RSOY", "RSOYDt4T1cUTdK1PDd93/VVr8B8", "not base64 at all", &good[..24], "🦀"] {
        assert!(!verify(&[TOKEN], URL, &call(), header), "{header}");
    }
    assert!(!verify(&[""], URL, &call(), &sign("", URL, &call())), "an empty token would be everybody's");
}

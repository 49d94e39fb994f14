use super::*;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const PATH: &str = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages/MM0123456789abcdef0123456789abcdef\
                    /Media/ME0123456789abcdef0123456789abcdef";

fn base() -> Url {
    Url::parse("https://api.twilio.com").unwrap()
}

fn asked(url: &str, base: &Url) -> Option<String> {
    first(url, ACCOUNT, base).map(String::from)
}

#[test]
fn only_the_accounts_own_media_are_asked_for_and_of_twilio_alone() {
    let here = format!("https://api.twilio.com{PATH}");
    assert_eq!(asked(&here, &base()), Some(here.clone()));
    let dublin = format!("https://api.dublin.ie1.twilio.com{PATH}");
    assert_eq!(asked(&dublin, &base()), Some(dublin));
    let other = "AC1123456789abcdef0123456789abcdef";
    for wrong in [
        format!("http://api.twilio.com{PATH}"),
        format!("https://api.twilio.com:8443{PATH}"),
        format!("https://user:secret@api.twilio.com{PATH}"),
        format!("https://api.twilio.com@evil.example{PATH}"),
        format!("https://api.twilio.com.evil.example{PATH}"),
        format!("https://eviltwilio.com{PATH}"),
        format!("https://twilio.com{PATH}"),
        format!("https://api.twilio.com.{PATH}"),
        format!("https://127.0.0.1{PATH}"),
        format!("https://[::1]{PATH}"),
        format!("https://169.254.169.254{PATH}"),
        format!("https://mms.twiliocdn.com{PATH}"),
        format!("file://{PATH}"),
        here.replace(ACCOUNT, other),
        here.replace("Media/", "Media/../../"),
        here.replace("Media/ME", "Media/XX"),
        here.replace("/Messages/MM", "/Messages/..%2f..%2fMM"),
        format!("{here}.json"),
        format!("{here}/x"),
        "https://api.twilio.com/2010-04-01/Accounts.json".to_owned(),
        "https://api.twilio.com".to_owned(),
        "data:image/png;base64,AA".to_owned(),
        PATH.to_owned(),
        String::new(),
    ] {
        assert_eq!(asked(&wrong, &base()), None, "{wrong}");
    }
}

#[test]
fn a_query_of_the_row_is_not_passed_on_and_a_gateway_is_asked_in_twilios_place() {
    let gateway = Url::parse("https://twilio.example.org/out/").unwrap();
    let found = asked(&format!("https://api.twilio.com{PATH}?a=1#b"), &gateway);
    assert_eq!(found, Some(format!("https://twilio.example.org/out{PATH}")));
    assert_eq!(asked(&format!("https://twilio.example.org/out{PATH}"), &gateway), None);
}

#[test]
fn a_client_of_the_simulator_never_leaves_this_machine() {
    let sim = Url::parse("http://127.0.0.1:8081").unwrap();
    for host in ["https://api.twilio.com", "http://0.0.0.0:8081", "https://evil.example"] {
        let found = asked(&format!("{host}{PATH}"), &sim);
        assert_eq!(found, Some(format!("http://127.0.0.1:8081{PATH}")), "{host}");
    }
    let follows = |url: &str| may_follow(&Url::parse(url).unwrap(), &sim);
    assert!(follows("http://127.0.0.1:8081/media.twiliocdn.com/x"));
    for elsewhere in [
        "https://mms.twiliocdn.com/x",
        "http://127.0.0.1:8082/x",
        "http://localhost:8081/x",
        "http://10.0.0.1/",
    ] {
        assert!(!follows(elsewhere), "{elsewhere}");
    }
}

#[test]
fn redirects_lead_to_where_twilio_keeps_media_and_nowhere_else() {
    let follows = |url: &str| may_follow(&Url::parse(url).unwrap(), &base());
    for fine in [
        "https://mms.twiliocdn.com/AC/x?Expires=1&Signature=y",
        "https://media.twiliocdn.com/x",
        "https://api.twilio.com/x",
        "https://s3-external-1.amazonaws.com/media.twiliocdn.com/AC/x",
        "https://media.twiliocdn.com.s3-external-1.amazonaws.com/AC/x",
    ] {
        assert!(follows(fine), "{fine}");
    }
    for elsewhere in [
        "http://mms.twiliocdn.com/x",
        "https://mms.twiliocdn.com:444/x",
        "https://a:b@mms.twiliocdn.com/x",
        "https://twiliocdn.com.evil.example/x",
        "https://eviltwiliocdn.com/x",
        "https://s3-external-1.amazonaws.com/somebody/x",
        "https://s3-external-1.amazonaws.com/media.twiliocdn.com/../somebody/x",
        "https://somebody.s3-external-1.amazonaws.com/media.twiliocdn.com/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::ffff:10.0.0.1]/",
        "http://localhost/",
        "ftp://mms.twiliocdn.com/x",
    ] {
        assert!(!follows(elsewhere), "{elsewhere}");
    }
}

#[test]
fn an_address_of_somebodys_own_network_is_told_from_one_of_the_internet() {
    for public in [
        "3.5.0.1",
        "172.15.0.1",
        "172.32.0.1",
        "100.63.0.1",
        "100.128.0.1",
        "192.0.1.1",
        "2600::1",
        "64:ff9b::305:1",
    ] {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
    for own in [
        "0.0.0.0",
        "10.1.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "100.127.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
    ] {
        assert!(!is_public(own.parse().unwrap()), "{own}");
    }
}

//! The doctor names each fault with its remedy, and ends with exit code 3.

use crate::binary::{Ran, deserted, facteur};

fn verdicts(ran: &Ran) -> Vec<(String, String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let findings = ran.json();
    let findings = findings["findings"].as_array().unwrap();
    findings
        .iter()
        .map(|found| (text(&found["part"]), text(&found["verdict"]), text(&found["says"])))
        .collect()
}

#[test]
fn what_is_not_there_is_named_with_a_remedy() {
    let (broker, database, twilio) = (deserted(), deserted(), deserted());
    let environment = [
        ("AMQP_URL", format!("amqp://guest:5ecre7@{broker}/%2f")),
        ("DATABASE_URL", format!("postgres://facteur:5ecre7@{database}/facteur")),
        ("TWILIO_BASE_URL", format!("http://{twilio}")),
    ];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ran = facteur(&["doctor", "--json"], &environment);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let verdicts = verdicts(&ran);
    for (part, address, remedy) in [
        ("broker", &broker, "AMQP_URL"),
        ("database", &database, "DATABASE_URL"),
        ("twilio", &"127.0.0.1".to_owned(), "TWILIO_BASE_URL"),
    ] {
        let (_, verdict, says) = verdicts.iter().find(|(name, ..)| name == part).unwrap();
        assert_eq!(verdict, "fail", "{part}");
        assert!(says.contains(address.as_str()) && says.contains(remedy), "{part}: {says}");
    }
    assert!(!ran.stdout.contains("5ecre7") && !ran.stderr.contains("5ecre7"), "{ran:?}");
    let told = facteur(&["doctor"], &environment);
    assert_eq!(told.code, Some(3));
    assert!(told.stdout.trim_end().ends_with("a worker can't work yet"), "{told:?}");
}

#[test]
fn missing_secrets_are_a_fault() {
    let (broker, database) = (format!("amqp://{}", deserted()), format!("postgres://x@{}/x", deserted()));
    let ran = facteur(&["doctor", "--json"], &[("AMQP_URL", &broker), ("DATABASE_URL", &database)]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let says: Vec<_> =
        verdicts(&ran).into_iter().filter(|(part, ..)| part == "twilio").map(|(.., says)| says).collect();
    assert_eq!(says.len(), 2, "{says:?}");
    assert!(
        says[0].starts_with("TWILIO_ACCOUNT_SID is not set") && says[1].starts_with("TWILIO_AUTH_TOKEN"),
        "{says:?}"
    );
}

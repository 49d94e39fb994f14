//! A wrong configuration ends at once with exit code 2 and one line that names the setting and the remedy.

use crate::binary::facteur;

const SECRET: &str = "5ecre75ecre75ecre75ecre75ecre75e";

#[test]
fn each_wrong_value_is_one_line_and_exit_code_2() {
    let rows = [
        (
            ("AMQP_URL", "rabbit"),
            "error: AMQP_URL is not a URL that starts with amqp:// or amqps:// and names a host",
        ),
        (
            ("DATABASE_URL", "here"),
            "error: DATABASE_URL is not a URL that starts with postgres:// or postgresql:// and names a host",
        ),
        (("FACTEUR_CONCURRENCY", "-1"), "error: FACTEUR_CONCURRENCY is not a whole number from 1 to 4096"),
        (
            ("FACTEUR_METRICS_LISTEN", "here"),
            "error: FACTEUR_METRICS_LISTEN is not an address and a port, such as 127.0.0.1:9464 or [::]:9464",
        ),
        (
            ("FACTEUR_CONCURENCY", "1"),
            "error: unknown environment variable FACTEUR_CONCURENCY; did you mean `FACTEUR_CONCURRENCY`?",
        ),
    ];
    for (variable, expected) in rows {
        for command in
            [&["worker"][..], &["up"], &["migrate"], &["doctor"], &["config", "check"], &["config", "show"]]
        {
            let ran = facteur(command, &[variable]);
            assert_eq!(
                (ran.code, ran.stderr.trim_end(), ran.stdout.as_str()),
                (Some(2), expected, ""),
                "{command:?}"
            );
        }
    }
}

#[test]
fn a_program_gets_the_error_as_json() {
    let ran = facteur(&["config", "check", "--json"], &[("FACTEUR_EVENTS", "perhaps")]);
    assert_eq!(ran.code, Some(2));
    let expected = serde_json::json!({ "error": "FACTEUR_EVENTS is neither true nor false", "exit_code": 2 });
    assert_eq!(ran.json(), expected);
}

#[test]
fn a_worker_without_secrets_names_what_is_missing() {
    for command in [&["config", "check"][..], &["worker"], &["up"]] {
        let ran = facteur(command, &[("FACTEUR_METRICS_LISTEN", "127.0.0.1:0")]);
        assert_eq!(ran.code, Some(2), "{command:?}: {ran:?}");
        let lines: Vec<_> = ran.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{ran:?}");
        assert!(
            lines.iter().any(|line| line.starts_with("error: TWILIO_ACCOUNT_SID is not set: set it")),
            "{ran:?}"
        );
        assert!(
            lines.iter().any(|line| line.starts_with("error: TWILIO_AUTH_TOKEN is not set: set it")),
            "{ran:?}"
        );
    }
}

#[test]
fn a_simulator_on_this_machine_needs_none() {
    let ran = facteur(&["config", "check"], &[("TWILIO_BASE_URL", "http://127.0.0.1:9090")]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.starts_with("the configuration is fine"), "{ran:?}");
}

#[test]
fn the_account_of_development_is_the_simulators() {
    use facteur::config::{SIMULATOR_ACCOUNT_SID, SIMULATOR_AUTH_TOKEN};
    assert_eq!(SIMULATOR_ACCOUNT_SID, twilio_sim::ACCOUNT_SID);
    assert_eq!(SIMULATOR_AUTH_TOKEN, twilio_sim::AUTH_TOKEN);
}

#[test]
fn show_tells_each_origin_and_no_secret() {
    let environment = [
        ("AMQP_URL", "amqp://me:5ecre75ecre75ecre75ecre75ecre75e@broker/x"),
        ("TWILIO_AUTH_TOKEN", SECRET),
        ("FACTEUR_PREFIX", "post"),
    ];
    for arguments in [&["config", "show"][..], &["config", "show", "--json"]] {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--set", "worker.concurrency=7"]);
        let ran = facteur(&arguments, &environment);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!ran.stdout.contains("5ecre7") && !ran.stderr.contains("5ecre7"), "{ran:?}");
    }
    let shown = facteur(&["config", "show", "--json", "--set", "worker.concurrency=7"], &environment).json();
    let setting = |key: &str| {
        let found =
            shown["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap();
        (found["value"].as_str().unwrap_or("-").to_owned(), found["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(setting("amqp.url"), ("amqp://me:***@broker/x".to_owned(), "environment".to_owned()));
    assert_eq!(setting("worker.concurrency"), ("7".to_owned(), "flag".to_owned()));
    assert_eq!(setting("telemetry.log"), ("info".to_owned(), "default".to_owned()));
    assert_eq!(setting("twilio.auth_token"), ("***".to_owned(), "environment".to_owned()));
}

#[test]
fn a_missing_configuration_file_is_named() {
    let ran = facteur(&["config", "show", "--config", "/nowhere/facteur.toml"], &[]);
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.starts_with("error: the configuration file /nowhere/facteur.toml can't be read"),
        "{ran:?}"
    );
}

#[test]
fn the_sample_file_is_read_as_it_is() {
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/facteur.toml");
    let ran = facteur(&["config", "show", "--config", sample], &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[test]
fn a_job_that_no_worker_would_take_is_refused_before_it_is_published() {
    let rows = [
        (&["--to", "12", "--body", "x"][..], "number_invalid: to"),
        (&["--to", "+33612345678"], "content_missing: body"),
        (&["--to", "+33612345678", "--body", "x", "--from", "+1"], "invalid_field: from"),
        (&["--to", "+33612345678", "--body", "x", "--media", "ftp://x"], "media_url_invalid: media_urls[0]"),
        (&["--to", "+33612345678", "--body", "x", "--expires-in", "soon"], "--expires-in"),
        (&["--to", "+33612345678", "--body", "x", "--expires-in", "0s"], "--expires-in"),
        (&["--to", "+33612345678", "--body", "x", "--tenant", "A B"], "invalid_field: tenant"),
    ];
    for (flags, expected) in rows {
        let arguments: Vec<_> = ["send"].iter().chain(flags).copied().collect();
        let ran = facteur(&arguments, &[("AMQP_URL", "amqp://127.0.0.1:1")]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(expected) && ran.stderr.lines().count() == 1, "{expected}: {ran:?}");
        assert!(!ran.stderr.contains("612345678"), "{ran:?}");
    }
}

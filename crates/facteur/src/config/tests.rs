//! The configuration, tested without a process: sources are values.

use std::collections::{BTreeMap, BTreeSet};

use facteur_core::job::Channel;
use facteur_core::lane::Lane;
use secrecy::ExposeSecret;

use super::*;

const SECRET: &str = "5ecre7token5ecre7token5ecre7toke";

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, Option<String>> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect()
}

fn with_environment(pairs: &[(&str, &str)]) -> Result<Loaded, Problems> {
    load(&Sources { environment: environment(pairs), ..Sources::default() })
}

fn with_file(text: &str) -> Result<Loaded, Problems> {
    load(&Sources { file: Some(text.to_owned()), ..Sources::default() })
}

fn with_flags(flags: &[&str]) -> Result<Loaded, Problems> {
    load(&Sources { flags: flags.iter().map(|flag| (*flag).to_owned()).collect(), ..Sources::default() })
}

fn problem(loaded: Result<Loaded, Problems>) -> String {
    loaded.err().expect("a problem").to_string()
}

#[test]
fn nothing_set_gives_the_defaults_of_the_table() {
    let loaded = load(&Sources::default()).unwrap();
    let config = &loaded.config;
    assert_eq!(config.amqp.url.expose_secret(), "amqp://guest:guest@127.0.0.1:5672/%2f");
    assert_eq!(config.amqp.prefix, "facteur");
    assert_eq!(config.database.pool_size, 16);
    assert_eq!(config.twilio.base_url.as_str(), "https://api.twilio.com/");
    assert_eq!(config.worker.default_country, Country::FRANCE);
    assert_eq!(config.worker.sender_rate, None);
    assert!(config.worker.events);
    assert_eq!(config.telemetry.metrics_listen.to_string(), "127.0.0.1:9464");
    assert!(loaded.values.iter().all(|value| value.origin == Origin::Default));
}

#[test]
fn every_row_of_the_table_is_well_formed_and_stands_once() {
    let keys: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.key).collect();
    let names: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.env).collect();
    assert_eq!((keys.len(), names.len()), (SETTINGS.len(), SETTINGS.len()));
    for setting in SETTINGS {
        let section = settings::section_of(setting.key);
        assert!(
            settings::SECTIONS.iter().any(|(name, _)| *name == section),
            "{} has no section",
            setting.key
        );
        assert!(setting.doc.ends_with('.'), "{} lacks a sentence", setting.key);
        assert!(setting.env.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'), "{}", setting.env);
    }
}

#[test]
fn flags_go_over_the_environment_and_that_over_the_file() {
    let mut sources = Sources { file: Some("[worker]\nconcurrency = 10\n".to_owned()), ..Sources::default() };
    let read = |sources: &Sources| {
        let loaded = load(sources).unwrap();
        (loaded.config.worker.concurrency, loaded.origin("worker.concurrency"))
    };
    assert_eq!(read(&sources), (10, Origin::File));
    sources.environment = environment(&[("FACTEUR_CONCURRENCY", "20")]);
    assert_eq!(read(&sources), (20, Origin::Environment));
    sources.flags = vec!["worker.concurrency=30".to_owned(), "worker.concurrency=40".to_owned()];
    assert_eq!(read(&sources), (40, Origin::Flag));
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let loaded = with_environment(&[("TWILIO_AUTH_TOKEN", ""), ("FACTEUR_CONCURRENCY", "  ")]).unwrap();
    assert_eq!(loaded.config.worker.concurrency, 64);
    assert!(loaded.config.twilio.auth_token.is_none());
}

#[test]
fn unknown_names_are_refused_with_the_nearest_known_one() {
    let rows = [
        (with_file("[worker]\nconcurency = 3\n"), "unknown key `worker.concurency`", "`worker.concurrency`"),
        (with_file("concurrency = 3\n"), "outside of a section", "`worker.concurrency`"),
        (with_file("[amqp]\nconcurrency = 3\n"), "unknown key `amqp.concurrency`", "`worker.concurrency`"),
        (with_file("[colour]\nblue = 3\n"), "unknown key `colour.blue`", "config show"),
        (with_environment(&[("FACTEUR_CONCURENCY", "3")]), "FACTEUR_CONCURENCY", "`FACTEUR_CONCURRENCY`"),
        (with_environment(&[("FACTEUR_COLOUR", "3")]), "FACTEUR_COLOUR", "config show"),
        (with_flags(&["worker.event=1"]), "`worker.event`", "`worker.events`"),
        (with_flags(&["AMQP_URL=amqp://x"]), "`AMQP_URL`", "`amqp.url`"),
    ];
    for (loaded, what, remedy) in rows {
        let text = problem(loaded);
        assert!(text.contains(what) && text.contains(remedy) && text.lines().count() == 1, "{text}");
    }
}

#[test]
fn what_kubernetes_adds_for_services_is_passed_over() {
    let loaded = with_environment(&[
        ("FACTEUR_SERVICE_HOST", "10.0.0.1"),
        ("FACTEUR_WORKER_SERVICE_PORT_METRICS", "9464"),
        ("FACTEUR_PORT", "tcp://10.0.0.1:80"),
        ("FACTEUR_WORKER_PORT_9464_TCP_ADDR", "10.0.0.1"),
        ("FACTEUR_PORT_80_TCP", "tcp://10.0.0.1:80"),
    ]);
    assert!(loaded.is_ok());
    assert!(with_environment(&[("FACTEUR_PORT", "9464")]).is_err());
    assert!(with_environment(&[("FACTEUR_PORT_METRICS", "9464")]).is_err());
}

#[test]
fn a_bad_value_names_the_setting_and_what_it_takes() {
    let rows = [
        ("AMQP_URL", "http://127.0.0.1", "amqp:// or amqps://"),
        ("DATABASE_URL", "mysql://127.0.0.1/x", "postgres:// or postgresql://"),
        ("TWILIO_ACCOUNT_SID", "AC12", "AC and 32 hexadecimal digits"),
        ("TWILIO_API_KEY", "AC00000000000000000000000000000000", "SK and 32 hexadecimal digits"),
        ("TWILIO_PHONE_NUMBER", "whatsapp:+33612345678", "number with its country code"),
        ("TWILIO_WHATSAPP_NUMBER", "Facteur", "number with its country code"),
        ("TWILIO_MESSAGING_SERVICE_SID", "MG1", "MG and 32 hexadecimal digits"),
        ("TWILIO_BASE_URL", "api.twilio.com", "http or https URL"),
        ("TWILIO_BASE_URL", "https://user:pw@api.twilio.com", "without user"),
        ("FACTEUR_PUBLIC_URL", "ftp://example.com", "http or https URL"),
        ("FACTEUR_PREFIX", "Facteur!", "a-z"),
        ("FACTEUR_PREFIX", "amq.x", "broker's own"),
        ("FACTEUR_DEFAULT_COUNTRY", "France", "two letters"),
        ("FACTEUR_METRICS_LISTEN", "localhost", "address and a port"),
        ("FACTEUR_CONCURRENCY", "0", "from 1 to 4096"),
        ("FACTEUR_CONCURRENCY", "many", "from 1 to 4096"),
        ("FACTEUR_DATABASE_POOL_SIZE", "1", "from 4 to 200"),
        ("FACTEUR_SENDER_RATE", "0", "out of range"),
        ("FACTEUR_SENDER_RATE", "NaN", "out of range"),
        ("FACTEUR_LOG", "loud=[", "log filter"),
        ("FACTEUR_LOG_FORMAT", "xml", "human nor json"),
        ("FACTEUR_EVENTS", "perhaps", "true nor false"),
    ];
    for (name, value, remedy) in rows {
        let text = problem(with_environment(&[(name, value)]));
        assert!(text.starts_with(name) && text.contains(remedy), "{text}");
        assert!(!text.contains(value) || value == "0", "{text} repeats the value");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let text = problem(with_environment(&[("FACTEUR_EVENTS", "perhaps"), ("FACTEUR_LOG_FORMAT", "xml")]));
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[test]
fn a_value_that_is_not_unicode_is_named() {
    let environment = BTreeMap::from([("AMQP_URL".to_owned(), None)]);
    let text = problem(load(&Sources { environment, ..Sources::default() }));
    assert_eq!(text, "AMQP_URL is not Unicode text");
}

#[test]
fn a_file_that_is_not_toml_is_named_by_line_without_its_text() {
    let text = problem(with_file(&format!("[twilio]\n\nauth_token = \"{SECRET}\n")));
    assert!(text.contains("line 3") && !text.contains("5ecre7"), "{text}");
}

#[test]
fn a_value_of_the_wrong_kind_says_how_to_write_it() {
    let rows = [
        ("[worker]\nconcurrency = \"3\"\n", "worker.concurrency (configuration file) is not a whole number"),
        ("[worker]\nevents = \"true\"\n", "without quotes"),
        ("[worker]\nsender_rate = \"3\"\n", "without quotes"),
        ("[twilio]\nphone_number = 33612345678\n", "write it in quotes"),
    ];
    for (file, expected) in rows {
        let text = problem(with_file(file));
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn rates_are_taken_whole_or_with_a_fraction() {
    for (file, expected) in [("sender_rate = 3", 3.0), ("sender_rate = 0.5", 0.5)] {
        let rate = with_file(&format!("[worker]\n{file}\n")).unwrap().config.worker.sender_rate.unwrap();
        assert!((rate.as_per_second() - expected).abs() < 1e-9);
    }
}

#[test]
fn the_sample_file_holds_every_default_and_every_key() {
    let sample = sample_file();
    let loaded = with_file(&sample).unwrap();
    for value in &loaded.values {
        assert_eq!(value.text.as_deref(), value.setting.default, "{}", value.setting.key);
        let expected = if value.setting.default.is_some() { Origin::File } else { Origin::Default };
        assert_eq!(value.origin, expected, "{}", value.setting.key);
    }
    let uncommented = sample.lines().map(|line| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    });
    let table: toml::Table = uncommented.collect::<Vec<_>>().join("\n").parse().unwrap();
    let keys: usize = table.values().map(|section| section.as_table().unwrap().len()).sum();
    assert_eq!(keys, SETTINGS.len());
}

#[test]
fn secrets_appear_nowhere() {
    let loaded = with_environment(&[
        ("AMQP_URL", &format!("amqp://me:{SECRET}@broker:5672/vhost?heartbeat=5")),
        (
            "DATABASE_URL",
            &format!("postgres://me:a/b@{SECRET}@one:1,two:2/db?password={SECRET}&sslmode=require"),
        ),
        ("TWILIO_AUTH_TOKEN", SECRET),
        ("TWILIO_API_SECRET", SECRET),
    ])
    .unwrap();
    let shown: Vec<_> = loaded.values.iter().filter_map(masked).collect();
    assert!(shown.iter().all(|text| !text.contains("5ecre7")), "{shown:?}");
    assert!(shown.contains(&"amqp://me:***@broker:5672/vhost?heartbeat=5".to_owned()), "{shown:?}");
    assert!(
        shown.contains(&"postgres://me:***@one:1,two:2/db?password=***&sslmode=require".to_owned()),
        "{shown:?}"
    );
    assert!(!format!("{:?}", loaded.config).contains("5ecre7"));
}

const ACCOUNT: &str = "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const KEY: &str = "SKaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn development_on_this_machine_needs_no_secrets() {
    for base_url in ["http://127.0.0.1:9090", "http://localhost:9090", "http://[::1]:9090"] {
        let twilio = with_environment(&[("TWILIO_BASE_URL", base_url)]).unwrap().config.twilio;
        let credentials = twilio.credentials().unwrap();
        assert_eq!(credentials.account_sid, SIMULATOR_ACCOUNT_SID);
        assert_eq!(credentials.account_sid, SIMULATOR_ACCOUNT_SID);
        assert_eq!(twilio.default_sender(Channel::Sms).unwrap().as_str(), SIMULATOR_PHONE_NUMBER);
    }
}

/// A list of variables, and how each problem begins that they lead to.
type MissingRow<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn anywhere_else_a_missing_secret_is_an_error_that_names_the_variable() {
    let rows: &[MissingRow] = &[
        (&[], &["TWILIO_ACCOUNT_SID is not set", "TWILIO_AUTH_TOKEN is not set"]),
        (&[("TWILIO_BASE_URL", "http://10.0.0.1")], &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]),
        (
            &[("TWILIO_BASE_URL", "http://localhost.evil.example")],
            &["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"],
        ),
        (&[("TWILIO_ACCOUNT_SID", ACCOUNT)], &["TWILIO_AUTH_TOKEN is not set"]),
        (&[("TWILIO_AUTH_TOKEN", SECRET)], &["TWILIO_ACCOUNT_SID is not set"]),
        (&[("TWILIO_ACCOUNT_SID", ACCOUNT), ("TWILIO_API_KEY", KEY)], &["TWILIO_API_SECRET is not set"]),
        (&[("TWILIO_ACCOUNT_SID", ACCOUNT), ("TWILIO_API_SECRET", SECRET)], &["TWILIO_API_KEY is not set"]),
        (
            &[("TWILIO_BASE_URL", "http://127.0.0.1"), ("TWILIO_ACCOUNT_SID", ACCOUNT)],
            &["TWILIO_AUTH_TOKEN is not set"],
        ),
    ];
    for (pairs, expected) in rows {
        let problems = with_environment(pairs).unwrap().config.twilio.credentials().unwrap_err();
        assert_eq!(problems.0.len(), expected.len(), "{problems}");
        for start in *expected {
            assert!(problems.0.iter().any(|problem| problem.starts_with(start)), "{problems}");
        }
    }
}

#[test]
fn while_the_token_is_rotated_both_sign_and_the_new_one_authorises() {
    let pairs = [
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_AUTH_TOKEN", SECRET),
        ("TWILIO_AUTH_TOKEN_PREVIOUS", "the one before"),
    ];
    let credentials = with_environment(&pairs).unwrap().config.twilio.credentials().unwrap();
    let signing: Vec<_> = credentials.signing_tokens.iter().map(|token| token.expose_secret()).collect();
    assert_eq!(signing, [SECRET, "the one before"]);
    assert!(
        matches!(credentials.auth, facteur_twilio::Auth::Token(ref token) if token.expose_secret() == SECRET)
    );
}

#[test]
fn an_api_key_authorises_and_the_token_still_signs() {
    let pairs = [
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("TWILIO_API_KEY", KEY),
        ("TWILIO_API_SECRET", "of the key"),
        ("TWILIO_AUTH_TOKEN", SECRET),
    ];
    let credentials = with_environment(&pairs).unwrap().config.twilio.credentials().unwrap();
    assert!(matches!(credentials.auth, facteur_twilio::Auth::ApiKey { ref sid, .. } if sid == KEY));
    assert_eq!(credentials.signing_tokens[0].expose_secret(), SECRET);
    let without = with_environment(&pairs[..3]).unwrap().config.twilio.credentials().unwrap();
    assert!(without.signing_tokens.is_empty());
}

#[test]
fn each_channel_has_its_default_sender() {
    let service = "MGaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let mut pairs =
        vec![("TWILIO_PHONE_NUMBER", "+33 6 12 34 56 78"), ("TWILIO_WHATSAPP_NUMBER", "+1 415 523 8886")];
    let sender = |pairs: &[(&str, &str)], channel| {
        with_environment(pairs)
            .unwrap()
            .config
            .twilio
            .default_sender(channel)
            .map(|sender| sender.to_string())
    };
    assert_eq!(sender(&pairs, Channel::Sms).unwrap(), "+33612345678");
    assert_eq!(sender(&pairs, Channel::Whatsapp).unwrap(), "whatsapp:+14155238886");
    pairs.push(("TWILIO_MESSAGING_SERVICE_SID", service));
    assert_eq!(sender(&pairs, Channel::Mms).unwrap(), service);
    assert_eq!(sender(&[], Channel::Sms), None);
    assert_eq!(
        sender(&[("TWILIO_WHATSAPP_NUMBER", "whatsapp:+14155238886")], Channel::Whatsapp).unwrap(),
        "whatsapp:+14155238886"
    );
}

#[test]
fn concurrency_splits_over_the_lanes() {
    for (concurrency, expected) in
        [("64", [16, 64, 32]), ("8", [8, 8, 4]), ("1", [8, 1, 1]), ("400", [100, 400, 200])]
    {
        let worker = with_environment(&[("FACTEUR_CONCURRENCY", concurrency)]).unwrap().config.worker;
        assert_eq!(Lane::ALL.map(|lane| worker.permits(lane)), expected);
    }
}

#[test]
fn a_url_that_no_worker_could_use_is_a_wrong_configuration_and_is_not_repeated() {
    for flag in
        ["amqp.url=amqp://u:S3CRET/pw@host/brk", "database.url=postgres://u:S3CRET@host/x?sslmode=bogus"]
    {
        let loaded = load(&Sources { flags: vec![flag.to_owned()], ..Sources::default() });
        let sentence = loaded.err().map(|problems| problems.to_string()).unwrap_or_default();
        assert!(sentence.contains("_URL") && !sentence.contains("S3C"), "{sentence}");
    }
}

#[test]
fn only_a_simulator_is_asked_for_receipts_at_once() {
    let hasty = "worker.receipt_poll_first_s=1";
    let text = problem(with_flags(&[hasty]));
    assert!(text.contains("FACTEUR_RECEIPT_POLL_FIRST_S") && text.contains("at least"), "{text}");
    let simulated = with_flags(&[hasty, "twilio.base_url=http://127.0.0.1:4010"]).unwrap();
    assert_eq!(simulated.config.worker.receipt_poll_first_s, 1);
    assert_eq!(with_flags(&[]).unwrap().config.worker.receipt_poll_first_s, 600);
}

#[test]
fn prices_are_read_by_channel_and_country_and_take_a_currency() {
    let file = "[prices]\ncurrency = \"EUR\"\nsms = \"0.07,FR=0.0725\"\n";
    let prices = with_file(file).unwrap_or_else(|problems| panic!("{problems}")).config.prices;
    let estimate = |code: &str, channel| {
        let country = facteur_core::phone::Country::parse(code).ok();
        prices.estimate(channel, country, 2).map(|amount| amount.to_string())
    };
    use facteur_core::job::Channel::{Mms, Sms};
    assert_eq!(
        [estimate("FR", Sms).as_deref(), estimate("SN", Sms).as_deref()],
        [Some("0.145"), Some("0.14")]
    );
    assert_eq!(estimate("FR", Mms), None);
    for (loaded, place, part) in [
        (with_file("[prices]\nsms = \"0.07\"\n"), "FACTEUR_PRICE_CURRENCY (prices.currency)", "is not set"),
        (with_file("[prices]\nsms = 0.07\n"), "prices.sms", "write it in quotes"),
        (with_file("[prices]\ncurrency = \"euro\"\n"), "prices.currency", "three letters"),
        (with_environment(&[("FACTEUR_PRICE_MMS", "FR=0,2")]), "FACTEUR_PRICE_MMS", "without a country"),
        (with_environment(&[("FACTEUR_PRICE_SMS", "XX=0.2")]), "FACTEUR_PRICE_SMS", "`XX`"),
        (with_flags(&["prices.whatsapp=-1"]), "--set prices.whatsapp", "is no price"),
    ] {
        let text = problem(loaded);
        assert!(text.contains(place) && text.contains(part) && text.lines().count() == 1, "{text}");
    }
}

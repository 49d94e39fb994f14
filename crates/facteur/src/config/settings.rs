//! The one list of settings. The reader of files, environment and flags, the sample file, the reference page
//! and `facteur config show` are all made from it: a setting that is not here does not exist.

use std::time::Duration;

use super::sections::Config;
use super::web_settings::{
    CORS_ORIGINS, DEFAULT_KEYS, JWT_AUDIENCE, JWT_ISSUER, JWT_JWKS_URL, JWT_SECRET, TRUSTED_PROXIES,
};
use super::{parse, price_settings as prices};

/// One setting.
pub struct Setting {
    /// `section.name`, as in the file and after `--set`.
    pub key: &'static str,
    /// The environment variable.
    pub env: &'static str,
    /// The value that holds where nothing is set; `None` leaves it unset.
    pub default: Option<&'static str>,
    /// How it is written in the file.
    pub form: Form,
    /// What of it may be shown.
    pub secrecy: Secrecy,
    /// What it is for, with unit and range.
    pub doc: &'static str,
    /// Checks the text and stores it; the error is the end of a sentence about the setting.
    pub(super) store: fn(&mut Config, &str) -> Result<(), String>,
}

/// How a setting is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// In quotes.
    Text,
    /// A whole number.
    Whole,
    /// A number, with or without a fraction.
    Number,
    /// `true` or `false`.
    Boolean,
}

/// What of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// All of it.
    Public,
    /// A URL, of which the password is hidden.
    Password,
    /// Nothing.
    Secret,
}

/// The section of a key.
#[must_use]
pub(super) fn section_of(key: &str) -> &str {
    key.split_once('.').map_or(key, |(section, _)| section)
}

/// What stands above each section in the sample and the reference page.
pub(super) const SECTIONS: [(&str, &str); 7] = [
    ("amqp", "The broker (RabbitMQ 3.10 or newer)."),
    ("database", "The database (PostgreSQL 14 or newer)."),
    ("twilio", "The account at Twilio. Keep secrets in the environment rather than in a file."),
    ("worker", "The work."),
    ("web", "The web process."),
    ("prices", "What messages cost, for estimates alone; nothing is billed."),
    ("telemetry", "What a process tells about itself."),
];

/// Every setting, in the order of the sample file.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "amqp.url",
        env: "AMQP_URL",
        default: Some("amqp://guest:guest@127.0.0.1:5672/%2f"),
        form: Form::Text,
        secrecy: Secrecy::Password,
        doc: "URL of the broker: amqp:// or amqps:// (TLS); the path is the virtual host, with / written as %2f.",
        store: |config, text| {
            parse::server_url(text, &["amqp://", "amqps://"]).map(|url| config.amqp.url = url)
        },
    },
    Setting {
        key: "amqp.prefix",
        env: "FACTEUR_PREFIX",
        default: Some("facteur"),
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "First part of the name of every exchange and queue, so that many systems can share a broker.",
        store: |config, text| parse::prefix(text).map(|prefix| config.amqp.prefix = prefix),
    },
    Setting {
        key: "database.url",
        env: "DATABASE_URL",
        default: Some("postgres://facteur:facteur@127.0.0.1:5432/facteur"),
        form: Form::Text,
        secrecy: Secrecy::Password,
        doc: "URL of the database: postgres:// or postgresql://; everything lives in its schema `facteur`.",
        store: |config, text| {
            parse::server_url(text, &["postgres://", "postgresql://"]).map(|url| config.database.url = url)
        },
    },
    Setting {
        key: "database.pool_size",
        env: "FACTEUR_DATABASE_POOL_SIZE",
        default: Some("16"),
        form: Form::Whole,
        secrecy: Secrecy::Public,
        doc: "Most connections to the database of one process, 4 to 200; `facteur up` takes a quarter more for its web \
              part.",
        store: |config, text| parse::whole(text, 4, 200).map(|size| config.database.pool_size = size),
    },
    Setting {
        key: "twilio.account_sid",
        env: "TWILIO_ACCOUNT_SID",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "The account: AC and 32 hexadecimal digits. With no account, token or key set and base_url on this \
              machine, the simulator's fixed account is used.",
        store: |config, text| parse::sid(text, "AC").map(|sid| config.twilio.account_sid = Some(sid)),
    },
    Setting {
        key: "twilio.auth_token",
        env: "TWILIO_AUTH_TOKEN",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Secret,
        doc: "The account's auth token. It authorises calls and signs callbacks.",
        store: |config, text| parse::secret(text).map(|token| config.twilio.auth_token = Some(token)),
    },
    Setting {
        key: "twilio.auth_token_previous",
        env: "TWILIO_AUTH_TOKEN_PREVIOUS",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Secret,
        doc: "The auth token that is being replaced: callbacks that it signed are taken too. It authorises no calls.",
        store: |config, text| {
            parse::secret(text).map(|token| config.twilio.auth_token_previous = Some(token))
        },
    },
    Setting {
        key: "twilio.api_key",
        env: "TWILIO_API_KEY",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "An API key (SK and 32 hexadecimal digits) that authorises calls in the auth token's place. It can't \
              verify callbacks: only the auth token signs them.",
        store: |config, text| parse::sid(text, "SK").map(|sid| config.twilio.api_key = Some(sid)),
    },
    Setting {
        key: "twilio.api_secret",
        env: "TWILIO_API_SECRET",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Secret,
        doc: "The API key's secret.",
        store: |config, text| parse::secret(text).map(|secret| config.twilio.api_secret = Some(secret)),
    },
    Setting {
        key: "twilio.phone_number",
        env: "TWILIO_PHONE_NUMBER",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "Sender of SMS and MMS jobs that name none: a number with its country code (+33…), a short code or an \
              alphanumeric id.",
        store: |config, text| {
            parse::phone_sender(text).map(|sender| config.twilio.phone_number = Some(sender))
        },
    },
    Setting {
        key: "twilio.whatsapp_number",
        env: "TWILIO_WHATSAPP_NUMBER",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "Sender of WhatsApp jobs that name none: a number with its country code, with or without whatsapp:.",
        store: |config, text| {
            parse::whatsapp_sender(text).map(|sender| config.twilio.whatsapp_number = Some(sender))
        },
    },
    Setting {
        key: "twilio.messaging_service_sid",
        env: "TWILIO_MESSAGING_SERVICE_SID",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "A Messaging Service (MG and 32 hexadecimal digits) that sends SMS and MMS jobs in phone_number's place.",
        store: |config, text| {
            parse::messaging_service(text).map(|service| config.twilio.messaging_service_sid = Some(service))
        },
    },
    Setting {
        key: "twilio.base_url",
        env: "TWILIO_BASE_URL",
        default: Some("https://api.twilio.com"),
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "Where Twilio's API is; another host for a simulator or a region.",
        store: |config, text| parse::http_url(text).map(|url| config.twilio.base_url = url),
    },
    Setting {
        key: "twilio.shared",
        env: "FACTEUR_TWILIO_SHARED",
        default: Some("true"),
        form: Form::Boolean,
        secrecy: Secrecy::Public,
        doc: "Whether tenants that have no integration of their own send over this account. The tenant `default` always \
              does where it has none for the channel.",
        store: |config, text| parse::boolean(text).map(|shared| config.twilio.is_shared = shared),
    },
    Setting {
        key: "twilio.secret_key",
        env: "FACTEUR_SECRET_KEY",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Secret,
        doc: "What seals the credentials of tenants' integrations in the database: 32 bytes in base64 or hexadecimal \
              (`openssl rand -base64 32`), or several as id:key,id:key, of which the first one seals and all open. A \
              key alone has the id 1.",
        store: |config, text| parse::keyring(text).map(|keyring| config.twilio.keyring = keyring.into()),
    },
    Setting {
        key: "worker.concurrency",
        env: "FACTEUR_CONCURRENCY",
        default: Some("64"),
        form: Form::Whole,
        secrecy: Secrecy::Public,
        doc: "Jobs that the lane `normal` works on at once, 1 to 4096. On top of it, `urgent` has a quarter of it, \
              but at least 8, and `bulk` half of it; the broker hands out 64 more envelopes to each.",
        store: |config, text| parse::whole(text, 1, 4_096).map(|permits| config.worker.concurrency = permits),
    },
    Setting {
        key: "worker.sender_rate",
        env: "FACTEUR_SENDER_RATE",
        default: None,
        form: Form::Number,
        secrecy: Secrecy::Public,
        doc: "SMS segments a second of each sender that has no row of its own in facteur.senders, 0.00001 to \
              100000, over all workers together. Unset is no limit.",
        store: |config, text| parse::rate(text).map(|rate| config.worker.sender_rate = Some(rate)),
    },
    Setting {
        key: "worker.default_country",
        env: "FACTEUR_DEFAULT_COUNTRY",
        default: Some("FR"),
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "Country of numbers that are written without a country code: two letters (ISO 3166).",
        store: |config, text| parse::country(text).map(|country| config.worker.default_country = country),
    },
    Setting {
        key: "worker.public_url",
        env: "FACTEUR_PUBLIC_URL",
        default: None,
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "Where Twilio reaches this system from outside: messages then ask for status callbacks under \
              /twilio/webhook/status there. Unset means that none is asked for.",
        store: |config, text| parse::http_url(text).map(|url| config.worker.public_url = Some(url)),
    },
    Setting {
        key: "worker.events",
        env: "FACTEUR_EVENTS",
        default: Some("true"),
        form: Form::Boolean,
        secrecy: Secrecy::Public,
        doc: "Whether message.sent, message.failed and so on are published to the exchange of events.",
        store: |config, text| parse::boolean(text).map(|events| config.worker.events = events),
    },
    Setting {
        key: "worker.receipt_polling",
        env: "FACTEUR_RECEIPT_POLLING",
        default: Some("true"),
        form: Form::Boolean,
        secrecy: Secrecy::Public,
        doc: "Whether Twilio is asked for receipts that no callback brings, from 10 minutes to 72 hours after the \
              message. Without a public_url it is the only source of receipts, and costs at least one GET for each \
              message, 10 a second for each worker at most.",
        store: |config, text| parse::boolean(text).map(|polling| config.worker.receipt_polling = polling),
    },
    Setting {
        key: "worker.receipt_poll_first_s",
        env: "FACTEUR_RECEIPT_POLL_FIRST_S",
        default: Some("600"),
        form: Form::Whole,
        secrecy: Secrecy::Public,
        doc: "Age of a message, in seconds, at the first question for its receipt, 600 to 86400; the later ones come \
              at 3, 6, 18, 36, 72, 144, 288 and 432 times this age. Less than 600 (at least 1) is taken with a \
              simulator on this machine.",
        store: |config, text| {
            parse::whole(text, 1, 86_400).map(|seconds| config.worker.receipt_poll_first_s = seconds)
        },
    },
    Setting {
        key: "worker.uncertain_policy",
        env: "FACTEUR_UNCERTAIN_POLICY",
        default: Some("hold"),
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "What becomes of messages of which nobody can find out whether Twilio took them: hold (a dead letter for a \
              person, so that at most one text goes out) or resend (at least one, perhaps two), for all categories or \
              for some: otp=resend,marketing=hold (the others are held).",
        store: |config, text| {
            parse::policies(text).map(|policies| config.worker.uncertain_policies = policies)
        },
    },
    Setting {
        key: "worker.uncertain_grace_s",
        env: "FACTEUR_UNCERTAIN_GRACE_S",
        default: Some("1800"),
        form: Form::Whole,
        secrecy: Secrecy::Public,
        doc: "How long evidence about such messages is searched for before the policy decides, in seconds, 1800 to \
              86400; from 1 on if twilio.base_url is on this machine.",
        store: |config, text| {
            parse::whole(text, 1, 86_400)
                .map(|seconds| config.worker.uncertain_grace = Duration::from_secs(seconds))
        },
    },
    Setting {
        key: "web.listen",
        env: "FACTEUR_LISTEN",
        default: Some("127.0.0.1:8080"),
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "Address and port of the web process's routes; port 0 takes a free one. What stands before it (TLS, the \
              public URL) must hand path and query on as they came.",
        store: |config, text| parse::listen_address(text).map(|address| config.web.listen = address),
    },
    CORS_ORIGINS,
    TRUSTED_PROXIES,
    DEFAULT_KEYS,
    JWT_SECRET,
    JWT_JWKS_URL,
    JWT_ISSUER,
    JWT_AUDIENCE,
    Setting {
        key: "web.tenant_rate",
        env: "FACTEUR_TENANT_RATE",
        default: None,
        form: Form::Number,
        secrecy: Secrecy::Public,
        doc: "Messages a second that each tenant may hand in to one web process, 0.00001 to 100000; what is more is told \
              to come again (429). Unset is no limit.",
        store: |config, text| parse::rate(text).map(|rate| config.web.tenant_rate = Some(rate)),
    },
    Setting {
        key: "web.outbox_max",
        env: "FACTEUR_OUTBOX_MAX",
        default: Some("1000000"),
        form: Form::Whole,
        secrecy: Secrecy::Public,
        doc: "Messages that may wait to be handed to the broker, 1000 to 100000000; beyond that, requests are told to \
              come again (503).",
        store: |config, text| parse::whole(text, 1_000, 100_000_000).map(|rows| config.web.outbox_max = rows),
    },
    prices::CURRENCY,
    prices::SMS,
    prices::MMS,
    prices::WHATSAPP,
    Setting {
        key: "telemetry.log",
        env: "FACTEUR_LOG",
        default: Some("info"),
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "What is logged to stderr: error, warn, info, debug, trace, or directives such as \
              info,facteur_amqp=debug. Unset, commands that end by themselves log only warnings.",
        store: |config, text| parse::log_filter(text).map(|filter| config.telemetry.log = filter),
    },
    Setting {
        key: "telemetry.log_format",
        env: "FACTEUR_LOG_FORMAT",
        default: Some("human"),
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "How log lines look: human, or json (one object a line).",
        store: |config, text| parse::log_format(text).map(|format| config.telemetry.log_format = format),
    },
    Setting {
        key: "telemetry.metrics_listen",
        env: "FACTEUR_METRICS_LISTEN",
        default: Some("127.0.0.1:9464"),
        form: Form::Text,
        secrecy: Secrecy::Public,
        doc: "Address and port of /metrics, /healthz and /readyz; port 0 takes a free one. They are \
              open to whoever can connect: keep the address inside.",
        store: |config, text| {
            parse::listen_address(text).map(|address| config.telemetry.metrics_listen = address)
        },
    },
];

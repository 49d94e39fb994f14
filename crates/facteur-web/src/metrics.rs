//! Every metric of the web process. Each series exists from the start, at zero.

use std::time::Duration;

use metrics::{counter, gauge, histogram};

facteur_core::metrics_table! {
    CALLBACKS = "facteur_callbacks_total", Counter, ["result"], "Status callbacks by what became of them: applied, replay (known already), unknown (no message of ours), refused (not verifiable), malformed, or unavailable (the database is away; Twilio comes again).";
    INBOUND = "facteur_inbound_total", Counter, ["result"], "Inbound messages by what became of them: stored, replay (known already), refused (not verifiable), malformed, or unavailable (the database is away; Twilio comes again).";
    WEBHOOK_SECONDS = "facteur_webhook_seconds", Histogram, [], "From a webhook's body to its answer.";
    AUTHENTICATIONS = "facteur_authentications_total", Counter, ["result"], "Requests to routes that want a bearer, by how they were known: key, token, default (the default key of a family), missing (no bearer), refused (one that is not valid), or braked (too many of those from one network).";
    DOUBLED = "facteur_doubled_total", Counter, [], "Jobs of which two attempts have a SID: the recipient may have two texts. Always 0, or somebody must know why.";
    SETTINGS_DIFFER = "facteur_settings_differ", Gauge, [], "1 while another live process of the system has other settings where all must agree.";
    CLOCK_OFFSET_SECONDS = "facteur_clock_offset_seconds", Gauge, [], "How far the database's clock is ahead of this machine's; deadlines follow the database's.";
}

/// What became of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallbackResult {
    Applied,
    Replay,
    Unknown,
    Refused,
    Malformed,
    Unavailable,
}

impl CallbackResult {
    const ALL: [Self; 6] =
        [Self::Applied, Self::Replay, Self::Unknown, Self::Refused, Self::Malformed, Self::Unavailable];

    fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Replay => "replay",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What became of an inbound message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InboundResult {
    Stored,
    Replay,
    Refused,
    Malformed,
    Unavailable,
}

impl InboundResult {
    const ALL: [Self; 5] = [Self::Stored, Self::Replay, Self::Refused, Self::Malformed, Self::Unavailable];

    fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Replay => "replay",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Unavailable => "unavailable",
        }
    }
}

/// How the bearer of a request was known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Authentication {
    Key,
    Token,
    Default,
    Missing,
    Refused,
    Braked,
}

impl Authentication {
    const ALL: [Self; 6] =
        [Self::Key, Self::Token, Self::Default, Self::Missing, Self::Refused, Self::Braked];

    fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Token => "token",
            Self::Default => "default",
            Self::Missing => "missing",
            Self::Refused => "refused",
            Self::Braked => "braked",
        }
    }
}

/// Creates every series.
pub fn create() {
    CallbackResult::ALL
        .iter()
        .for_each(|result| counter!(CALLBACKS, "result" => result.as_str()).absolute(0));
    InboundResult::ALL.iter().for_each(|result| counter!(INBOUND, "result" => result.as_str()).absolute(0));
    Authentication::ALL
        .iter()
        .for_each(|result| counter!(AUTHENTICATIONS, "result" => result.as_str()).absolute(0));
    counter!(DOUBLED).absolute(0);
    // The heartbeat that runs beside us sets these.
    [SETTINGS_DIFFER, CLOCK_OFFSET_SECONDS].into_iter().for_each(|name| gauge!(name).set(0.0));
}

pub(crate) fn answered(result: CallbackResult, took: Duration) {
    counter!(CALLBACKS, "result" => result.as_str()).increment(1);
    histogram!(WEBHOOK_SECONDS).record(took);
}

pub(crate) fn received(result: InboundResult, took: Duration) {
    counter!(INBOUND, "result" => result.as_str()).increment(1);
    histogram!(WEBHOOK_SECONDS).record(took);
}

pub(crate) fn authenticated(result: Authentication) {
    counter!(AUTHENTICATIONS, "result" => result.as_str()).increment(1);
}

pub(crate) fn doubled() {
    counter!(DOUBLED).increment(1);
}

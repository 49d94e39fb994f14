//! What the simulator can be told at its start. Every field has a default; unknown fields are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::faults::{FaultPlan, Latency};

/// SID of the default account.
pub const ACCOUNT_SID: &str = "AC00000000000000000000000000000000";
/// Auth token of the default account; it also signs its webhooks.
pub const AUTH_TOKEN: &str = "00000000000000000000000000000000";
/// SID of the API key of the default account.
pub const API_KEY_SID: &str = "SK00000000000000000000000000000000";
/// Secret of that key.
pub const API_KEY_SECRET: &str = "00000000000000000000000000000000";
/// SID of the test credentials: magic numbers only, nothing is stored, no callbacks.
pub const TEST_ACCOUNT_SID: &str = "AC11111111111111111111111111111111";
/// Auth token of the test credentials.
pub const TEST_AUTH_TOKEN: &str = "11111111111111111111111111111111";

/// The simulator's configuration, as a TOML or JSON file or built in a test.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimConfig {
    /// Seed of every chance; two runs with the same seed and requests decide alike. SIDs are unique anyway.
    pub seed: u64,
    /// Accounts that may log in.
    pub accounts: Vec<Account>,
    /// If set, only these senders (numbers, short codes, `whatsapp:+…`) and +15005550006 may send; others
    /// are refused with 21606 (63007 for WhatsApp).
    pub owned_senders: Option<Vec<String>>,
    /// If set, only these Messaging Services exist (others: 21701); each with its pool of senders.
    pub messaging_services: Option<BTreeMap<String, Vec<String>>>,
    /// Rate of each sender in segments a second; unset or zero = no limit. What comes faster is queued.
    pub sender_rate: Option<f64>,
    /// How many seconds of its own rate a sender queues before it refuses (429/21611); Twilio: ten hours.
    pub sender_queue_s: u32,
    /// Senders that differ.
    pub senders: BTreeMap<String, SenderLimits>,
    /// Most simultaneous requests of one account (429/20429); unset = no limit.
    pub concurrency_max: Option<usize>,
    /// `Retry-After` in seconds on every 429; unset = none, as in Twilio's v2010 API.
    pub retry_after_s: Option<u32>,
    /// How a message fares after it was accepted.
    pub progress: Progress,
    /// How callbacks are sent.
    pub callbacks: CallbackLimits,
    /// Arrivals that `GET /_sim/arrivals` tells, the first ones; none by default.
    pub arrivals_kept_max: usize,
    /// Messages that can be listed and fetched; the oldest are forgotten first.
    pub messages_kept_max: usize,
    /// Keys that each duplicate counter remembers (16 to 32 bytes each); new ones are not counted beyond.
    pub dedup_keys_max: usize,
    /// The faults at the start; `POST /_sim/faults` replaces them, `POST /_sim/reset` brings them back.
    pub faults: FaultPlan,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            accounts: vec![Account::main(), Account::test()],
            owned_senders: None,
            messaging_services: None,
            sender_rate: None,
            sender_queue_s: 36_000,
            senders: BTreeMap::new(),
            concurrency_max: None,
            retry_after_s: None,
            progress: Progress::default(),
            callbacks: CallbackLimits::default(),
            arrivals_kept_max: 0,
            messages_kept_max: 100_000,
            dedup_keys_max: 5_000_000,
            faults: FaultPlan::default(),
        }
    }
}

/// One Twilio account.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// `AC…`
    pub sid: String,
    /// Opens the API and signs webhooks.
    pub auth_token: String,
    /// API keys, SID to secret.
    #[serde(default)]
    pub api_keys: BTreeMap<String, String>,
    /// Test credentials: only the magic senders, nothing is stored, only creating is allowed.
    #[serde(default)]
    pub test: bool,
}

impl Account {
    /// The default account.
    #[must_use]
    pub fn main() -> Self {
        let api_keys = BTreeMap::from([(API_KEY_SID.to_owned(), API_KEY_SECRET.to_owned())]);
        Self { sid: ACCOUNT_SID.to_owned(), auth_token: AUTH_TOKEN.to_owned(), api_keys, test: false }
    }

    /// The default test credentials.
    #[must_use]
    pub fn test() -> Self {
        let (sid, auth_token) = (TEST_ACCOUNT_SID.to_owned(), TEST_AUTH_TOKEN.to_owned());
        Self { sid, auth_token, api_keys: BTreeMap::new(), test: true }
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Account({}, {} API keys, test: {})", self.sid, self.api_keys.len(), self.test)
    }
}

/// The limits of one sender.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SenderLimits {
    /// Segments a second; zero = no limit.
    pub rate: f64,
    /// Segments that may wait; unset = `sender_queue_s` seconds of the rate.
    #[serde(default)]
    pub queue_segments: Option<u32>,
}

/// The way of an accepted message. Each delay counts from the step before.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Progress {
    /// `accepted` to `queued` (Messaging Services only).
    pub queued: Latency,
    /// `queued` to `sending`, once the sender's rate allows.
    pub sending: Latency,
    /// `sending` to `sent`.
    pub sent: Latency,
    /// `sent` to `delivered` or `undelivered`.
    pub delivered: Latency,
    /// `delivered` to `read` (WhatsApp only).
    pub read: Latency,
    /// Messages of 1,000 that end `undelivered`.
    pub undelivered_per_mille: u32,
    /// One of these is their error code.
    pub undelivered_codes: Vec<u32>,
    /// Messages of 1,000 that end `failed`.
    pub failed_per_mille: u32,
    /// One of these is their error code.
    pub failed_codes: Vec<u32>,
    /// Delivered WhatsApp messages of 1,000 that are read.
    pub whatsapp_read_per_mille: u32,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            queued: Latency::FixedMs(20),
            sending: Latency::FixedMs(20),
            sent: Latency::FixedMs(80),
            delivered: Latency::UniformMs(200, 1_000),
            read: Latency::FixedMs(1_000),
            undelivered_per_mille: 0,
            undelivered_codes: vec![30003, 30005, 30006, 30008],
            failed_per_mille: 0,
            failed_codes: vec![30007],
            whatsapp_read_per_mille: 500,
        }
    }
}

impl Progress {
    /// Everything at once, for tests and benchmarks.
    #[must_use]
    pub fn immediate() -> Self {
        let now = Latency::FixedMs(0);
        Self { queued: now, sending: now, sent: now, delivered: now, read: now, ..Self::default() }
    }
}

/// The limits of the callbacks that the simulator sends.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CallbackLimits {
    /// Requests at the same time.
    pub concurrency: usize,
    /// Messages with callbacks still to be sent; beyond, callbacks are counted as failed.
    pub pending_max: usize,
    /// Longest wait for a connection, in milliseconds (Twilio: 5,000).
    pub connect_timeout_ms: u64,
    /// Longest request, all in all, in milliseconds (Twilio: 15,000).
    pub timeout_ms: u64,
}

impl Default for CallbackLimits {
    fn default() -> Self {
        Self { concurrency: 64, pending_max: 200_000, connect_timeout_ms: 5_000, timeout_ms: 15_000 }
    }
}

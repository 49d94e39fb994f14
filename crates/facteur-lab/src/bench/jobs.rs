//! The jobs of the bench: no two have one recipient or one text.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::system::SENDER_DEFAULT;

/// The sender without a rate.
pub(super) const FREE_SENDER: &str = SENDER_DEFAULT;
/// A sender whose rate a part sets.
pub(super) const SLOW_SENDER: &str = "+33755500010";

/// Characters of one entry of the metadata; at most 64 entries make a document as large as is wanted.
const PADDING_CHARS: usize = 1_500;

/// What the jobs of one batch have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) lane: &'static str,
    pub(super) tenant: &'static str,
    pub(super) from: &'static str,
    /// Bytes of the document that nobody needs.
    pub(super) padding_bytes: usize,
}

/// Ordinary jobs.
pub(super) const USUAL: Kind =
    Kind { lane: "normal", tenant: "default", from: FREE_SENDER, padding_bytes: 0 };

/// What is published.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: Uuid,
    pub(super) routing_key: String,
    pub(super) to: String,
    pub(super) body: Vec<u8>,
}

impl Kind {
    /// The job of that number, below 10,000,000.
    pub(super) fn job(self, number: usize) -> Job {
        let to = format!("+336{:08}", 10_000_000 + number);
        let mut document = json!({
            "to": to,
            "from": self.from,
            "body": format!("Bonjour, votre dossier {number} est complet."),
            "tenant": self.tenant,
        });
        if self.padding_bytes > 0 {
            let entries = self.padding_bytes.div_ceil(PADDING_CHARS);
            let entry = |index: usize| (format!("p{index}"), Value::from("x".repeat(PADDING_CHARS)));
            document["metadata"] = Value::Object((0..entries).map(entry).collect::<Map<_, _>>());
        }
        let body = document.to_string().into_bytes();
        Job { id: Uuid::now_v7(), routing_key: format!("send.{}", self.lane), to, body }
    }

    /// So many jobs, numbered from `first` on.
    pub(super) fn jobs(self, first: usize, count: usize) -> impl Iterator<Item = Job> {
        (first..first + count).map(move |number| self.job(number))
    }
}

//! The only crate that knows SQL: claims, outcomes, every table of the schema `facteur`.

mod backoff_policy;
mod batch_error;
mod batcher;
pub mod breakers;
mod callbacks;
pub mod cancels;
mod claim;
mod connect_error;
pub mod dead_letters;
mod directory;
mod inspect;
pub mod lines;

pub mod messages;
pub mod migrate;
mod outbox;
pub mod pauses;
mod pool;
pub mod quarantine;
mod rate_line;
pub mod receipts;
mod record;
mod rows;
pub mod senders;
mod settle;
mod slots;
mod store;
pub mod suppressions;
mod sweep;
mod templates;
mod tls;
mod words;
pub mod workers;

pub use batch_error::{BatchFailure, classify};
pub use batcher::{BatchOperation, Batcher, BatcherConfig, SubmitError};
pub use callbacks::{Applied, Callbacks};
pub use connect_error::ConnectError;
pub use dead_letters::{DeadLetters, Filed};
pub use directory::{Directory, Subject};
pub use inspect::{Inspection, can_commit, inspect};
pub use outbox::{Outbox, OutboxBatch, OutboxRow};
pub use pool::{Client, Database, PostgresConfig, connect, wait_until_reachable};
pub use rate_line::{AHEAD_MAX, PULL_JOBS_MAX, RateLines, Standing};
pub use store::Store;
pub use sweep::{Swept, sweep};
pub use templates::{FoundTemplate, TemplateStore};

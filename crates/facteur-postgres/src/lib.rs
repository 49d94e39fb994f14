//! The only crate that knows SQL: claims, outcomes, every table of the schema `facteur`.

mod backoff_policy;
mod batch_error;
mod batcher;
mod claim;
mod connect_error;
pub mod dead_letters;
mod inspect;
pub mod messages;
pub mod migrate;
mod outbox;
mod pool;
pub mod reconciliations;
mod record;
mod rows;
mod senders;
mod settle;
mod slots;
mod store;
pub mod suppressions;
mod sweep;
mod templates;
mod tls;

pub use batch_error::{BatchFailure, classify};
pub use batcher::{BatchOperation, Batcher, BatcherConfig, SubmitError};
pub use connect_error::ConnectError;
pub use dead_letters::{DeadLetters, Filed};
pub use inspect::{Inspection, inspect};
pub use outbox::{Outbox, OutboxBatch, OutboxRow};
pub use pool::{Client, Database, PostgresConfig, connect, wait_until_reachable};
pub use senders::SenderDirectory;
pub use slots::repace;
pub use store::Store;
pub use sweep::{Swept, sweep};
pub use templates::{FoundTemplate, TemplateStore};

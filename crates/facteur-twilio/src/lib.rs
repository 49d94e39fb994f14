//! The only crate that knows Twilio's HTTP: it makes one call and says what is certain about it.
//!
//! The way of a call: [`TwilioClient::send`] writes the form (`form.rs`), makes one HTTP exchange
//! (`exchange.rs`) and classifies what came back (`classify.rs`). Nothing is ever repeated here, and nothing is
//! an error: whatever happened is an [`Outcome`](facteur_core::outcome::Outcome).

mod account;
mod classify;
mod client;
mod config;
mod exchange;
mod fetch;
mod form;
mod list;
mod media;
mod public_document;
mod redact;
pub mod signature;

pub use account::AccountCheck;
pub use client::TwilioClient;
pub use config::{Auth, ConfigError, TwilioConfig, authorisation, is_loopback};
pub use fetch::{FetchError, MessageState};
pub use list::ListFault;
pub use media::{MEDIUM_BYTES_MAX, MEDIUM_READ_MAX, Medium, MediumError};
pub use public_document::PublicDocument;

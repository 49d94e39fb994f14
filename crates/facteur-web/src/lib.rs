//! The only crate that serves HTTP to others: today Twilio's status webhook.
//!
//! It reads no environment and logs no number. A request is answered when what it says is committed, or not at all
//! taken; it never calls Twilio.

mod allowance;
mod error;
mod form;
pub mod metrics;
mod quarantine;
mod router;
mod server;
mod state;
mod status_webhook;
mod web;

pub use web::{Readiness, Web, WebParts};

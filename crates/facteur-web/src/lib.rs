//! The only crate that serves HTTP to others: the API of apps and people, and Twilio's webhooks.
//!
//! It reads no environment and logs no number. A request is answered when what it says is committed, or not at all
//! taken; what it sends is enqueued, and sent by a worker.

mod accept;
mod access;
mod allowance;
mod bodies;
mod bulks;
mod came;
mod cors;
mod cost;
mod duties;
mod error;
mod families;
mod form;
mod headers;
mod inbound_webhook;
mod inbox;
mod json;
mod judge;
pub mod metrics;
pub mod openapi;
mod page;
mod path;
mod pressure;
mod quarantine;
mod router;
mod server;
mod shape;
mod shares;
mod signed;
mod state;
mod status_webhook;
mod term;
mod v1;
mod waiting;
mod web;
mod webhook_forms;

pub use access::{AccessSettings, DefaultKey, JwksSource, JwtSettings, SECRET_BYTES_MIN, network, origin};
pub use bulks::{BulkFile, BulkHead, FileUploaded, Preview, RefusedLine};
pub use cost::Cost;
pub use pressure::AcceptLimits;
pub use state::{JobSettings, Now};
pub use web::{Readiness, Web, WebParts};

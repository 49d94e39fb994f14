//! The decisions of Facteur: what a job is, whether it may leave, what an answer of Twilio means and what
//! happens next. Nothing here does I/O, waits, reads a clock or draws a random number: `now` and the draw
//! are arguments, so every rule is a function that a table can test.

pub mod api_key;
pub mod breaker;
pub mod bulk;
pub mod burial;
pub mod call;
pub mod concurrency;
pub mod conversation;
pub mod decide;
pub mod document;
pub mod envelope;
pub mod fairness;
pub mod gate;
pub mod gcra;
pub mod hold;
pub mod ids;
pub mod integration;
pub mod job;
pub mod keyword;
pub mod ladder;
pub mod lane;
pub mod ledger;
pub mod limits;
pub mod metric;
pub mod notifications;
pub mod outcome;
pub mod peers;
pub mod phone;
pub mod preview;
pub mod price;
pub mod reason;
pub mod receipt;
pub mod receipts;
pub mod reconcile;
pub mod rules;
pub mod schedule;
pub mod segments;
pub mod sender;
pub mod status;
pub mod template;
pub mod twilio_errors;
pub mod vault;
pub mod written;

pub use jiff::Timestamp;

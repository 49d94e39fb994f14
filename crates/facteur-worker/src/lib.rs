//! The only crate that runs jobs: the loop of each lane, one job's life, and the periodic duties.
//!
//! Start with [`process`]: it is one job's life, read from top to bottom.

mod accounts;
mod adapters;
mod anchor;
pub mod breakers;
mod budgets;
mod bulks;
pub mod clock;
mod duties;
mod endings;
mod governor;
pub mod heartbeat;
mod keeper;
mod lane_loop;
mod lines;
pub mod metrics;
mod pacer;
mod patience;
pub mod ports;
mod probe;
pub mod process;
mod pump;
mod rate_lines;
mod receipts;
mod reconciler;
mod relay;
mod rows;
mod shared;
pub mod worker;

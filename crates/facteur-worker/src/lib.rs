//! The only crate that runs jobs: the loop of each lane, one job's life, and the periodic duties.
//!
//! Start with [`process`]: it is one job's life, read from top to bottom.

mod adapters;
pub mod clock;
mod duties;
mod endings;
mod keeper;
mod lane_loop;
pub mod metrics;
mod pacer;
mod patience;
pub mod ports;
pub mod process;
mod reconciler;
mod relay;
mod rows;
pub mod worker;

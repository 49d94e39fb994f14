//! Tests only: a broker and a database for one test alone, a proxy that breaks connections, real processes, Python.
//!
//! All but [`python`] and [`free_ports`] panics with a sentence where it can't do its work: a test has no better answer.

mod broker;
mod database;
mod leftovers;
mod management;
mod ports;
pub mod process;
mod proxy;
mod python;
mod services;

pub use broker::{TestBroker, broker};
pub use database::{TestDatabase, database};
pub use ports::free_ports;
pub use proxy::FaultProxy;
pub use python::python;

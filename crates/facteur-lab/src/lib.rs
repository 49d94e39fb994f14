//! The whole system put to the test, as processes on one machine.

pub mod bench;

//! The laboratory: the only crate that puts the whole system to the test, real processes on a real broker and
//! database against the simulated Twilio, and judges it from outside.

pub mod bench;
pub mod chaos;
pub mod clock;
pub mod dice;
pub mod http;
pub mod program;
pub mod say;
pub mod system;

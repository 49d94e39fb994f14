//! Stacks that are deep enough for whatever a producer may send.
//!
//! The AMQP library reads nested header values by recursion, on a thread of its own, before anybody else sees the
//! envelope. One frame (128 KiB) holds about 26,000 levels: on a usual stack such an envelope ends the process, comes
//! again, and ends the next one.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::config::{THREAD_STACK_VARIABLE, thread_stack_bytes};

/// Measured: a level takes about 10 KiB without optimisation. Only what is used of a stack takes memory.
const STACK_BYTES: usize = 512 * 1024 * 1024;

/// Starts this program once more, in place, with deep stacks: their size can only be set before a process starts.
/// Whoever sets it is believed, so that this happens once.
pub fn deepen() {
    if let Some(bytes) = thread_stack_bytes() {
        if bytes < STACK_BYTES {
            tracing::warn!(
                bytes,
                "RUST_MIN_STACK is small: an envelope with deeply nested headers can end this process"
            );
        }
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let error = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(THREAD_STACK_VARIABLE, STACK_BYTES.to_string())
        .exec();
    tracing::warn!(%error, "no deep stacks: an envelope with deeply nested headers can end this process");
}

//! Ports for programs that are told theirs before they start.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use uuid::Uuid;

/// Below those that Linux itself hands out (`net.ipv4.ip_local_port_range`: from 32768): neither a listener on port 0 nor a
/// client's connection takes one between its choice and its use.
const PORTS: Range<u16> = 20_000..32_000;
const DRAWS_MAX: usize = 1_000;

/// A port of this machine that nobody listens on.
///
/// # Panics
/// If there is none.
#[must_use]
#[expect(clippy::expect_used, reason = "a test without a port can't go on")]
pub fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    std::iter::repeat_with(drawn).take(DRAWS_MAX).find(is_free).expect("some port from 20000 on is free")
}

fn drawn() -> u16 {
    let [high, low, ..] = *Uuid::new_v4().as_bytes();
    PORTS.start + u16::from_be_bytes([high, low]) % (PORTS.end - PORTS.start)
}

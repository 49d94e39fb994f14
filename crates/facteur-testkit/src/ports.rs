//! Ports for programs that are told theirs before they start.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use uuid::Uuid;

/// Below those that systems hand out themselves (Linux from 32768 on): neither a listener on port 0 nor a client's
/// connection takes one between its choice and its use, which may be seconds.
const PORTS: Range<u16> = 20_000..32_000;
const DRAWS_MAX: usize = 1_000;

/// So many ports of the loopback interface that nobody uses right now, each another one.
///
/// # Errors
/// If there are none.
pub fn free_ports<const N: usize>() -> io::Result<[u16; N]> {
    // All are held until all are known, so that none is handed out twice.
    let draws = std::iter::repeat_with(drawn).take(DRAWS_MAX);
    let free = draws.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    let held: Vec<TcpListener> = free.take(N).collect();
    let ports: Vec<u16> = held.iter().map(|one| Ok(one.local_addr()?.port())).collect::<io::Result<_>>()?;
    ports.try_into().map_err(|_| io::Error::other("no free port on 127.0.0.1 from 20000 to 31999"))
}

fn drawn() -> u16 {
    let [high, low, ..] = *Uuid::new_v4().as_bytes();
    PORTS.start + u16::from_be_bytes([high, low]) % (PORTS.end - PORTS.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() {
        let ports: [u16; 16] = free_ports().unwrap();
        assert_eq!(std::collections::BTreeSet::from(ports).len(), ports.len());
    }
}

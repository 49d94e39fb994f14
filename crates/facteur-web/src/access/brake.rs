//! Who fails again and again to say who it is waits before it may try again.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use moka::sync::Cache;
use tokio::time::Instant;

/// Failures that a network has in each window; typing errors and a key that was just revoked stay far below.
const FAILURES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Networks that are remembered; the least frequent ones are forgotten first.
const NETWORKS_MAX: u64 = 10_000;

/// Counts failures by network: an IPv4 address, or the 64 bits that one IPv6 subscriber has.
pub(crate) struct Brake {
    networks: Cache<IpAddr, Arc<Failures>>,
}

struct Failures {
    since: Instant,
    count: AtomicU32,
}

impl Brake {
    pub(crate) fn new() -> Self {
        Self { networks: Cache::builder().max_capacity(NETWORKS_MAX).time_to_live(WINDOW).build() }
    }

    /// How many seconds to wait before trying again; `None` if it may be tried now.
    pub(crate) fn wait_s(&self, from: IpAddr, now: Instant) -> Option<u16> {
        let failures = self.networks.get(&network(from))?;
        let left = WINDOW.checked_sub(now.duration_since(failures.since)).filter(|left| !left.is_zero())?;
        let is_on = failures.count.load(Ordering::Relaxed) >= FAILURES_MAX;
        is_on.then(|| u16::try_from(left.as_secs()).unwrap_or(u16::MAX).saturating_add(1))
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, from: IpAddr, now: Instant) {
        let network = network(from);
        let fresh = || Arc::new(Failures { since: now, count: AtomicU32::new(0) });
        let known = self.networks.get(&network).filter(|known| now.duration_since(known.since) < WINDOW);
        let failures = known.unwrap_or_else(|| {
            let begun = fresh();
            self.networks.insert(network, Arc::clone(&begun));
            begun
        });
        failures.count.fetch_add(1, Ordering::Relaxed);
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_network_that_fails_too_often_waits_until_its_window_ends() {
        let (brake, begin) = (Brake::new(), Instant::now());
        let at = |s| begin + Duration::from_secs(s);
        let (near, same) = ("2001:db8::1".parse().unwrap(), "2001:db8::ffff:1".parse().unwrap());
        for _ in 0..FAILURES_MAX {
            assert_eq!(brake.wait_s(near, at(10)), None);
            brake.failed(near, at(0));
        }
        assert_eq!(brake.wait_s(same, at(10)), Some(51));
        assert_eq!(brake.wait_s("2001:db8:0:1::1".parse().unwrap(), at(10)), None);
        assert_eq!(brake.wait_s("192.0.2.1".parse().unwrap(), at(10)), None);
        assert_eq!(brake.wait_s(near, at(60)), None);
        brake.failed(near, at(61));
        assert_eq!(brake.wait_s(near, at(62)), None, "a new window counts from one");
    }
}

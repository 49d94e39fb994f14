use super::*;
use facteur_core::Timestamp;
use facteur_core::gcra::{Reservation, block_size, reserve};
use proptest::prelude::*;

/// The database's clock in memory: the same arithmetic, on tokio's paused time.
#[derive(Clone)]
struct MemoryClock {
    origin: Instant,
    tat: Arc<std::sync::Mutex<Timestamp>>,
}

impl MemoryClock {
    fn new() -> Self {
        Self { origin: Instant::now(), tat: Arc::new(std::sync::Mutex::new(Timestamp::UNIX_EPOCH)) }
    }

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH.checked_add(self.origin.elapsed()).unwrap()
    }
}

impl SlotSource for MemoryClock {
    async fn reserve(&self, _sender: &str, rate: Rate, needed: u32, horizon: Duration) -> Option<Slots> {
        let (now, count) = (self.now(), block_size(rate, SLOT_BLOCK, needed));
        let mut clock = self.tat.lock().unwrap();
        match reserve(*clock, now, rate, count, horizon) {
            Reservation::Granted { first_slot, tat } => {
                *clock = tat;
                let first_in = Duration::try_from(first_slot.duration_since(now)).unwrap();
                Some(Slots::Granted { first_in, period: rate.period(), count })
            }
            Reservation::Full { next_free } => {
                Some(Slots::Displaced { wait: Duration::try_from(next_free.duration_since(now)).unwrap() })
            }
        }
    }

    async fn displace(&self, _sender: &str, _rate: Rate, _needed: u32) -> Option<Duration> {
        Some(Duration::from_secs(3))
    }
}

fn sender() -> Sender {
    Sender::parse("+15005550006").unwrap()
}

/// Two workers on one clock; each takes what it is given and sends at its slots' instants.
async fn departures(per_second: f64, costs: &[u32]) -> Vec<(Instant, u32)> {
    let rate = Rate::per_second(per_second).unwrap();
    let clock = MemoryClock::new();
    let workers = [Pacer::new(clock.clone()), Pacer::new(clock)];
    let mut sent = Vec::new();
    for (index, &cost) in costs.iter().enumerate() {
        match workers[index % 2].slot(&sender(), rate, cost, true).await.unwrap() {
            Slot::At { at, .. } => sent.push((at.max(Instant::now()), cost)),
            Slot::Displaced(wait) => tokio::time::advance(wait).await,
            Slot::Now => panic!("the sender has a limit"),
        }
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn a_job_without_a_place_to_wait_takes_a_free_slot_but_none_of_the_future() {
    let pacer = Pacer::new(MemoryClock::new());
    let rate = Rate::per_second(1.0).unwrap();
    let slot = async |may_wait| pacer.slot(&sender(), rate, 1, may_wait).await.unwrap();
    assert!(matches!(slot(false).await, Slot::At { at, .. } if at <= Instant::now()));
    assert_eq!(slot(false).await, Slot::Displaced(Duration::from_secs(1)));
    assert!(matches!(slot(true).await, Slot::At { at, .. } if at > Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_used_to_the_full() {
    let sent = departures(100.0, &[2; 150]).await;
    let (first, last) = (sent.iter().map(|s| s.0).min().unwrap(), sent.iter().map(|s| s.0).max().unwrap());
    let segments: u32 = sent.iter().map(|s| s.1).sum();
    let ideal_s = f64::from(segments) / 100.0;
    assert!((last - first).as_secs_f64() <= ideal_s * 1.05, "{segments} segments took {:?}", last - first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_second_holds_more_than_rate_and_burst(
        per_second in 1.0..300.0f64,
        costs in proptest::collection::vec(1u32..=11, 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let sent = runtime.block_on(departures(per_second, &costs));
        // For each of the two workers: a message that began before the window, one that ends after it, and a block
        // that may be used late.
        let burst = 2.0 * (2.0 * 11.0 + per_second * SLOT_BLOCK.as_secs_f64());
        for (start, _) in &sent {
            let window = sent.iter().filter(|(at, _)| at >= start && *at < *start + Duration::from_secs(1));
            let segments: u32 = window.map(|(_, cost)| cost).sum();
            prop_assert!(f64::from(segments) <= per_second + burst + 1.0);
        }
    }
}

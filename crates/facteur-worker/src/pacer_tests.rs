use super::*;
use facteur_core::Timestamp;
use facteur_core::gcra::{Reservation, SenderClock, burst, reserve};
use proptest::prelude::*;

/// The database's clock in memory: the same arithmetic, on tokio's paused time.
#[derive(Clone)]
struct MemoryClock {
    origin: Instant,
    clock: Arc<std::sync::Mutex<SenderClock>>,
    asked: Arc<std::sync::atomic::AtomicUsize>,
    has_line: bool,
}

impl MemoryClock {
    fn new() -> Self {
        let clock = Arc::new(std::sync::Mutex::new(SenderClock::IDLE));
        Self { origin: Instant::now(), clock, asked: Arc::default(), has_line: false }
    }

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH.checked_add(self.origin.elapsed()).unwrap()
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.origin + Duration::try_from(at.duration_since(Timestamp::UNIX_EPOCH)).unwrap()
    }
}

impl SlotSource for MemoryClock {
    async fn reserve(&self, _sender: &Sender, rate: Rate, ask: Ask) -> Option<Given> {
        self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut clock = self.clock.lock().unwrap();
        let (next, answer) = reserve(clock.clone(), self.now(), rate, Ask { has_line: self.has_line, ..ask });
        *clock = next;
        Some(match answer {
            Reservation::Granted { from, place, count } => {
                Given::Slots { from: self.instant(from), place: self.instant(place), count }
            }
            Reservation::Full => Given::Full,
        })
    }
}

fn sender() -> Sender {
    Sender::parse("+15005550006").unwrap()
}

/// Two workers on one clock; each takes what it is given and sends at its slots' instants.
async fn departures(per_second: f64, costs: &[u32]) -> Vec<(Instant, u32)> {
    let rate = Rate::per_second(per_second).unwrap();
    let clock = MemoryClock::new();
    let workers = [Pacer::new(clock.clone(), Lane::Normal), Pacer::new(clock, Lane::Urgent)];
    let mut sent = Vec::new();
    for (index, &cost) in costs.iter().enumerate() {
        match workers[index % 2].slot(&sender(), rate, cost, false).await.unwrap() {
            Slot::At { at, .. } => sent.push((at.max(Instant::now()), cost)),
            Slot::Line => tokio::time::advance(Duration::from_millis(20)).await,
            Slot::Now => panic!("the sender has a limit"),
        }
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn a_message_waits_in_place_as_far_as_the_horizon_and_stands_in_the_line_beyond() {
    let pacer = Pacer::new(MemoryClock::new(), Lane::Bulk);
    let rate = Rate::per_second(10.0).unwrap();
    let slot = async || pacer.slot(&sender(), rate, 1, false).await.unwrap();
    let start = Instant::now();
    for place_ms in [0, 100] {
        let at = start + Duration::from_millis(place_ms);
        assert_eq!(slot().await, Slot::At { at, late_max: Duration::from_millis(30) });
    }
    assert_eq!(slot().await, Slot::Line);
}

#[tokio::test(start_paused = true)]
async fn a_campaign_asks_once_in_a_while_and_not_for_each_message() {
    let clock = MemoryClock::new();
    let pacer = Pacer::new(clock.clone(), Lane::Bulk);
    let rate = Rate::per_second(1.0).unwrap();
    for _ in 0..10_000 {
        pacer.slot(&sender(), rate, 1, false).await.unwrap();
    }
    assert_eq!(clock.asked.load(std::sync::atomic::Ordering::Relaxed), 2);
    tokio::time::advance(REFUSED_FOR).await;
    assert_eq!(pacer.slot(&sender(), rate, 1, false).await, Some(Slot::Line));
    assert_eq!(clock.asked.load(std::sync::atomic::Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn an_urgent_message_leaves_at_once_before_places_that_are_taken() {
    let clock = MemoryClock { has_line: true, ..MemoryClock::new() };
    let rate = Rate::per_second(100.0).unwrap();
    let taken = Timestamp::UNIX_EPOCH.checked_add(Duration::from_millis(150)).unwrap();
    clock.clock.lock().unwrap().tat = taken;
    let urgent = Pacer::new(clock, Lane::Urgent);
    let late_max = Duration::from_millis(150 + 30);
    assert_eq!(urgent.slot(&sender(), rate, 1, false).await, Some(Slot::At { at: Instant::now(), late_max }));
}

#[tokio::test(start_paused = true)]
async fn a_claimed_message_whose_slot_came_too_late_does_not_go_behind_the_line_again() {
    let clock = MemoryClock { has_line: true, ..MemoryClock::new() };
    let rate = Rate::per_second(50.0).unwrap();
    let pulled = Duration::from_millis(170);
    clock.clock.lock().unwrap().tat = Timestamp::UNIX_EPOCH.checked_add(pulled).unwrap();
    let pacer = Pacer::new(clock, Lane::Normal);
    assert_eq!(pacer.slot(&sender(), rate, 1, false).await, Some(Slot::Line));
    let place = Some(Slot::At { at: Instant::now() + pulled, late_max: late_max(rate) });
    assert_eq!(pacer.slot(&sender(), rate, 1, true).await, place);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_a_block_is_used_with_the_next_if_they_are_one() {
    let clock = MemoryClock::new();
    let pacer = Pacer::new(clock.clone(), Lane::Normal);
    let rate = Rate::per_second(100.0).unwrap();
    let start = Instant::now();
    let at = async |segments| match pacer.slot(&sender(), rate, segments, false).await.unwrap() {
        Slot::At { at, .. } => (at - start).as_millis(),
        other => panic!("{other:?}"),
    };
    // A block of five, of which one is left, and the next one follows it.
    assert_eq!((at(1).await, at(3).await, at(2).await), (0, 10, 40));
    assert_eq!(at(1).await, 60);
    // Somebody else's places lie between: what is left is earlier, and would leave late.
    let tat = clock.clock.lock().unwrap().tat;
    clock.clock.lock().unwrap().tat = tat.checked_add(Duration::from_millis(10)).unwrap();
    assert_eq!(at(3).await, 100);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_second_holds_more_than_rate_and_burst(
        per_second in 1u32..300,
        costs in proptest::collection::vec(1u32..=11, 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let sent = runtime.block_on(departures(f64::from(per_second), &costs));
        let largest = sent.iter().map(|(_, cost)| *cost).max().unwrap_or(1);
        let rate = Rate::per_second(f64::from(per_second)).unwrap();
        let allowed = f64::from(per_second) + burst(rate, largest);
        for (start, _) in &sent {
            let window = sent.iter().filter(|(at, _)| at >= start && *at < *start + Duration::from_secs(1));
            let segments: u32 = window.map(|(_, cost)| cost).sum();
            prop_assert!(f64::from(segments) <= allowed + 1.0, "{segments} of {allowed}");
        }
    }
}

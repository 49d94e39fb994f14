use proptest::prelude::*;

use super::*;

/// A broker's side of one channel: it knows what is unacknowledged and closes the channel on anything else.
#[derive(Default)]
struct Broker {
    unacknowledged: BTreeSet<u64>,
}

impl Broker {
    /// The tags that this acknowledgement settles.
    fn take(&mut self, ack: Ack) -> Vec<u64> {
        let (Ack::UpTo(tag) | Ack::One(tag)) = ack;
        assert!(self.unacknowledged.contains(&tag), "unknown delivery tag {tag}");
        let settled: Vec<_> = match ack {
            Ack::UpTo(tag) => self.unacknowledged.range(..=tag).copied().collect(),
            Ack::One(tag) => vec![tag],
        };
        self.unacknowledged.retain(|tag| !settled.contains(tag));
        settled
    }
}

#[derive(Debug, Clone)]
enum Event {
    Deliver,
    /// The receiver acknowledges the n-th of the envelopes that it holds.
    Acknowledge(usize),
    /// Milliseconds pass, and what is due is sent.
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => Just(Event::Deliver),
        4 => any::<usize>().prop_map(Event::Acknowledge),
        2 => (0..300_u64).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 0..400)
}

proptest! {
    #[test]
    fn every_acknowledged_tag_is_settled_exactly_once_and_no_other(
        events in events(), prefetch in 1..100_u16, keep in 0..3_usize,
    ) {
        let mut now = Instant::now();
        let (mut watermark, mut broker) = (Watermark::new(prefetch), Broker::default());
        let (mut held, mut acknowledged, mut settled) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut last = 0;
        let mut send = |watermark: &mut Watermark, broker: &mut Broker, acknowledged: &BTreeSet<u64>, now| {
            for ack in watermark.take(now) {
                for tag in broker.take(ack) {
                    assert!(acknowledged.contains(&tag), "{tag} was never acknowledged");
                    assert!(settled.insert(tag), "{tag} was settled twice");
                }
            }
            settled.len()
        };
        for event in events {
            match event {
                Event::Deliver if broker.unacknowledged.len() < usize::from(prefetch) => {
                    last += 1;
                    broker.unacknowledged.insert(last);
                    held.push(last);
                }
                Event::Acknowledge(nth) if !held.is_empty() => {
                    let tag = held.swap_remove(nth % held.len());
                    acknowledged.insert(tag);
                    watermark.acknowledge(tag, now);
                    watermark.acknowledge(tag, now);
                }
                Event::Pass(millis) => {
                    now += Duration::from_millis(millis);
                    if watermark.due(!held.is_empty(), now).is_some_and(|due| due <= now) {
                        send(&mut watermark, &mut broker, &acknowledged, now);
                    }
                }
                Event::Deliver | Event::Acknowledge(_) => {}
            }
        }
        // All but a few are acknowledged in the end: nothing of that stays behind the others for ever.
        for tag in held.drain(keep.min(held.len())..) {
            acknowledged.insert(tag);
            watermark.acknowledge(tag, now);
        }
        while let Some(due) = watermark.due(!held.is_empty(), now) {
            now = now.max(due);
            send(&mut watermark, &mut broker, &acknowledged, now);
        }
        prop_assert_eq!(send(&mut watermark, &mut broker, &acknowledged, now), acknowledged.len());
        prop_assert_eq!(broker.unacknowledged, held.into_iter().collect::<BTreeSet<_>>());
    }
}

fn acknowledged(prefetch: u16, tags: impl IntoIterator<Item = u64>, now: Instant) -> Watermark {
    let mut watermark = Watermark::new(prefetch);
    for tag in tags {
        watermark.acknowledge(tag, now);
    }
    watermark
}

#[test]
fn a_lone_acknowledgement_is_sent_at_once() {
    let now = Instant::now();
    let mut watermark = acknowledged(100, [1], now);
    assert_eq!(watermark.due(false, now), Some(now));
    assert_eq!(watermark.take(now), [Ack::UpTo(1)]);
    assert_eq!(watermark.due(false, now), None);
}

#[test]
fn sixty_four_are_one_frame_and_fewer_wait_for_company() {
    let now = Instant::now();
    assert_eq!(acknowledged(200, 1..=63, now).due(true, now), Some(now + GATHER));
    let mut full = acknowledged(200, (1..=64).rev(), now);
    assert_eq!(full.due(true, now), Some(now));
    assert_eq!(full.take(now), [Ack::UpTo(64)]);
}

#[test]
fn a_slow_envelope_holds_the_others_back_for_a_moment_only() {
    let now = Instant::now();
    let mut watermark = acknowledged(100, [2, 3], now);
    assert_eq!(watermark.due(true, now), Some(now + STRAGGLE));
    assert_eq!(watermark.take(now), []);
    assert_eq!(watermark.take(now + STRAGGLE), [Ack::One(2), Ack::One(3)]);
    // The tag to name is 1: RabbitMQ has forgotten 3, though the watermark stands there.
    watermark.acknowledge(1, now);
    assert_eq!(watermark.take(now), [Ack::UpTo(1)]);
    watermark.acknowledge(4, now);
    assert_eq!(watermark.take(now), [Ack::UpTo(4)]);
}

#[test]
fn a_narrow_window_is_widened_without_waiting() {
    let now = Instant::now();
    let watermark = acknowledged(4, [2, 3], now);
    assert_eq!(watermark.due(true, now), Some(now + GATHER));
}

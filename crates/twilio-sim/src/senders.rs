//! Each sender's own rate and queue, and how fast messages were accepted for it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Moment;
use crate::config::SimConfig;
use crate::dice::hash;

const SHARDS: usize = 16;
/// Most senders that are remembered; later ones have no limit and no statistics.
const SENDERS_PER_SHARD_MAX: usize = 1_000;
const WINDOW: Duration = Duration::from_secs(1);

/// The sender's queue holds as much as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueFull;

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Segments a second; zero = no limit.
    rate: f64,
    queue_segments: f64,
}

#[derive(Debug)]
struct Sender {
    /// When everything accepted so far will have left.
    free_at: Moment,
    /// What was accepted within the last second, oldest first.
    window: VecDeque<(Moment, u32)>,
    in_window: u32,
    in_window_max: u32,
}

/// All senders.
#[derive(Debug)]
pub(crate) struct Senders {
    shards: [Mutex<HashMap<String, Sender>>; SHARDS],
    usual: Limits,
    particular: HashMap<String, Limits>,
}

impl Senders {
    pub(crate) fn new(config: &SimConfig) -> Self {
        let limits = |rate: f64, queue: Option<u32>| {
            let usual_queue = rate * f64::from(config.sender_queue_s);
            Limits { rate: rate.max(0.0), queue_segments: queue.map_or(usual_queue, f64::from) }
        };
        let particular = config
            .senders
            .iter()
            .map(|(name, own)| (name.clone(), limits(own.rate, own.queue_segments)))
            .collect();
        let usual = limits(config.sender_rate.unwrap_or(0.0), None);
        Self { shards: std::array::from_fn(|_| Mutex::default()), usual, particular }
    }

    /// Takes a message into the sender's queue; answers when it leaves.
    pub(crate) fn admit(&self, name: &str, segments: u32, now: Moment) -> Result<Moment, QueueFull> {
        let limits = self.particular.get(name).unwrap_or(&self.usual);
        let mut shard = self.shards[shard_of(name)].lock().unwrap_or_else(PoisonError::into_inner);
        if !shard.contains_key(name) {
            if shard.len() >= SENDERS_PER_SHARD_MAX {
                return Ok(now);
            }
            let fresh = Sender { free_at: now, window: VecDeque::new(), in_window: 0, in_window_max: 0 };
            shard.insert(name.to_owned(), fresh);
        }
        let Some(sender) = shard.get_mut(name) else { return Ok(now) };
        let leaves = sender.queue(limits, segments, now)?;
        sender.count(segments, now);
        Ok(leaves)
    }

    /// Most segments accepted in any one-second window, by sender.
    pub(crate) fn window_max(&self) -> BTreeMap<String, u32> {
        let mut all = BTreeMap::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(shard.iter().map(|(name, sender)| (name.clone(), sender.in_window_max)));
        }
        all
    }

    /// Forgets all senders.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

fn shard_of(name: &str) -> usize {
    usize::try_from(hash(&name) % SHARDS as u64).unwrap_or(0)
}

impl Sender {
    fn queue(&mut self, limits: &Limits, segments: u32, now: Moment) -> Result<Moment, QueueFull> {
        if limits.rate <= 0.0 {
            return Ok(now);
        }
        let leaves = self.free_at.max(now);
        let waiting = leaves.since(now).as_secs_f64() * limits.rate;
        if waiting + f64::from(segments) > limits.queue_segments.max(1.0) {
            return Err(QueueFull);
        }
        let takes = Duration::try_from_secs_f64(f64::from(segments) / limits.rate).unwrap_or(Duration::MAX);
        self.free_at = leaves.plus(takes);
        Ok(leaves)
    }

    fn count(&mut self, segments: u32, now: Moment) {
        // Two requests may reach the lock in another order than they read the clock.
        let now = self.window.back().map_or(now, |(latest, _)| now.max(*latest));
        while let Some((moment, old)) = self.window.front().copied() {
            if now.since(moment) < WINDOW {
                break;
            }
            self.in_window -= old;
            self.window.pop_front();
        }
        self.window.push_back((now, segments));
        self.in_window += segments;
        self.in_window_max = self.in_window_max.max(self.in_window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SenderLimits;

    fn at(ms: u64) -> Moment {
        Moment::at(jiff::Timestamp::UNIX_EPOCH).plus(Duration::from_millis(ms))
    }

    fn senders(rate: f64, queue_segments: Option<u32>) -> Senders {
        let particular = BTreeMap::from([("A".to_owned(), SenderLimits { rate, queue_segments })]);
        Senders::new(&SimConfig { senders: particular, ..SimConfig::default() })
    }

    #[test]
    fn messages_above_the_rate_wait_in_the_queue_until_it_is_full() {
        let senders = senders(2.0, Some(3));
        assert_eq!(senders.admit("A", 1, at(0)), Ok(at(0)));
        assert_eq!(senders.admit("A", 2, at(0)), Ok(at(500)));
        assert_eq!(senders.admit("A", 1, at(0)), Err(QueueFull));
        assert_eq!(senders.admit("A", 1, at(500)), Ok(at(1_500)));
    }

    #[test]
    fn a_sender_without_a_rate_never_waits() {
        let senders = senders(0.0, None);
        for _ in 0..1_000 {
            assert_eq!(senders.admit("A", 10, at(0)), Ok(at(0)));
        }
    }

    #[test]
    fn the_window_counts_segments_of_any_one_second() {
        let senders = senders(0.0, None);
        for (ms, segments) in [(0, 1), (600, 2), (999, 3), (1_000, 4), (1_700, 1), (5_000, 1)] {
            senders.admit("A", segments, at(ms)).unwrap();
        }
        // From 600 to 1,000: 2 + 3 + 4. The message at 0 has left the window at 1,000.
        assert_eq!(senders.window_max(), BTreeMap::from([("A".to_owned(), 9)]));
    }

    #[test]
    fn refused_messages_do_not_count() {
        let senders = senders(1.0, Some(1));
        senders.admit("A", 1, at(0)).unwrap();
        assert_eq!(senders.admit("A", 1, at(0)), Err(QueueFull));
        assert_eq!(senders.window_max()["A"], 1);
    }
}

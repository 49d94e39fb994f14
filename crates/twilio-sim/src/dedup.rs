//! Counts how often the same thing was seen, in hashes, so that millions cost little.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

const SHARDS: usize = 64;

/// A counter of copies.
#[derive(Debug)]
pub(crate) struct Copies {
    shards: [Mutex<HashMap<u64, u32>>; SHARDS],
    keys: AtomicUsize,
    keys_max: usize,
    extra: AtomicU64,
}

impl Copies {
    pub(crate) fn new(keys_max: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, keys: AtomicUsize::new(0), keys_max, extra: AtomicU64::new(0) }
    }

    /// Counts one more of `hash`; answers how many there were before.
    pub(crate) fn count(&self, hash: u64) -> u32 {
        let shard = usize::try_from(hash % SHARDS as u64).unwrap_or(0);
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = shard.get_mut(&hash) {
            self.extra.fetch_add(1, Ordering::Relaxed);
            let before = *seen;
            *seen = seen.saturating_add(1);
            return before;
        }
        if self.keys.fetch_add(1, Ordering::Relaxed) < self.keys_max {
            shard.insert(hash, 1);
        }
        0
    }

    /// Copies beyond the first, of all things together.
    pub(crate) fn extra(&self) -> u64 {
        self.extra.load(Ordering::Relaxed)
    }

    /// Whether something was not remembered for lack of room, so that a copy of it would be missed.
    pub(crate) fn is_saturated(&self) -> bool {
        self.keys.load(Ordering::Relaxed) > self.keys_max
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.keys.store(0, Ordering::Relaxed);
        self.extra.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_beyond_the_first_are_counted() {
        let copies = Copies::new(10);
        assert_eq!([1, 2, 1, 1].map(|hash| copies.count(hash)), [0, 0, 1, 2]);
        assert_eq!(copies.extra(), 2);
    }

    #[test]
    fn a_full_counter_says_so_instead_of_growing() {
        let copies = Copies::new(1);
        copies.count(1);
        assert!(!copies.is_saturated());
        copies.count(2);
        copies.count(2);
        assert_eq!(copies.extra(), 0);
        assert!(copies.is_saturated());
    }
}

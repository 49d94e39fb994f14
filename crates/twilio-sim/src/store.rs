//! The messages that can be fetched and listed, in shards, the oldest forgotten first.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::message::Message;

const SHARDS: u64 = 16;
/// An odd number, so that multiplying by it can be undone.
const SCRAMBLE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Marks the ordinals of requests, which are none of a message.
const REQUEST: u64 = 1 << 63;

/// Makes SIDs that no other simulator makes, and finds the ordinal in them again.
#[derive(Debug)]
struct Mint {
    random: RandomState,
    mask: u64,
}

impl Mint {
    fn new() -> Self {
        let random = RandomState::new();
        let mask = random.hash_one("mask");
        Self { random, mask }
    }

    /// 32 hexadecimal digits.
    fn hex(&self, ordinal: u64) -> String {
        let tail = ordinal.wrapping_mul(SCRAMBLE) ^ self.mask;
        format!("{:016x}{tail:016x}", self.random.hash_one(ordinal))
    }

    fn ordinal(&self, hex: &str) -> Option<u64> {
        let tail = u64::from_str_radix(hex.get(16..)?, 16).ok()?;
        let ordinal = (tail ^ self.mask).wrapping_mul(inverse(SCRAMBLE));
        self.hex(ordinal).eq_ignore_ascii_case(hex).then_some(ordinal)
    }
}

/// The number that undoes a multiplication by an odd `n` (Newton's iteration, modulo 2^64).
const fn inverse(n: u64) -> u64 {
    let mut x = n;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2_u64.wrapping_sub(n.wrapping_mul(x)));
        round += 1;
    }
    x
}

/// The messages.
#[derive(Debug)]
pub(crate) struct Store {
    shards: [Mutex<BTreeMap<u64, Message>>; 16],
    kept_per_shard_max: usize,
    next: AtomicU64,
    requests: AtomicU64,
    mint: Mint,
}

impl Store {
    pub(crate) fn new(kept_max: usize) -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        let kept_per_shard_max = kept_max.div_ceil(shards.len()).max(1);
        let (next, requests) = (AtomicU64::new(1), AtomicU64::new(1));
        Self { shards, kept_per_shard_max, next, requests, mint: Mint::new() }
    }

    /// The next ordinal and the 32 digits that stand for it.
    pub(crate) fn mint(&self) -> (u64, String) {
        let ordinal = self.next.fetch_add(1, Ordering::Relaxed);
        (ordinal, self.mint.hex(ordinal))
    }

    /// 32 digits for a request.
    pub(crate) fn request_hex(&self) -> String {
        self.mint.hex(self.requests.fetch_add(1, Ordering::Relaxed) | REQUEST)
    }

    fn shard(&self, ordinal: u64) -> std::sync::MutexGuard<'_, BTreeMap<u64, Message>> {
        let index = usize::try_from(ordinal % SHARDS).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn insert(&self, message: Message) {
        let mut shard = self.shard(message.ordinal);
        shard.insert(message.ordinal, message);
        if shard.len() > self.kept_per_shard_max {
            shard.pop_first();
        }
    }

    /// Looks at, or changes, the message with this SID.
    pub(crate) fn with<T>(&self, sid: &str, look: impl FnOnce(&mut Message) -> T) -> Option<T> {
        let ordinal = self.ordinal(sid)?;
        self.shard(ordinal)
            .get_mut(&ordinal)
            .filter(|message| message.sid.eq_ignore_ascii_case(sid))
            .map(look)
    }

    pub(crate) fn remove(&self, sid: &str) {
        if let Some(ordinal) = self.ordinal(sid) {
            self.shard(ordinal).remove(&ordinal);
        }
    }

    /// The ordinal in a SID of ours, also of a message that is gone.
    pub(crate) fn ordinal(&self, sid: &str) -> Option<u64> {
        self.mint.ordinal(sid.get(2..)?)
    }

    /// The ordinals of what matches, newest first.
    pub(crate) fn find(&self, matches: impl Fn(&Message) -> bool) -> Vec<u64> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            found.extend(shard.values().filter(|message| matches(message)).map(|message| message.ordinal));
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        found
    }

    /// Looks at some messages; those that are gone are left out.
    pub(crate) fn pick<T>(&self, ordinals: &[u64], look: impl Fn(&Message) -> T) -> Vec<T> {
        ordinals.iter().filter_map(|ordinal| self.shard(*ordinal).get(ordinal).map(&look)).collect()
    }

    /// Forgets all messages. Ordinals go on counting, so that SIDs stay unique.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sid_leads_back_to_its_ordinal_and_a_foreign_one_does_not() {
        let store = Store::new(10);
        let (ordinal, hex) = store.mint();
        assert_eq!(hex.len(), 32);
        assert_eq!(store.ordinal(&format!("SM{hex}")), Some(ordinal));
        assert_eq!(store.ordinal(&format!("SM{}", hex.to_uppercase())), Some(ordinal));
        let (_, foreign) = Store::new(10).mint();
        assert_eq!(store.ordinal(&format!("SM{foreign}")), None);
        for nonsense in ["", "SM", "SM123", "SMé", &"S".repeat(34)] {
            assert_eq!(store.ordinal(nonsense), None, "{nonsense}");
        }
    }
}

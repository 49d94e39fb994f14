//! Seeded chance. Every draw is a function of (seed, purpose, key) and of nothing else, so a run can be
//! repeated and draws don't depend on each other's order.

use std::hash::{DefaultHasher, Hash, Hasher};

use rand::{SeedableRng, rngs::SmallRng};

/// A generator for one decision.
pub(crate) fn dice(seed: u64, purpose: &str, key: u64) -> SmallRng {
    SmallRng::seed_from_u64(hash(&(seed, purpose, key)))
}

/// A hash that is the same in every run.
pub(crate) fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

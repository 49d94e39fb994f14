//! How many envelopes to ask for: the broker counts them, but memory is filled by their bytes. Pure.

use facteur_core::limits::{ENVELOPES_IN_HAND_BYTES, PREFETCH_FIRST};

/// So many are asked for however large they are: fewer would wait for the network between any two.
const PREFETCH_MIN: u16 = 8;
/// The mean is that of about so many, and so many are seen before it changes anything.
const SEEN_MIN: u16 = 32;

/// What bodies have weighed of late, and what follows from it.
#[derive(Debug)]
pub(crate) struct Appetite {
    /// As many as are wanted of small ones.
    most: u16,
    prefetch: u16,
    mean_bytes: usize,
    /// Since the last change.
    seen: u16,
}

impl Appetite {
    /// Nothing is known yet of what waits in the queue.
    pub(crate) fn new(most: u16) -> Self {
        let most = most.max(1);
        Self { most, prefetch: most.min(PREFETCH_FIRST), mean_bytes: 0, seen: 0 }
    }

    /// What the broker was last asked for.
    pub(crate) fn prefetch(&self) -> u16 {
        self.prefetch
    }

    /// An envelope came.
    pub(crate) fn taste(&mut self, body_bytes: usize) {
        let weight = usize::from(SEEN_MIN);
        self.mean_bytes = match self.mean_bytes {
            0 => body_bytes,
            mean => (mean * (weight - 1) + body_bytes) / weight,
        };
        self.seen = self.seen.saturating_add(1);
    }

    /// Another number to ask for, if it is another by far.
    pub(crate) fn change(&mut self) -> Option<u16> {
        if self.seen < SEEN_MIN {
            return None;
        }
        let fitting = u16::try_from(ENVELOPES_IN_HAND_BYTES / self.mean_bytes.max(1)).unwrap_or(u16::MAX);
        let wanted = fitting.max(PREFETCH_MIN).min(self.most);
        let is_far = wanted <= self.prefetch / 2 || wanted / 2 >= self.prefetch;
        let is_all = wanted == self.most && self.prefetch < self.most;
        (is_far || is_all).then(|| {
            self.seen = 0;
            self.prefetch = wanted;
            wanted
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(appetite: &mut Appetite, count: usize, body_bytes: usize) -> u16 {
        for _ in 0..count {
            appetite.taste(body_bytes);
            appetite.change();
        }
        appetite.prefetch()
    }

    #[test]
    fn small_bodies_get_all_that_was_asked_for_and_large_ones_what_fits() {
        let rows = [
            (1_088, 300, 1_088),
            (1_088, 64 * 1_024, 128),
            (1_088, 256 * 1_024, 32),
            (1_088, 16 * 1_024 * 1_024, PREFETCH_MIN),
            (128, 64 * 1_024, 128),
            (128, 256 * 1_024, 32),
            (160, 300, 160),
            (10, 300, 10),
            (4, 16 * 1_024 * 1_024, 4),
        ];
        for (most, body_bytes, expected) in rows {
            let mut appetite = Appetite::new(most);
            assert_eq!(after(&mut appetite, 64, body_bytes), expected, "{most} of {body_bytes} bytes");
        }
    }

    #[test]
    fn it_follows_what_comes_and_one_large_body_changes_nothing() {
        let mut appetite = Appetite::new(1_088);
        assert_eq!(after(&mut appetite, 100, 300), 1_088);
        assert_eq!(after(&mut appetite, 1, 256 * 1_024), 1_088);
        assert!(after(&mut appetite, 200, 64 * 1_024) <= 256);
        assert_eq!(after(&mut appetite, 400, 300), 1_088);
    }

    proptest! {
        #[test]
        fn what_is_asked_for_is_never_nothing_and_never_more_than_was_allowed(most in 1u16.., sizes in prop::collection::vec(0usize..600_000, 0..300)) {
            let mut appetite = Appetite::new(most);
            for bytes in sizes {
                appetite.taste(bytes);
                let asked = appetite.change().unwrap_or(appetite.prefetch());
                prop_assert_eq!(asked, appetite.prefetch());
                prop_assert!((1..=most).contains(&asked));
            }
        }
    }
}

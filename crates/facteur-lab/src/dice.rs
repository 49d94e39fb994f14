//! Chance that a seed repeats on every machine (`SplitMix64`).

/// A stream of draws.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The stream of that seed; `of` tells streams of one seed apart.
    #[must_use]
    pub fn new(seed: u64, of: u64) -> Self {
        let mut dice = Self(seed ^ of.wrapping_mul(0x2545_f491_4f6c_dd1d));
        dice.draw();
        dice
    }

    /// 64 even bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.draw() % (high.saturating_sub(low) + 1)
    }

    /// One of them; `fallback` if there is none.
    pub fn pick<T: Copy>(&mut self, from: &[T], fallback: T) -> T {
        let count = u64::try_from(from.len()).unwrap_or(1).max(1);
        usize::try_from(self.draw() % count)
            .ok()
            .and_then(|index| from.get(index))
            .copied()
            .unwrap_or(fallback)
    }
}

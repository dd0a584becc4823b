//! Numbers by which programs are generated: the same ones for the same seed.

/// A generator of numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that gives the same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator for one part of what `seed` stands for. Leaving out one part changes no other.
    pub fn for_part(seed: u64, part: u64) -> Self {
        Self(Self(seed).next().wrapping_add(part.wrapping_mul(0xD1B5_4A32_D192_ED03)))
    }

    /// The next number.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A number up to `most`, of any order of magnitude alike.
    pub fn magnitude(&mut self, most: usize) -> usize {
        let magnitudes = most.checked_ilog2().unwrap_or_default() as usize + 1;
        let most = most >> self.below(magnitudes);
        self.below(most.saturating_add(1))
    }

    /// `true` in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// Returns one of `all`, or `None` if it is empty.
    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        all.get(self.below(all.len()))
    }
}

//! Numbers that follow from a seed, for simulations.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};

/// Numbers that follow from a seed: SplitMix64.
#[derive(Debug)]
pub(crate) struct Draw(AtomicU64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    pub(crate) fn number(&self) -> u64 {
        let mut number = self.0.fetch_add(GOLDEN, Ordering::Relaxed).wrapping_add(GOLDEN);
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    /// Returns a number below `end`; 0 if that is 0.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }
}

thread_local! {
    /// The source of the random numbers of this thread, in a simulation.
    static SOURCE: RefCell<Option<Draw>> = const { RefCell::new(None) };
}

/// While it lives, the random numbers of this thread follow from a seed.
pub(crate) struct Seeded(());

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        SOURCE.set(Some(Draw::new(seed)));
        Self(())
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        SOURCE.set(None);
    }
}

/// Returns a number that follows from the seed, if this thread is in a simulation.
pub(crate) fn number() -> Option<u64> {
    let number = |source: &RefCell<Option<Draw>>| source.borrow().as_ref().map(Draw::number);
    // There is none while the thread ends.
    SOURCE.try_with(number).ok().flatten()
}

/// Hashes of tables whose order follows from the seed in a simulation, and is random elsewhere.
#[derive(Clone, Debug)]
pub(crate) struct Hashes(SeedableRandomState);

impl Default for Hashes {
    fn default() -> Self {
        Self(match number() {
            Some(seed) => SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            None => SeedableRandomState::random(),
        })
    }
}

impl BuildHasher for Hashes {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

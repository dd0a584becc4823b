//! Buffers that are kept for the next message.

/// A buffer of bytes up to this size is always kept.
pub(crate) const SMALL: usize = 64 << 10;

/// One that is larger than this is never kept.
const LARGE: usize = 4 << 20;

/// The number of times in succession that a buffer may be unneeded before it is given back.
const SHRINK_AFTER: u8 = 8;

/// The decision to keep a buffer that was needed for something large. It is kept as long as large things come, so that
/// they need not wait for the system's memory, and given back some time after the last.
#[derive(Debug, Default)]
pub(crate) struct BufferRetention {
    unneeded: u8,
}

impl BufferRetention {
    /// Takes note of an empty buffer of `capacity` bytes, of which `used` have been needed since the last call. Returns
    /// `true` if it should be given back.
    pub(crate) fn should_shrink(&mut self, capacity: usize, used: usize) -> bool {
        if capacity <= SMALL || (used > capacity / 4 && capacity <= LARGE) {
            self.unneeded = 0;
            return false;
        }
        self.unneeded += 1;
        let over = self.unneeded >= SHRINK_AFTER || capacity > LARGE;
        if over {
            self.unneeded = 0;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_is_kept_while_it_is_needed_and_not_much_longer() {
        let mut spare = BufferRetention::default();
        for _ in 0..100 {
            assert!(!spare.should_shrink(LARGE, 0));
            assert!(!spare.should_shrink(LARGE, LARGE));
        }
        assert!((1..SHRINK_AFTER).all(|_| !spare.should_shrink(LARGE, 100)));
        assert!(spare.should_shrink(LARGE, 100));
    }

    #[test]
    fn a_very_large_buffer_is_not_kept() {
        assert!(BufferRetention::default().should_shrink(LARGE + 1, LARGE));
    }

    #[test]
    fn a_small_buffer_is_kept() {
        let mut spare = BufferRetention::default();
        assert!((0..100).all(|_| !spare.should_shrink(SMALL, 0)));
    }
}

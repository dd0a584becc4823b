//! The time to look for ended entries in a growing collection.

/// The number of entries that are added before the first look.
const FIRST: usize = 16;

/// Says when to remove ended entries from a collection: when it has doubled since the last time, so that each added
/// entry pays for a bounded part of the work.
#[derive(Debug, Default)]
pub(crate) struct Sweep(usize);

impl Sweep {
    /// `true` if a collection of that many entries is to be looked through.
    pub(crate) fn is_due(&self, entries: usize) -> bool {
        entries >= self.0.max(FIRST)
    }

    /// Notes that a collection was looked through, and how many entries are left.
    pub(crate) fn done(&mut self, left: usize) {
        self.0 = 2 * left;
    }
}

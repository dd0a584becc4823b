//! Stack that a value takes while it is read or written.

use super::Failure;

/// Bytes of stack that a value may take while it is read or written. User types take as much of it for each level as
/// their code needs; the rest of a connection has room beside it on a thread of 256 KiB (1 MiB in a debug build).
const MOST: usize = if cfg!(debug_assertions) { 832 << 10 } else { 216 << 10 };

/// The most levels that are not checked.
pub(super) const SHALLOW: usize = 8;

/// A place on the stack: that of a variable, which may be gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack(pub(super) *const u8);

impl Stack {
    /// Fails if `doing` something to a value, at this depth, leaves no room for one more level like those before.
    pub(super) fn within(self, doing: &'static str, depth: usize) -> Result<(), Failure> {
        let mark = 0_u8;
        let taken = self.0.addr().abs_diff((&raw const mark).addr());
        if taken + taken / depth.max(1) <= MOST {
            return Ok(());
        }
        Err(Failure(format!("the value nests too deep for its type: {doing} it takes too much stack")))
    }
}

//! What is dropped because a Capnode peer has given back something of ours, and has waited before it did: a chain of
//! functions, each of which holds one of the other side's, would otherwise go one by one, each after a wait of its own.

use std::cell::Cell;

use crate::sync::thread_local;

thread_local! {
    static LATE: Cell<bool> = const { Cell::new(false) };
}

/// Whether what this thread drops now is dropped for that reason.
pub(super) fn is_late() -> bool {
    LATE.get()
}

/// While this lives, it is.
pub(super) struct Late(bool);

impl Late {
    pub(super) fn begin() -> Self {
        Self(LATE.replace(true))
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        LATE.set(self.0);
    }
}

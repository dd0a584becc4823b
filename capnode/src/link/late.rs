//! Drops that follow a delayed release by a Capnode peer. They release functions of the peer without a further delay.
//! Otherwise a chain of functions, each of which holds one of the other side, would be released one by one, each after
//! a delay of its own.

use std::cell::Cell;

use crate::sync::{OnDrop, thread_local};

thread_local! {
    static LATE: Cell<bool> = const { Cell::new(false) };
}

/// Returns `true` if this thread's drops now follow a delayed release.
pub(super) fn is_late() -> bool {
    LATE.get()
}

/// Returns a guard that makes [`is_late`] return `true` on this thread.
pub(super) fn begin() -> impl Drop {
    let before = LATE.replace(true);
    OnDrop(move || LATE.set(before))
}

//! References that lead to references, as deep as a peer likes to build them. Whoever follows or drops such a
//! chain must not need stack for its length.

use std::any::Any;
use std::cell::{Cell, RefCell};

use crate::sync::thread_local;

/// How many references a request may be passed on by, one inside the other.
const HOPS: usize = 64;

thread_local! {
    static HOPPED: Cell<usize> = const { Cell::new(0) };
    /// What is to be dropped when the drop under way has ended, if one is.
    static DROPPING: RefCell<Option<Vec<Box<dyn Any>>>> = const { RefCell::new(None) };
}

/// Runs a step of a request on its way; `None` if it has taken too many.
pub(super) fn hop<T>(step: impl FnOnce() -> T) -> Option<T> {
    struct Back;

    impl Drop for Back {
        fn drop(&mut self) {
            HOPPED.set(HOPPED.get() - 1);
        }
    }

    HOPPED.set(HOPPED.get() + 1);
    let _back = Back;
    (HOPPED.get() <= HOPS).then(step)
}

/// Drops what a link of a chain holds: at once, or where one is being dropped already, after that.
pub(super) fn drop_in_turn(held: impl Any) {
    let first = DROPPING.with_borrow_mut(|dropping| match dropping {
        Some(waiting) => {
            waiting.push(Box::new(held));
            None
        }
        None => {
            *dropping = Some(Vec::new());
            Some(held)
        }
    });
    let Some(held) = first else { return };

    /// Lets the next one begin, also if something panics while it is dropped.
    struct Done;

    impl Drop for Done {
        fn drop(&mut self) {
            let left = DROPPING.take();
            // After a panic they are dropped as they come.
            drop(left);
        }
    }

    let _done = Done;
    drop(held);
    while let Some(next) = DROPPING.with_borrow_mut(|dropping| dropping.as_mut().and_then(Vec::pop)) {
        drop(next);
    }
}

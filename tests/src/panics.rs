//! The panics of this process. A task that panics ends its connection, and no caller waits for the task.

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, Once, PoisonError};

use crate::lab::MEANT;

thread_local! {
    /// The case that this thread runs.
    static CASE: RefCell<String> = const { RefCell::new(String::new()) };
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes the panics that `counts` picks from now on, wherever they are caught, but for those that the
/// [laboratory](crate::lab) means, which are not printed either. The first choice holds.
pub fn watch(counts: fn(&PanicHookInfo<'_>) -> bool) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.to_string().contains(MEANT) {
                return;
            }
            let case = CASE.try_with(|case| case.borrow().clone()).unwrap_or_default();
            if !case.is_empty() {
                eprintln!("in {case}:");
            }
            if counts(panic) {
                PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{case}: {panic}"));
            }
            report(panic);
        }));
    });
}

/// Names the case that this thread runs from now on, and watches for panics.
pub fn begin(case: std::fmt::Arguments<'_>) {
    use std::fmt::Write as _;

    watch(|_| true);
    CASE.with_borrow_mut(|current| {
        current.clear();
        // Writing to a string does not fail.
        let _infallible = current.write_fmt(case);
    });
}

/// Returns the panics so far in cases whose names begin like this.
pub fn of(start: &str) -> Vec<String> {
    let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    panics.iter().filter(|panic| panic.starts_with(start)).cloned().collect()
}

/// Returns the number of panics since [`watch`].
pub fn count() -> usize {
    of("").len()
}

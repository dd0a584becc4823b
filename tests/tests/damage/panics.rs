//! Panics, wherever they are caught.

use std::cell::RefCell;
use std::sync::{Mutex, Once, PoisonError};

thread_local! {
    /// The case that this thread runs.
    static CASE: RefCell<String> = const { RefCell::new(String::new()) };
}

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Notes what this thread does from now on.
pub fn begin(case: std::fmt::Arguments<'_>) {
    use std::fmt::Write as _;

    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let case = CASE.try_with(|case| case.borrow().clone()).unwrap_or_default();
            eprintln!("in {case}:");
            PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{case}: {info}"));
            before(info);
        }));
    });
    CASE.with_borrow_mut(|current| {
        current.clear();
        // Writing to a string does not fail.
        let _infallible = current.write_fmt(case);
    });
}

/// The panics so far in what begins like this.
pub fn of(start: &str) -> Vec<String> {
    let panics = PANICS.lock().unwrap_or_else(PoisonError::into_inner);
    panics.iter().filter(|panic| panic.starts_with(start)).cloned().collect()
}

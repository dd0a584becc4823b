//! Counts the panics of this process. A task that panics ends its connection, and no caller waits for the task.

use std::panic::PanicHookInfo;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Counts the panics that `counts` picks from now on, wherever they are caught. The first choice holds.
pub fn watch(counts: fn(&PanicHookInfo<'_>) -> bool) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if counts(panic) {
                PANICS.fetch_add(1, Ordering::SeqCst);
            }
            report(panic);
        }));
    });
}

/// Returns the number of panics since [`watch`].
pub fn count() -> usize {
    PANICS.load(Ordering::SeqCst)
}

//! Two counts of the present thread: the bytes that may be written, and the bytes that have been unfolded.
//!
//! Both belong to the connection that the work is done for. The work is done in user code (`Serialize` and
//! `Deserialize`), which knows no connection.

use std::cell::Cell;

use crate::error::Error;
use crate::limits::LimitKind;
use crate::sync::thread_local;

thread_local! {
    static WRITABLE: Cell<usize> = const { Cell::new(usize::MAX) };
    static UNFOLDED: Cell<usize> = const { Cell::new(0) };
}

/// The reason why a value was not written to its end.
pub(crate) const TOO_LONG: &str = "the value is longer than a frame may be";

/// The error of a value that was not written to its end.
pub(crate) fn too_long() -> Error {
    Error::over(LimitKind::FrameBytes, TOO_LONG)
}

/// Runs `run`. A value that is written for a connection meanwhile may have at most `bytes` bytes.
pub(crate) fn writing<T>(bytes: usize, run: impl FnOnce() -> T) -> T {
    /// Restores the former count, also after a panic.
    struct Back(usize);

    impl Drop for Back {
        fn drop(&mut self) {
            WRITABLE.set(self.0);
        }
    }

    let before = WRITABLE.get();
    if before == bytes {
        return run();
    }
    let _back = Back(before);
    WRITABLE.set(bytes);
    run()
}

/// Returns the most bytes of a value that is written for a connection.
pub(crate) fn writable() -> usize {
    WRITABLE.get()
}

/// Notes that a value was read once more at another place, which took so many bytes of text.
pub(crate) fn add_unfolded(bytes: usize) {
    UNFOLDED.set(UNFOLDED.get().saturating_add(bytes));
}

/// Runs `run`, and returns its result with the number of bytes unfolded meanwhile.
pub(crate) fn unfolding<T>(run: impl FnOnce() -> T) -> (T, usize) {
    /// Adds the bytes unfolded before, also after a panic: an outer measurement goes on.
    struct Back(usize);

    impl Drop for Back {
        fn drop(&mut self) {
            UNFOLDED.set(UNFOLDED.get().saturating_add(self.0));
        }
    }

    let _back = Back(UNFOLDED.get());
    UNFOLDED.set(0);
    let result = run();
    (result, UNFOLDED.get())
}

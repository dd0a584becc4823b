//! Two counts of the present thread: the bytes that may be written, and the bytes that have been unfolded.
//!
//! Both belong to the connection that the work is done for. The work is done in user code (`Serialize` and
//! `Deserialize`), which knows no connection.

use std::cell::Cell;

use crate::error::Error;
use crate::limits::LimitKind;
use crate::sync::{OnDrop, thread_local};

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
    let before = WRITABLE.get();
    if before == bytes {
        return run();
    }
    let _back = OnDrop(|| WRITABLE.set(before));
    WRITABLE.set(bytes);
    run()
}

/// The bit of a bound that says that bytes may go beside the text.
pub(crate) const BESIDE: usize = 1 << (usize::BITS - 2);

/// Returns the bound of a text beside which bytes may go. All count together.
pub(crate) fn with_bytes_beside(bound: usize) -> usize {
    bound.min(BESIDE - 1) | BESIDE
}

/// Returns the bytes of a bound, and `true` if bytes may go beside the text.
pub(crate) fn parts(bound: usize) -> (usize, bool) {
    // An unlimited one is for a value of this program.
    if bound >> (usize::BITS - 2) == 1 { (bound & !BESIDE, true) } else { (bound, false) }
}

/// Returns the bound of a value that is written for a connection: see [`parts`].
pub(crate) fn writable() -> usize {
    WRITABLE.get()
}

/// Returns the bound of a value whose length is checked later: none, with bytes beside the text where they may go.
pub(crate) fn unchecked() -> usize {
    if parts(WRITABLE.get()).1 { with_bytes_beside(usize::MAX) } else { usize::MAX }
}

/// Notes that a value was read once more at another place, which took so many bytes of text.
pub(crate) fn add_unfolded(bytes: usize) {
    UNFOLDED.set(UNFOLDED.get().saturating_add(bytes));
}

/// Runs `run`, and returns its result with the number of bytes unfolded meanwhile.
pub(crate) fn unfolding<T>(run: impl FnOnce() -> T) -> (T, usize) {
    let before = UNFOLDED.replace(0);
    // An outer measurement goes on.
    let _back = OnDrop(|| add_unfolded(before));
    let result = run();
    (result, UNFOLDED.get())
}

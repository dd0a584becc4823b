//! Progress of a call: values that its handler reports before it ends, and the caller's callback for them.

use std::cell::RefCell;
use std::sync::Arc;

use serde::Serialize;

use super::payload::{LivePayload, encode_bounded};
use crate::error::Error;
use crate::sync::{OnDrop, thread_local};

/// The callback for the progress of a call.
pub(crate) type Progress = Arc<dyn Fn(LivePayload) + Send + Sync>;

thread_local! {
    /// The progress of the call whose handler is being polled.
    static CURRENT: RefCell<Option<Progress>> = const { RefCell::new(None) };
}

/// Reports progress to the caller of the method that is running. Returns `true` if there is a caller to tell: one in
/// this program that [wants to know](crate::Call::on_progress), or a peer that speaks Q-Connection, where the report is
/// a notification. The other languages have no word for progress, and a call over them that wants it fails.
///
/// To be called from the method itself, not from a task it has spawned.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// #[capnode::interface]
/// trait Copier {
///     async fn copy(&self, files: u32) -> u32;
/// }
///
/// struct Disk;
///
/// impl Copier for Disk {
///     async fn copy(&self, files: u32) -> u32 {
///         for file in 1..=files {
///             // ...
///             capnode::report_progress(&file).ok();
///         }
///         files
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let copier = CopierClient::new(Disk);
/// let seen = Arc::new(Mutex::new(Vec::new()));
/// let sees = seen.clone();
/// copier.copy(3).on_progress(move |file: u32| sees.lock().unwrap().push(file)).await?;
/// assert_eq!(*seen.lock().unwrap(), [1, 2, 3]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// If the value cannot be written, or is longer than the caller may be sent at once.
pub fn report_progress(value: &impl Serialize) -> Result<bool, Error> {
    let current = CURRENT.with_borrow(Clone::clone);
    let Some(progress) = current else { return Ok(false) };
    progress(encode_bounded(value)?);
    Ok(true)
}

/// `true` while a handler is polled whose caller wants progress.
pub(super) fn is_watched() -> bool {
    CURRENT.with_borrow(Option::is_some)
}

/// Runs a part of a handler, with `progress` for its reports.
pub(super) fn within<T>(progress: Option<Progress>, run: impl FnOnce() -> T) -> T {
    let mut outer = CURRENT.replace(progress);
    let _back = OnDrop(|| drop(CURRENT.replace(outer.take())));
    run()
}

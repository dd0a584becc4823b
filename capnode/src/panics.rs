//! Panics of user code, which harm only the caller that asked for the work.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::runtime::random;

/// A caught panic: the id of its log entry. Others do not learn the rest.
pub(crate) struct PanicId(pub(crate) String);

impl PanicId {
    /// Returns the error for the caller. As a `From` it would stand among the candidates in a user's compile errors.
    pub(crate) fn into_error(self) -> Error {
        Error::rejected(format!("the handler panicked (id {})", self.0))
    }
}

/// Runs user code, named `what` in the log.
pub(crate) fn catch_panic<T>(what: &str, run: impl FnOnce() -> T) -> Result<T, PanicId> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| log(what, panic))
}

/// Runs user code whose result is not awaited.
pub(crate) fn catch_and_log(what: &str, run: impl FnOnce()) {
    // The details are in the log.
    let _panicked = catch_panic(what, run);
}

/// A value of user code. A panic while it is dropped harms nobody else.
pub(crate) struct Contained<T>(Option<T>);

impl<T> Contained<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Returns the value; `None` once it is taken.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut T> {
        self.0.as_mut()
    }

    /// Takes the value out, whose drop is from now on that of whoever has it.
    pub(crate) fn take(&mut self) -> Option<T> {
        self.0.take()
    }
}

impl<T> Drop for Contained<T> {
    #[inline]
    fn drop(&mut self) {
        if let Some(value) = self.0.take() {
            if std::mem::needs_drop::<T>() {
                catch_and_log("drop", || drop(value));
            }
        }
    }
}

fn log(what: &str, panic: Box<dyn Any + Send>) -> PanicId {
    // The id finds a line in a log, and need not be unique.
    let mut id = [0; 4];
    // Without a number it is zero.
    let _none = random::fill(&mut id);
    let id = format!("{:08x}", u32::from_ne_bytes(id));
    say(&id, what, &*panic);
    // The payload of a panic may panic again when it is dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    PanicId(id)
}

#[cfg(feature = "tracing")]
fn say(id: &str, what: &str, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("not a text");
    // A subscriber is user code as well. Debug escapes: the payload of a panic may be text of a peer.
    let _panicked =
        catch_unwind(|| tracing::error!(id, what, panic = ?text, "the program's code has panicked"));
}

#[cfg(not(feature = "tracing"))]
fn say(_: &str, _: &str, _: &(dyn Any + Send)) {}

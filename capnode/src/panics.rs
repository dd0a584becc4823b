//! Panics of the user's code, which are to harm nobody but who asked for it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::runtime::random;

/// A panic that has been caught: the id under which the log has the rest, which is no concern of others.
pub(crate) struct Panicked(pub(crate) String);

impl From<Panicked> for Error {
    fn from(Panicked(id): Panicked) -> Self {
        Error::rejected(format!("the handler panicked (id {id})"))
    }
}

/// Runs code of the user's, called `what` in the log.
pub(crate) fn caught<T>(what: &str, run: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| log(what, panic))
}

/// Runs code of the user's that nobody waits for.
pub(crate) fn contained(what: &str, run: impl FnOnce()) {
    // What there is to say about it is in the log.
    let _panicked = caught(what, run);
}

fn log(what: &str, panic: Box<dyn Any + Send>) -> Panicked {
    // It is to find a line in a log, and nothing depends on its being unique.
    let mut id = [0; 4];
    // Without a number it is zero.
    let _none = random::fill(&mut id);
    let id = format!("{:08x}", u32::from_ne_bytes(id));
    say(&id, what, &*panic);
    // What was panicked with may panic again when it is dropped.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
    Panicked(id)
}

#[cfg(feature = "tracing")]
fn say(id: &str, what: &str, panic: &(dyn Any + Send)) {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("not a text");
    // A subscriber is the user's as well. Debug escapes: a handler may panic with what a peer has sent.
    let _panicked =
        catch_unwind(|| tracing::error!(id, what, panic = ?text, "the program's code has panicked"));
}

#[cfg(not(feature = "tracing"))]
fn say(_: &str, _: &str, _: &(dyn Any + Send)) {}

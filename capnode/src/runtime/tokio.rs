//! The host that is a tokio runtime. Its clock can be paused, as a simulation does.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, UnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Duration;

use tokio::runtime::Handle;

use super::BoxFuture;
use super::spans::in_current;
use crate::error::{Error, ErrorKind};

pub(crate) use tokio::task::{AbortHandle, JoinHandle};
pub(crate) use tokio::time::{Instant, timeout};

/// A timer, pinned so that it can be polled.
pub(crate) type Sleep = Pin<Box<tokio::time::Sleep>>;

const NO_RUNTIME: &str = "no tokio runtime on this thread: call it inside one, such as in `#[tokio::main]`";

/// Spawns a future. Dropping the handle does nothing.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    current().map(|runtime| drop(runtime.spawn(future)))
}

fn current() -> Result<Handle, Error> {
    let none = |error| Error::new(ErrorKind::Unsupported, NO_RUNTIME).with_source(error);
    Handle::try_current().map_err(none)
}

/// Returns `true` if [`spawn`] finds something to run a future on.
pub(crate) fn can_spawn() -> bool {
    Handle::try_current().is_ok()
}

/// Spawns a future where a runtime is certain. The handle can stop it.
///
/// # Panics
///
/// Outside of a runtime.
pub(crate) fn start(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(future)
}

/// Returns a timer.
///
/// # Errors
///
/// If there is no runtime, or one without timers. In the latter case tokio's panic hook prints a message first.
pub(crate) fn sleep(duration: Duration) -> Result<Sleep, Error> {
    current()?;
    timer(|| tokio::time::sleep(duration))
}

/// Returns a timer that ends at a time, under the same conditions as [`sleep`].
pub(crate) fn sleep_until(end: Instant) -> Result<Sleep, Error> {
    timer(|| tokio::time::sleep_until(end))
}

fn timer(make: impl FnOnce() -> tokio::time::Sleep + UnwindSafe) -> Result<Sleep, Error> {
    let message = "the tokio runtime has no timers: build it with `enable_time` or `enable_all`";
    // tokio has no other way to tell.
    catch_unwind(move || Box::pin(make())).map_err(|_| Error::new(ErrorKind::Unsupported, message))
}

/// Returns a timer, where the runtime was [checked](check).
///
/// # Panics
///
/// In a runtime without timers.
pub(crate) fn wait(duration: Duration) -> Sleep {
    Box::pin(tokio::time::sleep(duration))
}

/// Checks that there is a runtime with timers, which every connection needs.
pub(crate) fn check() -> Result<(), Error> {
    sleep(Duration::ZERO).map(drop)
}

/// Opens a socket, which in a runtime without I/O is [`Unsupported`](io::ErrorKind::Unsupported).
pub(crate) async fn with_io<T>(open: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    use futures_util::FutureExt as _;

    let message = "the tokio runtime has no I/O: build it with `enable_io` or `enable_all`";
    let without = |_| Err(io::Error::new(io::ErrorKind::Unsupported, message));
    // tokio has no other way to tell, and only its own code runs here.
    AssertUnwindSafe(open).catch_unwind().await.unwrap_or_else(without)
}

/// Waits for a time, in any runtime.
pub(crate) async fn after(duration: Duration) {
    if let Ok(timer) = sleep(duration) {
        return timer.await;
    }
    let (over, is_over) = futures_channel::oneshot::channel();
    let (waited_for, end) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        // Nothing is sent; the thread ends early when the receiver is dropped.
        let _early = end.recv_timeout(duration);
        // If this fails, the receiver is gone.
        let _unwanted = over.send(());
    });
    // What else could happen is that the thread ended without it.
    let _over = is_over.await;
    drop(waited_for);
}

/// Runs a handler that blocks on a thread for such. Dropping the future cancels the handler at its
/// next await.
pub(crate) fn run_blocking<T, F>(handler: F) -> BoxFuture<Result<T, Error>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let Ok(runtime) = Handle::try_current() else { return Box::pin(handler) };
    let (mut ended, end) = futures_channel::oneshot::channel();
    let on = runtime.clone();
    let running = in_current(async move {
        let outcome = tokio::select! {
            // A call that was given up while it waited for a thread does not begin.
            biased;
            () = ended.cancellation() => return,
            outcome = handler => outcome,
        };
        // A dropped receiver needs no result.
        let _unwanted = ended.send(outcome);
    });
    runtime.spawn_blocking(move || on.block_on(running));
    Box::pin(async move { end.await.unwrap_or_else(|_| Err(Error::rejected("the handler was given up"))) })
}

/// Returns a time as the standard library has it.
pub(crate) fn to_std(at: Instant) -> std::time::Instant {
    at.into_std()
}

/// Returns a time of the standard library.
pub(crate) fn from_std(at: std::time::Instant) -> Instant {
    Instant::from_std(at)
}

/// Runs a future on this thread with a clock that is paused, and jumps while nothing else is to be done. All tasks have
/// ended when it returns.
///
/// # Panics
///
/// Inside a runtime.
#[cfg(feature = "testing")]
pub(crate) fn simulate<T>(program: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    #[allow(clippy::expect_used)]
    runtime.expect("a runtime with nothing but a clock").block_on(program)
}

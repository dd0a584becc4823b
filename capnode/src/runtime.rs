//! The only place that spawns.

use std::future::Future;
#[cfg(feature = "tokio")]
use std::io;
#[cfg(feature = "tokio")]
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
#[cfg(feature = "tokio")]
use std::sync::Arc;
#[cfg(feature = "tokio")]
use std::time::Duration;

use crate::error::Error;
#[cfg(any(feature = "tokio", not(capnode_shuttle)))]
use crate::error::ErrorKind;

/// A boxed future that can be run on any thread.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[cfg(feature = "tokio")]
const NO_RUNTIME: &str = "this needs a tokio runtime";

/// Runs a future by itself; dropping the handle does nothing.
#[cfg(feature = "tokio")]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn(future);
            Ok(())
        }
        Err(error) => Err(Error::new(ErrorKind::Unsupported, NO_RUNTIME).with_source(error)),
    }
}

/// Returns a timer.
///
/// # Errors
///
/// Where there is no runtime, or one without timers, in which what tokio's panic hook prints comes first.
#[cfg(feature = "tokio")]
pub(crate) fn sleep(duration: Duration) -> Result<Pin<Box<tokio::time::Sleep>>, Error> {
    let none = |error| Error::new(ErrorKind::Unsupported, NO_RUNTIME).with_source(error);
    tokio::runtime::Handle::try_current().map_err(none)?;
    let without = |_| {
        Error::new(
            ErrorKind::Unsupported,
            "the runtime has no timers: build it with `enable_time` or `enable_all`",
        )
    };
    // tokio has no other way to tell.
    catch_unwind(|| Box::pin(tokio::time::sleep(duration))).map_err(without)
}

/// Checks that there is a runtime with timers, which every connection needs.
#[cfg(feature = "tokio")]
pub(crate) fn check() -> Result<(), Error> {
    sleep(Duration::ZERO).map(drop)
}

/// Opens a socket, which in a runtime without I/O is [`Unsupported`](io::ErrorKind::Unsupported).
#[cfg(feature = "tokio")]
pub(crate) async fn with_io<T>(open: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    use futures_util::FutureExt as _;

    let message = "the runtime has no I/O: build it with `enable_io` or `enable_all`";
    let without = |_| Err(io::Error::new(io::ErrorKind::Unsupported, message));
    // tokio has no other way to tell, and what runs here is its code alone.
    AssertUnwindSafe(open).catch_unwind().await.unwrap_or_else(without)
}

/// Ready after a time, in any runtime.
#[cfg(feature = "tokio")]
pub(crate) async fn after(duration: Duration) {
    if let Ok(timer) = sleep(duration) {
        return timer.await;
    }
    let (over, is_over) = futures_channel::oneshot::channel();
    let (waited_for, end) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        // Nothing is sent; it ends early when nobody waits any more.
        let _early = end.recv_timeout(duration);
        // Then nobody wants to know, either.
        let _unwanted = over.send(());
    });
    // What else could happen is that the thread ended without it.
    let _over = is_over.await;
    drop(waited_for);
}

/// Where orders of threads are tried, it is one more thread.
#[cfg(capnode_shuttle)]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    drop(shuttle::future::spawn(future));
    Ok(())
}

/// Without the feature `tokio` there is nothing to run it on.
#[cfg(not(any(feature = "tokio", capnode_shuttle)))]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    drop(future);
    Err(Error::new(ErrorKind::Unsupported, "this needs capnode's feature `tokio`"))
}

/// Returns `true` if [`spawn`] finds something to run a future on.
pub(crate) fn can_spawn() -> bool {
    #[cfg(feature = "tokio")]
    return tokio::runtime::Handle::try_current().is_ok();
    #[cfg(not(feature = "tokio"))]
    cfg!(capnode_shuttle)
}

/// What a connection does, in a span that says which connection it is.
#[cfg(feature = "tokio")]
pub(crate) fn in_connection<F: Future>(
    future: F,
    nickname: Option<Arc<str>>,
) -> impl Future<Output = F::Output> {
    #[cfg(feature = "tracing")]
    return {
        use tracing::Instrument as _;
        future.instrument(tracing::info_span!("connection", nickname = nickname.as_deref()))
    };
    #[cfg(not(feature = "tracing"))]
    {
        let _nobody_looks = nickname;
        future
    }
}

/// What goes on by itself, in the span of who began it.
#[cfg(feature = "tokio")]
pub(crate) fn in_current<F: Future>(future: F) -> impl Future<Output = F::Output> {
    #[cfg(feature = "tracing")]
    return tracing::Instrument::in_current_span(future);
    #[cfg(not(feature = "tracing"))]
    future
}

/// Runs a handler that blocks on a thread for such. Dropping the future cancels the handler at its
/// next await.
#[cfg(feature = "tokio")]
pub(crate) fn run_blocking<T, F>(handler: F) -> BoxFuture<Result<T, Error>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Box::pin(handler) };
    let (mut ended, end) = futures_channel::oneshot::channel();
    let on = runtime.clone();
    let running = in_current(async move {
        let outcome = tokio::select! {
            // Who was given up while it waited for a thread does not begin.
            biased;
            () = ended.cancellation() => return,
            outcome = handler => outcome,
        };
        // If the receiver is gone, nobody wants to know.
        let _unwanted = ended.send(outcome);
    });
    runtime.spawn_blocking(move || on.block_on(running));
    Box::pin(async move { end.await.unwrap_or_else(|_| Err(Error::rejected("the handler was given up"))) })
}

#[cfg(not(feature = "tokio"))]
pub(crate) fn run_blocking<T>(
    handler: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> BoxFuture<Result<T, Error>> {
    Box::pin(handler)
}

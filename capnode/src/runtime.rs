//! The only place that spawns.

use std::future::Future;
#[cfg(feature = "tokio")]
use std::sync::Arc;

use crate::cap::BoxFuture;
use crate::cap::response::{Outcome, Response};
use crate::error::Error;
#[cfg(any(feature = "tokio", not(capnode_shuttle)))]
use crate::error::ErrorKind;

/// Runs a future by itself; dropping the handle does nothing.
#[cfg(feature = "tokio")]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => {
            runtime.spawn(future);
            Ok(())
        }
        Err(error) => {
            Err(Error::new(ErrorKind::Unsupported, "this needs a tokio runtime").with_source(error))
        }
    }
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
pub(crate) fn run_blocking(handler: Response) -> BoxFuture<Outcome> {
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
pub(crate) fn run_blocking(handler: Response) -> BoxFuture<Outcome> {
    Box::pin(handler)
}

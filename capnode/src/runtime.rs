//! The only place that spawns.

use std::future::Future;

use crate::cap::BoxFuture;
use crate::cap::response::Outcome;
use crate::error::{Error, ErrorKind};

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

/// Without the feature `tokio` there is nothing to run it on.
#[cfg(not(feature = "tokio"))]
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
    drop(future);
    Err(Error::new(ErrorKind::Unsupported, "this needs capnode's feature `tokio`"))
}

/// Runs a handler that blocks on a thread for such. Dropping the future cancels the handler at its
/// next await.
#[cfg(feature = "tokio")]
pub(crate) fn run_blocking(handler: BoxFuture<Outcome>) -> BoxFuture<Outcome> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return handler };
    let (mut ended, end) = futures_channel::oneshot::channel();
    let on = runtime.clone();
    runtime.spawn_blocking(move || {
        on.block_on(async {
            let caught = std::panic::AssertUnwindSafe(handler);
            let outcome = tokio::select! {
                outcome = futures_util::FutureExt::catch_unwind(caught) => outcome,
                () = ended.cancellation() => return,
            };
            // If the receiver is gone, nobody wants to know.
            let _unwanted = ended.send(outcome);
        });
    });
    Box::pin(async move {
        match end.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Err(Error::rejected("the handler panicked")),
        }
    })
}

#[cfg(not(feature = "tokio"))]
pub(crate) fn run_blocking(handler: BoxFuture<Outcome>) -> BoxFuture<Outcome> {
    handler
}

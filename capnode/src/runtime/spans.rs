//! Spans of `tracing` around detached work.

use std::future::Future;
use std::sync::Arc;

/// Runs the work of a connection in a span that says which connection it is.
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

/// Runs detached work in the current span.
pub(crate) fn in_current<F: Future>(future: F) -> impl Future<Output = F::Output> {
    #[cfg(feature = "tracing")]
    return tracing::Instrument::in_current_span(future);
    #[cfg(not(feature = "tracing"))]
    future
}

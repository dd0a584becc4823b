//! Spans of `tracing` around what runs by itself.

use std::future::Future;
use std::sync::Arc;

/// What a connection does, in a span that says which connection it is.
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
pub(crate) fn in_current<F: Future>(future: F) -> impl Future<Output = F::Output> {
    #[cfg(feature = "tracing")]
    return tracing::Instrument::in_current_span(future);
    #[cfg(not(feature = "tracing"))]
    future
}

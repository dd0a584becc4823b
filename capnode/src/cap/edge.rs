//! The edge of a connection, as the calls that cross it see it.

use std::sync::Arc;
use std::task::Waker;

use super::context::Context;
use super::meter::Meter;
use super::request::{Args, CallOptions, Member, Request};
use super::response::{FirstPoll, Response};
use super::{Cap, missing};
use crate::message::{Path, ReturnMode};
use crate::reserved::find_reserved;

/// The edge of a connection at which calls are asked about.
pub(crate) trait Edge: Send + Sync {
    /// Returns `true` while nobody is to be asked or told.
    fn is_idle(&self) -> bool;

    /// Returns what counts calls, while that is all that is to be done about them.
    fn meter(&self) -> Option<&dyn Meter>;

    /// Delivers a request of the peer. With `first`, a handler is polled at once if it can be.
    fn take_in(self: Arc<Self>, target: Cap, request: &mut Request, first: Option<FirstPoll<'_>>)
    -> Response;

    /// Sends a request, whose arguments are written. One that was to be retained gives the reference to its result.
    /// A caller that waits already has a `waker`.
    fn send(
        self: Arc<Self>,
        target: Cap,
        request: &mut Request,
        mode: ReturnMode,
        waker: Option<&Waker>,
    ) -> Response;
}

impl Cap {
    /// Calls, or reads, a member for a peer, which takes an answer of so many bytes, by way of the edge of its connection.
    /// With `first`, a handler is polled at once if it can be.
    pub(crate) fn serve(
        mut self,
        path: Path,
        args: Args,
        answer_bytes: usize,
        context: Option<Context>,
        edge: Option<Arc<dyn Edge>>,
        first: Option<FirstPoll<'_>>,
    ) -> Response {
        if let Some(at) = find_reserved(path.as_slice()) {
            return missing::reserved(path.as_slice(), at, args.is_read());
        }
        let options = CallOptions { context, answer_bytes, by_peer: true, ..CallOptions::NONE };
        let mut request = Request { member: Member::Path(path), args, typed: false, options };
        match edge {
            Some(edge) => edge.take_in(self, &mut request, first),
            None => self.deliver(&mut request, first),
        }
    }
}

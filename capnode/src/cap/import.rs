//! References to imports.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::Cap;
use super::edge::Edge;
use super::hook::{ConnectionHook, UNSENT};
use super::meter::Counted;
use super::payload::PayloadRef;
use super::pending::PendingAnswer;
use super::promise::{Promise, result_of};
use super::request::{Args, Member, Request};
use super::response::{Response, State};
use crate::dialect::Capabilities;
use crate::error::{Error, ErrorKind, Fate};
use crate::message::{Id, Key, Payload, ReturnMode, Verb};
use crate::sync::atomic::{AtomicI64, Ordering};

/// A connection, for the references that its peer lends.
pub(crate) trait ImportHook: ConnectionHook {
    /// Returns the abilities of the peer, once its dialect is known.
    fn capabilities(&self) -> Option<&'static Capabilities>;

    /// Returns whether the peer, which speaks Cap'n Web, is of this library; `None` while it may still say so.
    fn knows_extended(&self) -> Option<bool>;

    /// Sends a request that any peer of Cap'n Web answers. By the time of the answer the peer has said whether it is of
    /// this library.
    fn round_trip(self: Arc<Self>) -> Result<PendingAnswer, Error>;

    /// The most bytes of a message to the peer.
    fn frame_bytes(&self) -> usize;

    /// The bound of what is written for the peer: see [`bounds::parts`](crate::bounds::parts).
    fn write_limit(&self) -> usize {
        self.frame_bytes()
    }

    /// The time since the beginning, as the driver has told it.
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    /// The most bytes of a stream that may be on their way.
    fn stream_window(&self) -> usize {
        0
    }

    /// Counts a message of a stream, of so many bytes, if no peer acknowledges it, and returns whether it can be sent.
    fn count_unacknowledged(&self, _bytes: usize) -> Option<Result<(), Error>> {
        None
    }

    /// Ready when little output waits to be written, so that a chunk of a stream delays nothing else. `true` if the peer
    /// takes several chunks in one write.
    fn poll_room(&self, _: &mut Context<'_>) -> Poll<bool> {
        Poll::Ready(false)
    }

    /// Makes a request, whose arguments are written, to the target of an import, and takes out what is sent of it. An
    /// awaited call waits for room, and every call behind those that wait; a call that cannot wait fails where too much
    /// is waiting. A caller that waits already has a `waker`, which the answer wakes. A call that is `counted` is so with
    /// its answer, if one is expected.
    fn call(
        self: Arc<Self>,
        target: &Arc<Import>,
        request: &mut Request,
        return_mode: ReturnMode,
        waker: Option<&Waker>,
        counted: Option<&mut Option<Counted>>,
    ) -> Result<Called, Error>;

    /// Returns `true` if the connection has an edge at which calls are asked about.
    fn has_edge(&self) -> bool {
        false
    }

    /// Returns that edge, unless nobody is to be asked now.
    fn edge(&self) -> Option<Arc<dyn Edge>> {
        None
    }

    /// Returns `true` once the connection has ended, or the peer has said that it runs no further calls.
    #[cfg(feature = "tokio")]
    fn is_leaving(&self) -> bool {
        false
    }

    /// Returns a reference to the value of a property of an import, for languages that say one step at a time.
    fn read_property(self: Arc<Self>, from: &Arc<Import>, name: &Key) -> Cap;
}

/// The outcome of making a call: a reference to its result, or the future of its answer.
pub(crate) enum Called {
    Kept(Arc<Import>),
    Sent(PendingAnswer),
}

/// The handle of an import: dropping it gives the reference back.
pub(crate) struct Import {
    pub(super) connection: Arc<dyn ImportHook>,
    /// The id of the import; unknown for the result of a call that waits for room.
    id: AtomicI64,
    /// `true` if the peer has said that it is a function.
    function: bool,
    /// `true` if calls are asked about at the edge of the connection.
    asks: bool,
    /// The abilities of the peer, if its dialect was known from the beginning.
    peer: Option<&'static Capabilities>,
}

impl Import {
    pub(crate) fn new(connection: Arc<dyn ImportHook>, id: Id, function: bool) -> Arc<Self> {
        let (peer, asks) = (connection.capabilities(), connection.has_edge());
        Arc::new(Self { connection, id: AtomicI64::new(id), function, asks, peer })
    }

    pub(crate) fn is_function(&self) -> bool {
        self.function
    }

    /// Returns the abilities of the peer, once its dialect is known.
    pub(crate) fn capabilities(&self) -> Option<&'static Capabilities> {
        self.peer.or_else(|| self.connection.capabilities())
    }

    pub(crate) fn connection(&self) -> &dyn ImportHook {
        &*self.connection
    }

    /// Returns a number that no other connection has as long as this one lives.
    pub(crate) fn connection_addr(&self) -> usize {
        Arc::as_ptr(&self.connection).cast::<()>().addr()
    }

    /// Returns `true` for something that is lent over `connection`.
    pub(crate) fn is_of<C>(&self, connection: &Arc<C>) -> bool {
        self.connection_addr() == Arc::as_ptr(connection).addr()
    }

    pub(crate) fn id(&self) -> Id {
        self.id.load(Ordering::Relaxed)
    }

    /// Sets the id of the call with this result, which has been sent. Called under the lock of the link.
    pub(crate) fn set_id(&self, id: Id) {
        self.id.store(id, Ordering::Relaxed);
    }

    /// `false` for the result of a call that waits for room.
    pub(crate) fn is_sent(&self) -> bool {
        self.id() != UNSENT
    }

    /// Makes a request. What is sent is taken out of it. With `waker`, the caller waits for the response.
    #[inline]
    pub(crate) fn request(self: &Arc<Self>, request: &mut Request, waker: Option<&Waker>) -> Response {
        // A member of an interface is asked for alike in all languages.
        if matches!(request.member, Member::Path(_)) {
            if let Some(response) = self.reworded(request) {
                return response;
            }
        }
        // It may have waited for a promise, and is one on this import since.
        let is_kept = request.options.pipelined && self.pipelines();
        let mode = if is_kept { ReturnMode::Retained } else { ReturnMode::Streamed };
        if self.asks {
            return self.cross(request, mode, waker);
        }
        self.send(request, mode, waker, None)
    }

    /// Returns `true` if calls can be made on the results of calls that are not there yet.
    pub(super) fn pipelines(&self) -> bool {
        self.capabilities().is_some_and(|peer| peer.pipelines)
    }

    /// Makes a request by way of the edge of the connection. A chunk of a stream is part of the call that lent its end.
    fn cross(self: &Arc<Self>, request: &mut Request, mode: ReturnMode, waker: Option<&Waker>) -> Response {
        match self.connection.edge().filter(|_| !request.options.chunk) {
            Some(edge) => match self.write_args(request) {
                Ok(()) => edge.send(Cap::from_import(self.clone()), request, mode, waker),
                Err(error) => Response::error(error),
            },
            None => self.send(request, mode, waker, None),
        }
    }

    /// Sends a request, about which nobody is asked any more.
    pub(super) fn send(
        self: &Arc<Self>,
        request: &mut Request,
        mode: ReturnMode,
        waker: Option<&Waker>,
        counted: Option<&mut Option<Counted>>,
    ) -> Response {
        match self.call(request, mode, waker, counted) {
            Ok(Called::Sent(pending)) => Response(State::Sent(pending)),
            Ok(Called::Kept(result)) => {
                Response::wire(Payload::reference(PayloadRef::Cap(Cap::from_import(result))))
            }
            Err(error) => Response::error(error),
        }
    }

    /// Makes a request that the peer has to be asked for in another form; `None` for any other.
    fn reworded(self: &Arc<Self>, request: &mut Request) -> Option<Response> {
        let peer = self.capabilities().unwrap_or_default();
        let reads_itself = request.reads_target();
        if peer.pipelines {
            return if reads_itself && self.id() <= 0 { self.read_lent(request) } else { None };
        }
        if reads_itself && !peer.has_promises {
            return Some(self.itself());
        }
        let Member::Path(path) = &request.member else { return None };
        match path.as_slice() {
            [first, second, ..] if !matches!(second, Key::Verb(Verb::Set | Verb::Delete)) => {
                let (first, rest) = (first.clone(), Member::Path(path.after(1)));
                let rest = Request { member: rest, ..request.take() };
                // The peer may answer the read of a property by a reference that leads to the same read.
                let Some(rest) = rest.stepped() else { return Some(super::too_many_hops()) };
                Some(self.connection.clone().read_property(self, &first).forward(rest))
            }
            _ => None,
        }
    }

    /// Reads something that the peer has exported in Cap'n Web. A peer of this library lends promises so, and is asked. With
    /// any other it is the reference itself, and npm's would refuse to be asked.
    fn read_lent(self: &Arc<Self>, request: &mut Request) -> Option<Response> {
        match self.connection.knows_extended() {
            Some(true) => None,
            Some(false) => Some(self.itself()),
            None => Some(match self.connection.clone().round_trip() {
                Err(error) => Response::error(error),
                Ok(greeted) => {
                    let (import, mut request) = (self.clone(), request.take());
                    Response::handler(async move {
                        greeted.await?;
                        import.request(&mut request, None).outcome().await
                    })
                }
            }),
        }
    }

    fn itself(self: &Arc<Self>) -> Response {
        Response::wire(Payload::reference(PayloadRef::Cap(Cap::from_import(self.clone()))))
    }

    pub(crate) fn pipeline(self: &Arc<Self>, request: &mut Request) -> Cap {
        if self.asks {
            return match self.cross(request, ReturnMode::Retained, None).outcome_now() {
                Ok(outcome) => result_of(outcome),
                Err(response) => Promise::of_response(response),
            };
        }
        match self.call(request, ReturnMode::Retained, None, None) {
            Ok(Called::Kept(result)) => Cap::from_import(result),
            Ok(Called::Sent(pending)) => Promise::of_response(Response(State::Sent(pending))),
            Err(error) => Cap::broken(error),
        }
    }

    fn call(
        self: &Arc<Self>,
        request: &mut Request,
        return_mode: ReturnMode,
        waker: Option<&Waker>,
        counted: Option<&mut Option<Counted>>,
    ) -> Result<Called, Error> {
        self.write_args(request)?;
        let verb = match &request.member {
            Member::Path(path) => path.split_verb().1,
            Member::Method(..) => None,
        };
        if request.options.needs_progress || verb.is_some() {
            self.check_supported(verb, request.options.needs_progress)?;
        }
        self.connection.clone().call(self, request, return_mode, waker, counted)
    }

    fn write_args(&self, request: &mut Request) -> Result<(), Error> {
        // The connection is asked for no more than a call needs.
        if matches!(request.args, Args::Typed(_)) {
            let written = request.args.write(self.connection.write_limit());
            written.map_err(|error| request.member.explain(error))?;
        }
        Ok(())
    }

    /// Checks that the peer's language has words for the call.
    #[cold]
    fn check_supported(&self, verb: Option<Verb>, needs_progress: bool) -> Result<(), Error> {
        let unsaid = |message| Err(Error::new(ErrorKind::Unsupported, message).with_fate(Fate::NotSent));
        let Some(peer) = self.capabilities() else { return Ok(()) };
        let language = peer.title;
        if needs_progress && !peer.progress {
            return unsaid(format!("{language} has no progress: pass a callback as an argument"));
        }
        let Some(verb) = verb.filter(|_| !peer.verbs) else { return Ok(()) };
        let method = if verb == Verb::Set { "put" } else { verb.name() };
        unsaid(format!("{language} has no message for `{method}`: call a method instead"))
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        if self.is_sent() {
            self.connection.release(self.id());
        }
    }
}

//! References: the one type behind all typed clients, and one file for each kind of it.

use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

pub(crate) mod broken;
pub(crate) mod context;
pub(crate) mod counted;
pub(crate) mod data;
pub(crate) mod depth;
#[cfg(feature = "tokio")]
pub(crate) mod durable;
#[cfg(feature = "tokio")]
mod durable_call;
pub(crate) mod edge;
pub(crate) mod fetch;
pub(crate) mod graph;
pub(crate) mod hook;
pub(crate) mod import;
pub(crate) mod inbound;
pub(crate) mod interface;
mod join_all;
pub(crate) mod layer;
mod line;
pub(crate) mod local;
pub(crate) mod membrane;
pub(crate) mod meter;
pub(crate) mod methods;
pub(crate) mod missing;
pub(crate) mod payload;
pub(crate) mod pending;
pub(crate) mod policy;
pub(crate) mod promise;
pub(crate) mod property;
pub(crate) mod recorder;
pub(crate) mod remap;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod shared;
pub(crate) mod slot;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
mod thrown;
pub(crate) mod value;
pub(crate) mod weak;

pub use self::broken::OnBroken;
use self::broken::{BrokenSlot, fire};
#[cfg(feature = "tokio")]
use self::durable::Durable;
use self::import::Import;
use self::interface::Interface;
use self::local::Local;
use self::promise::Promise;
use self::property::PropertyRef;
use self::request::Request;
use self::response::{FirstPoll, Outcome, Response, ResultSlot};
use crate::bounds;
use crate::error::{Error, ErrorKind};
use crate::escape::EscapeControl;
use crate::message::{Key, Path, Text};
use crate::session::ObjectId;
use crate::threads::{Send, Sync};

/// A reference to an object or function, wherever it lives: here, at the other end of a
/// connection, or nowhere yet.
///
/// Every typed client is made of one. Cloning is cheap; two references are equal if they are known to stand for the
/// same thing. Dropping the last clone gives the reference back.
///
/// It serializes, at any depth of a value that travels over a connection, and nowhere else.
pub struct Cap(Kind, RefKind);

/// The kind of target of a reference, where it is known: some languages have different words for different kinds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum RefKind {
    #[default]
    Unknown,
    Function,
    Object(&'static Interface),
    /// The read end of a stream.
    Readable,
    /// The write end of a stream.
    Writable,
}

enum Kind {
    /// An object of this program.
    Local(Local),
    /// Something the peer of a connection lends us.
    Remote(Arc<Import>),
    /// A durable reference: a slot with the reference that is there at present.
    #[cfg(feature = "tokio")]
    Durable(Arc<Durable>),
    /// A promise made in this program.
    Promise(Arc<Promise>),
    /// A part of the target of another reference.
    Property(Arc<PropertyRef>),
    /// Another reference, whose calls have a time limit.
    #[cfg_attr(not(feature = "host"), allow(dead_code, reason = "without a clock there is no limit"))]
    Timed(Arc<(Cap, Duration)>),
    /// A reference that no longer works.
    Broken(Error),
}

impl Clone for Cap {
    fn clone(&self) -> Self {
        let kind = match &self.0 {
            Kind::Local(local) => Kind::Local(local.clone()),
            Kind::Remote(import) => Kind::Remote(import.clone()),
            #[cfg(feature = "tokio")]
            Kind::Durable(slot) => Kind::Durable(slot.clone()),
            Kind::Promise(promise) => Kind::Promise(promise.clone()),
            Kind::Property(at) => Kind::Property(at.clone()),
            Kind::Timed(timed) => Kind::Timed(timed.clone()),
            Kind::Broken(error) => Kind::Broken(error.clone()),
        };
        Self(kind, self.1)
    }
}

impl Cap {
    pub(crate) fn from_local(local: Local) -> Self {
        Self(Kind::Local(local), RefKind::Unknown)
    }

    pub(crate) fn from_import(import: Arc<Import>) -> Self {
        Self(Kind::Remote(import), RefKind::Unknown)
    }

    pub(crate) fn from_promise(promise: Arc<Promise>) -> Self {
        Self(Kind::Promise(promise), RefKind::Unknown)
    }

    /// Returns a reference on which every call fails with `error`.
    pub fn broken(error: Error) -> Self {
        Self(Kind::Broken(error), RefKind::Unknown)
    }

    /// Returns a reference to the same thing whose calls have the [timeout](crate::Call::timeout) `limit`. A call may have
    /// less: the shortest of all limits holds. So do calls of what is [inside](Self::at).
    ///
    /// The limit is one of this program. References to results of the calls do not have it, and neither does what is
    /// made of this reference elsewhere, once it was sent there.
    #[cfg(feature = "host")]
    #[must_use = "the reference itself stays without it"]
    pub fn with_call_time(&self, limit: Duration) -> Self {
        let limit = self.call_time().map_or(limit, |other| other.min(limit));
        Self(Kind::Timed(Arc::new((self.untimed().clone(), limit))), self.1)
    }

    /// Returns the time limit of calls of this reference, if it has one.
    pub(crate) fn call_time(&self) -> Option<Duration> {
        match &self.0 {
            Kind::Timed(timed) => Some(timed.1),
            _ => None,
        }
    }

    /// Returns the reference without a time limit.
    pub(crate) fn untimed(&self) -> &Self {
        match &self.0 {
            Kind::Timed(timed) => &timed.0,
            _ => self,
        }
    }

    /// Returns the object itself, if it lives in this program and is a `T`.
    ///
    /// `None` while this is a promise, such as the result of a [pipelined](crate::Call::pipeline) call. [`read`](Self::read) waits until it is
    /// resolved, and gives the reference to ask: `client.cap().read::<RoomClient>().await?`.
    pub fn local<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        match self.nearest().0 {
            Kind::Local(mut local) => local.take_object(),
            _ => None,
        }
    }

    /// Returns the object itself, if it is the library's own and a `T`. [`local`](Self::local) finds no such object where
    /// there is one thread.
    pub(crate) fn own<T: Any + marker::Send + marker::Sync>(&self) -> Option<Arc<T>> {
        match self.nearest().0 {
            Kind::Local(local) => local.downcast(),
            _ => None,
        }
    }

    /// Calls `callback` once, with the reason, when this reference stops working: at once if it
    /// already has. Dropping the returned guard unregisters it. A reference to a local object
    /// never breaks; one to a value does when a reference in it does, such as a function of a Capnode peer's index.
    #[must_use = "dropping the guard unregisters the callback"]
    pub fn on_broken(&self, callback: impl FnOnce(Error) + Send + 'static) -> OnBroken {
        let watching = OnBroken::watching(callback);
        self.watch(watching.slot());
        watching
    }

    fn watch(&self, slot: &BrokenSlot) {
        // Values may hold values, as deep as a peer likes to build them, and the same ones again.
        let mut seen = HashSet::new();
        let mut waiting = vec![self.nearest()];
        while let Some(cap) = waiting.pop() {
            match &cap.0 {
                // A value works as long as its references do.
                Kind::Local(local) => {
                    if seen.insert(cap.object_id()) {
                        waiting.extend(local.target.watch(local, slot));
                    }
                }
                Kind::Remote(import) => import.connection().on_closed(slot),
                #[cfg(feature = "tokio")]
                Kind::Durable(durable) => {
                    if seen.insert(cap.object_id()) {
                        waiting.extend(durable.watch(slot));
                    }
                }
                Kind::Promise(promise) => waiting.extend(promise.watch(slot)),
                Kind::Property(at) => waiting.push(at.cap.nearest()),
                Kind::Timed(timed) => waiting.push(timed.0.nearest()),
                Kind::Broken(error) => fire(slot, error),
            }
        }
    }

    /// Returns a reference to the property `name`, without asking for it: it can be used at once, also while this is still
    /// a promise.
    pub fn at(&self, name: &str) -> Cap {
        self.at_path(Path::One(Key::Name(Text::Own(name.to_owned()))))
    }

    pub(crate) fn at_path(&self, path: Path) -> Cap {
        match &self.0 {
            _ if path.is_empty() => self.clone(),
            Kind::Property(at) => PropertyRef::cap(at.cap.clone(), at.path.join(path.as_slice())),
            Kind::Timed(timed) => {
                let inside = timed.0.at_path(path);
                Self(Kind::Timed(Arc::new((inside, timed.1))), RefKind::Unknown)
            }
            _ => PropertyRef::cap(self.clone(), path),
        }
    }

    /// Returns the reference with a known shape.
    pub(crate) fn with_kind(self, ref_kind: RefKind) -> Self {
        Self(self.0, ref_kind)
    }

    /// Returns `true` for the write end of a stream that was passed on as such. [`value::from_value`](crate::value::from_value)
    /// makes a [`Writer`](crate::Writer) of it.
    pub fn is_writable(&self) -> bool {
        matches!(self.1, RefKind::Writable)
    }

    /// Returns `true` for the read end of a stream that was passed on as such. [`value::from_value`](crate::value::from_value)
    /// makes a [`Reader`](crate::Reader) of it.
    pub fn is_readable(&self) -> bool {
        matches!(self.1, RefKind::Readable)
    }

    /// Returns the shape, if it is known.
    pub(crate) fn ref_kind(&self) -> RefKind {
        match (self.1, &self.0) {
            (RefKind::Unknown, Kind::Local(local)) => local.ref_kind(),
            (RefKind::Unknown, Kind::Remote(import)) if import.is_function() => RefKind::Function,
            (RefKind::Unknown, Kind::Promise(promise)) => {
                promise.resolution().map_or(RefKind::Unknown, |nearer| nearer.ref_kind())
            }
            // Beyond the limit it may be anything.
            (RefKind::Unknown, Kind::Property(at)) => {
                depth::with_hop_limit(|| at.ref_kind()).unwrap_or_default()
            }
            (RefKind::Unknown, Kind::Timed(timed)) => timed.0.ref_kind(),
            (ref_kind, _) => ref_kind,
        }
    }

    /// Returns the object as a record, for a peer whose language has no words for objects. `None` if this is not known
    /// to be an object.
    pub(crate) fn as_record(&self) -> Option<payload::LivePayload> {
        match (self.1, &self.nearest().0) {
            (RefKind::Unknown, Kind::Local(local)) => local.as_record(),
            (RefKind::Object(interface), _) => Some(local::record_of(interface, self)),
            (RefKind::Readable | RefKind::Writable, _) => Some(stream::record_of_end(self)),
            _ => None,
        }
    }

    /// Returns the resolution of a promise; any other reference is returned as it is, without a time limit. All requests
    /// in the promise's queue have been passed on by then, so that going the short way overtakes nothing.
    pub(crate) fn nearest(&self) -> Cap {
        let mut cap = self.clone();
        loop {
            let nearer = match &cap.0 {
                Kind::Promise(promise) => promise.resolution(),
                Kind::Timed(timed) => Some(timed.0.clone()),
                _ => None,
            };
            match nearer {
                Some(nearer) => cap = Self(nearer.0, self.1),
                None => return cap,
            }
        }
    }

    /// Returns the resolution of a promise, also of one behind a membrane: the reference by which others are compared with
    /// this one. It takes locks, and may run user code.
    fn settled(&self) -> Cap {
        let nearest = self.nearest();
        let resolved = match &nearest.0 {
            Kind::Local(local) => depth::with_hop_limit(|| local.target.resolved(local)).flatten(),
            _ => None,
        };
        resolved.unwrap_or(nearest)
    }

    /// Returns the reason if the reference is broken.
    #[cfg(feature = "sturdy")]
    pub(crate) fn broken_by(&self) -> Option<&Error> {
        if let Kind::Broken(error) = &self.0 { Some(error) } else { None }
    }

    pub(crate) fn promise(&self) -> Option<&Arc<Promise>> {
        match &self.0 {
            Kind::Promise(promise) => Some(promise),
            _ => None,
        }
    }

    pub(crate) fn import(&self) -> Option<&Arc<Import>> {
        match &self.0 {
            Kind::Remote(import) => Some(import),
            _ => None,
        }
    }

    /// Returns what a durable reference stands for at present, if that is something that a peer lends.
    pub(crate) fn present(&self) -> Option<Cap> {
        match &self.0 {
            #[cfg(feature = "tokio")]
            Kind::Durable(slot) => slot.lends(),
            _ => None,
        }
    }

    pub(crate) fn as_property(&self) -> Option<&Arc<PropertyRef>> {
        match &self.0 {
            Kind::Property(at) => Some(at),
            _ => None,
        }
    }

    /// Returns `true` for a reference of a peer whose language has objects as records of functions.
    pub(crate) fn comes_in_records(&self) -> bool {
        let present = self.present();
        let import = present.as_ref().unwrap_or(self).import();
        import.and_then(|import| import.capabilities()).is_some_and(|peer| peer.records)
    }

    /// The bound of a message to the peer that lends this, if arguments for it are best written right away: see
    /// [`bounds::parts`].
    pub(crate) fn writes_within(&self) -> Option<usize> {
        match &self.0 {
            Kind::Remote(import) => Some(import.connection.write_limit()),
            #[cfg(feature = "tokio")]
            Kind::Durable(slot) => slot.bound(),
            Kind::Property(at) => depth::with_hop_limit(|| at.cap.nearest().writes_within()).flatten(),
            Kind::Timed(timed) => timed.0.writes_within(),
            _ => None,
        }
    }

    /// The most bytes of a message to the peer that lends this; no bound if that is not known.
    pub(crate) fn frame_bytes(&self) -> usize {
        match &self.0 {
            Kind::Local(local) => data::frame_bytes(local),
            Kind::Property(at) => {
                depth::with_hop_limit(|| at.cap.nearest().frame_bytes()).unwrap_or(usize::MAX)
            }
            Kind::Timed(timed) => timed.0.frame_bytes(),
            _ => self.writes_within().map_or(usize::MAX, |bound| bounds::parts(bound).0),
        }
    }

    /// `true` if this leads to a peer on whose pending results calls can be made.
    fn pipelines(&self) -> bool {
        match &self.0 {
            Kind::Remote(import) => import.pipelines(),
            Kind::Local(local) => local.target.pipelines(local),
            #[cfg(feature = "tokio")]
            Kind::Durable(slot) => slot.lends().is_some_and(|cap| cap.pipelines()),
            Kind::Property(at) if !at.getter => {
                depth::with_hop_limit(|| at.cap.nearest().pipelines()).unwrap_or(false)
            }
            _ => false,
        }
    }

    /// Delivers a request now: the requests of one reference start in their order. Dropping the response cancels.
    pub(crate) fn request(mut self, mut request: Request) -> Response {
        self.deliver(&mut request, None)
    }

    /// Delivers a request, and polls its response once. Returns the outcome if there is one by then. The target is taken
    /// out of the reference, and what is needed out of the request.
    pub(crate) fn start(
        &mut self,
        request: &mut Request,
        cx: &mut Context<'_>,
        mut place: ResultSlot<'_>,
    ) -> Result<Outcome, Response> {
        let first = FirstPoll { waker: cx.waker(), place: place.as_deref_mut() };
        self.deliver(request, Some(first)).start(cx, place)
    }

    /// Delivers a request, as [`start`](Cap::start) does. With `first`, a handler is polled at once if it can be.
    pub(super) fn deliver(&mut self, request: &mut Request, first: Option<FirstPoll<'_>>) -> Response {
        match &mut self.0 {
            Kind::Local(local) => local.target.request(local.take(), request, first),
            Kind::Remote(import) => import.request(request, first.map(|first| first.waker)),
            #[cfg(feature = "tokio")]
            Kind::Durable(slot) => slot.request(request, first.map(|first| first.waker)),
            Kind::Promise(promise) => Promise::request(promise, request.take()),
            Kind::Property(at) => at.request(request.take()),
            Kind::Timed(timed) => timed.0.clone().deliver(request, first),
            Kind::Broken(error) => Response::error(request.failing_with(error.clone())),
        }
    }

    /// Passes on a request from a reference that leads to this one.
    pub(crate) fn forward(self, request: Request) -> Response {
        depth::with_hop_limit(|| self.request(request)).unwrap_or_else(too_many_hops)
    }

    /// Delivers a request whose result is wanted as a reference, at once.
    pub(crate) fn pipeline(&self, mut request: Request) -> Cap {
        let nearest = self.nearest();
        match &nearest.0 {
            Kind::Remote(import) if nearest.pipelines() => import.pipeline(&mut request),
            Kind::Property(at) if nearest.pipelines() => at.cap.pipeline(request.under(&at.path)),
            _ => {
                request.options.pipelined = true;
                let end = request.options.ends_at();
                Promise::of_response(self.clone().request(request).until(end))
            }
        }
    }

    /// Returns an id that is equal for references to the same thing, as long as one of them lives.
    pub(crate) fn object_id(&self) -> ObjectId {
        ObjectId(
            match &self.0 {
                Kind::Local(local) => return local.object_id(),
                Kind::Remote(import) => Arc::as_ptr(import).addr(),
                #[cfg(feature = "tokio")]
                Kind::Durable(slot) => Arc::as_ptr(slot).addr(),
                Kind::Promise(promise) => Arc::as_ptr(promise).addr(),
                Kind::Property(at) => match depth::with_hop_limit(|| at.object_id()).flatten() {
                    Some(id) => return id,
                    None => Arc::as_ptr(at).addr(),
                },
                Kind::Timed(timed) => return timed.0.nearest().object_id(),
                // Broken references differ only by their origin.
                Kind::Broken(error) => error.addr(),
            },
            0,
        )
    }
}

pub(crate) fn too_many_hops() -> Response {
    Response::error(too_many())
}

pub(crate) fn too_many() -> Error {
    Error::new(ErrorKind::Limit, "the request passes through too many references")
}

impl PartialEq for Cap {
    fn eq(&self, other: &Self) -> bool {
        self.settled().object_id() == other.settled().object_id()
    }
}

impl Eq for Cap {}

impl Hash for Cap {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.settled().object_id().hash(state);
    }
}

impl fmt::Debug for Cap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.nearest().0 {
            Kind::Local(local) => write!(f, "Cap(local {})", local.name()),
            Kind::Remote(import) => write!(f, "Cap(import {})", import.id()),
            #[cfg(feature = "tokio")]
            Kind::Durable(_) => f.write_str("Cap(durable)"),
            Kind::Promise(_) => f.write_str("Cap(promise)"),
            Kind::Property(at) => write!(f, "Cap(at {})", EscapeControl(&at.path.dotted())),
            Kind::Timed(timed) => timed.0.fmt(f),
            Kind::Broken(error) => write!(f, "Cap(broken: {error})"),
        }
    }
}

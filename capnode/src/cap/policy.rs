//! Policies: asked before a call crosses a border, and told of its outcome.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{self, Poll};
use std::time::Duration;

use super::context::Context;
use super::interface::{Interface, Method};
pub use super::meter::Direction;
use super::meter::Meter;
#[cfg(any(feature = "metrics", test))]
use super::meter::TableEntry;
use super::payload::{LivePayload, PayloadRef};
use super::request::{Args, Member, Request};
use super::response::{Outcome, result_len};
use super::slot::decode;
use super::value::Value;
use super::{Cap, RefKind};
use crate::caller::Caller;
use crate::error::{Error, ErrorKind, Fate};
use crate::message::{Key, Path, Payload, Slot, Verb};
use crate::panics::{PanicId, catch_and_log, catch_panic};
use crate::runtime::BoxFuture;
use crate::sync::{Mutex, lock};
use crate::thin_vec::ThinVec;
use crate::threads::{Send, Staying, Sync, future};

/// Decides about calls that cross a border, and learns their outcomes.
///
/// A [membrane](crate::membrane()) asks its policy about each call that crosses it, in both
/// [directions](CallInfo::direction). So does a [layer](crate::NodeBuilder::layer), whose border is the edge of a
/// connection.
///
/// ```
/// use capnode::{CallInfo, Decision, Error, Policy};
///
/// /// Refuses calls of methods whose names begin with `admin`.
/// struct NoAdmin;
///
/// impl Policy for NoAdmin {
///     fn before(&self, call: &CallInfo) -> Decision {
///         match call.method() {
///             Some(name) if name.starts_with("admin") => Decision::Refuse(Error::rejected("this is for administrators")),
///             _ => Decision::Pass,
///         }
///     }
/// }
/// ```
///
/// A call of a promise is asked about when the promise is resolved, as a call of what it stands for then. A policy that
/// panics refuses the call.
pub trait Policy: Send + Sync + 'static {
    /// Decides about a call that is about to cross. A decision that is made at once keeps the order of the calls.
    fn before(&self, call: &CallInfo) -> Decision {
        let _passed = call;
        Decision::Pass
    }

    /// Learns the outcome of a call that has crossed, or that a later policy has refused, and the time since it did. A
    /// call that was given up by its caller has none. One of something at another peer that is
    /// [pipelined](crate::Call::pipeline) on is told as soon as it was sent: its outcome is not asked for.
    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, duration: Duration) {
        let _ignored = (call, outcome, duration);
    }

    /// Runs a step of a call that crosses: its delivery, or a poll for its outcome, which polls its handler if that is
    /// in this program. What is to be in force around a handler is set up here. If `step` is not called, it runs
    /// afterwards.
    fn around(&self, call: &CallInfo, step: &mut dyn FnMut()) {
        let _ignored = call;
        step();
    }

    /// Returns `true` while it has nothing to decide and nobody to tell, so that a call may cross a layer without it. It
    /// is asked for each call, so that nearly nothing is spent on what nobody looks at.
    fn is_idle(&self) -> bool {
        false
    }

    /// Returns what counts calls in place of this policy, if that is all it does: a call over a connection is then not
    /// described, and costs less.
    #[doc(hidden)]
    fn meter(&self) -> Option<&dyn Meter> {
        None
    }
}

/// The decision of a [`Policy`] about a call.
pub enum Decision {
    /// The call crosses now.
    Pass,
    /// The call fails with this error, as one that was not sent.
    Refuse(Error),
    /// The call crosses when the future gives `Ok`, and fails with its error otherwise. Later calls on the same
    /// reference wait for it, unless it is [unordered](Self::unordered), and no others do. A caller that gives up drops the
    /// future. The calls of a peer that wait count as [`Limits::parked_bytes`](crate::Limits::parked_bytes).
    Wait(Waiting),
}

/// The future of a decision. [`Decision::wait`] makes one.
pub struct Waiting {
    pub(super) decided: BoxFuture<Result<(), Error>>,
    pub(super) is_ordered: bool,
}

impl Future for Waiting {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        self.decided.as_mut().poll(cx)
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("is_ordered", &self.is_ordered).finish_non_exhaustive()
    }
}

impl Decision {
    /// Returns the decision to wait for `decided`.
    pub fn wait(decided: impl Future<Output = Result<(), Error>> + Send + 'static) -> Self {
        Self::Wait(Waiting { decided: Box::pin(future(decided)), is_ordered: true })
    }

    /// Returns the same decision; if it is to wait, later calls on the reference do not wait for it, and may overtake.
    pub fn unordered(self) -> Self {
        match self {
            Self::Wait(waiting) => Self::Wait(Waiting { is_ordered: false, ..waiting }),
            decision => decision,
        }
    }

    /// Returns the same decision; if it is to wait, for what `wait` makes of its future.
    fn then<F>(self, wait: impl FnOnce(Waiting) -> F) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        match self {
            Self::Wait(waiting) => {
                let is_ordered = waiting.is_ordered;
                Self::Wait(Waiting { decided: Box::pin(future(wait(waiting))), is_ordered })
            }
            decision => decision,
        }
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("Pass"),
            Self::Refuse(error) => f.debug_tuple("Refuse").field(error).finish(),
            Self::Wait(_) => f.write_str("Wait"),
        }
    }
}

/// The operation that a call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// The call of a method, or of a function.
    Call,
    /// The read of a property, or of the value that a reference stands for.
    Read,
    /// A change of a property: `put`.
    Put,
    /// The deletion of a property: `delete`.
    Delete,
    /// The list of the properties: `keys`.
    Keys,
}

/// A name of the metadata of a call, with its value.
struct SetMetadata(String, String);

/// The description of a call that crosses a border.
#[derive(Clone)]
pub struct CallInfo {
    target: Cap,
    interface: Option<&'static Interface>,
    /// `true` if the target is known to have the interface; otherwise its caller says so.
    is_certain: bool,
    path: Path,
    operation: Operation,
    direction: Direction,
    args: Option<LivePayload>,
    bytes: usize,
    result_bytes: usize,
    held: Held,
    context: Option<Context>,
}

/// Values that policies keep.
type Kept = Mutex<Vec<Box<dyn Any + marker::Send>>>;

/// Values that policies keep until a call has ended.
#[derive(Default)]
struct Held {
    kept: OnceLock<Arc<Kept>>,
    /// `true` for a copy: the call ends with the original.
    is_copy: bool,
}

impl Clone for Held {
    fn clone(&self) -> Self {
        let kept = OnceLock::from(self.kept.get_or_init(Arc::default).clone());
        Self { kept, is_copy: true }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(kept) = self.kept.get().filter(|_| !self.is_copy) else { return };
        let kept = std::mem::take(&mut *lock(kept));
        catch_and_log("drop", || drop(kept));
    }
}

impl CallInfo {
    /// Describes a request of `target`, and takes its arguments, which have been written.
    pub(crate) fn new(target: Cap, request: &mut Request, direction: Direction) -> Self {
        let bytes = request.args.len();
        let (mut of, mut path) = (target.nearest(), request.member.clone().into_path());
        let named = match &request.member {
            Member::Method(interface, _) => Some(*interface),
            Member::Path(_) => None,
        };
        let mut getter = false;
        // A method that is bound to its object is that method.
        while let Some(at) = of.as_property().cloned() {
            let (inner, before, is_getter) = at.full_parts();
            path = before.join(path.as_slice());
            getter |= is_getter;
            of = inner.nearest();
        }
        let operation = match path.split_verb().1 {
            Some(Verb::Set) => Operation::Put,
            Some(Verb::Delete) => Operation::Delete,
            Some(Verb::Keys) => Operation::Keys,
            None if getter || request.args.is_read() => Operation::Read,
            None => Operation::Call,
        };
        let known = match of.ref_kind() {
            RefKind::Object(interface) => Some(interface),
            _ => None,
        };
        let args = match std::mem::replace(&mut request.args, Args::Read) {
            Args::Wire(args) => Some(args),
            other => {
                request.args = other;
                None
            }
        };
        Self {
            target: of,
            interface: known.or(named),
            is_certain: known.is_some(),
            path,
            operation,
            direction,
            args,
            bytes,
            result_bytes: 0,
            held: Held::default(),
            context: request.options.context.clone(),
        }
    }

    /// Gives the arguments back to the request.
    pub(crate) fn return_args(&mut self, request: &mut Request) {
        if let Some(args) = self.args.take() {
            request.args = Args::Wire(args);
        }
    }

    /// Returns a copy of the first value of this type that a policy [holds](Self::hold).
    pub fn held<T: Clone + 'static>(&self) -> Option<T> {
        let kept = lock(self.held.kept.get()?);
        kept.iter().find_map(|value| value.downcast_ref::<Staying<T>>()).map(|value| value.with(T::clone))
    }

    /// Sets a name of the call's [metadata](Context::metadata), before it crosses.
    pub fn set_metadata(&self, name: &str, value: &str) {
        self.hold(SetMetadata(name.to_owned(), value.to_owned()));
    }

    /// Gives a request the metadata that policies have set.
    pub(super) fn apply_metadata(&self, request: &mut Request) {
        let Some(kept) = self.held.kept.get() else { return };
        for value in lock(kept).iter() {
            if let Some(set) = value.downcast_ref::<Staying<SetMetadata>>() {
                let context = &mut request.options.context;
                set.with(|SetMetadata(name, value)| Context::set_metadata(context, name, value));
            }
        }
    }

    /// Returns the entry of the method in the table of its interface, if there is one.
    #[cfg(any(feature = "metrics", test))]
    pub(crate) fn table_entry(&self) -> TableEntry {
        self.interface.zip(self.entry())
    }

    fn entry(&self) -> Option<&'static Method> {
        match (self.path.split_verb().0, self.interface) {
            ([Key::Name(name)], Some(interface)) => interface.find(name.as_str()).map(|(_, method)| method),
            _ => None,
        }
    }

    /// Returns the reference that is called. It is the target itself, behind the border.
    pub fn target(&self) -> &Cap {
        &self.target
    }

    /// Returns the name of the target's interface as Rust knows it, such as `Chat`. For a reference of a peer that is
    /// the interface of the client that makes the call; `None` for a function, and where no interface is known.
    pub fn interface(&self) -> Option<&'static str> {
        self.interface.map(|interface| interface.name)
    }

    /// Returns the name on the wire of the method or property; `None` for a function, for the target as a whole, and
    /// for anything further inside a property, which [`path`](Self::path) tells.
    pub fn method(&self) -> Option<&str> {
        match self.path.split_verb().0 {
            [Key::Name(name)] => Some(name.as_str()),
            _ => None,
        }
    }

    /// Returns the name of the method in Rust, if the interface is known.
    pub fn rust_name(&self) -> Option<&'static str> {
        self.entry().map(Method::ident)
    }

    /// Returns the member that is called as a path of names, joined by dots. It is empty for the target itself.
    pub fn path(&self) -> String {
        self.path.dotted()
    }

    /// Returns the operation.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the direction.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Returns `true` if the call can change nothing, as far as its interface says: it reads a property, lists the
    /// names, or calls a method that is marked `#[capnode(read)]`. The interface has to be known of the target itself: a
    /// caller's word is not enough.
    pub fn is_read(&self) -> bool {
        match self.operation {
            Operation::Read | Operation::Keys => true,
            Operation::Call => self.is_certain && self.entry().is_some_and(Method::reads),
            Operation::Put | Operation::Delete => false,
        }
    }

    /// Returns the peer that has made the call; `None` for a caller in this program.
    pub fn caller(&self) -> Option<&Caller> {
        self.context.as_ref()?.caller()
    }

    /// Returns `true` if the metadata is that of a peer that this side has accepted.
    #[cfg(feature = "tracing")]
    pub(crate) fn is_of_accepted(&self) -> bool {
        self.context.as_ref().is_some_and(Context::is_of_accepted)
    }

    /// Returns the value of a name in the [metadata](Context::metadata) of the call. It proves nothing.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.context.as_ref()?.metadata(name)
    }

    /// Returns the [deadline](Context::deadline) of the call.
    pub fn deadline(&self) -> Option<crate::runtime::StdInstant> {
        self.context.as_ref()?.deadline()
    }

    /// Returns the bytes of the arguments, as they are written inside the program.
    pub fn arguments_len(&self) -> usize {
        self.bytes
    }

    /// Returns the bytes of the result, as they are written inside the program, in [`Policy::after`].
    pub fn result_len(&self) -> usize {
        self.result_bytes
    }

    /// Returns the names of the arguments, if the interface is known.
    pub fn argument_names(&self) -> &'static [&'static str] {
        self.entry().map_or(&[], |method| method.args)
    }

    /// Keeps a value until the call has ended: answered, refused, given up or revoked.
    pub fn hold(&self, value: impl Send + 'static) {
        lock(self.held.kept.get_or_init(Arc::default)).push(Box::new(Staying::new(value)));
    }

    /// Reads the arguments. What the target gets stays as it is. There are none in [`Policy::after`].
    ///
    /// # Errors
    ///
    /// If the arguments can't be read as values.
    pub fn arguments(&self) -> Result<Vec<Value>, Error> {
        let Some(args) = &self.args else { return Ok(Vec::new()) };
        // Within brackets of its own, the list is an array.
        let from = args.text.range().start;
        let moved = |slot: &Slot<PayloadRef>| Slot {
            start: slot.start - from + 1,
            end: slot.end - from + 1,
            to: slot.to.clone(),
        };
        let (text, refs) = (format!("[{}]", args.text.as_str()), args.refs.iter().map(moved).collect());
        decode(&Payload { text: text.into(), refs, nodes: ThinVec::NONE })
    }
}

impl fmt::Debug for CallInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallInfo")
            .field("interface", &self.interface())
            .field("path", &self.path())
            .field("operation", &self.operation)
            .field("direction", &self.direction)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

/// Asks a policy.
pub(super) fn ask(policy: &(impl Policy + ?Sized), call: &CallInfo) -> Decision {
    catch_panic("a policy", || policy.before(call)).unwrap_or_else(|id| Decision::Refuse(panicked(&id)))
}

/// Returns `true` if a policy says that it need not be asked.
pub(super) fn is_idle(policy: &dyn Policy) -> bool {
    catch_panic("a policy", || policy.is_idle()).unwrap_or(false)
}

/// Returns the error of a call whose policy has panicked.
pub(super) fn panicked(PanicId(id): &PanicId) -> Error {
    refusal(format!("the policy panicked (id {id})"))
}

/// Tells a policy the outcome of a call.
pub(super) fn tell(
    policy: &(impl Policy + ?Sized),
    call: &CallInfo,
    outcome: Result<(), &Error>,
    duration: Duration,
) {
    // It has been logged, and the outcome is what it is.
    let _logged = catch_panic("a policy", || policy.after(call, outcome, duration));
}

/// Tells a policy the outcome of a call, with the bytes of its result.
pub(super) fn tell_outcome(policy: &dyn Policy, call: &mut CallInfo, outcome: &Outcome, duration: Duration) {
    let result = result_len(outcome);
    call.result_bytes = result.unwrap_or(0);
    tell(policy, call, result.map(|_| ()), duration);
}

/// Returns what counts calls in place of a policy, if that is all it does.
pub(super) fn meter_of(policy: &dyn Policy) -> Option<&dyn Meter> {
    catch_panic("a policy", || policy.meter()).unwrap_or(None)
}

/// Runs a step of a call in the surroundings that a policy gives it. Returns what `failed` makes of the error if the step
/// panics, which that of user code does not.
pub(super) fn around<T>(
    policy: &dyn Policy,
    call: Option<&CallInfo>,
    failed: impl FnOnce(Error) -> T,
    step: impl FnOnce() -> T,
) -> T {
    let Some(call) = call else { return step() };
    let (mut step, mut done) = (Some(step), None);
    // If it panics, that has been logged.
    let logged = catch_panic("a policy", || {
        policy.around(call, &mut || {
            if let Some(step) = step.take() {
                done = Some(step());
            }
        });
    });
    match (done, step) {
        (Some(done), _) => done,
        (None, Some(step)) => step(),
        (None, None) => {
            failed(logged.err().map_or_else(|| refusal("a step did not end"), PanicId::into_error))
        }
    }
}

/// Returns the error of a call that a policy refuses.
pub(crate) fn refusal(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Refused, message).with_fate(Fate::NotSent)
}

/// Any policy, as the library holds it.
pub(crate) type AnyPolicy = dyn Policy + marker::Send + marker::Sync;

impl<P: Policy> Policy for Staying<P> {
    fn before(&self, call: &CallInfo) -> Decision {
        self.with(|policy| policy.before(call))
    }

    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, duration: Duration) {
        self.with(|policy| policy.after(call, outcome, duration));
    }

    fn around(&self, call: &CallInfo, step: &mut dyn FnMut()) {
        self.with(|policy| policy.around(call, step));
    }

    fn is_idle(&self) -> bool {
        self.with(P::is_idle)
    }

    // A host that has meters holds values as they are.
    fn meter(&self) -> Option<&dyn Meter> {
        self.as_is()?.meter()
    }
}

impl<P: Policy + ?Sized> Policy for Arc<P> {
    fn before(&self, call: &CallInfo) -> Decision {
        (**self).before(call)
    }

    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, duration: Duration) {
        (**self).after(call, outcome, duration);
    }

    fn around(&self, call: &CallInfo, step: &mut dyn FnMut()) {
        (**self).around(call, step);
    }

    fn is_idle(&self) -> bool {
        (**self).is_idle()
    }

    fn meter(&self) -> Option<&dyn Meter> {
        (**self).meter()
    }
}

/// Passes what both pass. The second one is asked once the first has passed a call, and both learn the outcome.
impl<A: Policy + ?Sized, B: Policy + ?Sized> Policy for (Arc<A>, Arc<B>) {
    fn before(&self, call: &CallInfo) -> Decision {
        let (first, second) = self;
        let refused = |first: &A, call: &CallInfo, error: Error| {
            tell(first, call, Err(&error), Duration::ZERO);
            error
        };
        match first.before(call) {
            Decision::Pass => match ask(second, call) {
                Decision::Refuse(error) => Decision::Refuse(refused(first, call, error)),
                decision => {
                    let (first, call) = (first.clone(), call.clone());
                    decision.then(|decided| async move {
                        decided.await.map_err(|error| refused(&first, &call, error))
                    })
                }
            },
            decision => {
                let (first, second, call) = (first.clone(), second.clone(), call.clone());
                decision.then(|decided| async move {
                    decided.await?;
                    let outcome = match ask(&second, &call) {
                        Decision::Pass => return Ok(()),
                        Decision::Refuse(error) => Err(error),
                        Decision::Wait(decided) => decided.await,
                    };
                    outcome.map_err(|error| refused(&first, &call, error))
                })
            }
        }
    }

    fn after(&self, call: &CallInfo, outcome: Result<(), &Error>, duration: Duration) {
        tell(&*self.0, call, outcome, duration);
        self.1.after(call, outcome, duration);
    }

    fn around(&self, call: &CallInfo, step: &mut dyn FnMut()) {
        self.0.around(call, &mut || self.1.around(call, step));
    }

    fn is_idle(&self) -> bool {
        self.0.is_idle() && self.1.is_idle()
    }

    fn meter(&self) -> Option<&dyn Meter> {
        match (self.0.meter(), self.1.meter()) {
            (Some(meter), None) if self.1.is_idle() => Some(meter),
            (None, Some(meter)) if self.0.is_idle() => Some(meter),
            _ => None,
        }
    }
}

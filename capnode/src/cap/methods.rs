//! Requests of objects with an interface: the method is found by its number or name.

use super::context::Context;
use super::data::to_cap;
use super::interface::{Interface, Method};
use super::local::Local;
use super::meter::{Counted, Direction, Meter};
use super::missing::{cannot, in_function, missing, not_a_function};
use super::payload::{PayloadRef, encode};
use super::policy::panicked;
use super::request::{Args, Member, Request};
use super::response::{BoxMethod, FirstPoll, MethodInfo, Reply, Response};
use super::{Cap, Kind, RefKind, depth, too_many};
use crate::error::Error;
use crate::limits::Unfolding;
use crate::message::{Key, Path, Payload, Verb};

/// A call of a method, or a read of a property, whose entry in the table has been found.
pub(crate) struct MethodCall<'a> {
    pub(crate) local: Local,
    pub(crate) method: &'static Method,
    pub(crate) args: MethodArgs<'a>,
    /// `true` if the caller can take the result as the Rust value it is.
    pub(crate) typed: bool,
    context: Option<Context>,
    answer_bytes: usize,
    first: Option<FirstPoll<'a>>,
}

/// The arguments of a method, to be taken once.
pub(crate) enum MethodArgs<'a> {
    Request(&'a mut Args),
    /// The list as it stands in a frame, without references.
    Text(&'a str),
}

/// The entry of a function, which stands in no table.
pub(crate) static FUNCTION: Method = Method::call("the function", "", &[]);

impl<'a> MethodCall<'a> {
    /// Creates the call of a method for a request. The rest of the request has been looked at.
    pub(crate) fn new(
        local: Local,
        method: &'static Method,
        request: &'a mut Request,
        first: Option<FirstPoll<'a>>,
    ) -> Self {
        let Request { args, typed, options, .. } = request;
        let (context, answer_bytes) = (options.context.take(), options.answer_bytes);
        Self { local, method, args: MethodArgs::Request(args), typed: *typed, context, answer_bytes, first }
    }

    /// Begins the call by `make`, which takes the arguments and makes the method's future. It drops no user code but the
    /// arguments and what they become.
    pub(crate) fn begin(&mut self, make: MakeMethod<'_>) -> Response {
        let Method { name, handler_options, .. } = *self.method;
        let method_info = MethodInfo { name, handler_options, answer_bytes: self.answer_bytes };
        let (mut first, context) = (self.first.take(), self.context.take());
        let is_function = std::ptr::eq(self.method, &FUNCTION);
        // The arguments may have a user's types, and the method may do more than make a future.
        let mut make = || {
            // The caller can do something about it: the class is JavaScript's for it.
            make(self).map_err(|error| Error::type_error(error.with_context(name).message()))
        };
        Response::begin(method_info, context, &mut first, || {
            // A closure may call others before it returns its future.
            if is_function { depth::with_hop_limit(make).unwrap_or_else(|| Err(too_many())) } else { make() }
        })
    }

    /// Answers a call of a method that does not exist.
    pub(crate) fn no_such_method(&self) -> Response {
        Response::error(Error::type_error(format!("'{}' is not a function.", self.method.name)))
    }
}

/// Makes a method's future.
pub(crate) type MakeMethod<'a> = &'a dyn Fn(&mut MethodCall<'_>) -> Result<BoxMethod, Error>;

impl Cap {
    /// Calls a method of this object for a peer, or this function if there is no `name`, and polls it once. The
    /// arguments stand in a frame, without references. `meter` counts it. Returns the reference if it is to another thing, or has no such
    /// method, which a request says.
    pub(crate) fn call_of_peer(
        self,
        name: Option<&str>,
        args: &str,
        limits: Unfolding,
        context: &Context,
        meter: Option<&dyn Meter>,
    ) -> Result<Response, Self> {
        let Kind::Local(local) = &self.0 else { return Err(self) };
        let target = local.target;
        let found = match (name, target.interface()) {
            // No method has a reserved name.
            (Some(name), Some(interface)) => interface.find(name).filter(|(_, method)| !method.property),
            (None, None) if matches!(target.ref_kind(), RefKind::Function) => Some((0, &FUNCTION)),
            _ => None,
        };
        let ref_kind = if meter.is_some() { self.ref_kind() } else { RefKind::Unknown };
        let (number, method, local) = match (found, self.0) {
            (Some((number, method)), Kind::Local(local)) => (number, method, local),
            (_, kind) => return Err(Self(kind, self.1)),
        };
        let mut call = MethodCall {
            local,
            method,
            args: MethodArgs::Text(args),
            typed: false,
            context: Some(context.clone()),
            answer_bytes: limits.frame,
            first: Some(FirstPoll::UNAWAITED),
        };
        let Some(meter) = meter else { return Ok(target.call(number, &mut call)) };
        let entry = match (ref_kind, name) {
            (RefKind::Object(interface), Some(name)) => {
                interface.find(name).map(|(_, method)| (interface, method))
            }
            _ => None,
        };
        Ok(match Counted::begin(meter, entry, Direction::Inward, args.len()) {
            Ok(counted) => counted.watch(target.call(number, &mut call)),
            Err(id) => Response::error(panicked(&id)),
        })
    }
}

/// Makes a request of an object with an interface: finds the method and calls it.
pub(crate) fn request_of_interface(
    local: Local,
    interface: &'static Interface,
    request: &mut Request,
    first: Option<FirstPoll<'_>>,
) -> Response {
    // Nearly every request is of the first or second kind.
    let found = match &request.member {
        Member::Method(of, number) if std::ptr::eq(*of, interface) => {
            interface.method(*number).map(|method| (*number, method))
        }
        Member::Path(Path::One(Key::Name(name))) => interface.find(name.as_str()),
        // The client of another interface, such as one that this one extends, asks by name, as a peer does.
        Member::Method(of, number) => of.method(*number).and_then(|method| interface.find(method.name)),
        Member::Path(_) => None,
    };
    match found {
        Some((number, method)) if method.property == matches!(request.args, Args::Read) => {
            let target = local.target;
            target.call(number, &mut MethodCall::new(local, method, request, first))
        }
        _ => request_of_other(local, interface, request.take()),
    }
}

/// Makes a request of an object for anything but a call of a method or a read of a property.
fn request_of_other(local: Local, interface: &'static Interface, request: Request) -> Response {
    let path = request.member.clone().into_path();
    match path.split_verb() {
        ([], Some(Verb::Keys)) => {
            let names: Vec<&str> = interface.methods().map(|method| method.name).collect();
            Response::ready(encode(&names).map(Reply::Wire))
        }
        ([], Some(verb)) | ([_], Some(verb @ (Verb::Set | Verb::Delete))) => Response::error(cannot(verb)),
        _ => inside_of_interface(local, interface, &path, request),
    }
}

/// Makes a request of a member of an object, or of the value or target of that member.
fn inside_of_interface(
    local: Local,
    interface: &'static Interface,
    path: &Path,
    request: Request,
) -> Response {
    let Some((first, rest)) = path.as_slice().split_first() else {
        return if request.args.is_read() {
            Response::wire(Payload::reference(PayloadRef::Cap(Cap::from_local(local))))
        } else {
            Response::error(not_a_function(None))
        };
    };
    let found = match first {
        Key::Name(name) => interface.find(name.as_str()),
        _ => None,
    };
    let Some((number, method)) = found else {
        return missing(first, rest, &request);
    };
    if !method.property {
        return match rest.split_first() {
            // The method itself as a value: a function bound to its object.
            None => {
                let bound = Cap::from_local(local).at_path(Path::One(first.clone()));
                Response::wire(Payload::reference(PayloadRef::Cap(bound)))
            }
            Some((next, rest)) => in_function(next, rest, &request),
        };
    }
    let read = || {
        let target = local.target;
        let mut read = Request::read(Member::Method(interface, number));
        target.call(number, &mut MethodCall::new(local, method, &mut read, None))
    };
    if rest.is_empty() && request.args.is_read() {
        return read();
    }
    // Further into a property, or the call of a function that a property holds. The property may lead to itself.
    let (rest, name) = (path.after(1), first.clone());
    let further = Request { member: Member::Path(rest.clone()), ..request };
    let Some(further) = further.passed_on() else { return super::too_many_hops() };
    let value = read();
    Response::handler(async move {
        let body = value.outcome().await?.into_body()?;
        if body.root().is_none() && rest.is_empty() {
            return Err(not_a_function(Some(&name)));
        }
        to_cap(body).forward(further).outcome().await
    })
}

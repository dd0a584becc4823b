//! References to objects of this program.

use std::any::Any;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::at::At;
use super::payload::{Body, Part, undefined};
use super::request::{Member, Request};
use super::response::{Reply, Response};
use super::{Cap, Shape, payload};
use crate::dialect::capnweb;
use crate::error::Error;
use crate::interface::Interface;
use crate::op::{Key, Path, Payload, Slot, Text, Verb};
use crate::session::ObjectId;

/// An object, and how requests are made of it.
#[derive(Clone)]
pub(crate) struct Local {
    object: Arc<dyn Any + Send + Sync>,
    serving: &'static dyn Serving,
}

/// How requests are made of a kind of object: the part of it that is the same for all of the kind.
pub(crate) trait Serving: Send + Sync {
    /// The interface it answers to, if it is no function or value.
    fn interface(&self) -> Option<&'static Interface>;

    /// What references to such objects stand for.
    fn shape(&self) -> Shape {
        self.interface().map_or(Shape::Unknown, Shape::Object)
    }

    /// What the object is to a peer whose language has no words for objects: a record of functions and values.
    fn record(&self, local: &Local) -> Option<Body> {
        let interface = self.interface()?;
        Some(record_of(interface, &local.clone().into()))
    }

    /// Ready when a call that waits for its answer may be made.
    fn poll_room(&self, _: &Local, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// What the object is, for messages.
    fn name(&self) -> &'static str;

    fn request(&self, local: &Local, request: Request) -> Response;
}

impl Local {
    pub(crate) fn new(object: Arc<dyn Any + Send + Sync>, serving: &'static dyn Serving) -> Self {
        Self { object, serving }
    }

    pub(crate) fn object(&self) -> Arc<dyn Any + Send + Sync> {
        self.object.clone()
    }

    pub(crate) fn name(&self) -> &'static str {
        self.serving.name()
    }

    pub(super) fn record(&self) -> Option<Body> {
        self.serving.record(self)
    }

    pub(super) fn shape(&self) -> Shape {
        self.serving.shape()
    }

    pub(super) fn request(&self, request: Request) -> Response {
        self.serving.request(self, request)
    }

    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.serving.poll_room(self, cx)
    }

    /// One object may be handed out under several interfaces, and is another reference in each.
    pub(super) fn object_id(&self) -> ObjectId {
        let interface = self.serving.interface().map_or(0, |interface| std::ptr::from_ref(interface).addr());
        ObjectId(Arc::as_ptr(&self.object).cast::<()>().addr(), interface)
    }
}

/// What a method name is in no interface: names that a JavaScript object has by itself.
pub(crate) fn is_reserved(key: &Key) -> bool {
    const RESERVED: [&str; 12] = [
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
        "__proto__",
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
    ];
    matches!(key, Key::Name(name) if RESERVED.contains(&name.as_str()))
}

/// What is asked that only an [`Object`](crate::Object) may allow.
pub(crate) fn cannot(verb: Verb) -> Error {
    Error::type_error(match verb {
        Verb::Set => "no property of it can be set",
        Verb::Delete => "no property of it can be deleted",
        Verb::Keys => "it has no list of its properties",
    })
}

pub(crate) fn not_a_function(name: Option<&Key>) -> Error {
    Error::type_error(match name {
        Some(name) => format!("'{name}' is not a function."),
        // As npm's `capnweb` says it.
        None => "'' is not a function.".to_owned(),
    })
}

/// The record of an object's methods, each a function that is bound to it. A property is one without arguments.
pub(super) fn record_of(interface: &'static Interface, cap: &Cap) -> Body {
    let mut text = String::from("{");
    let mut refs = Vec::new();
    for method in (0..interface.len()).filter_map(|number| interface.method(number)) {
        let name = method.name;
        if name.is_empty() {
            continue;
        }
        if text.len() > 1 {
            text.push(',');
        }
        capnweb::write_string(&mut text, name);
        text.push(':');
        let path = Path::One(Key::Name(Text::Static(name)));
        let to = match method.property {
            true => At::reader(cap.clone(), path),
            false => cap.at_path(path).shaped(Shape::Function),
        };
        refs.push(Slot { start: text.len(), end: text.len(), to: Part::Cap(to) });
    }
    text.push('}');
    Payload { text: text.into(), refs, nodes: Vec::new() }
}

/// Makes a request of an object with an interface: finds the method and calls it by `dispatch`.
pub(crate) fn request_of_interface(
    local: &Local,
    interface: &'static Interface,
    request: Request,
    dispatch: impl FnOnce(usize, Request) -> Response,
) -> Response {
    let path = match &request.member {
        Member::Method(of, method) if std::ptr::eq(*of, interface) => {
            let method = *method;
            return dispatch(method, request);
        }
        other => other.clone().into_path(),
    };
    if let (steps, Some(verb)) = path.split_verb() {
        return match (steps, verb) {
            ([], Verb::Keys) => {
                let names: Vec<&str> = interface.names().collect();
                Response::ready(payload::encode(&names).map(Reply::wire))
            }
            ([] | [_], _) => Response::error(cannot(verb)),
            ([first, ..], _) => missing(first, &path.as_slice()[1..], &request),
        };
    }
    let Some((first, rest)) = path.as_slice().split_first() else {
        return if request.args.is_read() {
            let itself = Part::Cap(local.clone().into());
            Response::ready(Ok(Reply::wire(Payload::reference(itself))))
        } else {
            Response::error(not_a_function(None))
        };
    };
    let method = match first {
        Key::Name(name) if !is_reserved(first) => interface.find(name.as_str()),
        _ => None,
    };
    let Some(method) = method else {
        return missing(first, rest, &request);
    };
    let property = interface.method(method).is_some_and(|method| method.property);
    if rest.is_empty() && property == request.args.is_read() {
        return dispatch(method, Request { member: Member::Method(interface, method), ..request });
    }
    let member = Member::Method(interface, method);
    let value: Response = if property {
        let args = super::request::Args::Read;
        dispatch(method, Request::new(member, args))
    } else {
        // The method itself as a value: a function bound to its object.
        let bound = Cap::from(local.clone()).at_path(Path::One(first.clone()));
        Response::ready(Ok(Reply::wire(Payload::reference(Part::Cap(bound)))))
    };
    if rest.is_empty() && request.args.is_read() {
        return value;
    }
    // Further into a property, or the call of a function that a property holds.
    let (rest, name) = (Path::from(rest), first.clone());
    let further = Request { member: Member::Path(rest.clone()), ..request };
    Response::handler(async move {
        let body = value.await?.into_body()?;
        if body.root().is_none() && rest.is_empty() {
            return Err(not_a_function(Some(&name)));
        }
        payload::to_cap(body).request(further).await
    })
}

fn missing(first: &Key, rest: &[Key], request: &Request) -> Response {
    match (rest, request.args.is_read()) {
        ([], true) => Response::ready(Ok(Reply::wire(undefined()))),
        ([], false) => Response::error(not_a_function(Some(first))),
        ([next, ..], _) => {
            let message = format!("Cannot read properties of undefined (reading '{next}')");
            Response::error(Error::type_error(message))
        }
    }
}

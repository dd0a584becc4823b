//! Plain values that are held by reference: an index that is a value, or the result of a call that
//! a peer makes further calls on.

use std::sync::Arc;

use super::local::{Local, Serving};
use super::payload::{Body, Part, encode, to_cap, undefined};
use super::request::{Args, Member, Request};
use super::response::{Reply, Response};
use super::{Cap, Shape};
use crate::dialect::capnweb;
use crate::error::Error;
use crate::interface::Interface;
use crate::op::{Key, Path, Text, Verb};

struct Data;

pub(crate) fn cap(body: Body) -> Cap {
    Local::new(Arc::new(Held(body)), &Data).into()
}

/// The value, which may hold references to others, and so on.
struct Held(Body);

impl Drop for Held {
    fn drop(&mut self) {
        let refs = std::mem::take(&mut self.0.refs);
        if !refs.is_empty() {
            super::depth::drop_in_turn(refs);
        }
    }
}

/// The references in a value that is held by this one: of those that a peer lends, one for each peer. Those of this
/// program's own are left out.
pub(super) fn lent_in(local: &Local) -> Vec<Cap> {
    let mut lent: Vec<Cap> = Vec::new();
    let Ok(held) = local.object().downcast::<Held>() else { return lent };
    for slot in &held.0.refs {
        let Part::Cap(cap) = &slot.to else { continue };
        let cap = cap.nearest();
        let link = |cap: &Cap| cap.import().map(|import| Arc::as_ptr(import.link()));
        let known = link(&cap).is_some() && lent.iter().any(|other| link(other) == link(&cap));
        if !known && !matches!(cap.0, super::Kind::Local(_)) {
            lent.push(cap);
        }
    }
    lent
}

/// How long a message to whoever lends what is in it may be.
pub(super) fn frame_bytes(local: &Local) -> usize {
    let Ok(held) = local.object().downcast::<Held>() else { return usize::MAX };
    // Where anything in it is a peer's, it is most likely a record of functions, which are all of one peer.
    let lent = held.0.refs.iter().find_map(|slot| match &slot.to {
        Part::Cap(cap) => cap.import().map(|import| import.link().frame_bytes()),
        _ => None,
    });
    lent.unwrap_or(usize::MAX)
}

impl Serving for Data {
    fn interface(&self) -> Option<&'static Interface> {
        None
    }

    fn name(&self) -> &'static str {
        "value"
    }

    fn request(&self, local: Local, request: Request) -> Response {
        match local.into_object().downcast::<Held>() {
            Ok(held) => look_from(held.0.clone(), None, request),
            Err(_) => Response::error(Error::type_error("not a value")),
        }
    }
}

/// How many shared values may be nothing but the next.
const LEADS: usize = 64;

/// The value that a shared one is, to be looked into.
fn opened(body: &Body) -> Body {
    let mut body = body.clone();
    for _ in 0..LEADS {
        match body.root() {
            Some(Part::Shared(node)) => body = node.body(),
            _ => return body,
        }
    }
    undefined()
}

/// Whether a value is one that has no properties at all.
fn is_nothing(body: &Body) -> bool {
    matches!(body.text.as_str(), "null" | "[\"undefined\"]")
}

/// Follows a request into a value, as far as the value goes. `name` is what led to the value.
pub(crate) fn look_from(mut body: Body, name: Option<&Key>, request: Request) -> Response {
    let Request { member, args, typed, extras } = request;
    let property = member.is_property();
    let path = member.into_path();
    let (keys, verb) = path.split_verb();
    let mut missing = false;
    for at in 0..=keys.len() {
        let own = opened(&body);
        if own.root().is_some() {
            let cap = to_cap(own);
            // A function in the place of a property is what gives the property.
            let asks = property && at == keys.len() && matches!(cap.shape(), Shape::Function);
            let args = if asks { Args::Wire(Body::plain(Text::Static("[]"))) } else { args };
            let member = Member::Path(Path::from(&path.as_slice()[at..]));
            return cap.request(Request { member, args, typed, extras });
        }
        let Some(key) = keys.get(at) else { break };
        if missing || is_nothing(&own) {
            let message = format!("Cannot read properties of undefined (reading '{key}')");
            return Response::error(Error::type_error(message));
        }
        let own = capnweb::member(&own, key);
        missing = own.is_none();
        body = own.unwrap_or_else(undefined);
    }
    if args.is_read() && verb.is_none() {
        return Response::ready(Ok(Reply::wire(body)));
    }
    match verb {
        Some(Verb::Keys) => {
            Response::ready(capnweb::keys(&opened(&body)).and_then(|keys| encode(&keys)).map(Reply::wire))
        }
        Some(verb) => Response::error(super::local::cannot(verb)),
        None => Response::error(super::local::not_a_function(keys.last().or(name))),
    }
}

//! Plain values that are held by reference: an index that is a value, or the result of a call that
//! a peer makes further calls on.

use std::sync::Arc;

use super::Cap;
use super::local::{Local, Serving};
use super::payload::{Body, Part, to_cap, undefined};
use super::request::{Member, Request};
use super::response::{Reply, Response};
use crate::dialect::capnweb;
use crate::error::Error;
use crate::interface::Interface;
use crate::op::Path;

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

impl Serving for Data {
    fn interface(&self) -> Option<&'static Interface> {
        None
    }

    fn name(&self) -> &'static str {
        "value"
    }

    fn request(&self, local: &Local, request: Request) -> Response {
        match local.object().downcast::<Held>() {
            Ok(held) => look(held.0.clone(), request),
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

/// Follows a request into a value, as far as the value goes.
fn look(mut body: Body, request: Request) -> Response {
    let Request { member, args, typed } = request;
    let path = member.into_path();
    let keys = path.as_slice();
    let mut missing = false;
    for at in 0..=keys.len() {
        let own = opened(&body);
        if own.root().is_some() {
            let member = Member::Path(Path::from(&keys[at..]));
            return to_cap(own).request(Request { member, args, typed });
        }
        let Some(key) = keys.get(at) else { break };
        if missing {
            let message = format!("Cannot read properties of undefined (reading '{key}')");
            return Response::error(Error::type_error(message));
        }
        let own = if super::local::is_reserved(key) { None } else { capnweb::member(&own, key) };
        missing = own.is_none();
        body = own.unwrap_or_else(undefined);
    }
    if args.is_read() {
        return Response::ready(Ok(Reply::wire(body)));
    }
    Response::error(super::local::not_a_function(keys.last()))
}

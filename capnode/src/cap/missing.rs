//! Answers to requests for what is not there.

use super::payload::undefined;
use super::request::Request;
use super::response::{Outcome, Reply, Response};
use crate::error::{Error, Fate, Fault};
use crate::message::{Key, Verb};

/// Answers a call, or a read, of a path whose step at `at` has a reserved name, without asking the object or a peer:
/// nothing has such a member. For all requests whose path comes from outside of the library.
pub(crate) fn reserved(path: &[Key], at: usize, reads: bool) -> Response {
    let nothing = undefined_at(&path[at], &path[at + 1..], reads);
    Response::ready(nothing.map_err(|error| error.with_fate(Fate::NotSent).with_fault(Fault::Here)))
}

/// The error of a request that only an [`Object`](crate::Object) may allow.
pub(crate) fn cannot(verb: Verb) -> Error {
    Error::type_error(match verb {
        Verb::Set => "no property of this object can be set",
        Verb::Delete => "no property of this object can be deleted",
        Verb::Keys => "this object has no list of its properties",
    })
}

pub(crate) fn not_a_function(name: Option<&Key>) -> Error {
    Error::type_error(match name {
        Some(name) => format!("'{name}' is not a function."),
        // As npm's `capnweb` says it.
        None => "'' is not a function.".to_owned(),
    })
}

/// Answers a request for something in a function. It has no properties of its own, and none can be made.
pub(crate) fn in_function(first: &Key, rest: &[Key], request: &Request) -> Response {
    match (first, rest) {
        (Key::Verb(verb), _) | (_, [Key::Verb(verb @ (Verb::Set | Verb::Delete))]) => {
            Response::error(cannot(*verb))
        }
        _ => missing(first, rest, request),
    }
}

pub(crate) fn missing(first: &Key, rest: &[Key], request: &Request) -> Response {
    Response::ready(undefined_at(first, rest, request.args.is_read()))
}

/// The outcome of a request for `first` where nothing has that name.
fn undefined_at(first: &Key, rest: &[Key], reads: bool) -> Outcome {
    match (rest, reads) {
        ([], true) => Ok(Reply::Wire(undefined())),
        ([], false) => Err(not_a_function(Some(first))),
        ([Key::Verb(verb)], _) => Err(cannot(*verb)),
        ([next, ..], _) => {
            Err(Error::type_error(format!("Cannot read properties of undefined (reading '{next}')")))
        }
    }
}

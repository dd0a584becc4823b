//! Requests of objects with an interface: the method is found by its number or name.

use super::Cap;
use super::data::to_cap;
use super::interface::Interface;
use super::local::{Local, cannot, in_function, missing, not_a_function};
use super::payload::{Part, encode};
use super::request::{Member, Request};
use super::response::{Reply, Response};
use crate::op::{Key, Path, Payload, Verb};

/// Makes a request of an object with an interface: finds the method and calls it by `dispatch`.
pub(crate) fn request_of_interface(
    local: Local,
    interface: &'static Interface,
    request: Request,
    dispatch: impl FnOnce(Local, usize, Request) -> Response,
) -> Response {
    // Nearly every request is of the first kind.
    let method = match &request.member {
        Member::Method(of, method) if std::ptr::eq(*of, interface) => Some(*method),
        Member::Path(Path::One(Key::Name(name))) => interface.find(name.as_str()),
        // The client of another interface, such as one that this one extends, asks by name, as a peer does.
        Member::Method(of, method) => of.method(*method).and_then(|method| interface.find(method.name)),
        Member::Path(_) => None,
    };
    if let Some(method) = method {
        if interface.method(method).is_some_and(|method| method.property == request.args.is_read()) {
            return dispatch(local, method, Request { member: Member::Method(interface, method), ..request });
        }
    }
    let path = request.member.clone().into_path();
    if let (steps, Some(verb)) = path.split_verb() {
        return match (steps, verb) {
            ([], Verb::Keys) => {
                let names: Vec<&str> = interface.methods().map(|method| method.name).collect();
                Response::ready(encode(&names).map(Reply::wire))
            }
            ([], _) | ([_], Verb::Set | Verb::Delete) => Response::error(cannot(verb)),
            _ => inside_of_interface(local, interface, &path, request, dispatch),
        };
    }
    inside_of_interface(local, interface, &path, request, dispatch)
}

/// Makes a request of a member of an object, or of the value or target of that member.
fn inside_of_interface(
    local: Local,
    interface: &'static Interface,
    path: &Path,
    request: Request,
    dispatch: impl FnOnce(Local, usize, Request) -> Response,
) -> Response {
    let Some((first, rest)) = path.as_slice().split_first() else {
        return if request.args.is_read() {
            let itself = Part::Cap(local.into());
            Response::ready(Ok(Reply::wire(Payload::reference(itself))))
        } else {
            Response::error(not_a_function(None))
        };
    };
    let method = match first {
        Key::Name(name) => interface.find(name.as_str()),
        _ => None,
    };
    let Some(method) = method else {
        return missing(first, rest, &request);
    };
    if !interface.method(method).is_some_and(|method| method.property) {
        return match rest.split_first() {
            // The method itself as a value: a function bound to its object.
            None => {
                let bound = Cap::from(local).at_path(Path::One(first.clone()));
                Response::ready(Ok(Reply::wire(Payload::reference(Part::Cap(bound)))))
            }
            Some((next, rest)) => in_function(next, rest, &request),
        };
    }
    let member = Member::Method(interface, method);
    let read = Request::new(member, super::request::Args::Read);
    if rest.is_empty() && request.args.is_read() {
        return dispatch(local, method, read);
    }
    // Further into a property, or the call of a function that a property holds. The property may lead to itself.
    let (rest, name) = (path.after(1), first.clone());
    let further = Request { member: Member::Path(rest.clone()), ..request };
    let Some(further) = further.passed_on() else { return super::too_many_hops() };
    let value = dispatch(local, method, read);
    Response::handler(async move {
        let body = value.await?.into_body()?;
        if body.root().is_none() && rest.is_empty() {
            return Err(not_a_function(Some(&name)));
        }
        to_cap(body).request(further).await
    })
}

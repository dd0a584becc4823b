//! Requests of objects with an interface: the method is found by its number or name.

use super::Cap;
use super::data::to_cap;
use super::interface::{Interface, Method};
use super::local::Local;
use super::missing::{cannot, in_function, missing, not_a_function};
use super::payload::{PayloadRef, encode};
use super::request::{Args, Member, Request};
use super::response::{Reply, Response};
use crate::message::{Key, Path, Payload, Verb};

/// Calls a method or reads a property of an object by its entry and number in the table.
type Dispatch<'a> = &'a dyn Fn(Local, &'static Method, usize, Request) -> Response;

/// Makes a request of an object with an interface: finds the method and calls it by `dispatch`.
pub(crate) fn request_of_interface(
    local: Local,
    interface: &'static Interface,
    request: Request,
    dispatch: impl Fn(Local, &'static Method, usize, Request) -> Response,
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
            dispatch(local, method, number, request)
        }
        _ => request_of_other(local, interface, request, &dispatch),
    }
}

/// Makes a request of an object for anything but a call of a method or a read of a property.
fn request_of_other(
    local: Local,
    interface: &'static Interface,
    request: Request,
    dispatch: Dispatch<'_>,
) -> Response {
    let path = request.member.clone().into_path();
    match path.split_verb() {
        ([], Some(Verb::Keys)) => {
            let names: Vec<&str> = interface.methods().map(|method| method.name).collect();
            Response::ready(encode(&names).map(Reply::Wire))
        }
        ([], Some(verb)) | ([_], Some(verb @ (Verb::Set | Verb::Delete))) => Response::error(cannot(verb)),
        _ => inside_of_interface(local, interface, &path, request, dispatch),
    }
}

/// Makes a request of a member of an object, or of the value or target of that member.
fn inside_of_interface(
    local: Local,
    interface: &'static Interface,
    path: &Path,
    request: Request,
    dispatch: Dispatch<'_>,
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
    let read = Request::read(Member::Method(interface, number));
    if rest.is_empty() && request.args.is_read() {
        return dispatch(local, method, number, read);
    }
    // Further into a property, or the call of a function that a property holds. The property may lead to itself.
    let (rest, name) = (path.after(1), first.clone());
    let further = Request { member: Member::Path(rest.clone()), ..request };
    let Some(further) = further.passed_on() else { return super::too_many_hops() };
    let value = dispatch(local, method, number, read);
    Response::handler(async move {
        let body = value.outcome().await?.into_body()?;
        if body.root().is_none() && rest.is_empty() {
            return Err(not_a_function(Some(&name)));
        }
        to_cap(body).forward(further).outcome().await
    })
}

//! Plain values that are held by reference: an index that is a value, or the result of a call that
//! a peer makes further calls on.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use super::broken::BrokenSlot;
use super::local::{Local, RequestTarget};
use super::payload::{LivePayload, PayloadRef, encode, undefined, unfold};
use super::request::{Args, Member, Request};
use super::response::{FirstPoll, Reply, Response};
use super::{Cap, RefKind};
use crate::dialect::capnweb::{self, Places, range_at, reference_at};
use crate::error::Error;
use crate::message::{Key, Payload, Text, Verb};
use crate::sync::{Mutex, lock};

struct ValueTarget;

fn cap(body: LivePayload) -> Cap {
    // It is looked into as text.
    let is_mixed = body.refs.iter().any(|slot| slot.to.as_bytes().is_some());
    let body = if is_mixed { unfold(body, usize::MAX).0.unwrap_or_else(|_| undefined()) } else { body };
    let body = Payload { text: body.text.share(), ..body };
    let held = HeldValue { body, places: Mutex::default(), whole: OnceLock::new() };
    Cap::from_local(Local::new(Arc::new(held), &ValueTarget))
}

/// The value as something that can be called or looked into.
pub(crate) fn to_cap(body: LivePayload) -> Cap {
    match body.root() {
        Some(PayloadRef::Cap(cap)) => cap.clone(),
        Some(PayloadRef::Value(nested)) => to_cap(nested.body().clone()),
        Some(PayloadRef::Shared(_) | PayloadRef::Inner(_)) | None => cap(body),
    }
}

/// Returns the reference that a part of a value is, in its nearest form; for a value a reference to it.
pub(crate) fn part_to_cap(part: &PayloadRef) -> Cap {
    match part {
        PayloadRef::Cap(cap) => cap.nearest(),
        other => to_cap(Payload::reference(other.clone())),
    }
}

/// Makes an index from any value. An index that cannot be written fails when it is used.
pub(crate) fn index(offered: &impl Serialize) -> Cap {
    encode(offered).map_or_else(|error| Cap::broken(error.with_context("the index")), to_cap)
}

/// The value, which may hold references to others, and so on.
struct HeldValue {
    body: LivePayload,
    /// The known places of its parts.
    places: Mutex<Places>,
    /// The value as a part of others, which share it.
    whole: OnceLock<PayloadRef>,
}

impl Drop for HeldValue {
    fn drop(&mut self) {
        let refs = std::mem::take(&mut self.body.refs);
        if !refs.is_empty() {
            super::depth::drop_iteratively(refs);
        }
    }
}

/// Returns the references in a value that is held by this one, one for each peer that lends any. References of this
/// program are left out.
fn lent_in(local: &Local) -> Vec<Cap> {
    let mut lent: Vec<Cap> = Vec::new();
    let Some(held) = local.clone().downcast::<HeldValue>() else { return lent };
    for slot in &held.body.refs {
        let PayloadRef::Cap(cap) = &slot.to else { continue };
        let cap = cap.nearest();
        let link = |cap: &Cap| cap.import().map(|import| import.connection_addr());
        let known = link(&cap).is_some() && lent.iter().any(|other| link(other) == link(&cap));
        if !known && !matches!(cap.0, super::Kind::Local(_)) {
            lent.push(cap);
        }
    }
    lent
}

/// Returns the most bytes of a message to the peer that lends the references in the value.
pub(super) fn frame_bytes(local: &Local) -> usize {
    let Some(held) = local.clone().downcast::<HeldValue>() else { return usize::MAX };
    // A value with a reference of a peer is most likely a record of functions, which are all of one peer.
    let lent = held.body.refs.iter().find_map(|slot| match &slot.to {
        PayloadRef::Cap(cap) => cap.import().map(|import| import.connection().frame_bytes()),
        _ => None,
    });
    lent.unwrap_or(usize::MAX)
}

impl RequestTarget for ValueTarget {
    fn name(&self) -> &'static str {
        "value"
    }

    /// A value works as long as its references do.
    fn watch(&self, local: &Local, _: &BrokenSlot) -> Vec<Cap> {
        lent_in(local)
    }

    fn request(&self, local: Local, request: &mut Request, _: Option<FirstPoll<'_>>) -> Response {
        match local.downcast::<HeldValue>() {
            Some(held) => {
                let itself = request.args.is_read()
                    && matches!(&request.member, Member::Path(path) if path.is_empty());
                // A peer can ask for all of it as often as it likes, and use it in several places.
                if itself && request.options.by_peer && held.body.refs.len() > FEW {
                    let whole = held.whole.get_or_init(|| PayloadRef::value(held.body.clone()));
                    return Response::wire(Payload::reference(whole.clone()));
                }
                seek(&held.body, &held.places, None, request.take())
            }
            None => Response::error(Error::type_error("not a value")),
        }
    }
}

/// The most shared values in a row that are nothing but a link to the next.
const LEADS: usize = 64;

/// The most references that are copied rather than shared with all that is around them.
const FEW: usize = 8;

/// The value that a shared one is, to be looked into.
fn opened(body: &LivePayload) -> Cow<'_, LivePayload> {
    let mut body = Cow::Borrowed(body);
    for _ in 0..LEADS {
        match body.root() {
            Some(PayloadRef::Shared(node)) => body = Cow::Owned(node.body()),
            _ => return body,
        }
    }
    Cow::Owned(undefined())
}

/// Returns `true` if the value that begins at `at` is null or undefined, and so has no properties.
fn is_nothing(body: &LivePayload, at: usize) -> bool {
    let text = body.text.buffer().get(at..body.text.range().end).unwrap_or_default().trim_start();
    text.starts_with("null") || text.starts_with("[\"undefined\"]")
}

/// Follows a request into a value, as far as the value goes. `name` is the last step on the way to the value.
pub(crate) fn look_from(body: LivePayload, name: Option<&Key>, request: Request) -> Response {
    seek(&body, &Mutex::default(), name, request)
}

/// Follows a request into a value that is looked into again and again: `places` keeps where its parts stand.
fn seek(held: &LivePayload, places: &Mutex<Places>, name: Option<&Key>, request: Request) -> Response {
    let Request { member, args, typed, options } = request;
    let property = member.is_property();
    let path = member.into_path();
    let (keys, verb) = path.split_verb();
    // The value, or the last of the shared ones that the path has led to, and how many steps led there. A path can lead
    // through as many as it has steps.
    let (mut whole, mut steps) = (Cow::Borrowed(held), 0);
    let mut body = opened(held);
    // The places that are known are those of the value itself.
    let mut is_known = matches!(body, Cow::Borrowed(_));
    let mut others = Places::default();
    let mut place = Some(body.text.range().start);
    let mut at = 0;
    loop {
        let reference = place.and_then(|place| reference_at(&body, place));
        if let Some(slot) = reference {
            let inside = Payload::reference(slot.to.clone());
            if let PayloadRef::Shared(_) = &slot.to {
                if at == keys.len() && args.is_read() && verb.is_none() {
                    return Response::wire(inside);
                }
                body = Cow::Owned(opened(&inside).into_owned());
                place = Some(body.text.range().start);
                (whole, steps, is_known) = (Cow::Owned(inside), at, false);
                others = Places::default();
                continue;
            }
            let cap = to_cap(inside);
            let member = Member::Path(path.after(at));
            // A function in the place of a property gives that property.
            let asks = property && at == keys.len() && matches!(cap.ref_kind(), RefKind::Function);
            let args = if asks { Args::Wire(LivePayload::plain(Text::Static("[]"))) } else { args };
            return cap.forward(Request { member, args, typed, options });
        }
        let Some(key) = keys.get(at) else { break };
        let Some(from) = place.filter(|place| !is_nothing(&body, *place)) else {
            let message = format!("Cannot read properties of undefined (reading '{key}')");
            return Response::error(Error::type_error(message));
        };
        place = if is_known { lock(places).find(&*body, from, key) } else { others.find(&*body, from, key) };
        at += 1;
    }
    let value = || match place {
        // All of it, also where that is a shared one.
        Some(_) if keys.len() == steps => whole.into_owned(),
        Some(start) => range_at(&body, start).map_or_else(undefined, |range| body.slice(range)),
        None => undefined(),
    };
    if args.is_read() && verb.is_none() {
        return Response::wire(value());
    }
    match verb {
        Some(Verb::Keys) => {
            Response::ready(capnweb::keys(&opened(&value())).and_then(|keys| encode(&keys)).map(Reply::Wire))
        }
        Some(verb) => Response::error(super::missing::cannot(verb)),
        None => Response::error(super::missing::not_a_function(keys.last().or(name))),
    }
}

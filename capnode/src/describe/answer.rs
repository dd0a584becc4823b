//! Objects that say what they are: the description of their interface, as a property.

use std::marker::PhantomData;
use std::sync::Arc;

use super::form::Description;
use super::shape::Described;
use crate::cap::broken::BrokenSlot;
use crate::cap::local::{Local, RequestTarget, record_of};
use crate::cap::payload::{LivePayload, PayloadRef, encode};
use crate::cap::request::{Member, Request};
use crate::cap::response::{FirstPoll, Response};
use crate::cap::{Cap, RefKind};
use crate::error::Error;
use crate::message::{Key, Payload};

/// The property that a description is read by. No method has such a name, since it is none of Rust's.
const PROPERTY: &str = "capnode:describe";

/// Returns a client of the same object, which also says what it is: its property `capnode:describe` is the
/// [`Description`] of its interface, and of all that the interface mentions.
///
/// Without this nothing of an interface can be read by a peer. Offer the result to those who may: as the root of a node, or as
/// the result of a method. A program in JavaScript reads `await stub["capnode:describe"]`.
///
/// It is another reference than the one that it is made of. The property does not reach the object, and is not among its
/// [`keys`](Cap::keys). Through a membrane it is a property like any other, about which its policy decides.
///
/// ```
/// use capnode::Client;
/// use capnode::describe::{Description, describing};
///
/// #[capnode::interface]
/// trait Clock {
///     /// Milliseconds since it was started.
///     async fn now(&self) -> u32;
/// }
///
/// # struct Stopped;
/// # impl Clock for Stopped {
/// #     async fn now(&self) -> u32 {
/// #         7
/// #     }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let clock = describing(&ClockClient::new(Stopped))?;
/// assert_eq!(clock.now().await?, 7);
/// let description: Description = clock.cap().get("capnode:describe").await?;
/// assert_eq!(description, Description::of::<ClockClient>());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// If the description cannot be written, as when it is longer than any message may be.
pub fn describing<C: Described>(client: &C) -> Result<C, Error> {
    let description = encode(&Description::of::<C>())?;
    let object = Arc::new(Describing { object: client.cap().clone(), description });
    Ok(C::from_cap(Cap::from_local(Local::new(object, &DescribingTarget::<C>(PhantomData)))))
}

struct Describing {
    object: Cap,
    description: LivePayload,
}

struct DescribingTarget<C>(PhantomData<fn() -> C>);

impl<C: Described> RequestTarget for DescribingTarget<C> {
    fn name(&self) -> &'static str {
        C::INTERFACE.name
    }

    fn ref_kind(&self) -> RefKind {
        RefKind::Object(C::INTERFACE)
    }

    fn as_record(&self, local: &Local) -> Option<LivePayload> {
        Some(record_of(C::INTERFACE, &Cap::from_local(local.clone())))
    }

    fn watch(&self, local: &Local, _: &BrokenSlot) -> Vec<Cap> {
        local.peek::<Describing>().map(|it| it.object.clone()).into_iter().collect()
    }

    fn request(&self, local: Local, request: &mut Request, _: Option<FirstPoll<'_>>) -> Response {
        let Some(describing) = local.peek::<Describing>() else {
            return Response::error(Error::type_error("not an object"));
        };
        if let (Member::Path(path), true) = (&request.member, request.args.is_read()) {
            match path.as_slice() {
                [] => return Response::wire(Payload::reference(PayloadRef::Cap(Cap::from_local(local)))),
                [Key::Name(name)] if name.as_str() == PROPERTY => {
                    return Response::wire(describing.description.clone());
                }
                _ => {}
            }
        }
        describing.object.clone().forward(request.take())
    }
}

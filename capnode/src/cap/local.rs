//! References to objects of this program.

use std::any::Any;
use std::marker;
use std::sync::Arc;

use super::broken::BrokenSlot;
use super::interface::Interface;
use super::methods::MethodCall;
use super::payload::{LivePayload, PayloadRef};
use super::property::PropertyRef;
use super::request::Request;
use super::response::{FirstPoll, Response};
use super::{Cap, RefKind, depth};
use crate::dialect::capnweb;
use crate::message::{Path, Payload, Slot};
use crate::panics::{Contained, catch_and_log};
use crate::session::ObjectId;
use crate::thin_vec::ThinVec;
use crate::threads::{Object, Send, Sync, WeakObject, downgrade, object_of};

/// An object, and how requests are made of it. Dropping the last share in the object drops the object, which runs user
/// code.
#[derive(Clone)]
pub(crate) struct Local {
    /// The share in the object; `None` once it is taken.
    object: Option<Object>,
    pub(super) target: &'static dyn RequestTarget,
}

/// A [`Local`] without a share in the object.
#[derive(Clone)]
pub(super) struct WeakLocal {
    object: Option<WeakObject>,
    target: &'static dyn RequestTarget,
}

impl WeakLocal {
    /// Returns the object; `None` if it is gone.
    pub(super) fn upgrade(&self) -> Option<Local> {
        self.object.as_ref()?.upgrade().map(|object| Local::new(object, self.target))
    }
}

impl Drop for Local {
    #[inline]
    fn drop(&mut self) {
        // A method has taken the share, most often.
        if let Some(object) = self.object.take() {
            Self::drop_share(object);
        }
    }
}

impl Local {
    fn drop_share(object: Object) {
        // Only the last share drops the object. The object or its content may be a link of a long chain.
        if Arc::strong_count(&object) == 1 {
            depth::drop_iteratively(Contained::new(object));
        } else {
            catch_and_log("drop", || drop(object));
        }
    }
}

/// Serves requests for one kind of object: the part that is the same for all objects of the kind.
pub(crate) trait RequestTarget: marker::Send + marker::Sync {
    /// The interface it answers to, if it is no function or value.
    fn interface(&self) -> Option<&'static Interface> {
        None
    }

    /// A number that tells references to one object apart, which may be handed out under several interfaces.
    fn interface_id(&self) -> usize {
        self.interface().map_or(0, |interface| std::ptr::from_ref(interface).addr())
    }

    /// The shape of references to such objects.
    fn ref_kind(&self) -> RefKind {
        self.interface().map_or(RefKind::Unknown, RefKind::Object)
    }

    /// Returns the object as a record of functions and values, for a peer whose language has no words for objects.
    fn as_record(&self, local: &Local) -> Option<LivePayload> {
        let interface = self.interface()?;
        Some(record_of(interface, &Cap::from_local(local.clone())))
    }

    /// Has `slot` called when references to the object break. Returns the references that break them when they do.
    fn watch(&self, _local: &Local, _slot: &BrokenSlot) -> Vec<Cap> {
        Vec::new()
    }

    /// `true` if it passes calls on to a peer on whose pending results calls can be made.
    fn pipelines(&self, _local: &Local) -> bool {
        false
    }

    /// Returns what the object has come to stand for, if it stands for a promise that is resolved.
    fn resolved(&self, _local: &Local) -> Option<Cap> {
        None
    }

    /// A name for the kind of object, for messages.
    fn name(&self) -> &'static str;

    /// Calls the method of that number.
    fn call(&self, _number: usize, call: &mut MethodCall<'_>) -> Response {
        call.no_such_method()
    }

    /// Makes a request of the object, which takes out of it what it needs. With `first`, a handler may be polled at once.
    fn request(&self, local: Local, request: &mut Request, first: Option<FirstPoll<'_>>) -> Response;
}

impl Local {
    pub(crate) fn new(object: Object, target: &'static dyn RequestTarget) -> Self {
        Self { object: Some(object), target }
    }

    /// Returns the object, if it is the library's own and a `T`.
    pub(crate) fn downcast<T: Any + marker::Send + marker::Sync>(mut self) -> Option<Arc<T>> {
        self.object.take()?.downcast().ok()
    }

    /// Takes out the object, if it is the program's and a `T`.
    pub(crate) fn take_object<T: Any + Send + Sync>(&mut self) -> Option<Arc<T>> {
        object_of(self.object.take()?)
    }

    /// Returns the object, if it is the library's own and a `T`, without another share in it.
    #[cfg(feature = "describe")]
    pub(crate) fn peek<T: Any>(&self) -> Option<&T> {
        self.object.as_deref()?.downcast_ref()
    }

    /// Takes out the share in the object.
    pub(super) fn take(&mut self) -> Self {
        Self { object: self.object.take(), target: self.target }
    }

    pub(super) fn downgrade(&self) -> WeakLocal {
        let object = self.object.as_ref().map(downgrade);
        WeakLocal { object, target: self.target }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.target.name()
    }

    pub(super) fn as_record(&self) -> Option<LivePayload> {
        self.target.as_record(self)
    }

    pub(super) fn ref_kind(&self) -> RefKind {
        self.target.ref_kind()
    }

    /// One object may be handed out under several interfaces, and is another reference in each.
    pub(super) fn object_id(&self) -> ObjectId {
        let object = self.object.as_ref().map_or(0, |object| Arc::as_ptr(object).cast::<()>().addr());
        ObjectId(object, self.target.interface_id())
    }
}

/// The record of an object's methods, each a function that is bound to it. A property is one without arguments.
pub(crate) fn record_of(interface: &'static Interface, cap: &Cap) -> LivePayload {
    record_with(interface.methods().map(|method| {
        let path = Path::One(method.key());
        let to = if method.property {
            PropertyRef::getter(cap.clone(), path)
        } else {
            cap.at_path(path).with_kind(RefKind::Function)
        };
        (method.name, to)
    }))
}

/// Returns a record of references.
pub(super) fn record_with(members: impl Iterator<Item = (&'static str, Cap)>) -> LivePayload {
    let mut text = String::from("{");
    let mut refs = Vec::new();
    for (name, to) in members {
        if text.len() > 1 {
            text.push(',');
        }
        capnweb::write_string(&mut text, name);
        text.push(':');
        refs.push(Slot { start: text.len(), end: text.len(), to: PayloadRef::Cap(to) });
    }
    text.push('}');
    Payload { text: text.into(), refs: refs.into(), nodes: ThinVec::NONE }
}

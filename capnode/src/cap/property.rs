//! References into the target of another reference: a property, or a field of a result that is not there yet.

use std::sync::Arc;

use super::data::to_cap;
use super::payload::undefined;
use super::request::{Args, Request};
use super::response::Response;
use super::{Cap, Kind, RefKind, depth};
use crate::error::{Error, ErrorKind};
use crate::message::{Key, Path};
use crate::reserved::find_reserved;
use crate::session::ObjectId;

pub(crate) struct PropertyRef {
    pub(super) cap: Cap,
    pub(super) path: Path,
    /// `true` for a function that reads its target: the form of a property in a record.
    pub(super) getter: bool,
}

/// The most steps of a path.
const STEPS: usize = 256;

impl PropertyRef {
    pub(super) fn cap(cap: Cap, path: Path) -> Cap {
        if path.as_slice().len() > STEPS {
            let message = format!("a property path of more than {STEPS} steps");
            return Cap::broken(Error::new(ErrorKind::Limit, message));
        }
        if find_reserved(path.as_slice()).is_some() {
            return to_cap(undefined());
        }
        // It may be kept for long.
        let path = path.compact();
        Cap(Kind::Property(Arc::new(Self { cap, path, getter: false })), RefKind::Unknown)
    }

    /// A function without arguments that reads the property at `path`.
    pub(super) fn getter(cap: Cap, path: Path) -> Cap {
        Cap(Kind::Property(Arc::new(Self { cap, path, getter: true })), RefKind::Function)
    }

    /// Returns an id that is equal for the same method of the same object, however often the method is asked for.
    /// `None` for anything but a method.
    pub(super) fn object_id(&self) -> Option<ObjectId> {
        let (RefKind::Object(interface), [Key::Name(name)]) = (self.cap.ref_kind(), self.path.as_slice())
        else {
            return None;
        };
        let (_, method) = interface.find(name.as_str())?;
        let of = std::ptr::from_ref(method).addr() + usize::from(self.getter);
        let ObjectId(object, interface_id) = self.cap.nearest().object_id();
        Some(ObjectId(object, of ^ interface_id.rotate_left(1)))
    }

    pub(crate) fn parts(&self) -> (&Cap, &Path) {
        (&self.cap, &self.path)
    }

    /// Returns the reference, the path, and `true` for a function that reads.
    pub(super) fn full_parts(&self) -> (&Cap, &Path, bool) {
        (&self.cap, &self.path, self.getter)
    }

    /// A method of an object is a function.
    pub(super) fn ref_kind(&self) -> RefKind {
        if self.getter {
            return RefKind::Function;
        }
        let (RefKind::Object(interface), [Key::Name(name)]) = (self.cap.ref_kind(), self.path.as_slice())
        else {
            return RefKind::Unknown;
        };
        if interface.find(name.as_str()).is_some_and(|(_, method)| !method.property) {
            RefKind::Function
        } else {
            RefKind::Unknown
        }
    }

    pub(super) fn request(&self, request: Request) -> Response {
        self.cap.clone().forward(self.outward(request))
    }

    /// Returns a request of this as one of the reference that it is a part of.
    fn outward(&self, request: Request) -> Request {
        let call = self.getter && !request.args.is_read();
        let request =
            if call && request.member.is_whole() { Request { args: Args::Read, ..request } } else { request };
        request.under(&self.path)
    }
}

impl Cap {
    /// Returns the nearest resolution of the promise that this is, or is a part of, and makes `request` one of that.
    /// `None` if there is no promise.
    pub(super) fn behind_promise(&self, request: &mut Request) -> Option<Cap> {
        let mut parts = Vec::new();
        let mut of = self;
        while let Kind::Property(at) = &of.0 {
            parts.push(at);
            of = &at.cap;
        }
        if !matches!(of.0, Kind::Promise(_)) {
            return None;
        }
        for part in parts {
            *request = part.outward(request.take());
        }
        Some(of.nearest())
    }
}

impl Drop for PropertyRef {
    fn drop(&mut self) {
        // The reference around it may be a link of a long chain.
        if !matches!(self.cap.0, Kind::Remote(_)) {
            let cap =
                std::mem::replace(&mut self.cap, Cap::broken(Error::new(ErrorKind::Disconnected, "dropped")));
            depth::drop_iteratively(cap);
        }
    }
}

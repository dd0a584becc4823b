//! References to something inside what another reference stands for: a property, a field of a
//! result not there yet.

use std::sync::Arc;

use super::request::Request;
use super::response::Response;
use super::{Cap, Kind, Shape, depth};
use crate::error::{Error, ErrorKind};
use crate::op::{Key, Path};

pub(crate) struct At {
    pub(super) cap: Cap,
    pub(super) path: Path,
}

/// How many steps a path may have.
const STEPS: usize = 256;

impl At {
    pub(super) fn cap(cap: Cap, path: Path) -> Cap {
        if path.as_slice().len() > STEPS {
            let message = format!("a path of more than {STEPS} steps");
            return Cap::broken(Error::new(ErrorKind::Limit, message));
        }
        Cap(Kind::At(Arc::new(Self { cap, path })), Shape::Unknown)
    }

    pub(crate) fn parts(&self) -> (&Cap, &Path) {
        (&self.cap, &self.path)
    }

    /// A method of an object is a function.
    pub(super) fn shape(&self) -> Shape {
        let (Shape::Object(interface), [Key::Name(name)]) = (self.cap.shape(), self.path.as_slice()) else {
            return Shape::Unknown;
        };
        let method = interface.find(name.as_str()).and_then(|number| interface.method(number));
        if method.is_some_and(|method| !method.property) { Shape::Function } else { Shape::Unknown }
    }

    pub(super) fn inside(&self, request: Request) -> Request {
        request.inside(&self.path)
    }

    pub(super) fn request(&self, request: Request) -> Response {
        self.cap.request(self.inside(request))
    }

    pub(super) fn path_text(&self) -> String {
        let steps: Vec<_> = self.path.as_slice().iter().map(ToString::to_string).collect();
        steps.join(".")
    }
}

impl Drop for At {
    fn drop(&mut self) {
        // What it is inside of may be a link of a long chain.
        if !matches!(self.cap.0, Kind::Remote(_)) {
            let cap =
                std::mem::replace(&mut self.cap, Cap::broken(Error::new(ErrorKind::Disconnected, "dropped")));
            depth::drop_in_turn(cap);
        }
    }
}

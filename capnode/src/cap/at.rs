//! References to something inside what another reference stands for: a property, a field of a
//! result not there yet.

use std::sync::Arc;

use super::request::Request;
use super::response::Response;
use super::{Cap, Kind};
use crate::op::Path;

pub(crate) struct At {
    pub(super) cap: Cap,
    pub(super) path: Path,
}

impl At {
    pub(super) fn cap(cap: Cap, path: Path) -> Cap {
        Cap(Kind::At(Arc::new(Self { cap, path })))
    }

    pub(crate) fn parts(&self) -> (&Cap, &Path) {
        (&self.cap, &self.path)
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

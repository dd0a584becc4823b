//! References to what a peer lends us.

use std::sync::Arc;

use super::Link;
use super::pending::PendingAnswer;
use crate::cap::Cap;
use crate::cap::request::Request;
use crate::cap::response::Response;
use crate::error::Error;
use crate::op::{Answering, Id};

/// The handle of an import: dropping it gives the reference back.
pub(crate) struct Import {
    link: Arc<Link>,
    id: Id,
    /// Whether the peer has said that it is a function.
    function: bool,
}

impl Import {
    pub(super) fn new(link: Arc<Link>, id: Id, function: bool) -> Arc<Self> {
        Arc::new(Self { link, id, function })
    }

    pub(crate) fn is_function(&self) -> bool {
        self.function
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn id(&self) -> Id {
        self.id
    }

    pub(crate) fn request(self: &Arc<Self>, request: Request) -> Response {
        match self.call(request, Answering::Sent) {
            Ok((_, Some(pending))) => Response::sent(pending),
            Ok((_, None)) => Response::error(self.link.closed_error()),
            Err(error) => Response::error(error),
        }
    }

    pub(crate) fn pipeline(self: &Arc<Self>, request: Request) -> Cap {
        match self.call(request, Answering::Kept) {
            Ok((id, _)) => Import::new(self.link.clone(), id, false).into(),
            Err(error) => Cap::broken(error),
        }
    }

    fn call(
        self: &Arc<Self>,
        request: Request,
        answering: Answering,
    ) -> Result<(Id, Option<PendingAnswer>), Error> {
        let Request { member, args, .. } = request;
        let args = args.encode()?;
        self.link.call(self, member.into_path(), args, answering)
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.link.give_back(self.id);
    }
}

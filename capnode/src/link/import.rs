//! References to what a peer lends us.

use std::sync::Arc;

use super::waiting::UNSENT;
use super::{Called, Link};
use crate::cap::Cap;
use crate::cap::payload::Part;
use crate::cap::request::{Args, Member, Request};
use crate::cap::response::{Reply, Response};
use crate::dialect::Dialect;
use crate::error::{Error, ErrorKind, Fate};
use crate::op::{Answering, Id, Key, Path, Payload, Verb};
use crate::sync::atomic::{AtomicI64, Ordering};

/// The handle of an import: dropping it gives the reference back.
pub(crate) struct Import {
    link: Arc<Link>,
    /// Of the result of a call that waits for room, it is not known yet.
    id: AtomicI64,
    /// Whether the peer has said that it is a function.
    function: bool,
}

impl Import {
    pub(super) fn new(link: Arc<Link>, id: Id, function: bool) -> Arc<Self> {
        Arc::new(Self { link, id: AtomicI64::new(id), function })
    }

    pub(crate) fn is_function(&self) -> bool {
        self.function
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    pub(crate) fn id(&self) -> Id {
        self.id.load(Ordering::Relaxed)
    }

    /// The call whose result this is has been sent. Called under the lock of the link.
    pub(super) fn set_id(&self, id: Id) {
        self.id.store(id, Ordering::Relaxed);
    }

    /// `false` for the result of a call that waits for room.
    pub(super) fn is_sent(&self) -> bool {
        self.id() != UNSENT
    }

    pub(crate) fn request(self: &Arc<Self>, request: Request) -> Response {
        let dialect = self.link.dialect().unwrap_or_default();
        if !dialect.pipelines() {
            // A reference in Q-Connection can be a promise, which the peer knows more about.
            if dialect == Dialect::Capnode && request.args.is_read() && request.member.is_whole() {
                return self.itself();
            }
            let Request { member, args, typed, extras } = request;
            let path = member.into_path();
            if let [first, second, ..] = path.as_slice() {
                if !matches!(second, Key::Verb(Verb::Set | Verb::Delete)) {
                    let member = Member::Path(path.after(1));
                    return self.link.step(self, first).request(Request { member, args, typed, extras });
                }
            }
            return self.send(Request { member: Member::Path(path), args, typed, extras });
        }
        if self.id() <= 0 && request.args.is_read() && request.member.is_whole() {
            return self.read_lent(request);
        }
        self.send(request)
    }

    /// Reads something that the peer has exported in Cap'n Web. A peer of this library lends promises so, and is asked. With
    /// any other it is the reference itself, and npm's would refuse to be asked.
    fn read_lent(self: &Arc<Self>, request: Request) -> Response {
        match self.link.knows_mark() {
            Some(true) => self.send(request),
            Some(false) => self.itself(),
            None => match self.link.greet() {
                Err(error) => Response::error(error),
                Ok(greeted) => {
                    let import = self.clone();
                    Response::handler(async move {
                        greeted.await?;
                        import.request(request).await
                    })
                }
            },
        }
    }

    fn itself(self: &Arc<Self>) -> Response {
        Response::ready(Ok(Reply::wire(Payload::reference(Part::Cap(self.clone().into())))))
    }

    /// Reads what is at `path`.
    pub(super) fn read(self: &Arc<Self>, path: Path) -> Response {
        self.send(Request::new(Member::Path(path), Args::Read))
    }

    fn send(self: &Arc<Self>, request: Request) -> Response {
        match self.call(request, Answering::Sent) {
            Ok(Called::Sent(pending)) => Response::sent(pending),
            Ok(Called::Kept(_)) => Response::error(self.link.closed_error()),
            Err(error) => Response::error(error),
        }
    }

    pub(crate) fn pipeline(self: &Arc<Self>, request: Request) -> Cap {
        match self.call(request, Answering::Kept) {
            Ok(Called::Kept(result)) => result.into(),
            Ok(Called::Sent(_)) => Cap::broken(self.link.closed_error()),
            Err(error) => Cap::broken(error),
        }
    }

    fn call(self: &Arc<Self>, request: Request, answering: Answering) -> Result<Called, Error> {
        let Request { member, args, extras, .. } = request;
        let args = args.encode(self.link.limits.frame_bytes)?;
        let path = member.into_path();
        if let (true, Some(language @ (Dialect::CapnWeb | Dialect::Capnode))) =
            (extras.needs_progress, self.link.dialect())
        {
            let message =
                format!("{} has no word for progress, so `on_progress` cannot be called", language.title());
            return Err(Error::new(ErrorKind::Unsupported, message).with_fate(Fate::NotSent));
        }
        if let (Some(Key::Verb(verb)), Some(Dialect::CapnWeb)) = (path.as_slice().last(), self.link.dialect())
        {
            let method = if *verb == Verb::Set { "put" } else { verb.name() };
            let message = format!("Cap'n Web has no word for `{method}`");
            return Err(Error::new(ErrorKind::Unsupported, message).with_fate(Fate::NotSent));
        }
        self.link.call(self, path, args, answering, extras)
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        if self.is_sent() {
            self.link.give_back(self.id());
        }
    }
}

//! A connection that is an HTTP batch: each side sends a body, and nothing after it. So an answer comes only to what
//! the connecting side has asked in its body, and a reference lives no longer than the batch.

#![cfg_attr(not(feature = "host"), allow(dead_code, reason = "without a transport there is no batch"))]

use std::collections::HashSet;
use std::sync::OnceLock;

use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::limits::{LimitKind, Limits};
use crate::message::Id;
use crate::session::{OutboundCall, Session, Side};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};

/// The progress of an HTTP batch.
pub(super) struct Batch {
    /// `true` once nothing more goes into the body of this side. Set under the lock of the link.
    sealed: AtomicBool,
    /// `true` if no call of this side is answered any more. It is so from the beginning where the peer has sent its body
    /// before it gets the one of this side.
    unanswering: AtomicBool,
    /// `true` once all of the peer's body has been taken in.
    received: AtomicBool,
    /// `true` if there was a call that nobody waits for, which is wanted all the same.
    unawaited: AtomicBool,
    /// `true` once calls of the index go into another batch.
    closed: AtomicBool,
    /// The number of calls of the index that are being made.
    #[cfg(feature = "http")]
    entering: AtomicUsize,
    /// The results of calls that nothing has been done with: whoever holds one is about to use it.
    unused: Mutex<HashSet<Id>>,
    /// The address of the connection whose index stands for that of the peer.
    index_of: OnceLock<usize>,
    /// Bytes of the body of this side that have been taken.
    taken: AtomicUsize,
    /// Bytes of streams in the body of this side.
    streamed: AtomicUsize,
}

impl Batch {
    pub(super) fn new(side: Side) -> Self {
        Self {
            sealed: AtomicBool::new(false),
            unanswering: AtomicBool::new(side == Side::Accepting),
            received: AtomicBool::new(false),
            unawaited: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            #[cfg(feature = "http")]
            entering: AtomicUsize::new(0),
            unused: Mutex::default(),
            index_of: OnceLock::new(),
            taken: AtomicUsize::new(0),
            streamed: AtomicUsize::new(0),
        }
    }

    /// Returns an error if a call cannot be made, or its caller `awaits` the answer and none comes.
    pub(super) fn check_call(&self, awaits: bool) -> Result<(), Error> {
        let refuse =
            |kind, message| Err(Error::new(kind, message).with_fate(Fate::NotSent).with_fault(Fault::Here));
        if self.is_sealed() {
            return refuse(ErrorKind::Disconnected, SEALED);
        }
        if awaits && self.unanswering.load(Ordering::SeqCst) {
            return refuse(ErrorKind::Unsupported, UNANSWERING);
        }
        self.unawaited.fetch_or(!awaits, Ordering::SeqCst);
        Ok(())
    }

    /// Notes that the peer has sent its whole body. Returns `true` the second time.
    #[cfg(feature = "host")]
    pub(super) fn end_input(&self) -> bool {
        self.unanswering.store(true, Ordering::SeqCst);
        self.received.swap(true, Ordering::SeqCst)
    }

    /// Returns `true` once the peer has sent its whole body.
    #[cfg(feature = "host")]
    pub(super) fn is_received(&self) -> bool {
        self.received.load(Ordering::SeqCst)
    }

    /// Notes that nothing more goes into the body of this side.
    #[cfg(feature = "host")]
    pub(super) fn seal(&self) {
        self.sealed.store(true, Ordering::SeqCst);
    }

    /// Returns `true` if nothing more goes into the body of this side.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed.load(Ordering::SeqCst)
    }

    /// Has later calls of the index go into another batch.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Notes a call of this side, before it is written: an `answered` one, whose caller `awaits` the answer or not, or one
    /// with a result that somebody holds. A batch does not wait for an answer that nobody wants.
    #[cold]
    pub(super) fn note_call(
        &self,
        target: Id,
        answered: bool,
        awaits: bool,
        call: &mut OutboundCall,
        session: &mut Session,
    ) {
        self.use_result(target);
        call.pulled &= awaits;
        if !answered {
            lock(&self.unused).insert(call.id);
        } else if !awaits {
            session.forgo_answer(call.id);
        }
    }

    /// Notes that something has been done with the result of a call.
    pub(super) fn use_result(&self, id: Id) {
        lock(&self.unused).remove(&id);
    }

    /// Returns `true` for the address of the connection whose index stands for that of the peer.
    pub(super) fn is_index_of(&self, connection: usize) -> bool {
        self.index_of.get() == Some(&connection)
    }

    /// Returns `true` if the batch is wanted although this program holds nothing of it.
    pub(super) fn is_wanted(&self) -> bool {
        self.unawaited.load(Ordering::SeqCst) && !self.received.load(Ordering::SeqCst)
    }

    /// Counts `bytes` of a stream, or returns an error if they cannot go into the body of this side. A part of the body
    /// is left for how streams end and for what else there is.
    #[cold]
    pub(super) fn count_chunk(&self, bytes: usize, limits: &Limits) -> Result<(), Error> {
        self.check_call(false)?;
        let limit = limits.batch_bytes - limits.batch_bytes / 16;
        let add = |streamed: usize| Some(streamed + bytes).filter(|streamed| *streamed <= limit);
        if self.streamed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok() {
            return Ok(());
        }
        let message = "the stream is more than fits into an HTTP batch: connect by ws://";
        Err(Error::over(LimitKind::BatchBytes, message))
    }

    /// Counts `bytes` of the body of this side, which have been taken. Returns an error if it becomes too long.
    pub(super) fn count(&self, bytes: usize, limits: &Limits) -> Result<(), Error> {
        let limit = limits.batch_bytes;
        if self.taken.fetch_add(bytes, Ordering::Relaxed) + bytes <= limit {
            return Ok(());
        }
        let message = format!("the answers of the HTTP batch are longer than {limit} bytes together");
        Err(Error::over(LimitKind::BatchBytes, message))
    }
}

const SEALED: &str = "the HTTP batch has been sent, and its references end with it: make a call that depends on another \
    by `.pipeline()` before either is awaited, or connect by ws://";

const UNANSWERING: &str = "a client that sends an HTTP batch answers no calls, since it has sent all it sends: call it by \
    `.send()`, or have it connect by ws://";

/// The access of whoever makes batches out of the calls of one index.
#[cfg(feature = "http")]
impl Batch {
    /// Notes that a call of the index is about to be made, which [`leave`](Self::leave) follows. Returns `false` if it
    /// goes into another batch. Called under the lock of the link.
    pub(super) fn enter(&self) -> bool {
        let is_open = !self.closed.load(Ordering::SeqCst);
        self.entering.fetch_add(usize::from(is_open), Ordering::SeqCst);
        is_open
    }

    pub(super) fn leave(&self) {
        self.entering.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns `true` if a call of the index is about to be made.
    pub(super) fn is_entered(&self) -> bool {
        self.entering.load(Ordering::SeqCst) > 0
    }

    /// Returns `true` once all calls have been made that go into the batch, as far as can be told.
    pub(super) fn is_gathered(&self) -> bool {
        self.closed.load(Ordering::SeqCst) && !self.is_entered() && lock(&self.unused).is_empty()
    }

    /// Has the index of a connection stand for that of the peer.
    pub(super) fn set_index_of(&self, connection: usize) {
        self.index_of.get_or_init(|| connection);
    }
}

//! The state that all clones of a node share: its connections, and if it is still open.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select;
#[cfg(feature = "tokio")]
use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Fault};
use crate::link::pool::Pool;
use crate::link::{Link, SHUTTING_DOWN};
use crate::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "tokio")]
use crate::transport::streams::Streams;

#[derive(Debug, Default)]
pub(super) struct Shared {
    pool: Arc<Pool>,
    draining: AtomicBool,
    #[cfg(feature = "tokio")]
    streams: Arc<Streams>,
    /// The signal for listeners to stop.
    #[cfg(feature = "tokio")]
    closing: watch::Sender<bool>,
}

/// The outcome of [`Node::drain`](super::Node::drain).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// The number of connections that were open when it began, all of which are closed now.
    pub connections: usize,
    /// The number of calls that were still running at the deadline, and were cut off. One that comes just then may count
    /// as well, until it is refused.
    pub cut: usize,
    /// The number of streams that this side still wrote at the deadline, and that were cut off: their readers get an error.
    pub cut_streams: usize,
}

impl Shared {
    /// Adds a connection, if there is room.
    pub(super) fn enter(&self, link: &Arc<Link>, limit: usize) -> Result<(), Error> {
        // Checked while no other connection enters: a later drain finds this connection among the others.
        self.pool.enter(link, limit, || self.check_open())
    }

    /// Fails once the node is shutting down.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if !self.draining.load(Ordering::SeqCst) {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Refused, format!("{SHUTTING_DOWN}: make another node"));
        Err(error.with_public_message(SHUTTING_DOWN).with_fault(Fault::Here))
    }

    /// Returns the pool that counts for all connections together.
    pub(super) fn pool(&self) -> Arc<Pool> {
        self.pool.clone()
    }

    /// Returns the streams that the listeners have accepted.
    #[cfg(feature = "tokio")]
    pub(super) fn streams(&self) -> Arc<Streams> {
        self.streams.clone()
    }

    /// Ends a stream to make room for another: the oldest that is being closed, or else the oldest that is in a
    /// handshake or silent. Does nothing if there is none.
    #[cfg(feature = "tokio")]
    pub(super) fn make_way(&self) {
        let (shaking, silent) = (self.streams.shaking_since(), self.pool.silent_since());
        let shaking_first = shaking.is_some_and(|shaking| silent.is_none_or(|silent| shaking <= silent));
        let _nobody_can = self.pool.cut_off_closing()
            || (shaking_first && self.streams.cut_off())
            || self.pool.cut_off_silent();
    }

    /// Returns a receiver that becomes `true` when listeners are to stop.
    #[cfg(feature = "tokio")]
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    pub(super) async fn drain(&self, deadline: Duration) -> Drained {
        self.draining.store(true, Ordering::SeqCst);
        #[cfg(feature = "tokio")]
        self.closing.send_replace(true);
        let links = self.pool.links();
        for link in &links {
            link.drain();
        }
        let quiet = async {
            for link in &links {
                poll_fn(|cx| link.poll_drained(cx)).await;
            }
        };
        select(pin!(quiet), pin!(crate::runtime::after(deadline))).await;
        // Calls that still run are counted and cut off. Those that have not begun are told so.
        for link in &links {
            link.refuse_parked();
        }
        let cut = links.iter().map(|link| link.tables().running).sum();
        let open = links.iter().filter(|link| !link.is_closed());
        let cut_streams = open.map(|link| link.written_streams()).sum();
        for link in &links {
            link.close(Error::new(ErrorKind::Disconnected, SHUTTING_DOWN).with_fault(Fault::Here));
        }
        for link in &links {
            poll_fn(|cx| link.poll_gone(cx)).await;
        }
        Drained { connections: links.len(), cut, cut_streams }
    }
}

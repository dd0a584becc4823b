//! What all clones of a node share: its connections, and whether it is still open.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Error, ErrorKind};
use crate::link::Link;
use crate::lock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};

/// How many connections are added until those that have ended are looked for.
const SWEEP: usize = 64;

pub(super) struct Shared {
    links: Mutex<Links>,
    draining: AtomicBool,
    /// Tells listeners to stop.
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct Links {
    list: Vec<Weak<Link>>,
    /// When to look for those that have ended.
    sweep: usize,
}

impl Default for Shared {
    fn default() -> Self {
        Self { links: Mutex::default(), draining: AtomicBool::new(false), closing: watch::Sender::new(false) }
    }
}

/// How [`Node::drain`](super::Node::drain) went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// How many connections there were.
    pub connections: usize,
    /// How many calls were still running when the time was over, and were cut off.
    pub cut: usize,
}

impl Shared {
    /// Takes in a connection, if there may be one more.
    pub(super) fn enter(&self, link: &Arc<Link>, limit: usize) -> Result<(), Error> {
        let mut links = lock(&self.links);
        // Looked at under the lock: who begins to drain after this finds the connection among the others.
        if self.draining.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Refused, SHUTTING_DOWN));
        }
        if links.list.len() >= links.sweep.min(limit) {
            links.list.retain(|link| link.upgrade().is_some_and(|link| !link.is_closed()));
            links.sweep = links.list.len() + SWEEP;
        }
        if links.list.len() >= limit {
            return Err(Error::new(ErrorKind::Limit, format!("more than {limit} connections")));
        }
        links.list.push(Arc::downgrade(link));
        Ok(())
    }

    fn links(&self) -> Vec<Arc<Link>> {
        let links = lock(&self.links);
        links.list.iter().filter_map(Weak::upgrade).filter(|link| !link.is_closed()).collect()
    }

    /// Ready when listeners are to stop.
    pub(super) fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    pub(super) async fn drain(&self, deadline: Duration) -> Drained {
        self.draining.store(true, Ordering::SeqCst);
        self.closing.send_replace(true);
        let links = self.links();
        for link in &links {
            link.drain();
        }
        let quiet = async {
            for link in &links {
                poll_fn(|cx| link.poll_quiet(cx)).await;
            }
        };
        // What runs on is cut off, and counted.
        let _late = tokio::time::timeout(deadline, quiet).await;
        let cut = links.iter().map(|link| link.tables().running).sum();
        for link in &links {
            link.close(Error::new(ErrorKind::Disconnected, SHUTTING_DOWN));
        }
        for link in &links {
            poll_fn(|cx| link.poll_gone(cx)).await;
        }
        Drained { connections: links.len(), cut }
    }
}

const SHUTTING_DOWN: &str = "the node is shutting down";

//! What the links of a node hold together.

use std::sync::{Arc, Weak};

use super::{Link, State};
use crate::error::Error;
use crate::lock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// How many links are added until those that have ended are looked for.
#[cfg(feature = "tokio")]
const SWEEP: usize = 64;

/// Bytes that an entry of a table is counted as.
const ENTRY: usize = 256;

/// Bytes by which what a link holds has to change before it is told.
const STEP: usize = 16 << 10;

/// The links of a node, and how much they hold.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    held: AtomicUsize,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Links {
    list: Vec<Weak<Link>>,
    /// When to look for those that have ended.
    #[cfg(feature = "tokio")]
    sweep: usize,
}

/// What one link has told its pool.
#[derive(Default)]
pub(super) struct Share {
    pool: Option<Arc<Pool>>,
    /// How much all links of the pool may hold.
    limit: usize,
    told: AtomicUsize,
    /// Bytes that the transport holds for what arrives.
    arriving: AtomicUsize,
}

impl Pool {
    /// Takes in a link, if there may be one more, and it is `open` at that moment.
    #[cfg(feature = "tokio")]
    pub(crate) fn enter(
        &self,
        link: &Arc<Link>,
        limit: usize,
        open: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut links = lock(&self.links);
        open()?;
        if links.list.len() >= links.sweep.min(limit) {
            links.list.retain(|link| link.upgrade().is_some_and(|link| link.closed().is_none()));
            links.sweep = links.list.len() + SWEEP;
        }
        if links.list.len() >= limit {
            return Err(Error::over("connections", format!("more than {limit} connections")));
        }
        links.list.push(Arc::downgrade(link));
        Ok(())
    }

    /// Those that have not ended.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        let all: Vec<_> = lock(&self.links).list.iter().filter_map(Weak::upgrade).collect();
        all.into_iter().filter(|link| link.closed().is_none()).collect()
    }

    /// Bytes that all links hold.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Ends the links that hold most, until the rest is within the limit.
    fn relieve(&self, limit: usize) {
        let mut links = self.links();
        links.sort_by_key(|link| link.share.told.load(Ordering::Relaxed));
        while self.held() > limit {
            let Some(largest) = links.pop() else { return };
            let message = format!("the connections of this node hold more than {limit} bytes together");
            largest.break_off(Error::over("node_bytes", message));
        }
    }
}

impl Share {
    pub(super) fn of(pool: Option<Arc<Pool>>, limit: usize) -> Self {
        Self { pool, limit, ..Self::default() }
    }

    /// What all links of the pool hold.
    pub(super) fn of_all(&self) -> usize {
        self.pool.as_ref().map_or(0, |pool| pool.held())
    }

    pub(super) fn arriving(&self) -> usize {
        self.arriving.load(Ordering::Relaxed)
    }

    /// Tells the pool that so much is held. Whether that is too much.
    fn tell(&self, held: usize) -> bool {
        let Some(pool) = &self.pool else { return false };
        let told = self.told.load(Ordering::Relaxed);
        if held.abs_diff(told) < STEP && held > 0 {
            return false;
        }
        let told = self.told.swap(held, Ordering::Relaxed);
        // In one step, or somebody else would see too much between two.
        pool.held.fetch_add(held.wrapping_sub(told), Ordering::Relaxed);
        held > told && pool.held() > self.limit
    }
}

impl Link {
    /// Tells the pool how much is held. Whether that is too much: then [`relieve`](Self::relieve) is to be called,
    /// when the lock is free.
    pub(super) fn tell_pool(&self, state: &State) -> bool {
        if self.share.pool.is_none() || state.closed.is_some() {
            return false;
        }
        self.share.tell(state.held() + self.share.arriving())
    }

    pub(super) fn relieve(&self) {
        if let Some(pool) = &self.share.pool {
            pool.relieve(self.share.limit);
        }
    }

    /// Nothing is held any more.
    pub(super) fn leave_pool(&self) {
        self.share.tell(0);
    }

    /// So much is held by the transport for what arrives.
    #[cfg(feature = "tokio")]
    pub(crate) fn set_arriving(&self, bytes: usize) {
        if self.share.arriving.swap(bytes, Ordering::Relaxed).abs_diff(bytes) < STEP {
            return;
        }
        let too_much = self.tell_pool(&lock(&self.state));
        if too_much {
            self.relieve();
        }
    }
}

impl State {
    /// Bytes that wait to be written, here and at the driver.
    pub(super) fn unwritten(&self) -> usize {
        self.out.len() + self.writing
    }

    /// Bytes that are held for the peer.
    fn held(&self) -> usize {
        let entries = self.imports.len()
            + self.objects.len()
            + self.session.running()
            + self.answers.len()
            + self.calls.len()
            + self.waiting.len();
        self.unwritten()
            + self.waiting.bytes()
            + self.spare
            + self.parked_bytes
            + self.call_bytes
            + self.kept_bytes
            + entries * ENTRY
    }
}

//! What the links of a node hold together.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
#[cfg(feature = "tokio")]
use std::time::{Duration, Instant};

use super::remote::Remote;
use super::{Link, State};
use crate::error::Error;
use crate::limits::Limits;
use crate::lock;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// How many links are added until those that have gone are looked for.
#[cfg(feature = "tokio")]
const SWEEP: usize = 64;

/// How long a peer may take to give a sign of life when there is no room for others.
#[cfg(feature = "tokio")]
const UNANSWERED: Duration = Duration::from_secs(10);

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
    /// In the order in which they came.
    list: Vec<Member>,
    /// When to look for those that have gone.
    #[cfg(feature = "tokio")]
    sweep: usize,
}

#[derive(Debug)]
struct Member {
    link: Weak<Link>,
    /// `false` if it was not let in, or has to make room for another.
    #[cfg(feature = "tokio")]
    counts: bool,
    #[cfg(feature = "tokio")]
    since: Instant,
}

/// What one link has told its pool.
#[derive(Default)]
pub(super) struct Share {
    pool: Option<Arc<Pool>>,
    /// How much all links of the pool may hold.
    limit: usize,
    /// How much each of them may hold in any case.
    share: usize,
    told: AtomicUsize,
    /// Bytes that the transport holds for what arrives.
    arriving: AtomicUsize,
}

impl Pool {
    /// Takes in a link, if there may be one more, and it is `open` at that moment. A silent one makes room.
    #[cfg(feature = "tokio")]
    pub(crate) fn enter(
        &self,
        link: &Arc<Link>,
        limit: usize,
        open: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let silent = {
            let mut links = lock(&self.links);
            let room = open().and_then(|()| links.make_room(limit));
            // Also one that is refused is there until it has gone.
            let link = Arc::downgrade(link);
            links.list.push(Member { link, counts: room.is_ok(), since: Instant::now() });
            room?
        };
        if let Some(silent) = silent {
            silent.end_silence();
        }
        Ok(())
    }

    /// Cuts off the oldest connection that is being closed, of those that came by a listener. Returns `false` if there is
    /// none.
    #[cfg(feature = "tokio")]
    pub(crate) fn cut_off_closing(&self) -> bool {
        let is_closing = |link: &Link| link.remote != Remote::Own && link.is_closed() && !link.is_cut_off();
        let closing = lock(&self.links).find(is_closing);
        closing.inspect(|link| link.cut_off()).is_some()
    }

    /// Returns since when the connection is there that has been silent for longest.
    #[cfg(feature = "tokio")]
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        let links = lock(&self.links);
        links.silent().map(|(at, _)| links.list[at].since)
    }

    /// Cuts off the connection that has been silent for longest. Returns `false` if there is none.
    #[cfg(feature = "tokio")]
    pub(crate) fn cut_off_silent(&self) -> bool {
        let Some(silent) = lock(&self.links).take_silent() else { return false };
        silent.end_silence();
        silent.cut_off();
        true
    }

    /// Those that have not ended.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        let all: Vec<_> = lock(&self.links).list.iter().filter_map(|member| member.link.upgrade()).collect();
        all.into_iter().filter(|link| !link.is_closed()).collect()
    }

    /// Bytes that all links hold.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Ends links that hold more than a `share`, until all are within the limit: the youngest one of those whose links
    /// hold most above their shares, all together.
    fn relieve(&self, limit: usize, share: usize) {
        let mut groups: HashMap<(Remote, usize), Group> = HashMap::new();
        for (at, link) in self.links().into_iter().enumerate() {
            let above = link.share.told.load(Ordering::Relaxed).saturating_sub(share);
            if above > 0 {
                let own = if link.remote == Remote::Own { at } else { 0 };
                let group = groups.entry((link.remote, own)).or_default();
                group.above += above;
                group.links.push((link, above));
            }
        }
        while self.held() > limit {
            let Some(largest) = groups.values_mut().max_by_key(|group| group.above) else { return };
            let Some((youngest, above)) = largest.links.pop() else { return };
            largest.above -= above;
            let message = format!("the connections of this node hold more than {limit} bytes together");
            youngest.break_off(Error::over("node_bytes", message));
        }
    }
}

/// The links of one peer that hold more than their shares, the youngest last.
#[derive(Default)]
struct Group {
    above: usize,
    links: Vec<(Arc<Link>, usize)>,
}

#[cfg(feature = "tokio")]
impl Links {
    /// Makes room for one more, which may take the place of a silent one.
    fn make_room(&mut self, limit: usize) -> Result<Option<Arc<Link>>, Error> {
        if self.list.len() >= self.sweep.min(limit) {
            self.list.retain(|member| member.link.upgrade().is_some_and(|link| !link.is_gone()));
            self.sweep = self.list.len() + SWEEP;
        }
        if self.list.len() < limit {
            return Ok(None);
        }
        let is_open =
            |member: &&Member| member.counts && member.link.upgrade().is_some_and(|link| !link.is_closed());
        if self.list.iter().filter(is_open).count() < limit {
            return Ok(None);
        }
        let full = || Error::over("connections", format!("more than {limit} connections"));
        self.take_silent().ok_or_else(full).map(Some)
    }

    fn find(&self, is: impl Fn(&Link) -> bool) -> Option<Arc<Link>> {
        self.list.iter().filter_map(|member| member.link.upgrade()).find(|link| is(link))
    }

    /// Returns the link whose peer has been silent for longest, and its place.
    fn silent(&self) -> Option<(usize, Arc<Link>)> {
        let find = |is: &dyn Fn(&Member, &Link) -> bool| {
            let members = self.list.iter().enumerate();
            let links = members.filter_map(|(at, member)| Some((at, member, member.link.upgrade()?)));
            links.filter(|(_, member, link)| is(member, link)).map(|(at, _, link)| (at, link)).next()
        };
        let leaves_unanswered = |member: &Member, link: &Link| {
            link.asked_at().is_some_and(|asked| member.since.elapsed() >= asked.saturating_add(UNANSWERED))
        };
        find(&|_, link| link.is_silent()).or_else(|| find(&leaves_unanswered))
    }

    /// Returns the link whose peer has been silent for longest, which counts no longer.
    fn take_silent(&mut self) -> Option<Arc<Link>> {
        let (at, silent) = self.silent()?;
        self.list[at].counts = false;
        Some(silent)
    }
}

impl Share {
    pub(super) fn of(pool: Option<Arc<Pool>>, limits: &Limits) -> Self {
        let share = limits.node_bytes / limits.connections.max(1);
        Self { pool, limit: limits.node_bytes, share, ..Self::default() }
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
        // Who is ended for want of room is as good as gone.
        if self.share.pool.is_none() || state.closed.as_ref().is_some_and(super::is_for_room) {
            return false;
        }
        self.share.tell(state.held() + self.share.arriving())
    }

    /// Tells the pool that less is held than it was told last, if it was told of much.
    pub(super) fn tell_less(&self, state: &State) {
        if self.share.told.load(Ordering::Relaxed) >= STEP {
            let _less = self.tell_pool(state);
        }
    }

    pub(super) fn relieve(&self) {
        if let Some(pool) = &self.share.pool {
            pool.relieve(self.share.limit, self.share.share);
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
            // The session has each of these as well.
            + 2 * self.answers.len()
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

//! The memory that the links of a node hold together.

use std::collections::{HashMap, VecDeque};
#[cfg(feature = "host")]
use std::sync::OnceLock;
use std::sync::{Arc, Weak};
#[cfg(feature = "host")]
use std::time::Duration;

use super::Link;
#[cfg(feature = "host")]
use super::locked::Cause;
use super::state::State;
use crate::error::Error;
use crate::limits::{LimitKind, Limits};
use crate::remote::Remote;
#[cfg(feature = "host")]
use crate::runtime::Instant;
#[cfg(feature = "host")]
use crate::sync::atomic::AtomicBool;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};

/// The least number of links that are added between two sweeps of those that have gone.
#[cfg(feature = "host")]
const SWEEP: usize = 64;

/// Time that a peer has for a sign of life when there is no room for others.
#[cfg(feature = "host")]
const UNANSWERED: Duration = Duration::from_secs(10);

/// Bytes by which the memory of a link must change before the pool is told.
const STEP: usize = 16 << 10;

/// The links of a node, and the bytes they hold. The cost of adding or removing a link does not grow with their number.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    held: AtomicUsize,
    /// The number of links that count for the limit: those that were let in, and have not ended or made room for
    /// another.
    #[cfg(feature = "host")]
    open: AtomicUsize,
    links: Mutex<Links>,
}

/// The lines of a pool, each in order of arrival.
#[derive(Debug, Default)]
struct Links {
    all: Line,
    /// Links over byte streams from which no whole message has come.
    #[cfg(feature = "host")]
    silent: Line,
    /// Links whose peers were found to leave a probe unanswered for long.
    #[cfg(feature = "host")]
    unanswered: Line,
    /// The time at which there may be others.
    #[cfg(feature = "host")]
    look: Option<Instant>,
    /// Links that came by a listener, and have ended.
    #[cfg(feature = "host")]
    closing: Line,
}

/// A queue of links. Stale ones are removed now and then.
#[derive(Debug, Default)]
struct Line {
    members: VecDeque<Member>,
    #[cfg(feature = "host")]
    sweep: usize,
    /// The number of links that have been looked at.
    #[cfg(all(test, feature = "host"))]
    looks: usize,
}

#[derive(Clone, Debug)]
struct Member {
    link: Weak<Link>,
    #[cfg(feature = "host")]
    since: Instant,
}

/// The account of a link with its pool.
#[derive(Default)]
pub(super) struct QuotaShare {
    pool: Option<Arc<Pool>>,
    /// Bytes that all links of the pool may hold together.
    limit: usize,
    /// Bytes that each link may hold in any case.
    share: usize,
    reported: AtomicUsize,
    /// `true` if the link counts as open.
    #[cfg(feature = "host")]
    counts: AtomicBool,
    /// The link itself, once it is in the pool.
    #[cfg(feature = "host")]
    own: OnceLock<Weak<Link>>,
    /// Bytes that the transport holds for arriving frames.
    arriving: AtomicUsize,
}

impl Pool {
    /// Returns all links, including those that have ended and are being closed.
    fn all(&self) -> Vec<Arc<Link>> {
        lock(&self.links).all.members.iter().filter_map(|member| member.link.upgrade()).collect()
    }

    /// Returns the bytes that all links hold.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Ends links that hold more than a `share`, until all together are within the limit. Each time it ends the
    /// youngest link of the peer whose links exceed their shares most in total.
    fn shed_load(&self, limit: usize, share: usize) {
        let mut groups: HashMap<(Remote, usize), Group> = HashMap::new();
        for (at, link) in self.all().into_iter().enumerate() {
            let above = link.share.reported.load(Ordering::Relaxed).saturating_sub(share);
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
            // An ended link holds output that its peer does not read.
            #[cfg(feature = "host")]
            if youngest.is_closed() {
                youngest.leave_pool();
                youngest.cut_off();
                continue;
            }
            youngest.break_off(Error::over(LimitKind::NodeBytes, message));
        }
    }
}

#[cfg(feature = "host")]
impl Pool {
    /// Takes in a link if the node is `open` at that moment and there is room for one more. A silent link makes room.
    pub(crate) fn enter(
        &self,
        link: &Arc<Link>,
        limit: usize,
        open: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let silent = {
            let mut links = lock(&self.links);
            let room = open().and_then(|()| self.make_room(&mut links, limit));
            // A refused link is listed as well, until it has gone.
            let own = link.share.own.get_or_init(|| Arc::downgrade(link)).clone();
            links.all.push(Member { link: own, since: Instant::now() }, |link| !link.is_gone());
            if room.is_ok() {
                self.open.fetch_add(1, Ordering::SeqCst);
                link.share.counts.store(true, Ordering::SeqCst);
            }
            room?
        };
        if let Some(silent) = silent {
            silent.end_silence();
        }
        // The one that clears the mark counts the link out.
        if link.is_closed() {
            self.count_out(link);
        }
        Ok(())
    }

    fn count_out(&self, link: &Link) {
        if link.share.counts.swap(false, Ordering::SeqCst) {
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Makes room for one more link, which may take the place of a silent one.
    fn make_room(&self, links: &mut Links, limit: usize) -> Result<Option<Arc<Link>>, Error> {
        if self.open.load(Ordering::SeqCst) < limit {
            return Ok(None);
        }
        let full = || Error::over(LimitKind::Connections, format!("more than {limit} connections"));
        self.take_silent(links).ok_or_else(full).map(Some)
    }

    /// Returns the link whose peer has been silent for longest, and counts it out.
    fn take_silent(&self, links: &mut Links) -> Option<Arc<Link>> {
        let (silent, _) = links.silent()?;
        self.count_out(&silent);
        Some(silent)
    }

    /// Cuts off the oldest closing connection that came by a listener. Returns `false` if there is none.
    #[cfg(feature = "tokio")]
    pub(crate) fn cut_off_closing(&self) -> bool {
        let closing = lock(&self.links).closing.first(|link, _| link.is_closing());
        closing.inspect(|(link, _)| link.cut_off()).is_some()
    }

    /// Returns the time from which the longest silent connection has been there.
    #[cfg(feature = "tokio")]
    pub(crate) fn silent_since(&self) -> Option<Instant> {
        lock(&self.links).silent().map(|(_, since)| since)
    }

    /// Cuts off the connection that has been silent for longest. Returns `false` if there is none.
    #[cfg(feature = "tokio")]
    pub(crate) fn cut_off_silent(&self) -> bool {
        let Some(silent) = self.take_silent(&mut lock(&self.links)) else { return false };
        silent.end_silence();
        silent.cut_off();
        true
    }

    /// Returns the links that have not ended.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.all().into_iter().filter(|link| !link.is_closed()).collect()
    }
}

/// The links of a peer that hold more than their shares, the youngest last.
#[derive(Default)]
struct Group {
    above: usize,
    links: Vec<(Arc<Link>, usize)>,
}

#[cfg(feature = "host")]
impl Line {
    fn push(&mut self, member: Member, stays: impl Fn(&Link) -> bool) {
        if self.members.len() >= self.sweep {
            self.note_looks(self.members.len());
            self.members.retain(|member| member.link.upgrade().is_some_and(|link| stays(&link)));
            self.sweep = (2 * self.members.len()).max(SWEEP);
        }
        self.members.push_back(member);
    }

    /// Returns the first link for which `is` holds, and removes those before it.
    fn first(&mut self, is: impl Fn(&Link, &Member) -> bool) -> Option<(Arc<Link>, Instant)> {
        while let Some(first) = self.members.front() {
            if let Some(link) = first.link.upgrade().filter(|link| is(link, first)) {
                return Some((link, first.since));
            }
            self.members.pop_front();
            self.note_looks(1);
        }
        None
    }

    fn note_looks(&mut self, _count: usize) {
        #[cfg(test)]
        {
            self.looks += _count;
        }
    }
}

#[cfg(feature = "host")]
impl Links {
    /// Returns the counted link whose peer has been silent for longest, or else leaves a probe unanswered.
    fn silent(&mut self) -> Option<(Arc<Link>, Instant)> {
        let silent = self.silent.first(|link, _| link.counts() && link.is_silent());
        silent.or_else(|| self.unanswered())
    }

    fn unanswered(&mut self) -> Option<(Arc<Link>, Instant)> {
        let too_late = |link: &Link, member: &Member| {
            let asked = link.probed_at().filter(|_| link.counts());
            asked.map(|asked| member.since + asked.saturating_add(UNANSWERED))
        };
        let now = Instant::now();
        if self.unanswered.members.is_empty() && self.look.is_none_or(|look| look <= now) {
            // A peer that has not been asked yet has at least this much time.
            let mut look = now + UNANSWERED;
            self.all.note_looks(self.all.members.len());
            for member in &self.all.members {
                match member.link.upgrade().and_then(|link| too_late(&link, member)) {
                    Some(late) if late <= now => self.unanswered.members.push_back(member.clone()),
                    Some(late) => look = look.min(late),
                    None => {}
                }
            }
            self.look = Some(look);
        }
        self.unanswered.first(|link, member| too_late(link, member).is_some_and(|late| late <= now))
    }
}

impl QuotaShare {
    pub(super) fn of(pool: Option<Arc<Pool>>, limits: &Limits) -> Self {
        let share = limits.node_bytes / limits.connections.max(1);
        Self { pool, limit: limits.node_bytes, share, ..Self::default() }
    }

    /// Returns `true` if the link counts with others.
    pub(super) fn is_pooled(&self) -> bool {
        self.pool.is_some()
    }

    /// Returns the bytes that all links of the pool hold.
    pub(super) fn of_all(&self) -> usize {
        self.pool.as_ref().map_or(0, |pool| pool.held())
    }

    pub(super) fn arriving(&self) -> usize {
        self.arriving.load(Ordering::Relaxed)
    }

    /// Notes that the peer is silent.
    #[cfg(feature = "host")]
    pub(super) fn note_silent(&self) {
        if let (Some(pool), Some(own)) = (&self.pool, self.own.get()) {
            let member = Member { link: own.clone(), since: Instant::now() };
            lock(&pool.links).silent.push(member, Link::is_silent);
        }
    }

    /// Tells the pool that `held` bytes are held. Returns `true` if the pool holds too much.
    fn tell(&self, held: usize) -> bool {
        let Some(pool) = &self.pool else { return false };
        let reported = self.reported.load(Ordering::Relaxed);
        if held.abs_diff(reported) < STEP && held > 0 {
            return false;
        }
        let reported = self.reported.swap(held, Ordering::Relaxed);
        // The sum changes in one step, so that no other thread sees too much in between.
        pool.held.fetch_add(held.wrapping_sub(reported), Ordering::Relaxed);
        held > reported && pool.held() > self.limit
    }
}

impl Link {
    /// Tells the pool the bytes that are held. Returns `true` if the pool holds too much; then the caller calls
    /// [`shed_load`](Self::shed_load) when the lock is free.
    pub(super) fn report_to_pool(&self, state: &State) -> bool {
        // A link that ended for want of room counts as gone.
        let ended = state.lifecycle.error();
        if ended.is_some_and(super::lifecycle::is_for_room) || state.lifecycle.is_gone() {
            return false;
        }
        // A session that has ended drops the values it holds. What it has not written counts until it is gone.
        let untaken = if ended.is_none() { self.untaken() } else { 0 };
        let streams = self.stream_bytes.load(Ordering::Relaxed);
        self.share.tell(state.held() + untaken + streams + self.share.arriving()) && ended.is_none()
    }

    pub(super) fn shed_load(&self) {
        if let Some(pool) = &self.share.pool {
            pool.shed_load(self.share.limit, self.share.share);
        }
    }

    /// Tells the pool that nothing is held any more.
    pub(super) fn leave_pool(&self) {
        self.share.arriving.store(0, Ordering::Relaxed);
        self.share.tell(0);
    }
}

#[cfg(feature = "host")]
impl Link {
    fn counts(&self) -> bool {
        self.share.counts.load(Ordering::SeqCst)
    }

    /// Returns `true` if the session has ended and its stream has not.
    fn is_closing(&self) -> bool {
        self.is_closed() && !self.is_cut_off() && !self.is_gone()
    }

    /// Counts out a link whose session has ended.
    pub(super) fn count_out(&self) {
        let (Some(pool), Some(own)) = (&self.share.pool, self.share.own.get()) else { return };
        pool.count_out(self);
        if self.remote != Remote::Own {
            let member = Member { link: own.clone(), since: Instant::now() };
            lock(&pool.links).closing.push(member, Link::is_closing);
        }
    }

    /// Notes the bytes that the transport holds for arriving frames.
    pub(crate) fn set_arriving(&self, bytes: usize) {
        if self.share.arriving.swap(bytes, Ordering::Relaxed).abs_diff(bytes) < STEP {
            return;
        }
        // The pool is told whenever the state may have changed.
        self.with_state(Cause::Driver, |_, _| ());
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::super::LinkConfig;
    use super::*;
    use crate::session::Side;

    /// Counts the links that are looked at while `limit` more links come to a full node.
    fn looks(limit: usize, silent: bool) -> usize {
        let pool = Arc::<Pool>::default();
        let enter = || {
            let config =
                LinkConfig { pool: Some(pool.clone()), remote: Remote::User(1), ..LinkConfig::default() };
            let link = Link::new(Side::Accepting, None, config);
            let entered = pool.enter(&link, limit, || Ok(()));
            match &entered {
                Ok(()) if silent => link.check_first(),
                Ok(()) => {}
                Err(error) => link.close(error.clone()),
            }
            (link, entered.is_ok())
        };
        let mut all: Vec<_> = (0..limit).map(|_| enter()).collect();
        assert!(all.iter().all(|(_, entered)| *entered));
        let count = || {
            let links = lock(&pool.links);
            links.all.looks + links.silent.looks + links.unanswered.looks + links.closing.looks
        };
        let before = count();
        for at in 0..limit {
            let (link, entered) = enter();
            assert_eq!((entered, all[at].0.is_closed()), (silent, silent), "{at}");
            assert!(pool.cut_off_closing());
            all.push((link, entered));
        }
        assert_eq!(pool.open.load(Ordering::SeqCst), limit);
        assert_eq!(pool.links().len(), limit);
        count() - before
    }

    #[test]
    fn what_a_newcomer_costs_does_not_grow_with_the_number_of_links() {
        for silent in [false, true] {
            let (few, many) = (looks(500, silent), looks(4_000, silent));
            assert!(many <= 10 * few && many <= 10 * 4_000, "{few} and {many} looks");
        }
    }
}

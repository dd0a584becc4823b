//! The queue between the two ends of a stream in this program.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use super::chunk::{Chunk, Item, Source};
use crate::error::{Error, Fate};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};

/// The queue between a writer and a reader.
pub(crate) struct Pipe(Mutex<State>);

struct State {
    items: VecDeque<Item>,
    /// The end of the writer, behind all that is queued.
    end: Option<Result<(), Error>>,
    /// The reason for which nothing is read any more.
    cancelled: Option<Error>,
    /// `true` once there is a reader.
    claimed: bool,
    /// The turns of the read end, once there is one.
    turns: Weak<Turns>,
    reader: Option<Waker>,
    /// Woken when an item has been read.
    writer: Option<Waker>,
}

/// The turns of the holders of a read end, which is passed on from one to the next.
#[derive(Default)]
pub(super) struct Turns {
    /// The number of times that it was taken and passed on: odd while somebody in this program holds it.
    count: AtomicUsize,
    /// `true` once its chunks are moved to a peer.
    moved: AtomicBool,
    /// `true` while a peer that has no pipes holds it as an object.
    exposed: AtomicBool,
    /// `true` once its holder has read from it.
    begun: AtomicBool,
}

impl Turns {
    /// Returns the turn of a new holder.
    pub(super) fn hold(&self) -> usize {
        let next = |count: usize| count.wrapping_add(1) | 1;
        let taken = self.count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| Some(next(count)));
        taken.map_or(0, next)
    }

    /// Returns `true` in the turn `turn`.
    pub(super) fn is_held_by(&self, turn: usize) -> bool {
        let is_here = !self.moved.load(Ordering::SeqCst) && !self.exposed.load(Ordering::SeqCst);
        self.count.load(Ordering::SeqCst) == turn && is_here
    }

    /// Notes whether its holder has read from it.
    pub(super) fn set_begun(&self, begun: bool) {
        self.begun.store(begun, Ordering::SeqCst);
    }

    pub(super) fn is_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    fn is_held(&self) -> bool {
        self.count.load(Ordering::SeqCst) % 2 == 1 || self.moved.load(Ordering::SeqCst)
    }

    /// Returns `true` once the chunks are moved to a peer.
    pub(super) fn is_moved(&self) -> bool {
        self.moved.load(Ordering::SeqCst)
    }

    /// Ends the turn `turn`. Returns `false` if it has ended.
    pub(super) fn pass(&self, turn: usize) -> bool {
        let next = turn.wrapping_add(1);
        let passed = self.count.compare_exchange(turn, next, Ordering::SeqCst, Ordering::SeqCst);
        passed.is_ok() && !self.moved.load(Ordering::SeqCst) && !self.exposed.load(Ordering::SeqCst)
    }

    /// Notes that a peer holds it as an object, until it comes home. Returns `false` if one does already.
    pub(super) fn expose(&self) -> bool {
        !self.exposed.swap(true, Ordering::SeqCst)
    }

    /// Notes that a peer has passed it back.
    pub(super) fn come_home(&self) {
        self.exposed.store(false, Ordering::SeqCst);
    }

    /// Ends all turns: the chunks are moved to a peer from now on. Returns `false` if they are already.
    pub(super) fn move_away(&self) -> bool {
        !self.moved.swap(true, Ordering::SeqCst)
    }
}

impl Pipe {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            items: VecDeque::new(),
            end: None,
            cancelled: None,
            claimed: false,
            turns: Weak::new(),
            reader: None,
            writer: None,
        })))
    }

    /// Returns `true` for the first caller, who may read.
    pub(super) fn claim(&self) -> bool {
        !std::mem::replace(&mut lock(&self.0).claimed, true)
    }

    pub(super) fn set_turns(&self, turns: &Arc<Turns>) {
        lock(&self.0).turns = Arc::downgrade(turns);
    }

    /// Returns `true` if somebody reads it, here or for a peer. Otherwise its read end is nowhere, or on its way.
    pub(crate) fn is_read(&self) -> bool {
        lock(&self.0).turns.upgrade().is_some_and(|turns| turns.is_held())
    }

    /// Adds an item. It is acknowledged when it is read. Behind the end there is room for none.
    pub(super) fn push(&self, item: Item) {
        let refused = {
            let state = &mut *lock(&self.0);
            match (&state.cancelled, &state.end) {
                (Some(reason), _) | (None, Some(Err(reason))) => Some((item, reason.clone())),
                (None, Some(Ok(()))) => {
                    Some((item, Error::type_error("the stream is closed already".to_owned())))
                }
                (None, None) => {
                    if matches!(item.chunk, Chunk::Close) {
                        state.end = Some(Ok(()));
                    }
                    state.items.push_back(item);
                    None
                }
            }
        };
        match refused {
            Some((item, reason)) => item.refuse(reason),
            None => self.wake(),
        }
    }

    /// Ready when fewer than `most` items wait to be read. Never after the end: it refuses items at once, and a writer that
    /// waits for the outcome of one before would write without bound.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>, most: usize) -> Poll<()> {
        // The former waker, which is user code, is dropped after the guard.
        let mut waker = Some(cx.waker().clone());
        let state = &mut *lock(&self.0);
        let ended = state.end.is_some() || state.cancelled.is_some();
        if !ended && state.items.len() < most {
            return Poll::Ready(());
        }
        if ended {
            // Nobody would wake it.
            waker = None;
        }
        std::mem::swap(&mut state.writer, &mut waker);
        Poll::Pending
    }

    /// Ends the stream by an error, which the reader gets at once. Does nothing after another end.
    pub(crate) fn abort(&self, reason: &Error) {
        let dropped = {
            let state = &mut *lock(&self.0);
            if state.end.is_some() || state.cancelled.is_some() {
                return;
            }
            state.end = Some(Err(reason.clone()));
            std::mem::take(&mut state.items)
        };
        dropped.into_iter().for_each(|item| item.refuse(reason.clone()));
        self.wake();
    }

    fn wake(&self) {
        let waker = lock(&self.0).reader.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Source for Pipe {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Item, Error>>> {
        // Wakers are user code, so the former one is dropped after the guard.
        let mut waker = Some(cx.waker().clone());
        let (polled, writer) = {
            let state = &mut *lock(&self.0);
            match (state.items.pop_front(), &state.end) {
                (Some(item), _) => (Poll::Ready(Some(Ok(item))), state.writer.take()),
                (None, Some(Ok(()))) => (Poll::Ready(None), None),
                (None, Some(Err(reason))) => (Poll::Ready(Some(Err(reason.clone()))), None),
                (None, None) => {
                    std::mem::swap(&mut state.reader, &mut waker);
                    (Poll::Pending, None)
                }
            }
        };
        if let Some(writer) = writer {
            writer.wake();
        }
        polled
    }

    fn cancel(&self, reason: &Error) {
        let dropped = {
            let state = &mut *lock(&self.0);
            if state.cancelled.is_none() {
                state.cancelled = Some(reason.clone().with_fate(Fate::Answered));
            }
            std::mem::take(&mut state.items)
        };
        dropped.into_iter().for_each(|item| item.refuse(reason.clone()));
    }
}

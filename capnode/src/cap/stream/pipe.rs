//! The queue between the two ends of a stream in this program.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::chunk::{Chunk, Item, Source};
use crate::error::{Error, Fate};
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
    reader: Option<Waker>,
}

impl Pipe {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            items: VecDeque::new(),
            end: None,
            cancelled: None,
            claimed: false,
            reader: None,
        })))
    }

    /// Returns `true` for the first caller, who may read.
    pub(super) fn claim(&self) -> bool {
        !std::mem::replace(&mut lock(&self.0).claimed, true)
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
        let state = &mut *lock(&self.0);
        match (state.items.pop_front(), &state.end) {
            (Some(item), _) => Poll::Ready(Some(Ok(item))),
            (None, Some(Ok(()))) => Poll::Ready(None),
            (None, Some(Err(reason))) => Poll::Ready(Some(Err(reason.clone()))),
            (None, None) => {
                std::mem::swap(&mut state.reader, &mut waker);
                Poll::Pending
            }
        }
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

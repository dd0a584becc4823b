//! In-memory connections inside one program.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Frame, Outgoing, ReceiveError, Transport};
use crate::sync::{Mutex, lock};

/// One end of a connection inside one program: see [`pair`].
#[derive(Debug)]
pub struct Memory {
    incoming: Arc<Mutex<Direction>>,
    outgoing: Arc<Mutex<Direction>>,
    current: String,
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    frames: VecDeque<String>,
    closed: bool,
    reader: Option<Waker>,
}

impl Direction {
    fn wake(&mut self) -> Option<Waker> {
        self.reader.take()
    }
}

/// Returns the two ends of a connection inside one program.
pub fn pair() -> (Memory, Memory) {
    let (there, back) = (Arc::<Mutex<Direction>>::default(), Arc::<Mutex<Direction>>::default());
    let one = Memory { incoming: back.clone(), outgoing: there.clone(), current: String::new() };
    let other = Memory { incoming: there, outgoing: back, current: String::new() };
    (one, other)
}

impl Transport for Memory {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        let mut way = lock(&self.incoming);
        match way.frames.pop_front() {
            Some(frame) => {
                drop(way);
                self.current = frame;
                Poll::Ready(Some(Ok(Frame::Text(&self.current))))
            }
            None if way.closed => Poll::Ready(None),
            None => {
                way.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_send(&mut self, _: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        let mut way = lock(&self.outgoing);
        if way.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        while let Some(Frame::Text(frame)) = frames.pop_frame() {
            way.frames.push_back(frame.to_owned());
        }
        frames.clear();
        let reader = way.wake();
        drop(way);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: Option<&str>) -> Poll<io::Result<()>> {
        self.hang_up();
        Poll::Ready(Ok(()))
    }
}

impl Memory {
    fn hang_up(&self) {
        for way in [&self.outgoing, &self.incoming] {
            let reader = {
                let mut way = lock(way);
                way.closed = true;
                way.wake()
            };
            if let Some(reader) = reader {
                reader.wake();
            }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.hang_up();
    }
}

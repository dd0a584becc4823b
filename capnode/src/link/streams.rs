//! Streams over a connection: pipes of both sides, and what the peer writes.

use std::future::{Future as _, poll_fn};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use super::Link;
use super::effects::Effects;
use super::inbound_call::InboundCall;
use super::locked::Cause;
use super::state::State;
use super::task::Task;
use crate::bounds;
use crate::cap::Cap;
use crate::cap::import::Import;
use crate::cap::inbound::{ENTRY, HeldBytes, InboundRef, settle};
use crate::cap::payload::{LivePayload, PayloadRef, undefined};
use crate::cap::request::Args;
use crate::cap::response::Reply;
use crate::cap::stream::{Acknowledge, Chunk, JOINED_CHUNKS, Later, Pump, ReadEnd, WriteEnd, unread};
use crate::dialect::capnweb;
use crate::error::{Error, Fault};
use crate::limits::LimitKind;
use crate::message::{CapDescriptor, Expression, Id, Key, Payload};
use crate::runtime::BoxFuture;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, lock};

impl Link {
    /// Opens a pipe at the peer, and begins to move the chunks of a stream into it. Returns the descriptor of its read
    /// end.
    pub(super) fn pipe(
        self: &Arc<Self>,
        state: &mut State,
        source: Arc<ReadEnd>,
        effects: &mut Effects,
    ) -> CapDescriptor {
        let pipe = state.session.pipe();
        let id = pipe.id;
        let opened = state.send(pipe, effects);
        debug_assert!(opened.is_ok(), "a language with pipes can say that one is opened");
        let target = Cap::from_import(Import::new(self.clone(), id, false));
        let pump = Pump::new(source, target);
        self.written_streams.fetch_add(1, Ordering::SeqCst);
        let task: BoxFuture<()> = Box::pin(self.clone().write_stream(pump));
        state.inbox.add_task(Task::nested(task, self.clone()));
        CapDescriptor::ReceiverReadable(id)
    }

    /// Moves the chunks of a stream. A drain and the body of a batch wait for the end of it.
    async fn write_stream(self: Arc<Self>, pump: Pump) {
        pump.await;
        self.with_state(Cause::Program, |_, _| self.written_streams.fetch_sub(1, Ordering::SeqCst));
    }

    /// Returns the number of streams that this side writes into pipes of the peer. Those that the end of the session has
    /// cut off stay counted.
    pub(crate) fn written_streams(&self) -> usize {
        self.written_streams.load(Ordering::SeqCst)
    }

    /// Opens a pipe for the peer. Its write end is the result of the peer's message.
    pub(super) fn open_pipe(&self, state: &mut State, answer: Id, effects: &mut Effects) {
        state.entries.open_answer(answer);
        let end = Ok(Payload::reference(PayloadRef::Cap(state.entries.open_pipe())));
        let kept = state.entries.keep(answer, end, self.limits.kept_bytes, effects);
        effects.discard(kept);
    }

    /// Hands a call of a write end on to its stream. It is answered when the reader has taken what was written.
    pub(super) fn take_chunk(self: &Arc<Self>, end: &WriteEnd, call: InboundCall) {
        let InboundCall { answer, expression, bytes, .. } = call;
        let Expression::Call { path, args: Some(args), .. } = expression else {
            let error = Error::type_error("a write end is called by its methods");
            return self.finish(answer, Err(error), false);
        };
        let name = match path.as_slice() {
            [Key::Name(name)] => Some(name.as_str()),
            _ => None,
        };
        let chunks = if name == Some("writes") { several(&args) } else { None };
        let entries = ENTRY * chunks.as_ref().map_or(1, Vec::len);
        let held = HeldBytes::new(&self.stream_bytes, bytes - InboundCall::SIZE + entries);
        let is_over = self.stream_bytes.load(Ordering::Relaxed) > self.limits.stream_bytes;
        let link = Arc::downgrade(self);
        let acknowledge: Acknowledge = Box::new(move |fate| {
            drop(held);
            if let Some(link) = link.upgrade() {
                link.finish(answer, fate.map(|()| Reply::Wire(undefined())), true);
            }
        });
        if is_over {
            let error = too_much(self.limits.stream_bytes);
            end.0.abort(&error);
            return acknowledge(Err(error));
        }
        if let Some(chunks) = chunks {
            let write = JoinedWrite::new(chunks.len(), acknowledge);
            for chunk in chunks {
                end.call(Some("write"), Chunk::Args(Args::Wire(chunk)), JoinedWrite::part(write.clone()));
            }
            return;
        }
        let chunk = match InboundRef::begin(InboundRef::compact(args), self.unfolding) {
            Ok(args) => Chunk::Args(Args::Wire(args)),
            Err(later) => Chunk::Later(self.settle_chunk(later)),
        };
        end.call(name, chunk, acknowledge);
    }

    /// Waits for the promises in a chunk. What has come of them counts until all of it is there.
    fn settle_chunk(&self, value: Payload<InboundRef>) -> Later {
        let (mut settling, limit) = (Box::pin(settle(value, self.unfolding)), self.limits.stream_bytes);
        let mut held = HeldBytes::new(&self.stream_bytes, 0);
        Box::pin(poll_fn(move |cx| {
            let (settled, more) = bounds::unfolding(|| settling.as_mut().poll(cx));
            let is_over = held.add(more) > limit;
            if is_over && settled.is_pending() { Poll::Ready(Err(too_much(limit))) } else { settled }
        }))
    }
}

fn too_much(limit: usize) -> Error {
    let message = format!("more than {limit} bytes of streams are unread");
    Error::over(LimitKind::StreamBytes, message).with_fault(Fault::Peer)
}

/// Returns the chunks that a peer of this library has joined into one write, each as the arguments of its own. `None` for
/// what it does not join.
fn several(args: &Payload<InboundRef>) -> Option<Vec<LivePayload>> {
    if !args.is_plain() {
        return None;
    }
    let each = capnweb::each_argument(args.text.as_str()).take(JOINED_CHUNKS + 1);
    let chunks: Vec<_> = each.map(|chunk| Payload::plain(format!("[{chunk}]"))).collect();
    (chunks.len() <= JOINED_CHUNKS).then_some(chunks)
}

/// A write of several chunks, which has its outcome when the last of them has. A chunk without one was not taken.
struct JoinedWrite {
    failed: OnceLock<Error>,
    /// The number of chunks that were taken.
    taken: AtomicUsize,
    chunks: usize,
    acknowledge: Mutex<Option<Acknowledge>>,
}

impl JoinedWrite {
    fn new(chunks: usize, acknowledge: Acknowledge) -> Arc<Self> {
        let acknowledge = Mutex::new(Some(acknowledge));
        Arc::new(Self { failed: OnceLock::new(), taken: AtomicUsize::new(0), chunks, acknowledge })
    }

    /// Returns the acknowledgement of one of the chunks.
    fn part(write: Arc<Self>) -> Acknowledge {
        Box::new(move |fate| match fate {
            Ok(()) => {
                write.taken.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                // The first failure counts.
                let _first = write.failed.set(error);
            }
        })
    }
}

impl Drop for JoinedWrite {
    fn drop(&mut self) {
        let acknowledge = lock(&self.acknowledge).take();
        if let Some(acknowledge) = acknowledge {
            let all = self.taken.load(Ordering::Relaxed) == self.chunks;
            let failed = self.failed.take().or_else(|| (!all).then(unread));
            acknowledge(failed.map_or(Ok(()), Err));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_of_several_chunks_fails_if_one_of_them_has_no_outcome() {
        for (answered, taken) in [(2, true), (1, false), (0, false)] {
            let (sender, mut outcome) = futures_channel::oneshot::channel();
            let told: Acknowledge = Box::new(move |fate| sender.send(fate.is_ok()).unwrap());
            let write = JoinedWrite::new(2, told);
            let parts = [JoinedWrite::part(write.clone()), JoinedWrite::part(write)];
            parts.into_iter().take(answered).for_each(|part| part(Ok(())));
            assert_eq!(outcome.try_recv().unwrap(), Some(taken), "{answered} of 2");
        }
    }
}

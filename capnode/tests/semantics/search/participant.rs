//! The objects that a chain of nodes calls, and what there is to say of a program that calls them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_channel::oneshot;

use crate::harness::*;

#[capnode::interface]
pub(super) trait Participant {
    async fn note(&self, number: u32) -> u32;
    /// Returns one object each time.
    async fn same(&self) -> ParticipantClient;
    /// A new one, as soon as the gate is open.
    async fn late(&self) -> ParticipantClient;
    async fn back(&self, place: ParticipantClient) -> ParticipantClient;
    /// Has it noted over there.
    async fn tell(&self, place: ParticipantClient, number: u32) -> u32;
}

/// The common state of the objects of a world.
#[derive(Default)]
pub(super) struct SharedState {
    /// In the order of delivery.
    pub(super) noted: Mutex<Vec<u32>>,
    pub(super) gates: Mutex<Vec<oneshot::Sender<()>>>,
    pub(super) open: AtomicBool,
    pub(super) objects: AtomicUsize,
}

pub(super) struct ParticipantObject {
    ground: Arc<SharedState>,
    same: Option<ParticipantClient>,
}

impl ParticipantObject {
    pub(super) fn client(ground: &Arc<SharedState>, same: Option<ParticipantClient>) -> ParticipantClient {
        ground.objects.fetch_add(1, Ordering::SeqCst);
        ParticipantClient::new(Self { ground: ground.clone(), same })
    }
}

impl Drop for ParticipantObject {
    fn drop(&mut self) {
        self.ground.objects.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Participant for ParticipantObject {
    async fn note(&self, number: u32) -> u32 {
        lock(&self.ground.noted).push(number);
        number
    }

    async fn same(&self) -> ParticipantClient {
        self.same.clone().expect("the object at the end has one")
    }

    async fn late(&self) -> ParticipantClient {
        if !self.ground.open.load(Ordering::SeqCst) {
            let (sender, gate) = oneshot::channel();
            lock(&self.ground.gates).push(sender);
            gate.await.expect("the gate opens");
        }
        ParticipantObject::client(&self.ground, None)
    }

    async fn back(&self, place: ParticipantClient) -> ParticipantClient {
        place
    }

    async fn tell(&self, place: ParticipantClient, number: u32) -> u32 {
        place.note(number).await.unwrap_or(u32::MAX)
    }
}

/// One step of a program. References stand in numbered slots; 0 is the index of the chain. A step waits until the slots
/// that it uses are filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    /// Calls and awaits.
    Note {
        on: usize,
        number: u32,
    },
    /// Calls without waiting for the answer.
    Send {
        on: usize,
        number: u32,
    },
    /// Awaits an answer no longer.
    GiveUp {
        number: u32,
    },
    /// An object of the first node's own.
    Own {
        into: usize,
    },
    /// Asks for the object that is always the same, and takes it when it comes.
    Same {
        on: usize,
        into: usize,
    },
    /// Pipelined: there is a promise at once.
    Late {
        on: usize,
        into: usize,
    },
    /// Pipelined: a promise for the sent argument, which so turns out to be nearer.
    Back {
        on: usize,
        what: usize,
        into: usize,
    },
    /// The callee calls back.
    Tell {
        on: usize,
        what: usize,
        number: u32,
    },
    /// Takes the reference that a promise resolved to, once that is known.
    Read {
        of: usize,
        into: usize,
    },
    Promise {
        into: usize,
    },
    Resolve {
        promise: usize,
        to: usize,
    },
    Drop {
        slot: usize,
    },
}

/// A program: its steps, and the places where they happen.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) hops: usize,
    /// At the first node, in this order.
    pub(super) steps: Vec<Step>,
    /// The last node opens the gate at some time.
    pub(super) gate: bool,
    /// The second node offers a promise, which it resolves at some time.
    pub(super) promised: bool,
    /// The ends have not said yet that they are of this library.
    pub(super) strangers: bool,
    /// When a handler that was woken goes on is a choice of its own.
    pub(super) handlers: bool,
}

//! Nodes in a row, each connected to the next: the last offers an object, the others offer on what they are offered. The
//! first runs a program.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;

use super::explore::Model;
use super::participant::{ParticipantClient, ParticipantObject, Program, SharedState, Step};
use crate::harness::*;
use capnode::sans_io::Handler;
use capnode::{Call, Resolver};

/// A possible action. It changes one node only, and adds frames to wires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Action {
    node: usize,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The first node takes its next step.
    Step,
    /// The oldest frame on its way over this link arrives.
    Deliver {
        link: usize,
    },
    /// A handler that was woken goes on: at an end of this link, by its number there.
    Run {
        link: usize,
        number: usize,
    },
    Open,
    Resolve,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.what, self.node)
    }
}

/// Sees whether a future has been woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Flag {
    /// Polls a future that has been woken.
    fn poll<F: Future + Unpin>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        self.0.store(false, Ordering::SeqCst);
        Pin::new(future).poll(&mut Context::from_waker(&Waker::from(self.clone())))
    }

    fn is_up(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// One end of one link.
struct Port {
    core: Core,
    /// Frames on the way to the other end.
    wire: VecDeque<String>,
    /// Handlers by the order in which they came, each with the flag of its waker.
    handlers: Vec<(usize, Handler, Arc<Flag>)>,
    started: usize,
}

impl Port {
    fn new(core: Core) -> Self {
        Self { core, wire: VecDeque::new(), handlers: Vec::new(), started: 0 }
    }

    /// Does the work of a driver after each action. Returns whether there was any.
    fn drive(&mut self, run_all: bool) -> bool {
        let mut any = false;
        for mut task in self.core.handlers() {
            let flag = Arc::default();
            self.started += 1;
            // Its wakers have to be known.
            if Flag::poll(&flag, &mut task).is_pending() {
                self.handlers.push((self.started, task, flag));
            }
            any = true;
        }
        if run_all {
            let before = self.handlers.len();
            self.handlers.retain_mut(|(_, task, flag)| !flag.is_up() || flag.poll(task).is_pending());
            any |= self.handlers.len() < before;
        }
        while let Some(frame) = self.core.next_frame() {
            self.wire.push_back(frame);
            any = true;
        }
        any
    }
}

type Arriving = (usize, Vec<u32>, Call<ParticipantClient>, Arc<Flag>);

/// The references and calls of the first node, and the expected outcome.
#[derive(Default)]
struct Holder {
    slots: HashMap<usize, ParticipantClient>,
    resolvers: HashMap<usize, Resolver<ParticipantClient>>,
    notes: Vec<(u32, Call<u32>, Arc<Flag>)>,
    /// Calls for a reference, with the slot for it, and the notes known to be delivered before any call on it.
    arriving: Vec<Arriving>,
    /// The numbers of the calls on each reference.
    called: HashMap<usize, Vec<u32>>,
    expected: Vec<u32>,
    given_up: Vec<u32>,
    /// Pairs whose first has to be delivered before the second.
    order: Vec<(u32, u32)>,
}

impl Holder {
    fn number(&mut self, on: usize, number: u32) -> ParticipantClient {
        let called = self.called.entry(on).or_default();
        self.order.extend(called.iter().map(|before| (*before, number)));
        called.push(number);
        self.expected.push(number);
        self.slots[&on].clone()
    }

    fn hold(&mut self, slot: usize, place: ParticipantClient, before: Vec<u32>) {
        self.slots.insert(slot, place);
        self.called.insert(slot, before);
    }

    fn await_note(&mut self, number: u32, mut call: Call<u32>) {
        let flag = Arc::default();
        match Flag::poll(&flag, &mut call) {
            Poll::Pending => self.notes.push((number, call, flag)),
            Poll::Ready(answer) => assert_eq!(answer.expect("the call succeeds"), number),
        }
    }

    fn await_place(&mut self, slot: usize, before: Vec<u32>, mut call: Call<ParticipantClient>) {
        let flag = Arc::default();
        match Flag::poll(&flag, &mut call) {
            Poll::Pending => self.arriving.push((slot, before, call, flag)),
            Poll::Ready(place) => self.hold(slot, place.expect("the call succeeds"), before),
        }
    }

    /// Takes the arrived results. Returns whether there were any.
    fn poll(&mut self) -> bool {
        let before = self.notes.len() + self.arriving.len();
        self.notes.retain_mut(|(number, call, flag)| match flag.is_up().then(|| flag.poll(call)) {
            Some(Poll::Ready(answer)) => {
                assert_eq!(answer.expect("the call succeeds"), *number);
                false
            }
            _ => true,
        });
        for (slot, known, mut call, flag) in std::mem::take(&mut self.arriving) {
            match flag.is_up().then(|| flag.poll(&mut call)) {
                Some(Poll::Ready(place)) => self.hold(slot, place.expect("the call succeeds"), known),
                _ => self.arriving.push((slot, known, call, flag)),
            }
        }
        self.notes.len() + self.arriving.len() < before
    }

    fn waits_for_nothing(&self) -> bool {
        self.notes.is_empty() && self.arriving.is_empty()
    }

    fn can(&self, step: Step) -> bool {
        let held = |slot| self.slots.contains_key(&slot);
        match step {
            Step::Note { on, .. } | Step::Send { on, .. } => held(on),
            Step::Same { on, .. } | Step::Late { on, .. } => held(on),
            Step::Back { on, what, .. } | Step::Tell { on, what, .. } => held(on) && held(what),
            Step::Read { of, .. } => held(of),
            Step::Resolve { to, .. } => held(to),
            Step::Drop { slot } => held(slot),
            Step::GiveUp { .. } | Step::Own { .. } | Step::Promise { .. } => true,
        }
    }

    fn take(&mut self, step: Step, ground: &Arc<SharedState>) {
        match step {
            Step::Note { on, number } => {
                let call = self.number(on, number).note(number);
                self.await_note(number, call);
            }
            Step::Send { on, number } => {
                self.number(on, number).note(number).send().expect("there is room");
            }
            Step::GiveUp { number } => {
                self.notes.retain(|(waiting, ..)| *waiting != number);
                self.given_up.push(number);
            }
            Step::Own { into } => self.hold(into, ParticipantObject::client(ground, None), Vec::new()),
            Step::Same { on, into } => {
                let call = self.slots[&on].same();
                self.await_place(into, Vec::new(), call);
            }
            Step::Late { on, into } => {
                let late = self.slots[&on].late().pipeline();
                self.hold(into, late, Vec::new());
            }
            Step::Back { on, what, into } => {
                let back = self.slots[&on].back(self.slots[&what].clone()).pipeline();
                self.hold(into, back, Vec::new());
            }
            Step::Tell { on, what, number } => {
                // It is made there, later than the calls meanwhile.
                self.expected.push(number);
                let call = self.slots[&on].tell(self.slots[&what].clone(), number);
                self.await_note(number, call);
            }
            Step::Read { of, into } => {
                let before = self.called.get(&of).cloned().unwrap_or_default();
                let call = self.slots[&of].cap().read();
                self.await_place(into, before, call);
            }
            Step::Promise { into } => {
                let (promised, resolver) = ParticipantClient::promise();
                self.resolvers.insert(into, resolver);
                self.hold(into, promised, Vec::new());
            }
            Step::Resolve { promise, to } => {
                let target = self.slots[&to].clone();
                self.resolvers.remove(&promise).expect("it is not resolved yet").resolve(target);
                // All earlier calls on either come before any call on either from now on.
                let mut both = self.called.get(&promise).cloned().unwrap_or_default();
                both.extend(self.called.get(&to).into_iter().flatten());
                self.called.insert(promise, both.clone());
                self.called.insert(to, both);
            }
            Step::Drop { slot } => drop(self.slots.remove(&slot)),
        }
    }
}

pub(super) struct Chain {
    program: Program,
    done: usize,
    ground: Arc<SharedState>,
    /// From the first link on, its near and its far end.
    links: Vec<[Port; 2]>,
    holder: Holder,
    /// The resolver of the second node's promise, and the reference that it will resolve to.
    resolver: Option<(Resolver<ParticipantClient>, ParticipantClient)>,
    /// All has been done, and is given back.
    left: bool,
}

impl Chain {
    pub(super) fn new(program: &Program) -> Self {
        let ground = Arc::<SharedState>::default();
        let same = ParticipantObject::client(&ground, None);
        let mut index = ParticipantObject::client(&ground, Some(same));
        let mut links = Vec::new();
        let mut resolver = None;
        for link in (0..program.hops).rev() {
            let ends = [Port::new(Core::connecting(())), Port::new(Core::accepting(index))];
            index = ends[0].core.index();
            if program.promised && link == 1 {
                let (promised, resolve) = ParticipantClient::promise();
                resolver = Some((resolve, std::mem::replace(&mut index, promised)));
            }
            links.insert(0, ends);
        }
        let mut holder = Holder::default();
        holder.hold(0, index, Vec::new());
        let program = program.clone();
        let mut chain = Self { program, done: 0, ground, links, holder, resolver, left: false };
        (0..=chain.links.len()).for_each(|node| chain.drive(node));
        if !chain.program.strangers {
            loop {
                let delivery = chain.deliveries().next();
                let Some(delivery) = delivery else { break };
                chain.take(delivery);
            }
        }
        chain
    }

    /// The ends that a node has: of the link before it and of the one behind.
    fn ends(&mut self, node: usize) -> impl Iterator<Item = &mut Port> {
        self.links.iter_mut().enumerate().flat_map(move |(link, ends)| {
            let here = move |(end, port): (usize, _)| (link + end == node).then_some(port);
            ends.iter_mut().enumerate().filter_map(here)
        })
    }

    /// Each end with its node and its link.
    fn all_ends(&self) -> impl Iterator<Item = (usize, usize, &Port)> {
        let ends = self.links.iter().enumerate();
        ends.flat_map(|(link, ends)| ends.iter().enumerate().map(move |(end, port)| (link + end, link, port)))
    }

    fn deliveries(&self) -> impl Iterator<Item = Action> {
        let arrives = |(node, link, port): (usize, usize, &Port)| {
            // Where it is sent from is one end of the link, where it arrives the other.
            let to = if node == link { link + 1 } else { link };
            (!port.wire.is_empty()).then_some(Action { node: to, what: What::Deliver { link } })
        };
        self.all_ends().filter_map(arrives)
    }

    /// Lets a node act on the events there.
    fn drive(&mut self, node: usize) {
        let run_all = !self.program.handlers;
        loop {
            let mut any = node == 0 && self.holder.poll();
            self.ends(node).for_each(|port| any |= port.drive(run_all));
            if !any {
                return;
            }
        }
    }

    fn can_step(&self) -> bool {
        match self.program.steps.get(self.done) {
            Some(step) => self.holder.can(*step),
            None => !self.left && self.holder.waits_for_nothing(),
        }
    }

    fn can_open(&self) -> bool {
        self.program.gate && !self.ground.open.load(Ordering::SeqCst)
    }

    fn step(&mut self) {
        match self.program.steps.get(self.done).copied() {
            Some(step) => {
                self.done += 1;
                self.holder.take(step, &self.ground);
            }
            None => {
                self.left = true;
                self.holder.slots.clear();
            }
        }
    }
}

impl Model for Chain {
    type Action = Action;

    fn enabled(&self) -> Vec<Action> {
        let mut enabled = Vec::new();
        if self.can_step() {
            enabled.push(Action { node: 0, what: What::Step });
        }
        enabled.extend(self.deliveries());
        for (node, link, port) in self.all_ends() {
            let woken = port.handlers.iter().filter(|(_, _, flag)| flag.is_up());
            enabled
                .extend(woken.map(|(number, ..)| Action { node, what: What::Run { link, number: *number } }));
        }
        if self.can_open() {
            enabled.push(Action { node: self.program.hops, what: What::Open });
        }
        if self.resolver.is_some() {
            enabled.push(Action { node: 1, what: What::Resolve });
        }
        enabled
    }

    fn take(&mut self, Action { node, what }: Action) {
        match what {
            What::Step => self.step(),
            What::Deliver { link } => {
                let end = node - link;
                let frame = self.links[link][1 - end].wire.pop_front().expect("it is on its way");
                self.links[link][end].core.receive(&frame);
            }
            What::Run { link, number } => {
                let handlers = &mut self.links[link][node - link].handlers;
                let at = handlers.iter().position(|(other, ..)| *other == number).expect("it runs");
                let (_, task, flag) = &mut handlers[at];
                if flag.poll(task).is_ready() {
                    drop(handlers.remove(at));
                }
            }
            What::Open => {
                self.ground.open.store(true, Ordering::SeqCst);
                for gate in std::mem::take(&mut *lock(&self.ground.gates)) {
                    // The waiting call may have been cancelled.
                    let _cancelled = gate.send(());
                }
            }
            What::Resolve => {
                let (resolver, place) = self.resolver.take().expect("it is not resolved yet");
                resolver.resolve(place);
            }
        }
        self.drive(node);
    }

    fn commute(first: Action, second: Action) -> bool {
        first.node != second.node
    }

    fn end(self) {
        assert!(self.left, "nothing moves any more before step {} is taken", self.done);
        let noted = lock(&self.ground.noted).clone();
        let times = |number| noted.iter().filter(|other| **other == number).count();
        for number in &self.holder.expected {
            let times = times(*number);
            let least = usize::from(!self.holder.given_up.contains(number));
            assert!((least..=1).contains(&times), "call {number} was delivered {times} times: {noted:?}");
        }
        assert!(noted.iter().all(|number| self.holder.expected.contains(number)));
        let at = |number| noted.iter().position(|other| *other == number);
        for (before, after) in &self.holder.order {
            if let (Some(before), Some(after)) = (at(*before), at(*after)) {
                assert!(before < after, "calls on one reference changed their order: {noted:?}");
            }
        }
        for (node, link, port) in self.all_ends() {
            let place = format!("at node {node}, on link {link}");
            assert!(port.core.closed().is_none(), "{place}: {:?}", port.core.closed());
            assert_eq!(port.core.tables(), Tables::default(), "{place}");
            assert!(port.handlers.is_empty(), "{place}");
        }
        assert!(self.links[0][0].core.is_idle());
        assert_eq!(self.ground.objects.load(Ordering::SeqCst), 2, "only what the last node offers is left");
    }
}

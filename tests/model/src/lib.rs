//! Two programs that do as the input says, in one of the three languages, and a model that says what may come of it.
//!
//! In an honest run every call is answered, delivered once and in the order of its reference, and nothing is left in
//! the end. When the wire is cut every call ends, and none is delivered twice, or at all if its error says that it was
//! not sent. With a hostile peer every call still ends, nothing is kept, and another connection goes on as if nothing
//! were.

mod bystander;
mod end;
mod input;
mod pair;
mod probe;

use std::collections::{HashMap, HashSet};
use std::task::Poll;

use capnode::{Call, Client, Dialect, Error, Fate, Value};

use self::bystander::Bystander;
use self::input::{Input, value, with_number};
use self::pair::{Pair, poll};
use self::probe::{Log, ProbeClient};

const LANGUAGES: [Dialect; 3] = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q];

/// Steps of one run: more of them find nothing that fewer do not.
const STEPS: usize = 400;

/// A reference that one of the programs holds, and the number that the next call on it notes.
struct Held {
    probe: ProbeClient,
    tag: u32,
    next: u32,
}

/// A call that has no outcome yet.
enum Pending {
    /// Its result will be held by this side.
    Probe(usize, Call<ProbeClient>),
    Note(u32, Call<u32>),
    Unit(Call<()>),
    Echo(Value, Call<Value>),
    /// There is no such method.
    Unknown(Call<Value>),
}

/// The state of a numbered call.
#[derive(Clone, Copy, Debug)]
enum Became {
    Waiting,
    Ended,
    Sent,
    NotSent,
    Unsure,
}

struct Model {
    dialect: Dialect,
    pair: Pair,
    log: Log,
    held: [Vec<Held>; 2],
    pending: Vec<Pending>,
    numbers: HashMap<u32, Became>,
    /// Numbers that are noted later than others of their reference.
    late: HashSet<u32>,
    tags: u32,
    /// The sizes of the tables before anything has happened.
    start: [[usize; 4]; 2],
    cut: bool,
    hostile: bool,
}

/// Runs the program of the input.
pub fn run(data: &[u8]) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    let _entered = runtime.enter();
    // Work that goes on by itself, such as a promise that waits for its resolution.
    let pump = || {
        runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        })
    };
    let mut input = Input(data);
    let first = input.byte();
    let log = Log::default();
    let dialect = LANGUAGES[first % 3];
    let bystander = Bystander::new(LANGUAGES[first / 3 % 3]);
    let mut world = Model::new(dialect, log.clone());
    for _ in 0..STEPS {
        if input.0.is_empty() {
            break;
        }
        world.step(&mut input);
        pump();
    }
    world.end(&pump);
    drop(world);
    pump();
    log.open();
    pump();
    assert_eq!(log.alive(), 0, "objects are kept though there are no connections any more");
    bystander.end();
}

impl Model {
    fn new(dialect: Dialect, log: Log) -> Self {
        let pair = Pair::new(dialect, &log);
        let start = pair.tables();
        let mut world = Self {
            dialect,
            pair,
            log,
            held: Default::default(),
            pending: Vec::new(),
            numbers: HashMap::new(),
            late: HashSet::new(),
            tags: 0,
            start,
            cut: false,
            hostile: false,
        };
        world.restock();
        world
    }

    /// Each side holds the index of the other, and an object of its own.
    fn restock(&mut self) {
        for side in 0..2 {
            self.hold(side, self.pair.index(side));
            self.hold(side, self.log.probe());
        }
    }

    fn hold(&mut self, side: usize, probe: ProbeClient) {
        self.tags += 1;
        self.held[side].push(Held { probe, tag: self.tags, next: 0 });
    }

    fn pick(&self, side: usize, number: usize) -> Option<ProbeClient> {
        let all = &self.held[side];
        all.get(number % all.len().max(1)).map(|held| held.probe.clone())
    }

    /// A reference, and the next number to be noted through it.
    fn number(&mut self, side: usize, pick: usize) -> Option<(ProbeClient, u32)> {
        let count = self.held[side].len().max(1);
        let held = self.held[side].get_mut(pick % count)?;
        let number = held.tag * 1_000 + held.next;
        held.next += 1;
        self.numbers.insert(number, Became::Waiting);
        Some((held.probe.clone(), number))
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let action = input.byte();
        let (side, action) = (action & 1, action >> 1);
        match action % 24 {
            0 | 1 => self.note(side, input.byte(), |probe, number| probe.note(number)),
            2 => self.note(side, input.byte(), |probe, number| probe.wait(number)),
            3 | 4 => self.send(side, input.byte()),
            5 => self.probe(side, input.byte(), |probe| probe.make()),
            6 => self.probe(side, input.byte(), |probe| probe.make_late()),
            7 => {
                if let Some(probe) = self.pick(side, input.byte()) {
                    self.hold(side, probe.make_late().pipeline());
                }
            }
            8 | 9 => {
                if let Some(what) = self.pick(side, input.byte()) {
                    self.probe(side, input.byte(), |probe| probe.back(what));
                }
            }
            10 => self.callback(side, input.byte()),
            11 => {
                if let (Some(what), Some(on)) = (self.pick(side, input.byte()), self.pick(side, input.byte()))
                {
                    self.wait_for(Pending::Unit(on.keep(what)));
                }
            }
            12 => {
                let pick = input.byte();
                // The kept object notes it, if there is one.
                if let Some((probe, number)) = self.number(side, pick) {
                    self.late.insert(number);
                    self.wait_for(Pending::Note(number, probe.relay(number)));
                }
            }
            13 => {
                let pick = input.byte();
                if pick % 2 == 0 {
                    if let Some(probe) = self.pick(side, pick / 2) {
                        self.wait_for(Pending::Unit(probe.forget()));
                    }
                } else if let Some(probe) = self.pick(side, pick / 2) {
                    self.wait_for(Pending::Unknown(probe.cap().invoke("nothing", (pick as u32,))));
                }
            }
            14 => {
                let value = value(input, 0);
                if let Some(probe) = self.pick(side, input.byte()) {
                    self.wait_for(Pending::Echo(value.clone(), probe.echo(value)));
                }
            }
            15 => {
                let pick = input.byte();
                let count = self.held[side].len();
                if count > 0 {
                    drop(self.held[side].swap_remove(pick % count));
                }
            }
            16 => {
                let pick = input.byte();
                let count = self.pending.len();
                if count > 0 {
                    if let Pending::Note(number, _) = self.pending.swap_remove(pick % count) {
                        self.numbers.insert(number, Became::Unsure);
                    }
                }
            }
            17 => drop(self.log.open()),
            18 | 19 => {
                for _ in 0..=input.byte() % 8 {
                    self.pair.deliver(side);
                }
            }
            20 => drop(self.pair.run(side)),
            21 => self.poll_all(),
            22 => match input.byte() {
                0..16 => {
                    self.pair.cut();
                    self.cut = true;
                }
                16..48 => self.restock(),
                _ => self.pair.settle(),
            },
            _ => self.attack(side, input),
        }
    }

    fn note(&mut self, side: usize, pick: usize, make: impl FnOnce(&ProbeClient, u32) -> Call<u32>) {
        if let Some((probe, number)) = self.number(side, pick) {
            self.wait_for(Pending::Note(number, make(&probe, number)));
        }
    }

    fn send(&mut self, side: usize, pick: usize) {
        if let Some((probe, number)) = self.number(side, pick) {
            let became = match probe.note(number).send() {
                Ok(()) => Became::Sent,
                Err(error) => self.failed(&error),
            };
            self.numbers.insert(number, became);
        }
    }

    fn probe(&mut self, side: usize, pick: usize, make: impl FnOnce(&ProbeClient) -> Call<ProbeClient>) {
        if let Some(probe) = self.pick(side, pick) {
            self.wait_for(Pending::Probe(side, make(&probe)));
        }
    }

    /// The number is noted by a function, when it is called back.
    fn callback(&mut self, side: usize, pick: usize) {
        if let Some((probe, number)) = self.number(side, pick) {
            self.late.insert(number);
            let log = self.log.clone();
            let call = probe.call(
                move |number| {
                    log.note(number);
                    async move { number }
                },
                number,
            );
            self.wait_for(Pending::Note(number, call));
        }
    }

    fn wait_for(&mut self, mut pending: Pending) {
        if !self.has_ended(&mut pending) {
            self.pending.push(pending);
        }
    }

    fn poll_all(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain_mut(|pending| !self.has_ended(pending));
        self.pending.append(&mut pending);
    }

    /// Polls a call, and holds its outcome against the model.
    fn has_ended(&mut self, pending: &mut Pending) -> bool {
        let failed = match pending {
            Pending::Probe(side, call) => match poll(call) {
                Poll::Pending => return false,
                Poll::Ready(Ok(probe)) => {
                    self.hold(*side, probe);
                    None
                }
                Poll::Ready(Err(error)) => Some(error),
            },
            Pending::Note(number, call) => match poll(call) {
                Poll::Pending => return false,
                Poll::Ready(Ok(answer)) => {
                    let told = answer == *number;
                    assert!(
                        told || self.hostile || self.late.contains(number),
                        "{number} was answered {answer}"
                    );
                    self.numbers.insert(*number, if told { Became::Ended } else { Became::Unsure });
                    None
                }
                Poll::Ready(Err(error)) => {
                    let became = self.failed(&error);
                    self.numbers.insert(*number, became);
                    Some(error)
                }
            },
            Pending::Unit(call) => match poll(call) {
                Poll::Pending => return false,
                Poll::Ready(outcome) => outcome.err(),
            },
            Pending::Echo(value, call) => match poll(call) {
                Poll::Pending => return false,
                Poll::Ready(Ok(back)) => {
                    let same = back == *value || self.dialect == Dialect::Capnode;
                    assert!(same || self.hostile, "{value:?} came back as {back:?}");
                    None
                }
                Poll::Ready(Err(error)) => Some(error),
            },
            Pending::Unknown(call) => match poll(call) {
                Poll::Pending => return false,
                Poll::Ready(outcome) => {
                    assert!(outcome.is_err() || self.hostile, "there is no such method");
                    None
                }
            },
        };
        if let Some(error) = failed {
            self.failed(&error);
        }
        true
    }

    /// Returns the state of a call that failed with `error`. An honest call does not fail.
    fn failed(&self, error: &Error) -> Became {
        // Capnode has one id for a function for good: one that crosses its giving back on the way is lost.
        let lost = self.dialect == Dialect::Capnode && error.message().contains("was released");
        assert!(self.hostile || self.cut || lost, "a call failed: {error:?}");
        if error.fate() == Fate::NotSent { Became::NotSent } else { Became::Unsure }
    }

    /// Says something that the other side has not said, or not now.
    fn attack(&mut self, side: usize, input: &mut Input<'_>) {
        self.hostile = true;
        let kind = input.byte();
        let mut frame = self.pair.said(input.byte()).unwrap_or_default().into_bytes();
        let at = (input.byte() * 256 + input.byte()) % frame.len().max(1);
        match kind % 8 {
            0 => frame = input.text().into_bytes(),
            // The same again.
            1 => {}
            2 if !frame.is_empty() => frame[at] ^= 1 << (input.byte() % 8),
            3 if !frame.is_empty() => drop(frame.remove(at)),
            4 => frame.truncate(at),
            5 => drop(frame.splice(at..at, input.text().into_bytes())),
            6 => frame = with_number(&frame, at, input.byte()),
            _ => {
                // One is lost, and one overtakes others.
                let wire = self.pair.wire(side);
                wire.pop_front();
                let last = wire.pop_back();
                last.into_iter().for_each(|last| wire.push_front(last));
                return;
            }
        }
        self.pair.core(side).receive(&String::from_utf8_lossy(&frame));
    }
}

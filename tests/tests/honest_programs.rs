//! Generated honest programs do the same to an object of their own, to one at the other end, in each language, to one beyond
//! a program that passes everything on, and behind a membrane that passes all. Nothing gets through one that was revoked.
//!
//! The differences by design are listed in `capnode/docs/semantics.md` ("What a program can see of the distance"), and are these:
//!
//! * A promise whose owner drops it is `Unresolved` in the owner's program, and `Rejected` from afar.
//! * An object at the other end can outlive its last client here, for good in Q-Connection and for a while in Capnode. A
//!   promise that it owns then stays open. So a program that is compared in these two drops references or makes promises.
//! * For the same reason, and because both lack a word to give up a call, what is left before the end is compared in Cap'n
//!   Web alone.
//!
//! `CAPNODE_HONEST_PROGRAMS` says how many programs there are, and `CAPNODE_HONEST_SEED` which is the first.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use capnode::sans_io::{Core, Pair};
use capnode::{Bytes, CallError, Cap, Dialect, Error, ErrorKind, Func, Membrane, Reader, Value, revocable};
use capnode_tests::hostile::shortest;
use capnode_tests::lab::{Alive, LabClient, LabError, Laboratory, Rng, stream_of};
use capnode_tests::{number, panics};
use futures_util::future::join;
use tokio::runtime::Runtime;

/// Programs of an ordinary run.
const PROGRAMS: u64 = 100;

/// Where the object is that a program uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Here,
    Over(Dialect),
    /// Behind a membrane that stands here.
    Behind(Option<Dialect>),
    /// At the other end, behind a membrane that stands there.
    Beyond(Dialect),
    /// Beyond a program that passes everything on.
    Relayed(Dialect),
}

impl Place {
    fn dialect(self) -> Option<Dialect> {
        match self {
            Place::Here => None,
            Place::Over(dialect) | Place::Beyond(dialect) | Place::Relayed(dialect) => Some(dialect),
            Place::Behind(dialect) => dialect,
        }
    }
}

const ALL: [Dialect; 3] = [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q];

/// The abilities that a program uses.
#[derive(Clone, Copy, Debug)]
struct Does {
    /// It drops references before its end.
    drops: bool,
    /// It has objects promise what they resolve later.
    promises: bool,
}

impl Does {
    /// Returns the abilities used by the program of a seed, and the languages in which it behaves alike.
    fn of(seed: u64) -> (Self, &'static [Dialect]) {
        match seed % 3 {
            0 => (Self { drops: true, promises: true }, &ALL[..1]),
            1 => (Self { drops: true, promises: false }, &ALL),
            _ => (Self { drops: false, promises: true }, &ALL),
        }
    }
}

/// The observations of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The outcome of each step.
    outcomes: Vec<Option<String>>,
    /// The arguments of calls to callbacks, in order.
    called: Vec<String>,
    /// The pairs of clients that are equal, by the steps that they come from, where no connection is between.
    equal: Vec<(usize, usize)>,
    /// The resources that should be gone, if any are left.
    left: Option<String>,
}

type Outcome = Pin<Box<dyn Future<Output = (String, Option<LabClient>)>>>;

struct Programs {
    runtime: Arc<Runtime>,
    /// The connections between the program and the object.
    pairs: Vec<Pair>,
    membrane: Option<Membrane>,
    alive: Alive,
    /// The clients that the program has, by the steps that they come from.
    slots: Vec<(usize, LabClient)>,
    pending: Vec<(usize, Outcome)>,
    outcomes: Vec<Option<String>>,
    called: Arc<Mutex<Vec<String>>>,
}

fn shown(value: &Value) -> String {
    match value {
        Value::Cap(_) => "reference".to_owned(),
        Value::Array(values) => format!("{:?}", values.iter().map(shown).collect::<Vec<_>>()),
        Value::Object(members) => {
            format!("{:?}", members.iter().map(|(name, value)| (name, shown(value))).collect::<Vec<_>>())
        }
        Value::Shared(_) => value.open().map_or_else(|error| error.to_string(), |value| shown(&value)),
        value => format!("{value:?}"),
    }
}

/// Describes an error by its kind, with `Unresolved` as `Rejected`, its kind from afar.
fn failed(error: &Error) -> String {
    match error.kind() {
        ErrorKind::Unresolved => format!("error {:?}", ErrorKind::Rejected),
        kind => format!("error {kind:?}"),
    }
}

fn plain<T: std::fmt::Debug>(outcome: Result<T, impl Into<Error>>) -> (String, Option<LabClient>) {
    (outcome.map_or_else(|error| failed(&error.into()), |value| format!("{value:?}")), None)
}

fn typed(outcome: Result<u32, CallError<LabError>>) -> (String, Option<LabClient>) {
    let text = match outcome {
        Ok(number) => number.to_string(),
        Err(CallError::Returned(error)) => format!("returned {error:?}"),
        Err(CallError::Failed(error)) => failed(&error),
    };
    (text, None)
}

fn lent(outcome: Result<LabClient, Error>) -> (String, Option<LabClient>) {
    match outcome {
        Ok(client) => ("client".to_owned(), Some(client)),
        Err(error) => (failed(&error), None),
    }
}

/// Reads a stream, and drops it after so many chunks.
async fn read(mut numbers: Reader<u32>, most: usize) -> Result<Vec<u32>, Error> {
    let mut all = Vec::new();
    while all.len() < most {
        match numbers.next().await {
            Some(number) => all.push(number?),
            None => break,
        }
    }
    Ok(all)
}

/// Writes to a write end of the object's, and closes, aborts or drops it, while the object reads.
async fn write(lab: LabClient, count: u32, end: usize) -> Result<u32, Error> {
    let mut writer = lab.sink().await?;
    let written = async {
        for number in 0..count {
            writer.write(number).await?;
        }
        match end {
            0 => writer.close().await,
            1 => {
                writer.abort(Error::rejected("changed my mind"));
                Ok(())
            }
            _ => Ok(()),
        }
    };
    let (written, drained) = join(written, lab.drain().into_future()).await;
    written?;
    Ok(drained?)
}

/// A value that every language can say.
fn value(rng: &mut Rng, depth: usize) -> Value {
    match rng.below(if depth > 0 { 12 } else { 9 }) {
        0 => Value::Number(rng.below(1_000) as f64),
        1 => Value::Number(-0.5),
        2 => Value::Number(9_007_199_254_740_991.0),
        3 => Value::from("text \u{1F600} \"\\\n"),
        4 => Value::from(""),
        5 => Value::Bool(rng.chance(50)),
        6 => Value::Number(1e300),
        7 => Value::Number(-7.0),
        8 => Value::Object(Vec::new()),
        9 => Value::Array((0..rng.below(4)).map(|_| value(rng, depth - 1)).collect()),
        _ => {
            let names = ["a", "b", "@", "%", "$", "!", "type", "id", "0", "data"];
            let first = rng.below(names.len());
            let names = names.into_iter().cycle().skip(first).take(rng.below(4));
            Value::Object(names.map(|name| (name.to_owned(), value(rng, depth - 1))).collect())
        }
    }
}

impl Programs {
    fn new(place: Place, runtime: &Arc<Runtime>) -> Self {
        let alive = Alive::default();
        let index = Laboratory::client(&alive);
        let mut world = Self {
            runtime: runtime.clone(),
            pairs: Vec::new(),
            membrane: None,
            alive,
            slots: Vec::new(),
            pending: Vec::new(),
            outcomes: Vec::new(),
            called: Arc::default(),
        };
        let index = if matches!(place, Place::Beyond(_)) { world.behind_a_membrane(index) } else { index };
        let mut first = index.clone();
        if let Some(dialect) = place.dialect() {
            first = world.connect(dialect, index);
            if matches!(place, Place::Relayed(_)) {
                first = world.connect(dialect, first);
            }
        }
        if matches!(place, Place::Behind(_)) {
            first = world.behind_a_membrane(first);
        }
        world.slots.push((0, first));
        world
    }

    fn behind_a_membrane(&mut self, lab: LabClient) -> LabClient {
        let (lab, membrane) = revocable(lab);
        self.membrane = Some(membrane);
        lab
    }

    /// Offers the index over one more connection. Returns what the other end has of it.
    fn connect(&mut self, dialect: Dialect, index: LabClient) -> LabClient {
        let pair = Pair::new(Core::builder().dialect(dialect).connecting(()), Core::accepting(index));
        let first = pair.connecting().index();
        self.pairs.push(pair);
        first
    }

    /// Goes on until nothing moves any more.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 4 {
            let mut moved = self.pairs.iter_mut().fold(false, |moved, pair| pair.step() | moved);
            let mut cx = Context::from_waker(Waker::noop());
            let pending = std::mem::take(&mut self.pending);
            for (number, mut outcome) in pending {
                match outcome.as_mut().poll(&mut cx) {
                    Poll::Pending => self.pending.push((number, outcome)),
                    Poll::Ready((text, client)) => {
                        self.outcomes[number] = Some(text);
                        self.slots.extend(client.map(|client| (number, client)));
                        moved = true;
                    }
                }
            }
            self.runtime.clone().block_on(tokio::task::yield_now());
            quiet = if moved { 0 } else { quiet + 1 };
        }
        // Between answers to different references no order is promised.
        self.slots.sort_by_key(|slot| slot.0);
    }

    fn begin(&mut self, outcome: impl Future<Output = (String, Option<LabClient>)> + 'static) {
        self.pending.push((self.outcomes.len(), Box::pin(outcome)));
        self.outcomes.push(None);
    }

    /// A function that notes its arguments.
    fn noting(&self, name: usize) -> Func<fn(u32) -> u32> {
        let (called, one) = (self.called.clone(), self.alive.clone());
        Func::new(move |number: u32| {
            let _one = &one;
            called.lock().unwrap().push(format!("{name}: {number}"));
            async move { number.wrapping_add(1) }
        })
    }

    fn step(&mut self, number: usize, rng: &mut Rng, does: Does) {
        let lab = self.slots[rng.below(self.slots.len())].1.clone();
        let other = if rng.chance(70) {
            self.slots[rng.below(self.slots.len())].1.clone()
        } else {
            Laboratory::client(&self.alive)
        };
        let (a, b) = (rng.below(100) as u32, rng.below(100) as u32);
        match rng.below(56) {
            0 => self.begin(async move { plain(lab.add(a, b).await) }),
            1 => self.begin(async move { plain(lab.text("te\u{301}xt").await) }),
            2..6 => {
                let value = value(rng, 3);
                self.begin(async move {
                    let echoed = lab.echo(value).await;
                    (echoed.map_or_else(|error| failed(&error), |value| shown(&value)), None)
                });
            }
            6 => self.begin(async move { typed(lab.fail(a).await) }),
            7 | 8 => self.begin(async move { lent(lab.child().await) }),
            9 => self.begin(async move { lent(lab.me().await) }),
            10 | 11 => self.begin(async move { lent(lab.wrap(other).await) }),
            12 => self.begin(async move { plain(lab.depth().await) }),
            13 => self.begin(async move { plain(lab.keep(Cap::from(other)).await) }),
            14 => self.begin(async move { plain(lab.kept().await.map(|kept| kept.len())) }),
            15 => self.begin(async move { plain(lab.forget().await) }),
            16 => {
                self.begin(async move {
                    let asked = lab.ask(other, a).await;
                    match asked {
                        Ok(number) => (number.to_string(), None),
                        Err(CallError::Returned(error) | CallError::Failed(error)) => (failed(&error), None),
                    }
                });
            }
            17 => self.begin(async move { plain(lab.slow(a).await) }),
            18 | 19 => {
                let function = self.noting(number);
                self.begin(async move { plain(lab.call_back(a, function).await) });
            }
            20 => {
                let called = self.called.clone();
                let function = move |inner: Func<fn(u32) -> u32>| {
                    let called = called.clone();
                    async move {
                        let answer = inner.call(a).await.unwrap_or_default();
                        called.lock().unwrap().push(format!("inner: {answer}"));
                        answer
                    }
                };
                self.begin(async move { plain(lab.call_back_with(function).await) });
            }
            21 if does.promises => self.begin(async move { lent(lab.later().await) }),
            22 => self.begin(async move { plain(lab.resolve().await) }),
            23 => self.begin(async move {
                match lab.function().await {
                    Ok(function) => plain(function.call(a).await),
                    Err(error) => (failed(&error), None),
                }
            }),
            24 => self.begin(async move {
                match lab.parts().await {
                    Ok(parts) => {
                        let one = match parts.functions.get("one") {
                            Some(one) => one.call(a).await.ok(),
                            None => None,
                        };
                        let seen = (parts.name, parts.function.call(b).await.ok(), one, parts.list.len());
                        (format!("{seen:?}"), Some(parts.lab))
                    }
                    Err(error) => (failed(&error), None),
                }
            }),
            25 => self.begin(async move {
                match lab.many().await {
                    Ok(mut many) => (many.len().to_string(), many.pop()),
                    Err(error) => (failed(&error), None),
                }
            }),
            26 => self.begin(async move {
                match lab.numbers().await {
                    Ok(store) => {
                        let stored = store.store(a).await.is_ok();
                        plain(store.load().await.map(|loaded| (stored, loaded)))
                    }
                    Err(error) => (failed(&error), None),
                }
            }),
            27 => self.begin(async move { plain(Cap::from(lab).invoke::<u32>("root", ()).await) }),
            28 => self.begin(async move { plain(Cap::from(lab).invoke::<u32>("right", ()).await) }),
            29 => self.begin(async move { plain(lab.insist().await) }),
            30 => self.begin(async move { plain(lab.panics_later().await) }),
            31 => self.begin(async move { plain(lab.number().await) }),
            32 => self.begin(async move { lent(lab.leaf().await) }),
            33 => self.begin(async move { lent(lab.myself().await) }),
            34 => self.begin(async move { typed(lab.failing().await) }),
            35 => {
                // From 1,024 on they may go beside the text.
                let bytes = Bytes::from(vec![a as u8; rng.below(3_000)]);
                self.begin(async move { plain(lab.bytes(bytes).await.map(|bytes| bytes.to_vec())) })
            }
            // Calls on pending results.
            36 => self.slots.push((self.outcomes.len(), lab.child().pipeline())),
            37 => self.slots.push((self.outcomes.len(), lab.wrap(other).pipeline())),
            38 => {
                let inner = lab.child().pipeline().leaf().pipeline();
                self.begin(async move { plain(inner.add(a, b).await) });
            }
            // Many at once, whose order is seen by the function.
            39 => {
                let function = self.noting(number);
                for at in 0..rng.below(6) as u32 {
                    let sent = lab.call_back(at, function.clone()).send();
                    self.outcomes.push(Some(format!("sent {}", sent.is_ok())));
                }
            }
            40 => {
                let mut call = lab.never();
                let mut cx = Context::from_waker(Waker::noop());
                let polled = Pin::new(&mut call).poll(&mut cx).is_ready();
                self.outcomes.push(Some(format!("ended {polled}")));
            }
            41 if does.drops && self.slots.len() > 1 => {
                drop(self.slots.remove(1 + rng.below(self.slots.len() - 1)));
            }
            42.. => self.stream_or_map(number, lab, other, rng),
            _ => {}
        }
        self.settle();
    }

    /// Makes a call with a stream or a map.
    fn stream_or_map(&mut self, number: usize, lab: LabClient, other: LabClient, rng: &mut Rng) {
        let (few, most) = (rng.below(40) as u32, rng.below(30) as u32);
        let alive = self.alive.clone();
        let numbers = move || stream_of(&alive, 0..few);
        let alive = self.alive.clone();
        match rng.below(13) {
            0 => self.begin(async move { plain(lab.total(numbers()).await) }),
            1 => self.begin(async move { plain(lab.take(most, numbers()).await) }),
            2 => self.begin(async move { plain(lab.take(0, numbers()).await) }),
            3 => self.begin(async move {
                match lab.count(few).await {
                    Ok(numbers) => plain(read(numbers, most as usize).await),
                    Err(error) => (failed(&error), None),
                }
            }),
            // To another object, as it came.
            4 => self.begin(async move {
                match lab.count(few).await {
                    Ok(numbers) => plain(other.total(numbers).await),
                    Err(error) => (failed(&error), None),
                }
            }),
            5 => self.begin(async move {
                let echoed = Cap::from(lab).invoke::<Vec<Reader<u32>>>("echo", (vec![numbers()],)).await;
                match echoed.map(|mut streams| streams.pop()) {
                    Ok(Some(numbers)) => plain(read(numbers, most as usize).await),
                    Ok(None) => ("no stream".to_owned(), None),
                    Err(error) => (failed(&error), None),
                }
            }),
            6 => self.begin(async move {
                let streams = vec![numbers(), numbers()];
                plain(lab.flatten(stream_of(&alive, streams)).await)
            }),
            7 => {
                let functions = vec![self.noting(number), self.noting(number)];
                self.begin(async move { plain(lab.call_each(stream_of(&alive, functions)).await) });
            }
            8 | 9 => {
                let end = rng.below(3);
                self.begin(async move { plain(write(lab, few, end).await) });
            }
            10 => self.begin(async move {
                let (writer, reader) = capnode::pipe();
                let (filled, read) =
                    join(lab.fill(few, writer).into_future(), read(reader, usize::MAX)).await;
                plain(filled.map_err(Error::from).and(read))
            }),
            11 => {
                self.begin(
                    async move { plain(lab.many().map(|each| (each.depth(), other.add(few, most))).await) },
                )
            }
            _ => self.begin(async move {
                let by_name = Cap::from(other);
                plain(lab.ids(few).map(|id| (id.clone(), by_name.invoke::<u32>("add", (id, most)))).await)
            }),
        }
    }

    /// Returns the pairs of clients that are equal.
    fn equal(&self) -> Vec<(usize, usize)> {
        let pairs = self.slots.iter().enumerate().flat_map(|(at, one)| {
            self.slots[..at].iter().filter(|other| other.1 == one.1).map(|other| (other.0, one.0))
        });
        pairs.collect()
    }

    /// Drops everything. In Cap'n Web nothing is left but the index, and when the connection has ended nothing in any.
    fn end(mut self, place: Place) -> Seen {
        self.settle();
        let equal = if place.dialect().is_none() { self.equal() } else { Vec::new() };
        self.pending.clear();
        self.slots.clear();
        self.alive.forget();
        self.settle();
        let mut left = None;
        if place.dialect() == Some(Dialect::CapnWeb) {
            let ends = || self.pairs.iter().flat_map(|pair| [pair.connecting(), pair.accepting()]);
            let tables: Vec<_> = ends().map(Core::tables).collect();
            let held: usize =
                tables.iter().map(|held| held.imports + held.exports + held.calls + held.running).sum();
            let handlers: usize = self.pairs.iter().map(Pair::handlers).sum();
            // The index is one object, which is dropped if it is revoked.
            let is_revoked = self.membrane.as_ref().is_some_and(Membrane::is_revoked);
            let index = usize::from(!is_revoked || !matches!(place, Place::Beyond(_)));
            if held != 0 || handlers != 0 || self.alive.count() != index {
                let objects = self.alive.count();
                left = Some(format!("{tables:?}, {handlers} handlers and {objects} objects"));
            }
        }
        let (outcomes, mut called) =
            (std::mem::take(&mut self.outcomes), self.called.lock().unwrap().clone());
        // The answer to a call that a function makes takes its time over a connection: other calls may come before.
        called.sort_by_key(|line| line.starts_with("inner: "));
        for pair in &self.pairs {
            pair.connecting().close("the program is over");
            pair.accepting().close("the program is over");
        }
        self.settle();
        let alive = std::mem::take(&mut self.alive);
        self.pairs.clear();
        self.membrane = None;
        self.settle();
        alive.forget();
        if alive.count() != 0 {
            left = Some(format!("{} objects outlive the connection", alive.count()));
        }
        Seen { outcomes, called, equal, left }
    }
}

fn play(seed: u64, does: Does, steps: &[u64], place: Place, runtime: &Arc<Runtime>) -> Seen {
    let _entered = runtime.enter();
    let mut world = Programs::new(place, runtime);
    for (number, step) in steps.iter().enumerate() {
        world.step(number, &mut Rng::for_part(seed, *step), does);
    }
    world.end(place)
}

/// Describes the difference, if there is one.
fn compare(here: &Seen, there: &Seen, place: Place) -> Result<(), String> {
    for (number, (here, there)) in here.outcomes.iter().zip(&there.outcomes).enumerate() {
        if here != there {
            return Err(format!("outcome {number} is {here:?} here and {there:?} there"));
        }
    }
    let equal = if place.dialect().is_none() { here.equal.clone() } else { Vec::new() };
    let here = &Seen { equal, ..here.clone() };
    if here == there { Ok(()) } else { Err(format!("{here:?} here\n{there:?} there")) }
}

#[test]
fn a_program_does_the_same_here_over_every_language_through_a_relay_and_behind_a_membrane() {
    // Those that are meant are not printed.
    panics::watch(|_| true);
    let runtime = Arc::new(tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    let first = number("CAPNODE_HONEST_SEED").unwrap_or(0);
    let count = number("CAPNODE_HONEST_PROGRAMS").unwrap_or(PROGRAMS);
    let (mut sum, mut answered, mut failed, mut wrong) = (0, 0, 0, Vec::new());
    for seed in first..first + count {
        let steps: Vec<u64> = (0..30).collect();
        let (does, dialects) = Does::of(seed);
        let here = play(seed, does, &steps, Place::Here, &runtime);
        sum += here.outcomes.len();
        answered += here.outcomes.iter().flatten().count();
        failed += here.outcomes.iter().flatten().filter(|outcome| outcome.starts_with("error")).count();
        let one = dialects[(seed / 3) as usize % dialects.len()];
        let wrapped =
            [Place::Behind(None), Place::Behind(Some(one)), Place::Beyond(one), Place::Relayed(one)];
        for place in dialects.iter().map(|dialect| Place::Over(*dialect)).chain(wrapped) {
            let differs = |steps: &[u64]| {
                let here = play(seed, does, steps, Place::Here, &runtime);
                compare(&here, &play(seed, does, steps, place, &runtime), place)
            };
            if differs(&steps).is_err() {
                let shortest = shortest(&steps, |steps| differs(steps).is_err());
                let difference = differs(&shortest).unwrap_err();
                wrong.push(format!("seed {seed}, {place:?}, {does:?}, steps {shortest:?}: {difference}"));
            }
        }
        assert!(wrong.len() < 10, "{}", wrong.join("\n"));
    }
    println!("{count} programs, {sum} outcomes, {answered} of them there, {failed} of these errors");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // If most calls failed or hung, nothing would be compared.
    assert!(answered * 10 > sum * 9 && failed * 3 < answered, "{answered} of {sum}, {failed} errors");
}

#[test]
fn nothing_gets_through_a_revoked_membrane() {
    panics::watch(|_| true);
    let runtime = Arc::new(tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());
    let _entered = runtime.enter();
    let first = number("CAPNODE_HONEST_SEED").unwrap_or(0);
    let count = number("CAPNODE_HONEST_PROGRAMS").unwrap_or(PROGRAMS);
    let mut passed = 0;
    for seed in first..first + count {
        let places =
            [Place::Behind(None), Place::Behind(Some(Dialect::CapnWeb)), Place::Beyond(Dialect::CapnWeb)];
        for place in places {
            let (does, _) = Does::of(seed);
            let mut world = Programs::new(place, &runtime);
            for step in 0..15 {
                world.step(step, &mut Rng::for_part(seed, step as u64), does);
            }
            // What is called from now on is called through it.
            world.settle();
            let (under_way, called) = (world.outcomes.len(), world.called.lock().unwrap().len());
            let ended: Vec<bool> = world.outcomes.iter().map(Option::is_some).collect();
            passed += ended.iter().filter(|ended| **ended).count();
            world.membrane.as_ref().unwrap().revoke(Error::rejected("over"));
            world.settle();
            for step in 15..30 {
                world.step(step, &mut Rng::for_part(seed, step as u64), does);
            }
            // Of a call that nobody waits for, a membrane at the other end tells nothing.
            let is_here = matches!(place, Place::Behind(_));
            let told = |outcome: &Option<String>| match outcome.as_deref() {
                Some("ended false" | "sent true") => !is_here,
                Some("ended true" | "sent false") => is_here,
                outcome => outcome.is_some_and(|text| text.starts_with("error")),
            };
            for (number, outcome) in world.outcomes.iter().enumerate() {
                let before = number < under_way && ended[number];
                assert!(before || told(outcome), "seed {seed}, {place:?}: outcome {number} is {outcome:?}");
            }
            assert_eq!(
                world.called.lock().unwrap().len(),
                called,
                "seed {seed}, {place:?}: a callback was called"
            );
            assert_eq!(world.end(place).left, None, "seed {seed}, {place:?}");
        }
    }
    assert!(passed as u64 > count * 10, "{passed}: hardly anything was done before");
}

//! Scenarios of two programs between which something happens to the wire: each by its name, in every language that can
//! express it.

use std::error::Error as _;

mod plays;

use crate::harness::*;
use capnode::Dialect;
use capnode::{Error, ErrorKind, Fate, OnBroken};

pub(crate) use self::plays::scenarios;

type Function = Func<fn(u32) -> u32>;
/// A function that is given a function.
type Nested = Func<fn(Function) -> u32>;
type Kept = Arc<Mutex<Option<Function>>>;

/// Each call has a number, by which it is found among the frames.
#[capnode::interface]
pub(crate) trait Actor {
    async fn say(&self, number: u32) -> u32;
    async fn fail(&self, number: u32) -> Result<u32, Error>;
    async fn panic(&self, number: u32) -> u32;
    /// Goes on when the gate is opened.
    async fn wait(&self, number: u32) -> u32;
    async fn call(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32;
    /// Calls a function that is given a function, and calls that.
    async fn nest(&self, function: Nested, number: u32) -> u32;
    async fn make(&self, number: u32) -> ActorClient;
    async fn make_late(&self, number: u32) -> ActorClient;
    /// Returns one object each time.
    async fn same(&self, number: u32) -> ActorClient;
    async fn say_on(&self, actor: ActorClient, number: u32) -> u32;
    async fn back(&self, actor: ActorClient, number: u32) -> Vec<ActorClient>;
    async fn keep(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32;
    async fn steps(&self, number: u32) -> u32;
    async fn long(&self, text: String, number: u32) -> u32;
}

/// Notes the beginning and the end of each handler, and counts the live objects.
pub(crate) struct Acting {
    log: Log,
    same: Mutex<Option<ActorClient>>,
    kept: Kept,
}

impl Acting {
    fn new(log: &Log) -> Self {
        log.born();
        Self { log: log.clone(), same: Mutex::default(), kept: Arc::default() }
    }
}

impl Drop for Acting {
    fn drop(&mut self) {
        self.log.dropped();
    }
}

/// A handler under way.
struct Under<'a>(&'a Log, u32, &'static str);

impl<'a> Under<'a> {
    fn way(log: &'a Log, number: u32) -> Self {
        log.push(format_args!("begun {number}"));
        Self(log, number, "dropped")
    }

    fn done(mut self) -> u32 {
        self.2 = "ended";
        self.1
    }
}

impl Drop for Under<'_> {
    fn drop(&mut self) {
        self.0.push(format_args!("{} {}", self.2, self.1));
    }
}

impl Actor for Acting {
    async fn say(&self, number: u32) -> u32 {
        Under::way(&self.log, number).done()
    }

    async fn fail(&self, number: u32) -> Result<u32, Error> {
        Err(Error::rejected("no").with_name(format!("Error{}", Under::way(&self.log, number).done())))
    }

    async fn panic(&self, number: u32) -> u32 {
        let _under = Under::way(&self.log, number);
        // As a panic does, but without its output.
        std::panic::resume_unwind(Box::new("on purpose"));
    }

    async fn wait(&self, number: u32) -> u32 {
        let under = Under::way(&self.log, number);
        self.log.gate().await;
        under.done()
    }

    async fn call(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32 {
        let under = Under::way(&self.log, number);
        let answer = function.call(number).await.unwrap_or(0);
        under.done().max(answer)
    }

    async fn nest(&self, function: Nested, number: u32) -> u32 {
        let under = Under::way(&self.log, number);
        let log = self.log.clone();
        let inner = Func::new(move |number: u32| {
            let log = log.clone();
            async move { Under::way(&log, number).done() }
        });
        function.call(inner).await.unwrap_or(0);
        under.done()
    }

    async fn make(&self, number: u32) -> ActorClient {
        Under::way(&self.log, number).done();
        ActorClient::new(Acting::new(&self.log))
    }

    async fn make_late(&self, number: u32) -> ActorClient {
        self.wait(number).await;
        ActorClient::new(Acting::new(&self.log))
    }

    async fn same(&self, number: u32) -> ActorClient {
        Under::way(&self.log, number).done();
        lock(&self.same).get_or_insert_with(|| ActorClient::new(Acting::new(&self.log))).clone()
    }

    async fn say_on(&self, actor: ActorClient, number: u32) -> u32 {
        let under = Under::way(&self.log, number);
        actor.say(number + 1).await.unwrap_or(0);
        under.done()
    }

    async fn back(&self, actor: ActorClient, number: u32) -> Vec<ActorClient> {
        Under::way(&self.log, number).done();
        vec![actor]
    }

    async fn keep(&self, function: Func<fn(u32) -> u32>, number: u32) -> u32 {
        let before = lock(&self.kept).replace(function);
        drop(before);
        Under::way(&self.log, number).done()
    }

    async fn steps(&self, number: u32) -> u32 {
        let under = Under::way(&self.log, number);
        for step in 0..3 {
            capnode::report_progress(&step).expect("a number can be written");
            self.log.gate().await;
        }
        under.done()
    }

    async fn long(&self, text: String, number: u32) -> u32 {
        assert!(text.len() > 100);
        Under::way(&self.log, number).done()
    }
}

/// The loss of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It is cut, and both sides see so at once.
    Seen,
    /// Nothing arrives any more at either side, which is seen only when all has become quiet.
    Silent,
    /// Nothing arrives any more in this one direction; so much is seen when all has become quiet.
    Half,
}

/// When it happens: before the frame of this number in one direction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    pub(crate) to: Side,
    pub(crate) before: usize,
    pub(crate) loss: Loss,
}

/// A future with an outcome to be checked.
pub(crate) struct Begun {
    pub(crate) number: u32,
    future: Option<BoxFuture>,
    pub(crate) outcome: Option<Result<String, Error>>,
    /// Where it was called.
    at: Side,
    /// `true` if the session had ended before the call was made.
    late: bool,
}

type Fetched = Arc<Mutex<Option<ActorClient>>>;

type BoxFuture = Pin<Box<dyn Future<Output = Result<String, Error>>>>;

/// A listener for a broken reference.
struct Watch {
    what: &'static str,
    told: Arc<Mutex<Vec<Error>>>,
    _guard: OnBroken,
}

/// Two programs and their outcomes so far.
pub(crate) struct Stage {
    pub(crate) pair: Pair,
    pub(crate) log: Log,
    pub(crate) begun: Vec<Begun>,
    pub(crate) delivered: [usize; 2],
    dialect: Dialect,
    kept: Kept,
    watches: Vec<Watch>,
    cut: Option<Cut>,
    lost: [bool; 2],
    #[cfg(feature = "tokio")]
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    pub(crate) fn new(dialect: Dialect, limits: &Limits, cut: Option<Cut>) -> Self {
        let log = Log::default();
        let acting = Acting::new(&log);
        let kept = acting.kept.clone();
        let speaks = Core::builder().limits(limits.clone()).dialect(dialect).connecting(());
        let hears = Core::builder().limits(limits.clone()).accepting(ActorClient::new(acting));
        let mut pair = Pair::new(speaks, hears);
        pair.record();
        Self {
            pair,
            log,
            begun: Vec::new(),
            delivered: [0, 0],
            dialect,
            kept,
            watches: Vec::new(),
            cut,
            lost: [false, false],
            #[cfg(feature = "tokio")]
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
        }
    }

    /// Returns the index of `b`.
    fn index(&mut self) -> ActorClient {
        let index = self.pair.index::<ActorClient>();
        self.watch("the index", index.cap());
        index
    }

    fn own(&self) -> ActorClient {
        ActorClient::new(Acting::new(&self.log))
    }

    /// A function here that notes that it is called.
    fn function(&self) -> Func<fn(u32) -> u32> {
        let log = self.log.clone();
        // Counted like an object.
        let counted = Arc::new(Acting::new(&self.log));
        Func::new(move |number: u32| {
            let (log, _counted) = (log.clone(), counted.clone());
            async move { Under::way(&log, number).done() }
        })
    }

    fn begin<T: std::fmt::Debug + 'static>(
        &mut self,
        number: u32,
        future: impl Future<Output = Result<T, Error>> + 'static,
    ) {
        self.begin_at(Side::Connecting, number, future);
    }

    fn begin_at<T: std::fmt::Debug + 'static>(
        &mut self,
        at: Side,
        number: u32,
        future: impl Future<Output = Result<T, Error>> + 'static,
    ) {
        let late = self.pair.core(at).closed().is_some();
        let future = async move { future.await.map(|outcome| format!("{outcome:?}")) };
        let begun = Begun { number, future: Some(Box::pin(future)), outcome: None, at, late };
        self.begun.push(begun);
        self.poll();
    }

    /// Calls for a reference, which is there when it has come.
    fn fetch(&mut self, number: u32, call: capnode::Call<ActorClient>) -> Fetched {
        let fetched = Fetched::default();
        let comes = fetched.clone();
        self.begin(number, async move {
            *lock(&comes) = Some(call.await?);
            Ok("a reference")
        });
        fetched
    }

    fn give_up(&mut self, number: u32) {
        self.begun.retain(|begun| begun.number != number || begun.outcome.is_some());
    }

    fn watch(&mut self, what: &'static str, cap: &Cap) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let _guard = cap.on_broken(move |error| lock(&tell).push(error));
        self.watches.push(Watch { what, told, _guard });
    }

    /// Polls the waiting futures. Returns whether any has completed.
    fn poll(&mut self) -> bool {
        let mut any = false;
        for begun in &mut self.begun {
            let Some(future) = &mut begun.future else { continue };
            if let Poll::Ready(outcome) = poll(future) {
                begun.outcome = Some(outcome);
                begun.future = None;
                any = true;
            }
        }
        any
    }

    /// Lets one frame arrive, unless the wire is cut before.
    fn deliver(&mut self, to: Side) -> bool {
        let direction = to as usize;
        if self.lost[direction] {
            self.pair.in_flight(to).clear();
            return false;
        }
        if self.pair.in_flight(to).is_empty() {
            return false;
        }
        match self.cut.filter(|cut| cut.to == to && cut.before == self.delivered[direction]) {
            Some(cut) => {
                self.pair.in_flight(to).pop_front();
                self.lost = if cut.loss == Loss::Half { self.lost } else { [true, true] };
                self.lost[direction] = true;
                if cut.loss == Loss::Seen {
                    self.close();
                }
            }
            None => {
                self.delivered[direction] += 1;
                self.pair.deliver(to);
            }
        }
        true
    }

    /// Goes on until nothing moves any more.
    fn go(&mut self) {
        while self.deliver(Side::Accepting) | self.deliver(Side::Connecting) | self.run() | self.poll() {}
    }

    fn run(&mut self) -> bool {
        #[cfg(feature = "tokio")]
        {
            let before = self.runtime.metrics().num_alive_tasks();
            self.runtime.block_on(async {
                for _ in 0..8 {
                    tokio::task::yield_now().await;
                }
            });
            let ran = self.pair.poll_handlers(Side::Connecting) | self.pair.poll_handlers(Side::Accepting);
            ran || self.runtime.metrics().num_alive_tasks() < before
        }
        #[cfg(not(feature = "tokio"))]
        {
            self.pair.poll_handlers(Side::Connecting) | self.pair.poll_handlers(Side::Accepting)
        }
    }

    /// Plays a scenario to its end, and lets both sides see that the wire is cut when all has become quiet.
    pub(crate) fn play(&mut self, scenario: &Scenario) {
        #[cfg(feature = "tokio")]
        let runtime = self.runtime.handle().clone();
        #[cfg(feature = "tokio")]
        let _entered = runtime.enter();
        (scenario.play)(self);
        self.go();
        if self.cut.is_some() {
            self.close();
            self.go();
        }
    }

    /// Both sides see that the wire is cut.
    fn close(&mut self) {
        for core in [self.pair.connecting(), self.pair.accepting()] {
            core.fail("cable cut", std::io::Error::other("unplugged"));
        }
    }

    fn open(&mut self) {
        self.log.open();
        self.go();
    }

    /// Checks the conditions that hold when all is over.
    pub(crate) fn check(mut self, name: &str, undisturbed: &[(u32, Outcome)]) {
        let what = format!("{name}, {:?}, {:?}", self.dialect, self.cut);
        for begun in &self.begun {
            let number = begun.number;
            let outcome = begun.outcome.as_ref().unwrap_or_else(|| panic!("{what}: {number} never ends"));
            let expected = undisturbed.iter().find(|(other, _)| *other == number).map(|(_, outcome)| outcome);
            let cut = matches!(outcome, Err(error) if error.kind() == ErrorKind::Disconnected);
            if !cut {
                assert!(
                    expected.is_none_or(|expected| *expected == shown(outcome)),
                    "{what}: {number} ended with {outcome:?} instead of {expected:?}"
                );
                continue;
            }
            let Err(error) = outcome else { continue };
            assert_eq!(error.message(), "cable cut", "{what}: {number}");
            let source = error.source().map(ToString::to_string);
            assert_eq!(source.as_deref(), Some("unplugged"), "{what}: {number}");
            let sent = self.pair.recorded(begun.at);
            let argument = format!("{number}]");
            let was_sent = !begun.late && sent.iter().any(|frame| frame.contains(&argument));
            let fate = if was_sent { Fate::MayHaveRun } else { Fate::NotSent };
            if number >= WITHOUT_ARGUMENT {
                continue;
            }
            assert_eq!(error.fate(), fate, "{what}: {number}, of {sent:?}");
        }
        for watch in &self.watches {
            let told: Vec<_> = lock(&watch.told).iter().map(ToString::to_string).collect();
            assert_eq!(told, ["cable cut"], "{what}: of {}", watch.what);
        }
        assert_eq!(self.pair.tables(), [Tables::default(); 2], "{what}");
        assert_eq!(self.pair.handlers(), 0, "{what}");
        #[cfg(feature = "tokio")]
        assert_eq!(self.runtime.metrics().num_alive_tasks(), 0, "{what}");
        let events = self.log.take();
        let count = |of: &str, number: &str| {
            events.iter().filter(|event| **event == format!("{of} {number}")).count()
        };
        for number in events.iter().filter_map(|event| event.strip_prefix("begun ")) {
            let ends = count("ended", number) + count("dropped", number);
            assert_eq!(count("begun", number), ends, "{what}: handler {number} is still there: {events:?}");
        }
        self.begun.clear();
        self.watches.clear();
        let left = lock(&self.kept).take();
        drop(left);
        assert_eq!(self.log.probes(), 0, "{what}: objects are left");
    }
}

/// An outcome that can be compared.
pub(crate) type Outcome = String;

pub(crate) fn shown(outcome: &Result<String, Error>) -> Outcome {
    let shown = format!("{outcome:?}");
    // The id of a panic is another one each time.
    shown.split_once(" (id ").map_or_else(|| shown.clone(), |(before, _)| before.to_owned())
}

/// A scenario of two programs.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) languages: &'static [Dialect],
    /// `true` if calls on pending results wait on this side, which needs a runtime.
    pub(crate) waits_here: bool,
    pub(crate) limits: Limits,
    pub(crate) play: fn(&mut Stage),
}

/// Calls of these numbers have no arguments in which they could be found.
const WITHOUT_ARGUMENT: u32 = 9_000;

//! A ledger that notes each run of a call, and programs that call it by durable references: what a caller was told is held
//! against the number of times that its call ran.

use std::collections::HashMap;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use capnode::{Call, CallError, Connection, Error, ErrorKind, Fate, Func, Incoming, Node, Reconnecting};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::lab::Rng;
use crate::soon;

/// The outcome of a call, as its caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It ran.
    Answered,
    /// It did not run.
    NotSent,
    /// Nobody knows whether it ran.
    MayHaveRun,
    /// No caller asked.
    Nothing,
}

impl Said {
    /// Returns what an outcome says of the call with this number.
    ///
    /// # Panics
    ///
    /// If it is that of another call.
    pub fn of(outcome: Result<u64, impl Into<Error>>, id: u64) -> Self {
        match outcome.map_err(Into::into) {
            Ok(answer) => {
                assert_eq!(answer, id, "the answer of another call");
                Self::Answered
            }
            Err(error) => Self::by(&error, id),
        }
    }

    fn by(error: &Error, id: u64) -> Self {
        match error.fate() {
            Fate::NotSent => Self::NotSent,
            Fate::MayHaveRun => Self::MayHaveRun,
            Fate::Answered => {
                assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, &*id.to_string()));
                Self::Answered
            }
        }
    }
}

/// A note of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A call runs.
    Ran(u64),
    /// The outcome of a call that was made while another one ran.
    Said(u64, Said),
}

impl Note {
    /// The length of a note in a file. Many of them make a page, so that none is there in part if its writer is killed.
    pub const LEN: usize = 16;

    const TAGS: [Said; 4] = [Said::Answered, Said::NotSent, Said::MayHaveRun, Said::Nothing];

    /// Returns the bytes of the note.
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let (tag, id) = match self {
            Note::Ran(id) => (0, id),
            Note::Said(id, said) => (1 + said as u64, id),
        };
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&tag.to_le_bytes());
        bytes[8..].copy_from_slice(&id.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let [tag, id] = [&bytes[..8], &bytes[8..]]
            .map(|half| u64::from_le_bytes(half.try_into().expect("it has 8 bytes")));
        tag.checked_sub(1).map_or(Note::Ran(id), |tag| Note::Said(id, Self::TAGS[tag as usize]))
    }
}

/// A taker of notes.
pub type Noting = Arc<dyn Fn(Note) + Send + Sync>;

/// Something to do.
#[derive(Clone, Serialize, Deserialize)]
pub enum Task {
    /// Nothing more.
    Plain(String),
    /// Waits for so many milliseconds.
    Late(u64),
    /// Fails, saying the number of the call.
    Fail,
    /// Ends the connection.
    HangUp,
    /// Calls a function with the number of a call.
    CallBack(Func<fn(u64) -> u64>, u64),
    /// Makes another call of a ledger.
    Ask(LedgerClient, u64),
}

/// Notes each call, by its number.
#[capnode::interface]
pub trait Ledger {
    /// Returns `id`.
    async fn run(&self, id: u64, task: Task) -> Result<u64, Error>;
    /// Returns `id`. May run more than once.
    #[capnode(idempotent)]
    async fn run_again(&self, id: u64, task: Task) -> Result<u64, Error>;
    /// Returns the same object, for as long as the connection lasts.
    async fn open(&self, id: u64) -> LedgerClient;
    /// Returns the same object, and greets with `id`.
    #[capnode(rederive)]
    async fn enter(&self, id: u64, greet: Option<Func<fn(u64)>>) -> LedgerClient;
}

#[derive(Clone)]
struct Server {
    note: Noting,
    connection: Connection,
}

/// Returns a node that offers a ledger.
pub fn node(note: Noting) -> Node {
    Node::builder()
        .authorize(move |incoming: Incoming| {
            let server = Server { note: note.clone(), connection: incoming.connection().clone() };
            async move { Ok::<_, Error>(LedgerClient::new(server)) }
        })
        .build()
}

impl Ledger for Server {
    async fn run(&self, id: u64, task: Task) -> Result<u64, Error> {
        (self.note)(Note::Ran(id));
        match task {
            Task::Plain(_) => {}
            Task::Late(turns) => tokio::time::sleep(Duration::from_millis(turns)).await,
            Task::Fail => return Err(Error::rejected(id.to_string())),
            Task::HangUp => self.connection.close(),
            Task::CallBack(back, number) => {
                let outcome = back.call(number).await;
                (self.note)(Note::Said(number, Said::of(outcome, number)));
            }
            Task::Ask(other, number) => {
                let outcome = other.run(number, Task::Plain(String::new())).await.map_err(Error::from);
                // An error of the other's own way here is an answer of the caller's.
                let said = match outcome {
                    Err(error) if error.fate() == Fate::Answered => Said::MayHaveRun,
                    outcome => Said::of(outcome, number),
                };
                (self.note)(Note::Said(number, said));
            }
        }
        Ok(id)
    }

    async fn run_again(&self, id: u64, task: Task) -> Result<u64, Error> {
        self.run(id, task).await
    }

    async fn open(&self, id: u64) -> LedgerClient {
        (self.note)(Note::Ran(id));
        LedgerClient::new(self.clone())
    }

    async fn enter(&self, id: u64, greet: Option<Func<fn(u64)>>) -> LedgerClient {
        if let Some(greet) = greet {
            // Nobody waits for it.
            let _gone = greet.call(id).send();
        }
        self.open(id).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call that was made.
#[derive(Clone, Copy)]
struct PendingCall {
    said: Said,
    /// `true` if it may run more than once.
    again: bool,
    /// The call while which it was to be made.
    within: Option<u64>,
    /// The seed of its program.
    seed: u64,
}

/// What was noted of a call.
#[derive(Clone, Copy, Default)]
struct Noted {
    ran: u32,
    answered: u32,
    not_sent: u32,
}

/// The outcome of each call, and the number of times that it ran.
#[derive(Default)]
pub struct Books {
    made: Mutex<Vec<PendingCall>>,
    noted: Mutex<HashMap<u64, Noted>>,
}

impl Books {
    /// Takes a note.
    pub fn note(&self, note: Note) {
        let noted = &mut *lock(&self.noted);
        match note {
            Note::Ran(id) => noted.entry(id).or_default().ran += 1,
            Note::Said(id, Said::Answered) => noted.entry(id).or_default().answered += 1,
            Note::Said(id, Said::NotSent) => noted.entry(id).or_default().not_sent += 1,
            Note::Said(..) => {}
        }
    }

    /// Takes the notes of a file.
    pub fn read(&self, file: &[u8]) {
        file.chunks(Note::LEN).for_each(|bytes| self.note(Note::from_bytes(bytes)));
    }

    /// Returns the number of calls that were made.
    pub fn calls(&self) -> usize {
        lock(&self.made).len()
    }

    fn make(&self, again: bool, within: Option<u64>, seed: u64) -> u64 {
        let made = &mut *lock(&self.made);
        made.push(PendingCall { said: Said::Nothing, again, within, seed });
        made.len() as u64 - 1
    }

    fn says(&self, id: u64, said: Said) {
        lock(&self.made)[id as usize].said = said;
    }

    fn faults(&self) -> Vec<String> {
        let (made, noted) = (lock(&self.made), lock(&self.noted));
        let of = |id: u64| noted.get(&id).copied().unwrap_or_default();
        let right = |id: u64, call: &PendingCall| -> RangeInclusive<u32> {
            let any = if call.again { u32::MAX } else { 1 };
            match (call.within, call.said) {
                // Each run of the other makes it once at most.
                (Some(other), _) => of(id).answered..=of(other).ran - of(id).not_sent,
                (None, Said::Answered) => 1..=any,
                (None, Said::NotSent) => 0..=0,
                (None, Said::MayHaveRun | Said::Nothing) => 0..=any,
            }
        };
        let wrong = |(id, call): (u64, &PendingCall)| {
            let ran = of(id).ran;
            let PendingCall { said, again, within, seed } = call;
            (!right(id, call).contains(&ran)).then(|| {
                format!(
                    "seed {seed}: call {id} ran {ran} times, was {said:?}; again: {again}, in: {within:?}"
                )
            })
        };
        let mut faults: Vec<_> = (0..).zip(&*made).filter_map(wrong).collect();
        let uncalled = noted.keys().filter(|id| **id >= made.len() as u64);
        faults.extend(uncalled.map(|id| format!("nobody called {id}")));
        faults
    }

    /// Returns how many calls came to what, those that may run again apart.
    pub fn summary(&self) -> String {
        let (made, noted) = (lock(&self.made), lock(&self.noted));
        let mut text = format!("{} calls", made.len());
        for said in Note::TAGS {
            let count = |again| made.iter().filter(|made| made.said == said && made.again == again).count();
            text += &format!(", {said:?} {} + {}", count(false), count(true));
        }
        let runs = || noted.iter().map(|(id, noted)| (made[*id as usize], noted.ran));
        let unanswered = runs().filter(|(made, ran)| made.said != Said::Answered && *ran > 0).count();
        let again = runs().filter(|(made, ran)| made.within.is_none() && *ran > 1).count();
        format!("{text}; {unanswered} ran without an answer, {again} ran again")
    }

    /// Checks that each call ran as often as its outcome says.
    ///
    /// # Panics
    ///
    /// If one did not.
    pub fn check(&self) {
        let faults = self.faults();
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    }
}

/// A program that calls a ledger by durable references.
pub struct Program {
    books: Arc<Books>,
    seed: u64,
    /// The ledger, and what `enter` returned.
    ledgers: Mutex<Vec<LedgerClient>>,
}

/// The most references that a program has at a time.
const LEDGERS: usize = 6;

impl Program {
    /// Begins the program of a seed, with a way to connect to the ledger.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn begin(books: &Arc<Books>, seed: u64, connecting: Reconnecting<LedgerClient>) -> Arc<Self> {
        let mut rng = Rng::for_part(seed, 0);
        let mut connecting = connecting.backoff(Duration::from_millis(1), Duration::from_millis(20));
        connecting = match rng.below(4) {
            0 => connecting.fail_while_down(),
            1 => connecting.wait(Duration::from_millis(50), 4_000),
            _ => connecting.wait(Duration::from_secs(2), 1 << 20),
        };
        if rng.chance(30) {
            let books = books.clone();
            connecting = connecting.on_connect(move |ledger: LedgerClient| {
                let (books, id) = (books.clone(), books.make(false, None, seed));
                async move {
                    let said = Said::of(ledger.run(id, Task::Plain("hook".to_owned())).await, id);
                    books.says(id, said);
                    Ok(())
                }
            });
        }
        if rng.chance(10) {
            let patience = Duration::from_millis(rng.below(300) as u64);
            connecting = connecting.give_up_when(move |_, since| since > patience);
        }
        let ledgers = Mutex::new(vec![connecting.start().expect("a runtime")]);
        Arc::new(Self { books: books.clone(), seed, ledgers })
    }

    /// Makes so many steps, some at the same time, and waits for their ends, or gives them up.
    ///
    /// # Panics
    ///
    /// If a call has no end, or that of another one.
    pub async fn play(self: Arc<Self>, steps: usize) {
        let _told = Told(self.seed);
        let mut rng = Rng::for_part(self.seed, 1);
        let mut made = JoinSet::new();
        for at in 0..steps {
            let step = self.clone().step(Rng::for_part(self.seed, 2 + at as u64));
            if rng.chance(30) {
                soon(step).await;
            } else {
                made.spawn(step);
            }
            if rng.chance(20) {
                tokio::time::sleep(Duration::from_millis(rng.below(5) as u64)).await;
            }
        }
        match rng.below(20) {
            // All that waits is dropped.
            0 => made.shutdown().await,
            1 => lock(&self.ledgers).clear(),
            _ => {}
        }
        while let Some(step) = soon(made.join_next()).await {
            step.expect("it does not panic");
        }
    }

    fn ledger(&self, rng: &mut Rng) -> Option<LedgerClient> {
        let ledgers = &mut *lock(&self.ledgers);
        if ledgers.len() > LEDGERS {
            ledgers.swap_remove(1 + rng.below(LEDGERS));
        }
        let any = if rng.chance(40) { ledgers.first() } else { rng.pick(ledgers) };
        any.cloned()
    }

    fn id(&self, again: bool) -> u64 {
        self.books.make(again, None, self.seed)
    }

    async fn ask(&self, id: u64, call: Call<u64, CallError<Error>>) {
        self.books.says(id, Said::of(call.await, id));
    }

    fn task(&self, rng: &mut Rng, id: u64) -> Task {
        match rng.below(10) {
            0 | 1 => Task::Late(rng.below(6) as u64),
            2 => Task::Fail,
            3 if rng.chance(10) => Task::HangUp,
            4 => {
                let books = self.books.clone();
                let back = move |number: u64| {
                    books.note(Note::Ran(number));
                    async move { number }
                };
                Task::CallBack(Func::new(back), self.books.make(false, Some(id), self.seed))
            }
            5 => match self.ledger(rng) {
                Some(other) => Task::Ask(other, self.books.make(false, Some(id), self.seed)),
                None => Task::Fail,
            },
            _ => {
                let length = if rng.chance(10) { rng.below(20_000) } else { rng.below(50) };
                Task::Plain("t".repeat(length))
            }
        }
    }

    /// Returns a call of any kind, with its number.
    fn call(&self, rng: &mut Rng, ledger: &LedgerClient) -> (u64, Call<u64, CallError<Error>>) {
        let again = rng.chance(40);
        let id = self.id(again);
        let task = self.task(rng, id);
        (id, if again { ledger.run_again(id, task) } else { ledger.run(id, task) })
    }

    fn enter(&self, rng: &mut Rng, ledger: &LedgerClient) -> (u64, Call<LedgerClient>) {
        let id = self.id(true);
        let greet = move |greeted: u64| async move { assert_eq!(greeted, id) };
        let greet: Option<Func<fn(u64)>> = rng.chance(50).then(|| Func::new(greet));
        (id, ledger.enter(id, greet))
    }

    /// Makes a call, or some that belong together, and waits for the outcomes.
    async fn step(self: Arc<Self>, mut rng: Rng) {
        let Some(ledger) = self.ledger(&mut rng) else { return };
        let rng = &mut rng;
        match rng.below(12) {
            0 | 1 => {
                let (id, entering) = self.enter(rng, &ledger);
                match entering.await {
                    Ok(entered) => {
                        self.books.says(id, Said::Answered);
                        lock(&self.ledgers).push(entered);
                    }
                    Err(error) => self.books.says(id, Said::by(&error, id)),
                }
            }
            2 => {
                let (_, entering) = self.enter(rng, &ledger);
                let entered = entering.pipeline();
                let (id, call) = self.call(rng, &entered);
                lock(&self.ledgers).push(entered);
                self.ask(id, call).await;
            }
            3 => {
                // Calls that are only pipelined on have no outcome of their own: the last one tells.
                let first = self.id(false);
                let (second, entering) = self.enter(rng, &ledger.open(first).pipeline());
                let (last, call) = self.call(rng, &entering.pipeline());
                let said = Said::of(call.await, last);
                self.books.says(last, said);
                if said == Said::Answered {
                    [first, second].into_iter().for_each(|id| self.books.says(id, said));
                }
            }
            4 => {
                let id = self.id(false);
                match ledger.open(id).await {
                    Ok(opened) => {
                        self.books.says(id, Said::Answered);
                        let (id, call) = self.call(rng, &opened);
                        self.ask(id, call).await;
                    }
                    Err(error) => self.books.says(id, Said::by(&error, id)),
                }
            }
            5 => {
                let (id, call) = self.call(rng, &ledger);
                if let Err(error) = call.send() {
                    self.books.says(id, Said::by(&error, id));
                }
            }
            6 => {
                let (id, call) = self.call(rng, &ledger);
                self.ask(id, call.timeout(Duration::from_micros(rng.below(10_000) as u64))).await;
            }
            7 => {
                // Given up as soon as it is made.
                let (id, mut call) = self.call(rng, &ledger);
                let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut call).poll(cx))).await;
                if let Poll::Ready(outcome) = polled {
                    self.books.says(id, Said::of(outcome, id));
                }
            }
            8 => {
                let mut calls = JoinSet::new();
                for _ in 0..rng.below(20) {
                    let (id, call) = self.call(rng, &ledger);
                    let this = self.clone();
                    calls.spawn(async move { this.ask(id, call).await });
                }
                while let Some(call) = calls.join_next().await {
                    call.expect("it does not panic");
                }
            }
            _ => {
                let (id, call) = self.call(rng, &ledger);
                self.ask(id, call).await;
            }
        }
    }
}

/// Tells the seed of a program that has failed.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

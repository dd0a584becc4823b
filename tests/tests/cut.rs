//! A wire that is cut at any byte: each call runs once at most, once if it was answered, and never if it was not sent.
//!
//! `CAPNODE_CUT_CALLS` says how many calls are made over each transport in each language, and `CAPNODE_CUT_SEED` what the
//! first connection is made from.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use capnode::{Call, CallError, Connection, Dialect, Error, ErrorKind, Fate, Func, Incoming, Limits, Node};
use capnode_tests::lab::Rng;
use capnode_tests::proxy::{CUTS, Plan, proxy};
use capnode_tests::{number, soon};
use futures_util::future::join_all;
use tokio::task::JoinSet;

/// Calls of an ordinary run.
const CALLS: usize = 1_000;

/// Connections at a time: more of them where there is a pause behind each frame.
const CLIENTS: usize = 8;
const PAUSING_CLIENTS: usize = 64;

/// The bytes that some connections may have unwritten before calls wait: so few that some calls do.
const UNWRITTEN: usize = 2_000;

/// The outcome of a call, as its caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Answered,
    NotSent,
    MayHaveRun,
    /// No caller asked.
    Nothing,
    /// Not made by a handler that was to make it.
    NotMade,
}

#[derive(Clone, Copy)]
struct PendingCall {
    said: Said,
    /// The seed of the connection.
    seed: u64,
}

/// The outcome of each call, and the number of times that it ran.
#[derive(Default)]
struct Books {
    made: Mutex<HashMap<u64, PendingCall>>,
    ran: Mutex<HashMap<u64, u32>>,
    next: AtomicUsize,
    connections: AtomicUsize,
    unconnected: AtomicUsize,
    cut: AtomicUsize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Books {
    fn runs(&self, id: u64) {
        *lock(&self.ran).entry(id).or_default() += 1;
    }

    fn says(&self, id: u64, said: Said) {
        lock(&self.made).get_mut(&id).expect("its number was given out").said = said;
    }

    /// Returns the calls that did not run as often as their outcomes say.
    fn faults(&self) -> Vec<String> {
        let (made, ran) = (lock(&self.made), lock(&self.ran));
        let mut faults: Vec<_> = made
            .iter()
            .filter_map(|(id, PendingCall { said, seed })| {
                let ran = ran.get(id).copied().unwrap_or_default();
                let right = match said {
                    Said::Answered => ran == 1,
                    Said::NotSent | Said::NotMade => ran == 0,
                    Said::MayHaveRun | Said::Nothing => ran <= 1,
                };
                (!right).then(|| format!("seed {seed}: call {id} ran {ran} times and was {said:?}"))
            })
            .collect();
        faults.extend(ran.keys().filter(|id| !made.contains_key(id)).map(|id| format!("nobody called {id}")));
        faults
    }

    fn count(&self, said: Said) -> usize {
        lock(&self.made).values().filter(|made| made.said == said).count()
    }

    /// Returns the number of calls that have run without an answer.
    fn ran_unanswered(&self) -> usize {
        let ran = lock(&self.ran);
        let made = lock(&self.made);
        made.iter().filter(|(id, made)| made.said != Said::Answered && ran.contains_key(id)).count()
    }
}

#[capnode::interface]
trait Ledger {
    /// Returns `id`.
    async fn mark(&self, id: u64, text: String) -> u64;
    /// Returns `id`, after some turns of others.
    async fn late(&self, id: u64, turns: u32) -> u64;
    /// Fails, saying `id`.
    async fn fail(&self, id: u64) -> Result<u64, Error>;
    /// Returns the same object.
    async fn open(&self, id: u64) -> LedgerClient;
    /// Fails, saying `id`.
    async fn shut(&self, id: u64) -> Result<LedgerClient, Error>;
    /// Calls `back` with a number of its own, and returns `id`.
    async fn call_back(&self, id: u64, back: Func<fn(u64) -> u64>, number: u64) -> u64;
    /// Ends the connection, and returns `id`.
    async fn hang_up(&self, id: u64) -> u64;
}

#[derive(Clone)]
struct Server {
    books: Arc<Books>,
    connection: Connection,
}

impl Ledger for Server {
    async fn mark(&self, id: u64, _: String) -> u64 {
        self.books.runs(id);
        id
    }

    async fn late(&self, id: u64, turns: u32) -> u64 {
        self.books.runs(id);
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
        id
    }

    async fn fail(&self, id: u64) -> Result<u64, Error> {
        self.books.runs(id);
        Err(Error::rejected(id.to_string()))
    }

    async fn open(&self, id: u64) -> LedgerClient {
        self.books.runs(id);
        LedgerClient::new(self.clone())
    }

    async fn shut(&self, id: u64) -> Result<LedgerClient, Error> {
        self.books.runs(id);
        Err(Error::rejected(id.to_string()))
    }

    async fn call_back(&self, id: u64, back: Func<fn(u64) -> u64>, number: u64) -> u64 {
        self.books.runs(id);
        // If this call is given up, the call inside it has no outcome.
        self.books.says(number, Said::Nothing);
        let said = said_of(back.call(number).await, number);
        self.books.says(number, said);
        id
    }

    async fn hang_up(&self, id: u64) -> u64 {
        self.books.runs(id);
        self.connection.close();
        id
    }
}

/// Returns the state that an outcome gives the call with this number.
fn said_of(outcome: Result<u64, Error>, id: u64) -> Said {
    match outcome {
        Ok(answer) => {
            assert_eq!(answer, id, "the answer of another call");
            Said::Answered
        }
        Err(error) => said_by(&error, id),
    }
}

fn said_by(error: &Error, id: u64) -> Said {
    match error.fate() {
        Fate::NotSent => Said::NotSent,
        Fate::MayHaveRun => Said::MayHaveRun,
        Fate::Answered => {
            assert_eq!((error.kind(), error.message()), (ErrorKind::Rejected, &*id.to_string()));
            Said::Answered
        }
    }
}

/// The caller of one connection.
#[derive(Clone)]
struct Client {
    books: Arc<Books>,
    ledger: LedgerClient,
    seed: u64,
}

impl Client {
    /// The number of a call that is made now.
    fn id(&self) -> u64 {
        let id = self.books.next.fetch_add(1, Ordering::Relaxed) as u64;
        lock(&self.books.made).insert(id, PendingCall { said: Said::Nothing, seed: self.seed });
        id
    }

    async fn ask(&self, id: u64, call: Call<u64>) {
        self.books.says(id, said_of(call.await, id));
    }

    /// Makes a call, or some that belong together, and waits for the outcomes.
    async fn step(self, mut rng: Rng) {
        let Self { books, ledger, .. } = &self;
        let length = if rng.chance(10) { rng.below(20_000) } else { rng.below(50) };
        let text = "t".repeat(length);
        let id = self.id();
        match rng.below(12) {
            0 => self.ask(id, ledger.late(id, rng.below(50) as u32)).await,
            1 => {
                let outcome = ledger.fail(id).await.map_err(|error| match error {
                    CallError::Returned(error) | CallError::Failed(error) => error,
                });
                books.says(id, said_of(outcome, id));
            }
            2 => {
                // A call that is only pipelined on has no outcome of its own: the last call tells.
                let ids = [id, self.id(), self.id()];
                let last = ledger.open(ids[0]).pipeline().open(ids[1]).pipeline().mark(ids[2], text);
                self.ask(ids[2], last).await;
                if lock(&books.made)[&ids[2]].said == Said::Answered {
                    ids.into_iter().for_each(|id| books.says(id, Said::Answered));
                }
            }
            3 => {
                let on_it = self.id();
                match ledger.open(id).await {
                    Ok(opened) => {
                        books.says(id, Said::Answered);
                        self.ask(on_it, opened.mark(on_it, text)).await;
                    }
                    Err(error) => {
                        books.says(id, said_by(&error, id));
                        books.says(on_it, Said::NotMade);
                    }
                }
            }
            4 => {
                // It fails with the promise that it was called on.
                let on_it = self.id();
                let error = ledger.shut(id).pipeline().mark(on_it, text).await.expect_err("nothing is there");
                match error.fate() {
                    Fate::Answered => {
                        books.says(id, said_by(&error, id));
                        books.says(on_it, Said::NotMade);
                    }
                    _ => books.says(on_it, said_by(&error, on_it)),
                }
            }
            5 => {
                if let Err(error) = ledger.mark(id, text).send() {
                    books.says(id, said_by(&error, id));
                }
            }
            6 | 7 => {
                let number = self.id();
                books.says(number, Said::NotMade);
                let noted = books.clone();
                let back = move |number: u64| {
                    noted.runs(number);
                    async move { number }
                };
                self.ask(id, ledger.call_back(id, back, number)).await;
            }
            8 => {
                let limit = Duration::from_micros(rng.below(3_000) as u64);
                self.ask(id, ledger.late(id, rng.below(200) as u32).timeout(limit)).await;
            }
            9 => {
                // Given up as soon as it is made.
                let mut call = ledger.late(id, 5);
                let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut call).poll(cx))).await;
                if let Poll::Ready(outcome) = polled {
                    books.says(id, said_of(outcome, id));
                }
            }
            10 => {
                let ids: Vec<_> = std::iter::once(id).chain((0..rng.below(30)).map(|_| self.id())).collect();
                join_all(ids.iter().map(|id| self.ask(*id, ledger.mark(*id, text.clone())))).await;
            }
            11 if rng.chance(10) => self.ask(id, ledger.hang_up(id)).await,
            _ => self.ask(id, ledger.mark(id, text)).await,
        }
    }
}

/// Returns whether there is a pause behind each frame.
fn pauses(scheme: &str, dialect: Dialect) -> bool {
    (scheme, dialect) == ("tcp", Dialect::Capnode)
}

/// Tells the seed of a connection at which the test has failed.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// Opens a connection that is cut, calls over it until that is seen, and waits for its end.
async fn connect_and_call(scheme: &str, server: SocketAddr, dialect: Dialect, books: &Arc<Books>, seed: u64) {
    let _told = Told(seed);
    let mut rng = Rng::new(seed);
    let plan = Plan {
        up: rng.chance(50),
        bytes: rng.magnitude(100_000),
        cut: CUTS[rng.below(CUTS.len())],
        seed: rng.next(),
    };
    let (address, passing) = proxy(server, plan).await.expect("it listens");
    let mut limits = Limits::default();
    if rng.chance(50) {
        limits.unwritten_bytes_soft = UNWRITTEN;
    }
    let node = Node::builder().dialect(dialect).limits(limits).build();
    let connecting = node.connect::<Connection>(&format!("{scheme}://{address}"));
    books.connections.fetch_add(1, Ordering::Relaxed);
    match soon(connecting.into_future()).await {
        Err(error) => {
            // It was cut in the middle of a handshake.
            assert_eq!(error.fate(), Fate::NotSent, "{error}");
            books.unconnected.fetch_add(1, Ordering::Relaxed);
        }
        Ok(connection) => {
            let client = Client { books: books.clone(), ledger: connection.index(), seed };
            let mut steps = JoinSet::new();
            let most = if pauses(scheme, dialect) { 20 } else { 80 };
            for step in 0..most / 4 + rng.below(most) {
                // Some more are made once it has ended.
                if connection.is_closed() && rng.chance(50) {
                    break;
                }
                let made = client.clone().step(Rng::for_part(seed, step as u64));
                if rng.chance(30) {
                    soon(made).await;
                } else {
                    steps.spawn(made);
                }
                if rng.chance(1) {
                    connection.close();
                }
            }
            if rng.chance(90) {
                soon(steps.join_all()).await;
                connection.close();
            } else {
                connection.close();
                soon(steps.join_all()).await;
            }
            soon(connection.closed()).await;
        }
    }
    if soon(passing).await.expect("it does not panic").expect("it passes on") {
        books.cut.fetch_add(1, Ordering::Relaxed);
    }
}

async fn every_call_is_as_was_said_of_it(scheme: &'static str, dialect: Dialect) {
    let calls = number("CAPNODE_CUT_CALLS").unwrap_or(CALLS);
    let first = number("CAPNODE_CUT_SEED").unwrap_or_default();
    let began = Instant::now();
    let books = Arc::<Books>::default();
    let served = Arc::<Mutex<Vec<Connection>>>::default();
    let (noted, serving) = (books.clone(), served.clone());
    let node = Node::builder()
        .authorize(move |incoming: Incoming| {
            let connection = incoming.connection().clone();
            lock(&serving).push(connection.clone());
            let ledger = LedgerClient::new(Server { books: noted.clone(), connection });
            async move { Ok::<_, Error>(ledger) }
        })
        .build();
    let listener = node.listen(&format!("{scheme}://127.0.0.1:0")).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = JoinSet::new();
    let seeds = Arc::new(AtomicU64::new(first));
    for _ in 0..if pauses(scheme, dialect) { PAUSING_CLIENTS } else { CLIENTS } {
        let (books, seeds) = (books.clone(), seeds.clone());
        clients.spawn(async move {
            while books.next.load(Ordering::Relaxed) < calls {
                let seed = seeds.fetch_add(1, Ordering::Relaxed);
                connect_and_call(scheme, address, dialect, &books, seed).await;
            }
        });
    }
    clients.join_all().await;
    // Nothing runs any more once both sides have ended.
    let served = std::mem::take(&mut *lock(&served));
    for connection in served {
        soon(connection.closed()).await;
    }
    let faults = books.faults();
    println!(
        "{dialect:?} over {scheme}: {} calls over {} connections, {} of them cut, {} before they were there; \
         {} answered, {} not sent, {} may have run, {} not asked about; {} ran without an answer; {:.1} s",
        books.next.load(Ordering::Relaxed),
        books.connections.load(Ordering::Relaxed),
        books.cut.load(Ordering::Relaxed),
        books.unconnected.load(Ordering::Relaxed),
        books.count(Said::Answered),
        books.count(Said::NotSent),
        books.count(Said::MayHaveRun),
        books.count(Said::Nothing),
        books.ran_unanswered(),
        began.elapsed().as_secs_f64(),
    );
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults[..faults.len().min(20)].join("\n"));
    // If nothing was cut in the middle, nothing was seen.
    let all = [Said::Answered, Said::NotSent, Said::MayHaveRun, Said::Nothing];
    assert!(all.into_iter().all(|said| books.count(said) > 0) && books.ran_unanswered() > 0);
}

capnode_tests::async_tests! {
    calls_of_capnweb_over_tcp: every_call_is_as_was_said_of_it("tcp", Dialect::CapnWeb);
    calls_of_capnweb_over_web_sockets: every_call_is_as_was_said_of_it("ws", Dialect::CapnWeb);
    calls_of_capnode_over_tcp: every_call_is_as_was_said_of_it("tcp", Dialect::Capnode);
    calls_of_capnode_over_web_sockets: every_call_is_as_was_said_of_it("ws", Dialect::Capnode);
    calls_of_q_over_tcp: every_call_is_as_was_said_of_it("tcp", Dialect::Q);
    calls_of_q_over_web_sockets: every_call_is_as_was_said_of_it("ws", Dialect::Q);
}

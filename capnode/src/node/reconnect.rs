//! Connections that are opened again when they are lost, for durable references.

use std::any::Any;
use std::future::{Future, IntoFuture, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_channel::oneshot;
use tokio::sync::{Notify, watch};

use super::connect::Connect;
use crate::cap::durable::{Durable, Line, Waiting};
use crate::cap::hook::ConnectionHook as _;
use crate::cap::import::ImportHook;
use crate::cap::{Cap, OnBroken};
use crate::connection::{Connection, FromConnection};
use crate::error::{Error, ErrorKind, Fault};
use crate::interface::{Client, FromCap};
use crate::link::Link;
use crate::panics::{Contained, PanicId, catch_panic};
use crate::runtime::{self, BoxFuture, Instant, StdInstant, random};
use crate::sync::{Mutex, lock};
use crate::transport::Address;

/// The time in which the loss of a line is noticed on which nothing moves is twice this.
pub(super) const PROBE: Duration = Duration::from_secs(15);

/// The most time that one attempt to connect may take, the hook included.
const ATTEMPT: Duration = Duration::from_secs(30);

type Dial = Arc<dyn Fn() -> BoxFuture<Result<Connection, Error>> + Send + Sync>;
type Hook<C> = Arc<dyn Fn(C) -> BoxFuture<Result<(), Error>> + Send + Sync>;
type GivesUp = Arc<dyn Fn(&Error, Duration) -> bool + Send + Sync>;

/// A durable reference that is to be made: await it, or [start](Self::start) it. See [`Connect::reconnecting`].
#[must_use = "nothing happens until it is awaited or started"]
pub struct Reconnecting<C> {
    /// The ways to the peer, tried in turn; or the reason why there is none.
    dials: Result<Vec<Dial>, Error>,
    connect: Option<Arc<Connect<C>>>,
    backoff: (Duration, Duration),
    waiting: Waiting,
    hook: Option<Hook<C>>,
    gives_up: Option<GivesUp>,
    result: PhantomData<fn() -> C>,
}

impl<C: FromCap + FromConnection + 'static> Connect<C> {
    /// Makes the result a durable reference: one that outlives its connection. When the connection is lost, another one is
    /// opened, and the reference stands for the peer's index there. The
    /// [guide](crate::guide::reconnecting) shows what that can give and what it cannot.
    ///
    /// ```no_run
    /// # #[capnode::interface]
    /// # trait Chat { async fn say(&self, line: &str); }
    /// # async fn example() -> Result<(), capnode::Error> {
    /// let chat: ChatClient =
    ///     capnode::connect("wss://one.example/chat").reconnecting().or("wss://two.example/chat").await?;
    /// chat.say("hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A peer on which nothing moves is found to be gone within 30 seconds. The reference breaks when the tokio runtime in which
    /// it was made is shut down, since nothing is left that could connect.
    pub fn reconnecting(mut self) -> Reconnecting<C> {
        self.set_probe(PROBE);
        let url = self.url.clone();
        let ways = Reconnecting { connect: Some(Arc::new(self)), ..Reconnecting::to(Ok(Vec::new())) };
        ways.or(&url)
    }
}

/// Makes a durable reference to the index of the peers to which `dial` opens connections. It is called for each
/// attempt. See [`Connect::reconnecting`] for addresses.
///
/// ```
/// use capnode::{Cap, Connection, Node, transport};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), capnode::Error> {
/// let node = Node::new("hello");
/// let peer: Cap = capnode::reconnecting(move || {
///     let node = node.clone();
///     async move {
///         let (here, there) = transport::pair();
///         node.serve(there).await?;
///         capnode::connect_over::<Connection>(here).await
///     }
/// })
/// .await?;
/// assert_eq!(peer.read::<String>().await?, "hello");
/// # Ok(())
/// # }
/// ```
pub fn reconnecting<C, Fut>(dial: impl Fn() -> Fut + Send + Sync + 'static) -> Reconnecting<C>
where
    C: FromCap + FromConnection + 'static,
    Fut: Future<Output = Result<Connection, Error>> + Send + 'static,
{
    let dial: Dial = Arc::new(move || Box::pin(dial()));
    Reconnecting::to(Ok(vec![dial]))
}

impl<C: FromCap + FromConnection + 'static> Reconnecting<C> {
    fn to(dials: Result<Vec<Dial>, Error>) -> Self {
        Self {
            dials,
            connect: None,
            backoff: (Duration::from_millis(100), Duration::from_secs(30)),
            waiting: Waiting { time: Duration::from_secs(30), bytes: 4 * 1024 * 1024 },
            hook: None,
            gives_up: None,
            result: PhantomData,
        }
    }

    /// Adds a URL of the same service, which is tried where the one before it fails. One that worked is tried last when
    /// its connection is lost.
    pub fn or(mut self, url: &str) -> Self {
        let Some(connect) = self.connect.clone() else {
            let message = "`or` adds a URL to one that was given to `connect`: a closure chooses by itself";
            return Self { dials: Err(Error::new(ErrorKind::Unsupported, message)), ..self };
        };
        let checked = match url.parse::<Address>() {
            Ok(Address::Http { .. }) => Err(Error::new(
                ErrorKind::Unsupported,
                "an HTTP batch has no connection that could be lost: leave out `reconnecting`, or connect by \
                 ws:// or tcp://",
            )),
            Ok(_) => Ok(url.to_owned()),
            Err(error) => Err(error),
        };
        self.dials = self.dials.and_then(|mut dials| {
            let url = checked?;
            dials.push(Arc::new(move || {
                let (connect, url) = (connect.clone(), url.clone());
                Box::pin(async move { connect.open(&url).await })
            }));
            Ok(dials)
        });
        self
    }

    /// Sets the time between attempts. It begins at about `least` and doubles with each failure up to `most`, and is chosen
    /// at random between half of it and all. Default 100 milliseconds to 30 seconds.
    ///
    /// A connection that lasts less than `least` counts as a failure. After failures, so does one that lasts less than twice
    /// the present pause, or less than `most` if that is shorter.
    pub fn backoff(mut self, least: Duration, most: Duration) -> Self {
        self.backoff = (least, most.max(least));
        self
    }

    /// Sets for how long calls wait for another connection, counted from the loss of the last one, and how many bytes of
    /// them wait at most: of this reference and of all that it leads to. For a result that is
    /// [made again](crate::guide::reconnecting) they wait as long, and 64 KiB of them at least. After that they fail as [`NotSent`](crate::Fate::NotSent), and so do others until there is a
    /// connection. Default 30 seconds and 4 MiB. A call is sent again for as long at the most.
    pub fn wait(mut self, time: Duration, bytes: usize) -> Self {
        self.waiting = Waiting { time, bytes };
        self
    }

    /// Lets calls fail at once, as [`NotSent`](crate::Fate::NotSent), while there is no connection.
    pub fn fail_while_down(self) -> Self {
        self.wait(Duration::ZERO, 0)
    }

    /// Has `hook` called with the peer's index on each new connection, before any call that waits: to log in, or to
    /// subscribe. If it fails, the connection is closed, and the attempt counts as failed. The index that it gets is of
    /// that connection alone.
    pub fn on_connect<Fut>(mut self, hook: impl Fn(C) -> Fut + Send + Sync + 'static) -> Self
    where
        Fut: Future<Output = Result<(), Error>> + Send + 'static,
    {
        self.hook = Some(Arc::new(move |index| Box::pin(hook(index))));
        self
    }

    /// Has `gives_up` asked after each failed attempt, with its error and the time since the last connection was lost. If
    /// it returns `true`, the reference breaks with that error. By default it never does.
    pub fn give_up_when(
        mut self,
        gives_up: impl Fn(&Error, Duration) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.gives_up = Some(Arc::new(gives_up));
        self
    }

    /// Starts to connect, and returns the reference at once. Calls wait for the first connection as for later ones.
    ///
    /// # Errors
    ///
    /// If a URL is none, or one of HTTP batches, and outside a tokio runtime.
    pub fn start(self) -> Result<C, Error> {
        self.begin().map(|(slot, _)| C::from_reference(slot.cap()))
    }

    fn begin(self) -> Result<(Arc<Durable>, Reconnection), Error> {
        runtime::check()?;
        let dials = self.dials?;
        let state = watch::Sender::new(LineState::Connecting);
        let line = Arc::new(Shared { state, changed: Notify::new(), link: Mutex::default() });
        let slot = Durable::new(line.clone(), self.waiting);
        let keeper = Keeper {
            dials,
            next_dial: 0,
            backoff: self.backoff,
            waiting: self.waiting,
            hook: self.hook,
            gives_up: self.gives_up,
            slot: Arc::downgrade(&slot),
            line: line.clone(),
            lost_at: Instant::now(),
            waits: self.waiting.bytes > 0,
            failures: 0,
        };
        // No change goes unseen.
        let states = line.state.subscribe();
        runtime::spawn(keeper.run())?;
        Ok((slot.clone(), Reconnection { slot: Arc::downgrade(&slot), line, states }))
    }
}

impl<C: FromCap + FromConnection + 'static> IntoFuture for Reconnecting<C> {
    type Output = Result<C, Error>;
    type IntoFuture = BoxFuture<Result<C, Error>>;

    /// Waits for the first connection. If no way leads to one, it fails, and nothing is tried again.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (slot, mut reconnection) = self.begin()?;
            let none_lost = slot.epoch();
            loop {
                match reconnection.changed().await {
                    LineState::Connecting => {}
                    LineState::Up => return Ok(C::from_reference(slot.cap())),
                    // The first connection was lost before this could see that it was there.
                    LineState::Down { .. } if slot.epoch() != none_lost => {
                        return Ok(C::from_reference(slot.cap()));
                    }
                    LineState::Down { why, .. } | LineState::Ended(why) => {
                        slot.give_up(why.clone());
                        return Err(why);
                    }
                }
            }
        })
    }
}

crate::opaque::opaque!([C] Reconnecting<C> as reconnecting { backoff: reconnecting.backoff });

/// The state of the connection of a durable reference.
#[derive(Clone, Debug)]
pub enum LineState {
    /// The first attempt is under way.
    Connecting,
    /// There is one, as far as is known.
    Up,
    /// There is none: it was lost, or no attempt has succeeded yet.
    Down {
        /// When it was lost, or when the first attempt began.
        since: StdInstant,
        /// The reason of the end, or that for which the last attempt failed.
        why: Error,
        /// When the next attempt begins; `None` while one is under way.
        next_try: Option<StdInstant>,
    },
    /// It was given up for this reason, and the reference is broken; or the last reference was dropped.
    Ended(Error),
}

/// The connection of a durable reference, to watch and to end.
#[derive(Clone)]
pub struct Reconnection {
    slot: Weak<Durable>,
    line: Arc<Shared>,
    states: watch::Receiver<LineState>,
}

impl Reconnection {
    /// Returns the connection of a durable client; that of its parent for one that was made by a method with
    /// `#[capnode(rederive)]`. `None` for any other client.
    pub fn of(client: &impl Client) -> Option<Self> {
        Self::of_cap(client.cap())
    }

    /// Returns the connection of a durable reference. See [`of`](Self::of).
    pub fn of_cap(cap: &Cap) -> Option<Self> {
        let (slot, line) = cap.durable()?.root();
        let line = line.downcast::<Shared>().ok()?;
        let states = line.state.subscribe();
        Some(Self { slot: Arc::downgrade(&slot), line, states })
    }

    /// Returns the present state.
    pub fn state(&self) -> LineState {
        self.line.state.borrow().clone()
    }

    /// Waits until the state has changed since this last returned, and returns it. The first time it waits for a change since
    /// [`of`](Self::of), as if that had returned the present state; [`state`](Self::state) does not count.
    ///
    /// Of several changes meanwhile it returns the last. A short outage may so be seen as another [`Up`](LineState::Up) only: do not
    /// wait for [`Down`](LineState::Down).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn changed(&mut self) -> LineState {
        // The sender lives as long as this does.
        let _open = self.states.changed().await;
        self.states.borrow_and_update().clone()
    }

    /// Returns the number of connections that were lost.
    pub(super) fn epoch(&self) -> u64 {
        self.slot.upgrade().map_or(0, |slot| slot.epoch())
    }

    /// Ends the connection for good: the reference breaks with `why`.
    pub fn end(&self, why: Error) {
        if let Some(slot) = self.slot.upgrade() {
            slot.give_up(why);
            self.line.changed.notify_one();
        }
    }
}

crate::opaque::opaque!(Reconnection as reconnection { state: reconnection.state() });

/// The part that the slot, its keeper and those who watch share.
struct Shared {
    state: watch::Sender<LineState>,
    changed: Notify,
    /// The connection that was opened last.
    link: Mutex<Weak<Link>>,
}

impl Line for Shared {
    fn lost(&self) {
        self.changed.notify_one();
    }

    fn is_down(&self) -> bool {
        let link = lock(&self.link).upgrade();
        link.is_none_or(|link| ImportHook::is_leaving(&*link))
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Keeps a slot's connection.
struct Keeper<C> {
    dials: Vec<Dial>,
    /// The place of the way that is tried first.
    next_dial: usize,
    backoff: (Duration, Duration),
    waiting: Waiting,
    hook: Option<Hook<C>>,
    gives_up: Option<GivesUp>,
    slot: Weak<Durable>,
    line: Arc<Shared>,
    lost_at: Instant,
    /// `true` while calls wait.
    waits: bool,
    /// Failed attempts, and connections that did not last, one after the other.
    failures: u32,
}

impl<C: FromCap + 'static> Keeper<C> {
    /// Runs until the slot is dropped or given up.
    async fn run(mut self) {
        while let Some(connection) = self.connect().await {
            let Some(why) = self.hold(connection).await else { break };
            self.say(why, None);
        }
    }

    /// Connects. `None` if the slot is not wanted any more.
    async fn connect(&mut self) -> Option<Connection> {
        loop {
            let attempts = self.dials.clone();
            let hook = self.hook.clone();
            let first = self.next_dial;
            let connecting = async move {
                let mut failed = None;
                for at in 0..attempts.len() {
                    let place = (first + at) % attempts.len();
                    match attempt(&attempts[place], hook.as_ref()).await {
                        Ok(connection) => return Ok((place, connection)),
                        Err(error) => failed = Some(error),
                    }
                }
                Err(failed
                    .unwrap_or_else(|| Error::new(ErrorKind::Connect, "there is nothing to connect to")))
            };
            let error = match self.while_wanted(connecting).await? {
                Ok((place, connection)) => {
                    // One that was lost is tried last.
                    self.next_dial = (place + 1) % self.dials.len();
                    return Some(connection);
                }
                Err(error) => error,
            };
            let lost = self.lost_at.elapsed();
            let asked =
                |gives_up: &GivesUp| catch_panic("give_up_when", || gives_up(&error, lost)).unwrap_or(true);
            if self.gives_up.as_ref().is_some_and(asked) {
                self.slot.upgrade()?.give_up(error);
                return None;
            }
            self.failures += 1;
            let delay = self.delay();
            self.say(error, Instant::now().checked_add(delay));
            self.while_wanted(runtime::wait(delay)).await?;
        }
    }

    /// Returns the longest time until the next attempt.
    fn longest_delay(&self) -> Duration {
        let (least, most) = self.backoff;
        let times = 1_u32.checked_shl(self.failures.saturating_sub(1)).unwrap_or(u32::MAX);
        least.saturating_mul(times).min(most)
    }

    /// Returns the time until the next attempt.
    fn delay(&self) -> Duration {
        let longest = self.longest_delay();
        let part = u64::try_from(longest.as_micros() / 2).unwrap_or(u64::MAX);
        longest / 2 + Duration::from_micros(random::number() % part.saturating_add(1))
    }

    fn say(&self, why: Error, next_try: Option<Instant>) {
        let (since, next_try) = (runtime::to_std(self.lost_at), next_try.map(runtime::to_std));
        self.line.state.send_replace(LineState::Down { since, why, next_try });
    }

    /// Waits for something, as long as the slot is wanted.
    async fn while_wanted<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let slot = self.slot.upgrade().filter(|slot| slot.ended().is_none())?;
            let (epoch, waited) = (slot.epoch(), self.lost_at.elapsed());
            drop(slot);
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = self.line.changed.notified() => {}
                () = runtime::wait(self.waiting.time.saturating_sub(waited)), if self.waits => {
                    self.waits = false;
                    let message = format!("no connection for {:?}", self.waiting.time);
                    let why = Error::new(ErrorKind::Disconnected, message);
                    self.slot.upgrade()?.wait_no_longer(epoch, why);
                }
            }
        }
    }

    /// Puts a connection to use, until it is lost. Returns the reason of the loss; `None` if the slot is not wanted any
    /// more.
    async fn hold(&mut self, connection: Connection) -> Option<Error> {
        let began = Instant::now();
        let epoch = {
            let slot = self.slot.upgrade()?;
            let epoch = slot.epoch();
            *lock(&self.line.link) = Arc::downgrade(connection.link());
            self.line.state.send_replace(LineState::Up);
            slot.found(epoch, connection.index(), 0);
            epoch
        };
        let (sender, mut closed) = oneshot::channel();
        let watching = OnBroken::watching(|error| {
            // If it is refused, the slot was given up.
            let _unwanted = sender.send(error);
        });
        connection.link().on_closed(watching.slot());
        let mut draining = pin!(connection.peer_draining());
        let why = loop {
            let slot = self.slot.upgrade().filter(|slot| slot.ended().is_none())?;
            if slot.epoch() != epoch {
                // A call has found out first.
                break Error::new(ErrorKind::Disconnected, "the connection was lost");
            }
            drop(slot);
            tokio::select! {
                biased;
                Ok(why) = &mut closed => break why,
                () = &mut draining => break Error::new(ErrorKind::Disconnected, "the peer is shutting down"),
                () = self.line.changed.notified() => {}
            }
        };
        let slot = self.slot.upgrade()?;
        slot.lose(epoch);
        self.lost_at = Instant::now();
        self.waits = self.waiting.bytes > 0;
        // One that did not last counts like one that failed.
        let lasted = began.elapsed();
        if lasted >= self.longest_delay().saturating_mul(2).min(self.backoff.1) {
            self.failures = 0;
        } else if self.failures > 0 || lasted < self.backoff.0 {
            self.failures += 1;
            drop(slot);
            let delay = self.delay();
            self.say(why.clone(), Instant::now().checked_add(delay));
            self.while_wanted(runtime::wait(delay)).await?;
        }
        Some(why)
    }
}

impl<C> Drop for Keeper<C> {
    /// Gives up the slot, if it is wanted still: nobody is left who would find another connection.
    fn drop(&mut self) {
        let ended = |why| Error::new(ErrorKind::Disconnected, why).with_fault(Fault::Here);
        let slot = self.slot.upgrade();
        let given_up = slot.and_then(|slot| {
            slot.give_up(ended("the runtime in which the durable reference was made was shut down"));
            slot.ended()
        });
        let why = given_up.unwrap_or_else(|| ended("the last durable reference was dropped"));
        self.line.state.send_replace(LineState::Ended(why));
    }
}

/// Opens a connection, and has the hook called.
async fn attempt<C: FromCap>(dial: &Dial, hook: Option<&Hook<C>>) -> Result<Connection, Error> {
    let opening = async {
        let connection = dial().await?;
        if let Some(hook) = hook {
            if let Err(error) = hook(C::from_reference(connection.index())).await {
                connection.close_because("the connection could not be set up");
                return Err(error);
            }
        }
        Ok(connection)
    };
    let late = |_| Error::new(ErrorKind::Timeout, format!("no connection within {ATTEMPT:?}"));
    let mut attempt = Contained::new(Box::pin(runtime::timeout(ATTEMPT, opening)));
    let panicked = |id: PanicId| Poll::Ready(Ok(Err(id.into_error())));
    let outcome = poll_fn(|cx| {
        let poll = || attempt.get_mut().map_or(Poll::Pending, |attempt| attempt.as_mut().poll(cx));
        catch_panic("opening a connection", poll).unwrap_or_else(panicked)
    });
    outcome.await.map_err(late)?
}

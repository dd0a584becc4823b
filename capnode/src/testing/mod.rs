//! For the tests of programs that use this library: lines that are slow or are cut, a witness of what crosses them, and
//! whole networks whose every delay follows from a seed.
//!
//! A fake needs nothing of this module: implement the trait, and make a client of it. See
//! [the guide](crate::guide::testing).

mod line;

pub use self::line::{Crossing, Cutter, Line, LineEnd};

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::line::{Delay, Settings};
use crate::connection::FromConnection;
use crate::error::{Error, ErrorKind};
use crate::node::Node;
use crate::runtime::{self, Instant};
use crate::seeded::{Draw, Seeded};
use crate::sync::lock;

/// Runs a program in a simulation: one thread, a clock that jumps to the next thing that is to happen, and a network
/// whose delays follow from `seed`. The same program and the same seed give the same [log](Network::log), on any
/// machine, as long as the program takes its time and its random numbers from the simulation
/// ([`Network::number`]), and starts no threads. `#[capnode(blocking)]` starts some.
///
/// A mistake that needs a certain order of events is found by a search over seeds, and stays found: the seed is its
/// reproduction.
///
/// ```
/// use capnode::testing::simulate;
/// use capnode::{Cap, Error, Node};
///
/// let run = |seed| {
///     simulate(seed, |network| async move {
///         network.add("server", &Node::new("hello"));
///         let peer: Cap = network.connect("client", "server").await?;
///         assert_eq!(peer.read::<String>().await?, "hello");
///         Ok::<_, Error>(network.log())
///     })
/// };
/// assert_eq!(run(1).unwrap(), run(1).unwrap());
/// assert_ne!(run(1).unwrap(), run(2).unwrap());
/// ```
///
/// # Panics
///
/// Inside a tokio runtime, and where the program panics.
pub fn simulate<F: Future>(seed: u64, program: impl FnOnce(Network) -> F) -> F::Output {
    let _seeded = Seeded::new(seed);
    runtime::simulate(async { program(Network::new(seed)).await })
}

/// A network of nodes in memory: see [`simulate`]. Clones are the same network.
#[derive(Clone)]
pub struct Network(Arc<Shared>);

struct Shared {
    draw: Arc<Draw>,
    begin: Instant,
    state: Mutex<State>,
    log: Arc<Mutex<Vec<Crossing>>>,
}

struct State {
    nodes: Vec<(Arc<str>, Node)>,
    delays: (Duration, Duration),
    cut_one_in: u64,
    cutters: Vec<([Arc<str>; 2], Cutter)>,
}

impl Network {
    fn new(seed: u64) -> Self {
        let state = State {
            nodes: Vec::new(),
            delays: (Duration::from_millis(1), Duration::from_millis(100)),
            cut_one_in: 0,
            cutters: Vec::new(),
        };
        Self(Arc::new(Shared {
            draw: Arc::new(Draw::new(seed)),
            begin: Instant::now(),
            state: Mutex::new(state),
            log: Arc::default(),
        }))
    }

    /// Sets between what times a frame is on its way, on lines made from now on. At first it is between 1 and 100
    /// milliseconds.
    pub fn set_delays(&self, least: Duration, most: Duration) {
        lock(&self.0.state).delays = (least, most.max(least));
    }

    /// Has one frame in so many cut its line, on lines made from now on. At first, and with 0, none does.
    pub fn set_cuts(&self, one_in: u64) {
        lock(&self.0.state).cut_one_in = one_in;
    }

    /// Adds a node under a name, or replaces it: those who connect from now on reach this one.
    pub fn add(&self, name: &str, node: &Node) {
        let nodes = &mut lock(&self.0.state).nodes;
        nodes.retain(|(other, _)| **other != *name);
        nodes.push((name.into(), node.clone()));
    }

    /// Removes a node: nobody can connect to it any more. Its connections stay.
    pub fn remove(&self, name: &str) {
        lock(&self.0.state).nodes.retain(|(other, _)| **other != *name);
    }

    /// Cuts all lines between two names.
    pub fn cut(&self, one: &str, other: &str) {
        let between = |[a, b]: &[Arc<str>; 2]| (&**a, &**b) == (one, other) || (&**a, &**b) == (other, one);
        let cut: Vec<_> = {
            let cutters = &mut lock(&self.0.state).cutters;
            let (cut, left) = std::mem::take(cutters).into_iter().partition(|(names, _)| between(names));
            *cutters = left;
            cut
        };
        cut.iter().for_each(|(_, cutter)| cutter.cut());
    }

    /// Connects the program called `from`, which offers nothing, to the node called `to`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Connect`] if there is no such node, and what [`Node::connect_over`] fails with.
    pub async fn connect<C: FromConnection>(&self, from: &str, to: &str) -> Result<C, Error> {
        self.connect_from(from, &Node::new(()), to).await
    }

    /// Connects `node`, called `from`, to the node called `to`.
    ///
    /// # Errors
    ///
    /// Like [`connect`](Self::connect).
    pub async fn connect_from<C: FromConnection>(
        &self,
        from: &str,
        node: &Node,
        to: &str,
    ) -> Result<C, Error> {
        let (there, ends) = {
            let state = &mut *lock(&self.0.state);
            let found = state.nodes.iter().find(|(name, _)| **name == *to);
            let none = || Error::new(ErrorKind::Connect, format!("there is no node called {to}"));
            let (name, there) = found.ok_or_else(none)?;
            let names = [from.into(), name.clone()];
            let log = self.0.log.clone();
            let ends = Settings {
                delay: Delay::Drawn(state.delays.0, state.delays.1, self.0.draw.clone()),
                cut_one_in: state.cut_one_in,
                witness: Some(Arc::new(move |crossing| lock(&log).push(crossing))),
                begin: self.0.begin,
                ..Settings::new(names.clone())
            }
            .ends();
            state.cutters.push((names, ends[0].cutter()));
            (there.clone(), ends)
        };
        let [here, far] = ends;
        // Whoever refuses the peer ends the line, which the peer learns by itself.
        runtime::spawn(async move { drop(there.serve(far).await) })?;
        node.connect_over(here).await
    }

    /// Returns a number below `end` that follows from the seed; 0 if `end` is 0.
    pub fn number(&self, end: u64) -> u64 {
        self.0.draw.below(end)
    }

    /// Returns all frames that have arrived, in this order.
    pub fn log(&self) -> Vec<Crossing> {
        lock(&self.0.log).clone()
    }
}

crate::opaque::opaque!(Network);

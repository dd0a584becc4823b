//! Checks for any peer of the tour, whichever library it is written with.
//!
//! Each has a name, compares exact values and has five seconds. At its end, all references that it lent or borrowed
//! have to be released on both sides, as far as this side can see.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use capnode::{Cap, Connection, Dialect, Tables};
use capnode_examples::tour::TourClient;
use tokio::time::{Instant, timeout};

use expect::Failure;

mod calls;
mod expect;
mod maps;
mod methods;
mod references;
mod values;

/// The time limit of a check.
const TIME: Duration = Duration::from_secs(5);

/// The expectations of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The behaviour of every peer, npm's `capnweb` among them.
    Any,
    /// The behaviour of a peer written with this library: it refuses arguments of other types, its errors have their
    /// types, and an object that comes home is the original.
    Rust,
}

/// The numbers of checks that passed and that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The number that passed.
    pub passed: usize,
    /// The number that failed.
    pub failed: usize,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// The peer of a check.
#[derive(Clone)]
struct Peer {
    connection: Connection,
    tour: TourClient,
    expect: Expect,
}

impl Peer {
    /// The index of the peer without its interface.
    fn index(&self) -> Cap {
        self.connection.index::<Cap>()
    }

    fn dialect(&self) -> Dialect {
        self.connection.dialect().unwrap_or_default()
    }

    /// `true` if the peer's error messages are known: programs of the other languages use those of their engine.
    fn says_what(&self) -> bool {
        self.is_rust() || self.dialect() == Dialect::CapnWeb
    }

    /// Returns the number of calls for a test of many. A Capnode peer on a byte stream is sent one frame at a time,
    /// with a pause after each.
    fn many(&self) -> usize {
        if self.dialect() == Dialect::Capnode { 20 } else { 200 }
    }

    /// `true` if the peer passes on the error of a lent function: the real Capnode replaces it by an error without a
    /// message.
    fn passes_errors_on(&self) -> bool {
        self.is_rust() || self.dialect() != Dialect::Capnode
    }

    fn is_rust(&self) -> bool {
        self.expect == Expect::Rust
    }

    /// Waits until the connection's tables satisfy `wanted`.
    async fn tables(&self, wanted: impl Fn(Tables) -> bool) -> Result<(), Tables> {
        let deadline = Instant::now() + TIME;
        let mut turn = 0u32;
        loop {
            let tables = self.connection.tables();
            if wanted(tables) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(tables);
            }
            turn += 1;
            match turn {
                // Within one program it is a matter of turns, over a network one of time.
                0..100 => tokio::task::yield_now().await,
                _ => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    }
}

type Outcome = Result<(), Failure>;

struct Check {
    name: &'static str,
    /// The languages in which it can be made; none means all.
    only: &'static [Dialect],
    body: fn(Peer) -> Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

/// A list of checks, each with its name, and if it is not for all, the languages it is for.
macro_rules! checks {
    ($($name:literal $([$($only:ident),*])? => $body:ident),* $(,)?) => {
        pub(crate) const CHECKS: &[$crate::Check] = &[$($crate::Check {
            name: $name,
            only: &[$($(capnode::Dialect::$only),*)?],
            body: |peer| Box::pin($body(peer)),
        }),*];
    };
}
use checks;

/// The checks that take more than one HTTP batch: a callback with an answer, or a use of what an earlier call gave.
const NOT_FOR_BATCHES: &[&str] = &[
    "functions: of up to six arguments",
    "functions: too many and too few arguments",
    "functions: every kind of argument and answer",
    "functions: one that panics",
    "functions: given a function",
    "functions: answering with a function",
    "functions: answering with an object of the peer's",
    "functions: called in order",
    "functions: the original comes home",
    "objects: methods and properties",
    "objects: the original comes home",
    "objects: of ours in each other's methods",
    "structs: with functions and objects in them",
    "promises: calls on one that came back wait in order",
    "promises: one that is rejected",
    "promises: one whose resolver is dropped",
    "releases: objects of the peer's",
    "releases: functions of ours",
    "releases: an object outlives the copies of its reference",
    "order: calls on one object",
    "order: calls on an object that is not there yet",
    "order: while the object arrives",
    "order: a big call and small ones",
    "calls of every kind at once",
    "a missing property is undefined",
    "a call that takes too long",
    "transform: from a kept callback",
    "transform: the method itself inside a value",
    "transform: the method itself sent home",
    "counter: counts and begins anew",
    "counter: each is its own",
    "counter: a method it does not have",
    "counter: from a kept callback",
    "counter: inside a value",
    "counter: sent home",
    "counter: pipelined",
    "on: calls back three times, one after the other",
    "on: a callback may call the peer",
    "on: a callback that fails ends it",
    "on: a callback that fails at its second call",
    "on: a callback's own error",
    "on: a kept callback",
    "on: from a kept callback",
    "on: a callback from inside a value",
    "on: a callback that is not there yet",
    "on: a callback that is the result of a call not answered yet",
    "on: other calls go on while a callback is waiting",
    "on: given up while its callback is waiting",
    "fail: from a kept callback",
    "fail: the method itself inside a value",
    "fail: runs down a pipelined chain",
    "authenticate: step by step",
    "authenticate: from a kept callback",
    "authenticate: a user inside a value",
    "authenticate: a user sent home",
    "echo: from a kept callback",
    "echo: the method itself inside a value",
    "echo: fields of a result not there yet",
    "map: calls in order on one object",
    "map: a function of this side",
    "map: an object of this side",
];

/// The names of all checks, in the order they run.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|check| check.name)
}

fn all() -> impl Iterator<Item = &'static Check> {
    [methods::CHECKS, values::CHECKS, references::CHECKS, calls::CHECKS, maps::CHECKS].into_iter().flatten()
}

/// Runs all checks on the peer of a connection, and calls `tell` with the outcome of each: `ok NAME` or `FAILED NAME:
/// why`.
pub async fn run(connection: &Connection, expect: Expect, tell: impl FnMut(&str)) -> Summary {
    run_those(connection, expect, |_| true, tell).await
}

/// Runs the checks that take one HTTP batch.
pub async fn run_batches(connection: &Connection, expect: Expect, tell: impl FnMut(&str)) -> Summary {
    run_those(connection, expect, |name| !NOT_FOR_BATCHES.contains(&name), tell).await
}

async fn run_those(
    connection: &Connection,
    expect: Expect,
    wanted: impl Fn(&str) -> bool,
    mut tell: impl FnMut(&str),
) -> Summary {
    let peer = Peer { connection: connection.clone(), tour: connection.index(), expect };
    let dialect = connection.dialect().unwrap_or_default();
    let mut summary = Summary { passed: 0, failed: 0 };
    // A silent peer is not put to all checks.
    let mut silent = 0;
    let speaks = |check: &&Check| check.only.is_empty() || check.only.contains(&dialect);
    for check in all().filter(|check| speaks(check) && wanted(check.name)) {
        let failure = if silent == 3 {
            Some(Failure::new("not run, since three checks in a row ran out of time"))
        } else {
            match run_one(&peer, check).await {
                Ok(outcome) => {
                    silent = 0;
                    outcome.err()
                }
                Err(_elapsed) => {
                    silent += 1;
                    Some(Failure::new(format!("not done after {TIME:?}")))
                }
            }
        };
        match failure {
            None => {
                summary.passed += 1;
                tell(&format!("ok {}", check.name));
            }
            Some(why) => {
                summary.failed += 1;
                tell(&format!("FAILED {}: {why}", check.name));
            }
        }
    }
    summary
}

async fn run_one(peer: &Peer, check: &Check) -> Result<Outcome, tokio::time::error::Elapsed> {
    let before = peer.connection.tables();
    // As a task of its own, so that a panic in it is a failure like any other.
    let mut task = tokio::spawn((check.body)(peer.clone()));
    let outcome = match timeout(TIME, &mut task).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panicked)) => Err(Failure::new(panicked.to_string())),
        Err(elapsed) => {
            task.abort();
            return Err(elapsed);
        }
    };
    if outcome.is_err() {
        return Ok(outcome);
    }
    let releases = peer.dialect() == Dialect::CapnWeb;
    let same = |after: Tables| {
        if releases {
            after == before
        } else {
            // Lent references stay lent, as far as these languages have words.
            after.calls <= before.calls && after.running <= before.running
        }
    };
    let given_back = peer.tables(same).await;
    Ok(given_back
        .map_err(|after| Failure::new(format!("not everything was given back: {before:?} became {after:?}"))))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_checks_that_are_not_for_batches_exist() {
        for left_out in NOT_FOR_BATCHES {
            assert!(names().any(|name| name == *left_out), "{left_out}");
        }
    }

    #[test]
    fn every_check_has_a_name_of_its_own() {
        let mut seen = HashSet::new();
        for name in names() {
            assert!(seen.insert(name), "{name}");
        }
        assert!(seen.len() >= 40, "{} checks", seen.len());
    }

    #[tokio::test]
    async fn a_peer_that_is_no_tour_fails() {
        let (one, other) = capnode::transport::pair();
        capnode::Node::new("no tour").serve(one).await.unwrap();
        let connection: Connection = capnode::connect_over(other).await.unwrap();
        let mut lines = Vec::new();
        let summary = run(&connection, Expect::Any, |line| lines.push(line.to_owned())).await;
        assert!(summary.failed > summary.passed, "{summary}");
        assert_eq!(lines[0], "FAILED transform: text: 'transform' is not a function.");
    }
}

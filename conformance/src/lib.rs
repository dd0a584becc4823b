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

/// The names of all checks, in the order they run.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|check| check.name)
}

fn all() -> impl Iterator<Item = &'static Check> {
    [methods::CHECKS, values::CHECKS, references::CHECKS, calls::CHECKS].into_iter().flatten()
}

/// Runs all checks on the peer of a connection, and calls `tell` with the outcome of each: `ok NAME` or `FAILED NAME:
/// why`.
pub async fn run(connection: &Connection, expect: Expect, mut tell: impl FnMut(&str)) -> Summary {
    let peer = Peer { connection: connection.clone(), tour: connection.index(), expect };
    let dialect = connection.dialect().unwrap_or_default();
    let mut summary = Summary { passed: 0, failed: 0 };
    // A silent peer is not put to all checks.
    let mut silent = 0;
    for check in all().filter(|check| check.only.is_empty() || check.only.contains(&dialect)) {
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

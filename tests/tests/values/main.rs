//! Values of the types that programs have, in every position of a call: in each language they arrive as within one program,
//! or are refused with the reason, or arrive as something else that is listed in `differences.rs` and in
//! `capnode/docs/semantics.md`.

use std::fmt::{self, Debug, Display};
use std::future::Future;
use std::pin::Pin;

use capnode::{CallError, Connection, Dialect, Node, Wire};
use capnode_tests::{in_memory, soon};
use serde::{Deserialize, Serialize};

mod differences;
mod references;
mod thrown;
mod types;

use self::differences::{DIFFERENCES, Expected};

/// An interface with a type in every position.
#[capnode::interface]
trait Carry<T: Clone + Debug + Sync> {
    async fn echo(&self, value: T) -> T;
    async fn look(&self, value: &T) -> String;
    async fn fail(&self) -> Result<(), Failure<T>>;
    #[capnode(property)]
    async fn held(&self) -> T;
}

#[derive(Debug, Serialize, Deserialize)]
struct Failure<T>(T);

impl<T> Display for Failure<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a failure")
    }
}

// A value that holds a reference is an error when it is sent.
impl<T> std::panic::UnwindSafe for Failure<T> {}

struct Carrier<T>(T);

impl<T: Wire + Clone + Debug + Sync> Carry<T> for Carrier<T> {
    async fn echo(&self, value: T) -> T {
        value
    }

    async fn look(&self, value: &T) -> String {
        format!("{value:?}")
    }

    async fn fail(&self) -> Result<(), Failure<T>> {
        Err(Failure(self.0.clone()))
    }

    async fn held(&self) -> T {
        self.0.clone()
    }
}

const POSITIONS: [&str; 4] = ["argument and result", "borrowed argument", "property", "error"];

/// The outcome of a value in each position: its printed form, or the reason for which it did not arrive.
type Seen = [Result<String, String>; 4];

async fn seen<T: Wire + Clone + Debug + Sync>(client: &CarryClient<T>, value: &T) -> Seen {
    let words = |error: capnode::Error| error.to_string();
    [
        client.echo(value.clone()).await.map(|value| format!("{value:?}")).map_err(words),
        client.look(value).await.map_err(words),
        client.held().await.map(|value| format!("{value:?}")).map_err(words),
        match client.fail().await {
            Err(CallError::Returned(Failure(value))) => Ok(format!("{value:?}")),
            Err(CallError::Failed(error)) => Err(error.to_string()),
            Ok(()) => Ok("no error".to_owned()),
        },
    ]
}

/// Returns the outcomes of a value over a connection in a language.
async fn seen_from_afar<T: Wire + Clone + Debug + Sync>(
    client: &CarryClient<T>,
    value: &T,
    dialect: Dialect,
) -> Seen {
    let (_served, connection): (_, Connection) = in_memory(&Node::new(client.clone()), dialect).await;
    seen(&connection.index(), value).await
}

/// The values of one type that are expected to fare alike.
struct Row {
    name: &'static str,
    outcomes: Pin<Box<dyn Future<Output = Vec<Outcomes>>>>,
}

/// The outcomes of a value here, and in each language.
struct Outcomes {
    here: Seen,
    afar: Vec<(Dialect, Seen)>,
}

fn row<T: Wire + Clone + Debug + Sync>(name: &'static str, values: Vec<T>) -> Row {
    let outcomes = Box::pin(async move {
        let mut outcomes = Vec::new();
        for value in values {
            let client = CarryClient::new(Carrier(value.clone()));
            let mut afar = Vec::new();
            for dialect in [Dialect::CapnWeb, Dialect::Capnode, Dialect::Q] {
                afar.push((dialect, soon(seen_from_afar(&client, &value, dialect)).await));
            }
            outcomes.push(Outcomes { here: seen(&client, &value).await, afar });
        }
        outcomes
    });
    Row { name, outcomes }
}

#[tokio::test]
async fn values_arrive_as_within_a_program_or_are_refused_or_are_listed() {
    let mut wrong = Vec::new();
    let mut met = vec![false; DIFFERENCES.len()];
    let mut count = 0;
    for Row { name, outcomes } in types::rows() {
        for Outcomes { here, afar } in outcomes.await {
            count += 1;
            for (dialect, there) in afar {
                for ((position, here), there) in POSITIONS.iter().zip(&here).zip(&there) {
                    // An error keeps values that the language cannot express.
                    let said = if *position == "error" { Dialect::CapnWeb } else { dialect };
                    let listed = DIFFERENCES.iter().position(|line| line.is_about(name, said));
                    let good = match listed.map(|at| (at, &DIFFERENCES[at].expected)) {
                        None => here == there,
                        Some((at, expected)) => {
                            met[at] = true;
                            match (expected, there) {
                                // An error whose value cannot be read is its message.
                                (Expected::Refused(why), Err(words)) => {
                                    words.contains(why) || (*position == "error" && words == "a failure")
                                }
                                (Expected::Becomes(value), Ok(there)) => {
                                    there == value && Ok(there) != here.as_ref()
                                }
                                _ => false,
                            }
                        }
                    };
                    if !good {
                        wrong.push(format!(
                            "{name}, {dialect:?}, {position}:\n  here  {here:.200?}\n  there {there:.200?}"
                        ));
                    }
                }
            }
        }
    }
    for (line, met) in DIFFERENCES.iter().zip(met) {
        if !met {
            wrong.push(format!("no value differs so: {}, {:?}", line.row, line.dialects));
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 200, "{count} values");
}

#[test]
fn the_differences_are_those_of_the_documentation() {
    let documented = include_str!("../../../capnode/docs/semantics.md");
    for line in DIFFERENCES {
        assert!(documented.contains(line.why), "capnode/docs/semantics.md does not say: {}", line.why);
    }
}

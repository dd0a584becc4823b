//! Helpers for the checks.

use std::error::Error as StdError;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use capnode::{Call, CallError, Cap, Error, ErrorKind, Fate, Value, Wire};

use crate::Peer;
use capnode_examples::tour::{TourClient, TourError};

/// The reason why a check failed.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: StdError> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Shows a value, as far as it fits on a line.
fn show(value: &impl fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(250) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(crate) fn equal<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(got: T, expected: U) -> Result<(), Failure> {
    equal_in("", got, expected)
}

/// Requires equal values, and names the one that differs.
pub(crate) fn equal_in<T: PartialEq<U> + fmt::Debug, U: fmt::Debug>(
    what: &str,
    got: T,
    expected: U,
) -> Result<(), Failure> {
    if got == expected {
        return Ok(());
    }
    let colon = if what.is_empty() { "" } else { ": " };
    Err(Failure(format!("{what}{colon}got {}, expected {}", show(&got), show(&expected))))
}

pub(crate) fn holds(condition: bool, what: &str) -> Result<(), Failure> {
    if condition { Ok(()) } else { Err(Failure::new(what)) }
}

/// The error that a call has to be answered with.
pub(crate) async fn rejected<T: Wire + fmt::Debug>(call: Call<T>) -> Result<Error, Failure> {
    match call.await {
        Ok(value) => Err(Failure(format!("got {}, expected an error", show(&value)))),
        Err(error) => {
            equal_in("what kind of error", error.kind(), ErrorKind::Rejected)?;
            equal_in("the fate of the call", error.fate(), Fate::Answered)?;
            Ok(error)
        }
    }
}

/// The error of a method of the tour whose errors have a type. npm's knows no types, and sends only a message.
pub(crate) fn tour_error(
    outcome: Result<(), CallError<TourError>>,
    expected: &TourError,
    typed: bool,
) -> Result<(), Failure> {
    match outcome {
        Ok(()) => Err(Failure::new("got a result, expected an error")),
        Err(error) => {
            equal(error.to_string(), expected.to_string())?;
            match error {
                CallError::Returned(error) => equal(&error, expected),
                CallError::Failed(_) if typed => Err(Failure::new("the error has lost its type")),
                CallError::Failed(error) => equal(error.kind(), ErrorKind::Rejected),
            }
        }
    }
}

/// The error that a member that is not there, or a call that does not fit, is answered with.
pub(crate) async fn type_error<T: Wire + fmt::Debug>(peer: &Peer, call: Call<T>) -> Result<Error, Failure> {
    let error = rejected(call).await?;
    // The programs of the other languages do not say it.
    if peer.says_what() {
        equal_in("the class of the error", error.name(), "TypeError")?;
    }
    Ok(error)
}

/// Sends a call, and gives its answer up before it is there.
pub(crate) async fn give_up<T: Wire, F: capnode::Failed>(call: Call<T, F>) {
    let mut call = pin!(call);
    poll_fn(|cx| {
        // An answer that is there at once is as unwanted as any.
        let _unwanted = call.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

/// Sends a reference to the peer, which sends it back, and keeps the result. The peer may hold on to it as long as this
/// side does.
pub(crate) async fn keep(tour: &TourClient, reference: impl Into<Cap>) -> Result<Cap, Failure> {
    reference_in(&tour.echo(Value::Cap(reference.into())).await?)
}

pub(crate) fn reference_in(value: &Value) -> Result<Cap, Failure> {
    // In Capnode an object is a record of functions.
    if let Value::Object(_) = value {
        return Ok(Cap::holding(value)?);
    }
    value.as_cap().cloned().ok_or_else(|| Failure(format!("got {}, expected a reference", show(value))))
}

/// The reference that is the member `name`.
pub(crate) fn member(value: &Value, name: &str) -> Result<Cap, Failure> {
    reference_in(value.get(name).unwrap_or(&Value::Undefined))
}

/// The elements of an array.
pub(crate) fn elements(value: &Value) -> Result<&[Value], Failure> {
    match value {
        Value::Array(elements) => Ok(elements),
        other => Err(Failure(format!("got {}, expected an array", show(other)))),
    }
}

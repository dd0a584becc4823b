//! The tour: a small service that shows each kind of request to a peer once.
//!
//! `tests/js/tour_server.mjs` serves the same with npm's `capnweb`.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

use capnode::{Error, Func, Limits, Reader, Value};
use serde::{Deserialize, Serialize};

/// The index of a tour server.
#[capnode::interface]
pub trait Tour {
    /// The first run of two or more of `aeiou` becomes `oo`, and all becomes upper case:
    /// `beep` is `BOOP`.
    async fn transform(&self, text: &str) -> String;

    /// Returns a counter of its own for each caller.
    async fn counter(&self) -> CounterClient;

    /// Calls `callback` three times with `event` and `"data"`, each time after the answer to the
    /// call before. What it answers does not matter, but for an error, which ends this.
    async fn on(&self, event: &str, callback: Func<fn(String, String)>) -> Result<(), TourError>;

    /// Fails.
    async fn fail(&self) -> Result<(), TourError>;

    /// Returns the user of a token.
    async fn authenticate(&self, token: &str) -> UserClient;

    /// Returns the argument, of any shape. Functions and objects in it come back usable.
    async fn echo(&self, x: Value) -> Value;
}

/// The tour with streams, which only Cap'n Web has.
#[capnode::interface(extends(Tour))]
pub trait StreamTour {
    /// Returns all chunks of a stream.
    async fn collect(&self, stream: Reader<Value>) -> Result<Vec<Value>, Error>;

    /// Returns a stream of the numbers from 0 to `n` - 1.
    async fn numbers(&self, n: u32) -> Reader<u32>;
}

/// Counts from 1.
#[capnode::interface]
pub trait Counter {
    /// Returns the next number.
    async fn next(&self) -> u32;

    /// Begins anew.
    async fn reset(&self);
}

/// A user.
#[capnode::interface]
pub trait User {
    /// Returns the profile of the user.
    async fn profile(&self) -> ProfileClient;
}

/// The profile of a user.
#[capnode::interface]
pub trait Profile {
    /// Returns `user of TOKEN`.
    async fn name(&self) -> String;
}

/// The errors of the tour's methods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TourError {
    /// The error of [`Tour::fail`].
    Intentional,
    /// The callback given to [`Tour::on`] failed, with this message.
    Callback(String),
}

impl fmt::Display for TourError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TourError::Intentional => f.write_str("intentional failure"),
            TourError::Callback(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for TourError {}

/// Returns the limits on a peer of the tour server: messages are short here, and few references are needed.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.connections = 1_000;
    limits.node_bytes = 64 << 20;
    limits.frame_bytes = 1 << 20;
    limits.exports = 2_000;
    limits.imports = 2_000;
    limits.running_calls = 256;
    limits.parked_bytes = 1 << 20;
    limits.call_bytes = 4 << 20;
    limits.kept_bytes = 1 << 20;
    limits.unwritten_bytes_soft = 256 << 10;
    limits.unwritten_bytes_hard = 2 << 20;
    limits
}

/// Returns a reference to a new tour.
pub fn index() -> TourClient {
    TourClient::new(Sights)
}

/// Returns a reference to a new tour with streams.
pub fn index_with_streams() -> StreamTourClient {
    StreamTourClient::new(Sights)
}

struct Sights;

impl Tour for Sights {
    async fn transform(&self, text: &str) -> String {
        transform(text)
    }

    async fn counter(&self) -> CounterClient {
        CounterClient::new(Count::default())
    }

    async fn on(&self, event: &str, callback: Func<fn(String, String)>) -> Result<(), TourError> {
        for _ in 0..3 {
            let answer = callback.call(event.to_owned(), "data".to_owned()).await;
            answer.map_err(|error| TourError::Callback(error.to_string()))?;
        }
        Ok(())
    }

    async fn fail(&self) -> Result<(), TourError> {
        Err(TourError::Intentional)
    }

    async fn authenticate(&self, token: &str) -> UserClient {
        UserClient::new(Account { name: format!("user of {token}") })
    }

    async fn echo(&self, x: Value) -> Value {
        x
    }
}

impl StreamTour for Sights {
    async fn collect(&self, mut stream: Reader<Value>) -> Result<Vec<Value>, Error> {
        let mut chunks = Vec::new();
        while let Some(chunk) = stream.next().await {
            chunks.push(chunk?);
        }
        Ok(chunks)
    }

    async fn numbers(&self, n: u32) -> Reader<u32> {
        Reader::from_iter(0..n)
    }
}

/// Does the work of [`Tour::transform`].
pub fn transform(text: &str) -> String {
    let vowel = |character| "aeiou".contains(character);
    let mut rest = text;
    while let Some(start) = rest.find(vowel) {
        let run = rest[start..].find(|character| !vowel(character)).unwrap_or(rest.len() - start);
        rest = &rest[start + run..];
        if run >= 2 {
            let before = &text[..text.len() - rest.len() - run];
            return format!("{before}oo{rest}").to_uppercase();
        }
    }
    text.to_uppercase()
}

#[derive(Default)]
struct Count(AtomicU32);

impl Counter for Count {
    async fn next(&self) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    async fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

struct Account {
    name: String,
}

impl User for Account {
    async fn profile(&self) -> ProfileClient {
        ProfileClient::new(Account { name: self.name.clone() })
    }
}

impl Profile for Account {
    async fn name(&self) -> String {
        self.name.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::transform;

    #[test]
    fn only_the_first_run_of_vowels_is_replaced() {
        for (text, expected) in [
            ("beep", "BOOP"),
            ("", ""),
            ("hello", "HELLO"),
            ("queue", "QOO"),
            ("beep beep", "BOOP BEEP"),
            ("a e io u", "A E OO U"),
            ("aeiou", "OO"),
            ("BEEP", "BEEP"),
            ("größee", "GRÖSSOO"),
        ] {
            assert_eq!(transform(text), expected, "{text}");
        }
    }
}

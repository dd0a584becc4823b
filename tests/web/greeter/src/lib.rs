//! What the programs of these tests offer each other.

use std::sync::atomic::{AtomicU32, Ordering};

use capnode::{Error, Func, Value};

/// What both sides offer each other.
#[capnode::interface]
pub trait Greeter {
    /// Greets by name.
    async fn hello(&self, name: String) -> Result<String, Error>;

    /// Returns the value.
    async fn echo(&self, value: Value) -> Result<Value, Error>;

    /// Calls back for each number below `to`, and returns the sum of the answers.
    async fn sum(&self, to: u32, each: Func<fn(u32) -> Result<u32, Error>>) -> Result<u32, Error>;

    /// Fails.
    async fn fail(&self) -> Result<(), Error>;

    /// Returns another object of the kind.
    async fn other(&self, greeting: String) -> Result<GreeterClient, Error>;
}

/// A greeter of this program, which counts what was asked of it.
pub struct Here(String);

static GREETED: AtomicU32 = AtomicU32::new(0);

/// Returns how often greeters of this program have greeted.
pub fn greeted() -> u32 {
    GREETED.load(Ordering::Relaxed)
}

impl Here {
    /// Returns one with its word of greeting.
    pub fn new(greeting: &str) -> Self {
        Self(greeting.to_owned())
    }
}

impl Greeter for Here {
    async fn hello(&self, name: String) -> Result<String, Error> {
        GREETED.fetch_add(1, Ordering::Relaxed);
        Ok(format!("{}, {name}", self.0))
    }

    async fn echo(&self, value: Value) -> Result<Value, Error> {
        Ok(value)
    }

    async fn sum(&self, to: u32, each: Func<fn(u32) -> Result<u32, Error>>) -> Result<u32, Error> {
        let mut sum = 0;
        for number in 0..to {
            sum += each.call(number).await?;
        }
        Ok(sum)
    }

    async fn fail(&self) -> Result<(), Error> {
        Err(Error::rejected("not today"))
    }

    async fn other(&self, greeting: String) -> Result<GreeterClient, Error> {
        Ok(GreeterClient::new(Here(greeting)))
    }
}

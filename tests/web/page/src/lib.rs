//! A program in a page or worker, which serves and calls over ports.

use capnode::{Connection, Error, Func, Node, Value, connect_over, web};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::MessagePort;

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

struct Here(String);

impl Greeter for Here {
    async fn hello(&self, name: String) -> Result<String, Error> {
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

/// Serves a port. Returns the reason of the end when the connection has ended.
#[wasm_bindgen]
pub async fn serve(port: MessagePort) -> Result<String, JsValue> {
    let node = Node::new(GreeterClient::new(Here("Hello".to_owned())));
    let connection = node.serve(web::port(port)).await.map_err(thrown)?;
    Ok(connection.closed().await.to_string())
}

/// Calls the greeter behind a port, and returns what it said, a line a call.
#[wasm_bindgen]
pub async fn call(port: MessagePort) -> Result<String, JsValue> {
    talk(web::port(port)).await.map_err(thrown)
}

/// Does the same over a WebSocket.
#[wasm_bindgen]
pub async fn call_socket(url: String) -> Result<String, JsValue> {
    talk(web::socket(&url).await.map_err(thrown)?).await.map_err(thrown)
}

/// Returns the error of a call of a port with a limit of time.
#[wasm_bindgen]
pub async fn call_late(port: MessagePort, milliseconds: u32) -> Result<String, JsValue> {
    let greeter: GreeterClient = connect_over(web::port(port)).await.map_err(thrown)?;
    let late =
        greeter.hello("late".to_owned()).timeout(std::time::Duration::from_millis(milliseconds.into()));
    Ok(late.await.map_or_else(|error| error.to_string(), |answer| answer))
}

async fn talk(channel: web::Channel) -> Result<String, Error> {
    let connection: Connection = connect_over(channel).await?;
    let greeter: GreeterClient = connection.index();
    let hello = greeter.hello("Rust".to_owned()).await?;
    let sum = greeter.sum(4, async |number: u32| Ok(number * 10)).await?;
    let other = greeter.other("Salut".to_owned());
    let pipelined = other.pipeline().hello("pipe".to_owned()).await?;
    let failure = greeter.fail().await.err().map(|error| error.to_string()).unwrap_or_default();
    Ok([hello, sum.to_string(), pipelined, failure].join("\n"))
}

fn thrown(error: Error) -> JsValue {
    JsValue::from_str(&error.to_string())
}

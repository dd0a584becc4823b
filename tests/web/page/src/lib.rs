//! A program in a page or worker, which serves and calls over ports, workers and windows.

use capnode::{Connection, Dialect, Error, Node, Value, web};
use greeter::{GreeterClient, Here};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{DedicatedWorkerGlobalScope, MessagePort, Window, Worker};

/// Returns the transport over a port or worker, or over the scope of this worker.
fn over(port: JsValue) -> web::Channel {
    match port.dyn_into::<MessagePort>() {
        Ok(port) => web::port(port),
        Err(port) => match port.dyn_into::<Worker>() {
            Ok(worker) => web::port(worker),
            Err(scope) => web::port(scope.unchecked_into::<DedicatedWorkerGlobalScope>()),
        },
    }
}

/// Serves a port or worker. Returns the reason of the end when the connection has ended.
#[wasm_bindgen]
pub async fn serve(port: JsValue) -> Result<String, JsValue> {
    listen(over(port)).await.map_err(thrown)
}

/// Serves a window of an origin.
#[wasm_bindgen]
pub async fn serve_window(window: Window, origin: String) -> Result<String, JsValue> {
    listen(web::window(&window, &origin).map_err(thrown)?).await.map_err(thrown)
}

/// Calls the greeter behind a port or worker, which speaks the dialect, and returns what it said, a line a call.
#[wasm_bindgen]
pub async fn call(port: JsValue, dialect: Option<String>) -> Result<String, JsValue> {
    talk(over(port), dialect).await.map_err(thrown)
}

/// Does the same with the document of a window.
#[wasm_bindgen]
pub async fn call_window(window: Window, origin: String, dialect: Option<String>) -> Result<String, JsValue> {
    talk(web::window(&window, &origin).map_err(thrown)?, dialect).await.map_err(thrown)
}

/// Does the same over a WebSocket.
#[wasm_bindgen]
pub async fn call_socket(url: String) -> Result<String, JsValue> {
    talk(web::socket(&url).await.map_err(thrown)?, None).await.map_err(thrown)
}

/// Has the greeter behind a port echo bytes.
#[wasm_bindgen]
pub async fn echo_bytes(port: JsValue, bytes: Vec<u8>) -> Result<Vec<u8>, JsValue> {
    let greeter: GreeterClient = capnode::connect_over(over(port)).await.map_err(thrown)?;
    match greeter.echo(Value::Bytes(bytes.into())).await {
        Ok(Value::Bytes(bytes)) => Ok(bytes.to_vec()),
        Ok(other) => Err(JsValue::from_str(&format!("{other:?} is not bytes"))),
        Err(error) => Err(JsValue::from_str(&error.to_string())),
    }
}

/// Returns the error of a call of a port with a limit of time.
#[wasm_bindgen]
pub async fn call_late(port: JsValue, milliseconds: u32) -> Result<String, JsValue> {
    let greeter: GreeterClient = capnode::connect_over(over(port)).await.map_err(thrown)?;
    let late =
        greeter.hello("late".to_owned()).timeout(std::time::Duration::from_millis(milliseconds.into()));
    Ok(late.await.map_or_else(|error| error.to_string(), |answer| answer))
}

/// Makes calls of a number of bytes at a socket, each once the ones before are written, and returns the answer of one more.
#[wasm_bindgen]
pub async fn flood(url: String, calls: u32, bytes: usize) -> Result<String, JsValue> {
    let channel = web::socket(&url).await.map_err(thrown)?;
    let connection: Connection =
        Node::builder().dialect(Dialect::CapnWeb).build().connect_over(channel).await.map_err(thrown)?;
    let greeter: GreeterClient = connection.index();
    for _ in 0..calls {
        greeter.hello("x".repeat(bytes)).send().map_err(thrown)?;
        connection.flush().await.map_err(thrown)?;
    }
    greeter.hello("flood".to_owned()).await.map_err(|error| JsValue::from_str(&error.to_string()))
}

/// Returns how often greeters of this program have greeted.
#[wasm_bindgen]
pub fn greeted() -> u32 {
    greeter::greeted()
}

async fn listen(channel: web::Channel) -> Result<String, Error> {
    let connection = Node::new(GreeterClient::new(Here::new("Hello"))).serve(channel).await?;
    Ok(connection.closed().await.to_string())
}

async fn talk(channel: web::Channel, dialect: Option<String>) -> Result<String, Error> {
    let dialect: Dialect = dialect.as_deref().unwrap_or("capnweb").parse()?;
    let connection: Connection = Node::builder().dialect(dialect).build().connect_over(channel).await?;
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

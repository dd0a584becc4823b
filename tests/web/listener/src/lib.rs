//! A program whose objects have values of JavaScript and of one thread, and keep them while they wait.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use capnode::{CallError, CallInfo, Cap, Connection, Error, Func, Node, Policy, Reader};
use js_sys::{Function, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::MessagePort;

/// Hands lines on to JavaScript.
#[capnode::interface]
trait Listener {
    /// Returns what a function of JavaScript makes of a line, when its promise is kept.
    async fn hear(&self, line: String) -> Result<String, Error>;

    /// Returns all lines so far.
    async fn heard(&self) -> Reader<String>;

    /// Returns a function that tells the number of lines so far.
    async fn counter(&self) -> Func<fn() -> u32>;
}

// What the library has can be sent here too.
const _: () = {
    const fn can_be_sent<T: Send + Sync>() {}
    can_be_sent::<(Error, CallError<String>, Cap, Func<fn()>, Connection, Node, ListenerClient)>();
};

struct Ear {
    function: Function,
    heard: Rc<RefCell<Vec<String>>>,
}

impl Listener for Ear {
    async fn hear(&self, line: String) -> Result<String, Error> {
        let (heard, value) = (self.heard.clone(), JsValue::from_str(&line));
        let failed = |_| Error::rejected("the function has thrown");
        let promise = self.function.call1(&JsValue::NULL, &value).map_err(failed)?;
        let made = JsFuture::from(promise.unchecked_into::<Promise>()).await.map_err(failed)?;
        heard.borrow_mut().extend(value.as_string());
        made.as_string().ok_or_else(|| Error::rejected("the function makes no text"))
    }

    async fn heard(&self) -> Reader<String> {
        let (heard, mut next) = (self.heard.clone(), 0);
        Reader::from_iter(std::iter::from_fn(move || {
            next += 1;
            heard.borrow().get(next - 1).cloned()
        }))
    }

    async fn counter(&self) -> Func<fn() -> u32> {
        let heard = self.heard.clone();
        Func::new(move || {
            let heard = heard.clone();
            async move {
                JsFuture::from(Promise::resolve(&JsValue::NULL))
                    .await
                    .map_or(0, |_| heard.borrow().len() as u32)
            }
        })
    }
}

/// Notes the names of the methods that are called.
struct Noted(Rc<RefCell<Vec<String>>>);

impl Policy for Noted {
    fn after(&self, call: &CallInfo, _: Result<(), &Error>, _: std::time::Duration) {
        self.0.borrow_mut().push(call.path());
    }
}

/// Serves a port with an object that calls a function. Returns the names of the methods that were called, how often the end
/// was told, and how many hold the lines after it.
#[wasm_bindgen]
pub async fn serve(port: MessagePort, function: Function) -> Result<String, JsValue> {
    let (called, heard, ended) = (Rc::new(RefCell::new(Vec::new())), Rc::default(), Rc::new(Cell::new(0)));
    let ear = Ear { function, heard: Rc::clone(&heard) };
    let node = Node::builder()
        .layer(Noted(called.clone()))
        .authorize(move |_| {
            let ear = Ear { function: ear.function.clone(), heard: ear.heard.clone() };
            async move {
                let waited = JsFuture::from(Promise::resolve(&ear.function)).await;
                waited.map(|_| ListenerClient::new(ear)).map_err(|_| "no function")
            }
        })
        .build();
    let connection = node.serve(capnode::web::port(port)).await.map_err(thrown)?;
    let noted = ended.clone();
    let guard = connection.index::<Cap>().on_broken(move |_| noted.set(noted.get() + 1));
    connection.closed().await;
    drop((guard, connection, node));
    Ok(format!("{} {} {}", called.borrow().join(" "), ended.get(), Rc::strong_count(&heard)))
}

fn thrown(error: Error) -> JsValue {
    JsValue::from_str(&error.to_string())
}

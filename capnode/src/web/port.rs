//! Message ports, workers and windows: all that posts messages and hears them.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::StreamExt as _;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, EventTarget, MessageEvent, MessagePort, Url, Window, Worker};

use super::channel::{Arrivals, Channel, Departures, channel, within};
use super::clone::{to_text, to_value};
use crate::error::{Error, ErrorKind, Fate};
use crate::limits::Limits;
use crate::transport::ReceiveError;

/// An end of a line of messages: a `MessagePort`, a `Worker`, or, in a worker, its `DedicatedWorkerGlobalScope`.
pub trait Port: Clone + Into<EventTarget> + 'static {
    /// Posts a message.
    ///
    /// # Errors
    ///
    /// An exception of the `postMessage` of the port.
    fn post(&self, message: &JsValue) -> Result<(), JsValue>;

    /// Lets messages arrive that the port held back until somebody listens.
    fn start(&self) {}

    /// Ends the port with its connection.
    fn close(&self) {}
}

impl Port for MessagePort {
    fn post(&self, message: &JsValue) -> Result<(), JsValue> {
        self.post_message(message)
    }

    fn start(&self) {
        MessagePort::start(self);
    }

    fn close(&self) {
        MessagePort::close(self);
    }
}

impl Port for Worker {
    fn post(&self, message: &JsValue) -> Result<(), JsValue> {
        self.post_message(message)
    }
}

impl Port for DedicatedWorkerGlobalScope {
    fn post(&self, message: &JsValue) -> Result<(), JsValue> {
        self.post_message(message)
    }
}

/// Carries frames over a message port, or between a page and a worker. The peer is npm's `capnweb` on its
/// `newMessagePortRpcSession`, npm's `q-connection`, or this library.
///
/// A frame of Cap'n Web is a value that the port clones, and `null` is the end, as with `capnweb`. One of the other dialects
/// is a string. A peer that sends strings gets strings. A message of more than [`frame_bytes`](Limits::frame_bytes) of the
/// default limits ends the connection, and so does an integer of more than their [`bigint_chars`](Limits::bigint_chars), a
/// value that contains itself, or one of a class that no message has. Bytes arrive as an `Uint8Array`, and leave as
/// `["bytes", ".."]` in base64, which `capnweb` reads on a port too.
///
/// The end of the connection closes a message port, and lets a worker run.
///
/// ```no_run
/// # async fn example(port: web_sys::MessagePort) -> Result<(), capnode::Error> {
/// let peer: capnode::Cap = capnode::connect_over(capnode::web::port(port)).await?;
/// # Ok(())
/// # }
/// ```
pub fn port(port: impl Port) -> Channel {
    let place = {
        let (post, start, close) = (port.clone(), port.clone(), port.clone());
        Place {
            hears: port.into(),
            is_from_peer: Box::new(|_| true),
            post: Box::new(move |message| post.post(message)),
            start: Box::new(move || start.start()),
            close: Box::new(move || close.close()),
        }
    };
    place.carried()
}

/// Carries frames between this window and `other`: the content of a frame, the parent of this one, or a window that this
/// one has opened. Messages go to documents of `origin` alone, such as `https://example.org`, and only those of that
/// origin and that window are heard. There is one connection at a time between two windows.
///
/// The other document has to be there: a message to a frame that is still loading is lost. So let the document that is
/// loaded last be the one that connects.
///
/// # Errors
///
/// [`ErrorKind::Connect`] if `origin` is none, such as `*`, or there is no window here, as in a worker.
pub fn window(other: &Window, origin: &str) -> Result<Channel, Error> {
    let failed = |why: String| Error::new(ErrorKind::Connect, why).with_fate(Fate::NotSent);
    if !Url::new(origin).is_ok_and(|url| url.origin() == origin) {
        return Err(failed(format!(
            "'{origin}' is no origin: write scheme, host and port, such as https://example.org"
        )));
    }
    let here: Window = js_sys::global()
        .dyn_into()
        .map_err(|_| failed("there is no window here, but a worker".to_owned()))?;
    let (from, to, ours, theirs) = (other.clone(), other.clone(), origin.to_owned(), origin.to_owned());
    let place = Place {
        hears: here.into(),
        is_from_peer: Box::new(move |event| {
            event.origin() == ours && event.source().is_some_and(|source| source == *from.as_ref())
        }),
        post: Box::new(move |message| to.post_message(message, &theirs)),
        start: Box::new(|| ()),
        close: Box::new(|| ()),
    };
    Ok(place.carried())
}

type Post = Box<dyn Fn(&JsValue) -> Result<(), JsValue>>;

/// Where messages go, and where those of the peer arrive.
struct Place {
    hears: EventTarget,
    /// A window hears more than its peer.
    is_from_peer: Box<dyn Fn(&MessageEvent) -> bool>,
    post: Post,
    start: Box<dyn FnOnce()>,
    close: Box<dyn FnOnce()>,
}

impl Place {
    /// Returns the transport. It listens before the event loop goes on.
    fn carried(self) -> Channel {
        let (channel, arrivals, departures) = channel();
        spawn_local(self.carry(arrivals, departures));
        channel
    }

    /// Moves messages until either side ends.
    async fn carry(self, arrivals: Arrivals, mut departures: Departures) {
        let Place { hears, is_from_peer, post, start, close } = self;
        let is_from_peer: Rc<dyn Fn(&MessageEvent) -> bool> = is_from_peer.into();
        let hears_strings = Rc::new(Cell::new(false));
        let on_message = {
            let (arrivals, hears_strings) = (arrivals.clone(), hears_strings.clone());
            let is_from_peer = is_from_peer.clone();
            Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                if !is_from_peer(&event) {
                    return;
                }
                let value = event.data();
                if value.is_null() {
                    arrivals.close_channel();
                    return;
                }
                hears_strings.set(value.is_string());
                let limit = Limits::default().frame_bytes;
                let text = value.dyn_ref().map_or_else(|| to_text(&value, limit), |text| within(text, limit));
                // If this fails, the connection has ended.
                let _unwanted = arrivals.unbounded_send(text);
            })
        };
        let on_error = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            if !is_from_peer(&event) {
                return;
            }
            let error = ReceiveError::Invalid("the message could not be cloned here".to_owned());
            let _unwanted = arrivals.unbounded_send(Err(error));
        });
        let listeners = [
            ("message", on_message.as_ref().unchecked_ref()),
            ("messageerror", on_error.as_ref().unchecked_ref()),
        ];
        for (event, listener) in listeners {
            let _always = hears.add_event_listener_with_callback(event, listener);
        }
        start();
        let post_text = |text: &String| {
            // Only a frame of Cap'n Web is an array.
            let as_string = hears_strings.get() || !text.starts_with('[');
            let message = if as_string { Ok(JsValue::from_str(text)) } else { to_value(text) };
            message.and_then(|message| post(&message)).is_ok()
        };
        // A port does not tell how much waits in it.
        while let Some(batch) = departures.batches.next().await {
            if !batch.iter().all(post_text) {
                break;
            }
        }
        // A port that is closed already says nothing.
        let _closed = post(&JsValue::NULL);
        for (event, listener) in listeners {
            let _always = hears.remove_event_listener_with_callback(event, listener);
        }
        close();
    }
}

//! Message ports.

use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt as _;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::spawn_local;
use web_sys::{MessageEvent, MessagePort};

use super::channel::{Arrivals, Channel, Message, channel};
use super::clone::{to_text, to_value};
use crate::limits::Limits;
use crate::transport::ReceiveError;

/// Carries frames over a message port: one of a `MessageChannel`, whose other end is a worker's, a frame's or another
/// page's. The peer is npm's `capnweb` on its `newMessagePortRpcSession`, or this library.
///
/// A frame is a value that the port clones, and `null` is the end, as with `capnweb`. A message of more than
/// [`frame_bytes`](Limits::frame_bytes) of the default limits ends the connection.
///
/// ```no_run
/// # async fn example(port: web_sys::MessagePort) -> Result<(), capnode::Error> {
/// let peer: capnode::Cap = capnode::connect_over(capnode::web::port(port)).await?;
/// # Ok(())
/// # }
/// ```
pub fn port(port: MessagePort) -> Channel {
    let (channel, arrivals, departures) = channel();
    spawn_local(carry(port, arrivals, departures));
    channel
}

/// Moves messages until either side ends.
async fn carry(port: MessagePort, arrivals: Arrivals, mut departures: UnboundedReceiver<Message>) {
    let limit = Limits::default().frame_bytes;
    let on_message = {
        let arrivals = arrivals.clone();
        Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let value = event.data();
            if value.is_null() {
                arrivals.close_channel();
            } else {
                // If this fails, the connection has ended.
                let _unwanted = arrivals.unbounded_send(to_text(&value, limit));
            }
        })
    };
    let on_error = Closure::<dyn FnMut()>::new(move || {
        let error = ReceiveError::Invalid("the message could not be cloned here".to_owned());
        let _unwanted = arrivals.unbounded_send(Err(error));
    });
    port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    port.set_onmessageerror(Some(on_error.as_ref().unchecked_ref()));
    port.start();
    while let Some(Message::Frame(text)) = departures.next().await {
        if to_value(&text).and_then(|value| port.post_message(&value)).is_err() {
            break;
        }
    }
    // A port that is closed already says nothing.
    let _closed = port.post_message(&JsValue::NULL);
    port.set_onmessage(None);
    port.set_onmessageerror(None);
    port.close();
}

//! WebSockets of the browser.

use futures_channel::mpsc::UnboundedReceiver;
use futures_channel::oneshot;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::{CloseEvent, MessageEvent, WebSocket};

use super::channel::{Arrivals, Channel, Message, channel, within};
use crate::connection::FromConnection;
use crate::error::{Error, ErrorKind, Fate};
use crate::limits::Limits;
use crate::node::connect_over;
use crate::transport::{FAILED, NORMAL, ReceiveError, close_reason};

/// Connects to a `ws://` or `wss://` address by the browser's WebSocket. The result is a client for the peer's index, a
/// [`Cap`](crate::Cap), or the [`Connection`](crate::Connection). For a node with an index of its own, or other options, see
/// [`socket`].
///
/// ```no_run
/// # async fn example() -> Result<(), capnode::Error> {
/// let peer: capnode::Cap = capnode::web::connect("wss://example.org/api").await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// [`ErrorKind::Connect`] if it is no address, or nothing answers there, or no WebSocket. A browser does not say which.
pub async fn connect<C: FromConnection>(url: &str) -> Result<C, Error> {
    connect_over(socket(url).await?).await
}

/// Opens a WebSocket of the browser, to carry the frames of a connection.
///
/// # Errors
///
/// Those of [`connect`].
pub async fn socket(url: &str) -> Result<Channel, Error> {
    let failed = |why: &str| {
        let message = format!("no connection to {url}: {why}");
        Error::new(ErrorKind::Connect, message).with_fate(Fate::NotSent)
    };
    let socket = WebSocket::new(url).map_err(|_| failed("it is no address of a WebSocket"))?;
    let (channel, arrivals, departures) = channel();
    let (opened, is_open) = oneshot::channel();
    spawn_local(carry(socket, arrivals, departures, opened));
    is_open.await.map_err(|_| failed("nothing answers, or no WebSocket is served there"))?;
    Ok(channel)
}

/// Moves messages until either side ends.
async fn carry(
    socket: WebSocket,
    arrivals: Arrivals,
    mut departures: UnboundedReceiver<Message>,
    opened: oneshot::Sender<()>,
) {
    let limit = Limits::default().frame_bytes;
    let on_open = Closure::once(move || opened.send(()).unwrap_or_default());
    let on_message = {
        let arrivals = arrivals.clone();
        Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let invalid = || ReceiveError::Invalid("a frame is text, and this message is not".to_owned());
            let frame = event.data().dyn_ref().ok_or_else(invalid).and_then(|frame| within(frame, limit));
            // If this fails, the connection has ended.
            let _unwanted = arrivals.unbounded_send(frame);
        })
    };
    let (closed, mut is_closed) = oneshot::channel::<()>();
    let on_close = Closure::once(move |event: CloseEvent| {
        if event.code() != NORMAL && !event.reason().is_empty() {
            let _unwanted = arrivals.unbounded_send(Err(ReceiveError::Closed(event.reason())));
        }
        arrivals.close_channel();
        drop(closed);
    });
    // An error is followed by the end. Where nobody listens, Node's `ws` throws it.
    let on_error = Closure::<dyn FnMut()>::new(|| ());
    socket.set_onerror(Some(on_error.as_ref().unchecked_ref()));
    socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
    socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
    let mut reason = None;
    while let Either::Left((Some(message), _)) = select(departures.next(), &mut is_closed).await {
        match message {
            Message::Frame(text) if socket.send_with_str(&text).is_ok() => {}
            Message::Frame(_) => break,
            Message::Close(why) => {
                reason = why;
                break;
            }
        }
    }
    let code = if reason.is_some() { FAILED } else { NORMAL };
    // One that is closed already says nothing.
    let _closed =
        socket.close_with_code_and_reason(code, &close_reason(reason.as_deref().unwrap_or_default()));
    // Until the end is there, what the browser has read is for nobody.
    let _end = is_closed.await;
    let nothing: Option<&js_sys::Function> = None;
    socket.set_onopen(nothing);
    socket.set_onmessage(nothing);
    socket.set_onclose(nothing);
    socket.set_onerror(nothing);
}

//! WebSockets of the browser.

use std::time::Duration;

use futures_channel::oneshot;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::{CloseEvent, MessageEvent, WebSocket};

use super::channel::{Arrivals, Channel, Departures, channel, within};
use crate::connection::FromConnection;
use crate::error::{Error, ErrorKind, Fate};
use crate::limits::Limits;
use crate::node::connect_over;
use crate::runtime;
use crate::transport::{FAILED, NORMAL, ReceiveError, close_reason};

/// The bytes that a browser may hold for the network. While there are more, the connection sends nothing.
const HELD: u32 = 1 << 20;

/// The time between two looks at how many bytes the browser holds. No event tells it.
const LOOK: Duration = Duration::from_millis(10);

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
/// The browser takes all that is sent to it, so the transport looks at how many bytes it holds. Above 1 MiB the connection
/// waits, as one of TCP does, and a timer looks again. In the other direction a browser reads always: what arrives is held
/// until the connection takes it.
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
async fn carry(socket: WebSocket, arrivals: Arrivals, departures: Departures, opened: oneshot::Sender<()>) {
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
    let reason = send(&socket, departures, &mut is_closed).await;
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

/// Gives the socket what departs, until either side ends. Returns the reason of this side's failure.
async fn send(
    socket: &WebSocket,
    departures: Departures,
    is_closed: &mut oneshot::Receiver<()>,
) -> Option<String> {
    let Departures { mut batches, mut end } = departures;
    while let Either::Left((Some(batch), _)) = select(batches.next(), &mut *is_closed).await {
        if batch.iter().any(|text| socket.send_with_str(text).is_err()) {
            break;
        }
        while socket.buffered_amount() > HELD {
            let ended = select(&mut end, &mut *is_closed);
            match select(runtime::wait(LOOK), ended).await {
                Either::Left(_) => {}
                // The rest is one batch. A browser tries to send what it holds before it closes.
                Either::Right((Either::Left((reason, _)), _)) => {
                    let rest = batches.next().await.unwrap_or_default();
                    let _sent = rest.iter().all(|text| socket.send_with_str(text).is_ok());
                    return reason.unwrap_or_default();
                }
                Either::Right((Either::Right(_), _)) => return None,
            }
        }
    }
    end.try_recv().ok().flatten().flatten()
}

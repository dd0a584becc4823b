//! WebSockets, by tungstenite.

use std::io;

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Utf8Bytes};

use super::address::Io;
use super::messages::{FAILED, Message, Messages, Received, cut, messages};
use super::metered::Metered;
use crate::origin::Origins;

/// Frames over a WebSocket: see [`web_socket`].
pub type WebSocket<S> = Messages<WebSocketStream<S>, tungstenite::Message>;

/// One of a node's.
pub(crate) type Socket = WebSocket<Metered<Box<dyn Io>>>;

/// Carries frames over a WebSocket whose handshake is done, a text message a frame.
pub fn web_socket<S>(socket: WebSocketStream<S>) -> WebSocket<S>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    messages(socket)
}

impl Message for tungstenite::Message {
    type Text = Utf8Bytes;

    fn from_frame(frame: &str) -> Self {
        tungstenite::Message::text(frame)
    }

    fn closing(reason: Option<&str>) -> Option<Self> {
        let frame = match reason {
            None => CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::default() },
            Some(reason) => CloseFrame { code: CloseCode::from(FAILED), reason: cut(reason).into() },
        };
        Some(tungstenite::Message::Close(Some(frame)))
    }

    fn ping() -> Option<Self> {
        Some(tungstenite::Message::Ping(Default::default()))
    }

    fn receive(self) -> Received<Utf8Bytes> {
        match self {
            tungstenite::Message::Text(text) => Received::Frame(text),
            tungstenite::Message::Binary(_) => Received::Bad("a binary message, where messages are text"),
            tungstenite::Message::Close(frame) => Received::Close(
                frame
                    .filter(|frame| frame.code != CloseCode::Normal)
                    .map(|frame| format!("{} {}", u16::from(frame.code), frame.reason)),
            ),
            _ => Received::Other,
        }
    }

    fn is_fault(error: &(dyn std::error::Error + 'static)) -> bool {
        let error = error.downcast_ref();
        matches!(error, Some(tungstenite::Error::Capacity(_) | tungstenite::Error::Utf8(_)))
    }
}

fn config(frame_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(frame_bytes)).max_frame_size(Some(frame_bytes))
}

/// Does the handshake of the connecting side. A server that answers, but opens no WebSocket, is a
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied).
pub(crate) async fn connect(
    stream: Box<dyn Io>,
    host: &str,
    path: &str,
    headers: &[(String, String)],
    frame_bytes: usize,
) -> io::Result<Socket> {
    let mut request = http::Request::builder()
        .uri(format!("ws://{host}{path}"))
        .header("Host", host)
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request.body(()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let (stream, meter) = Metered::new(stream);
    let shaken =
        tokio_tungstenite::client_async_with_config(request, stream, Some(config(frame_bytes))).await;
    match shaken {
        Ok((socket, _)) => Ok(web_socket(socket).with_meter(meter)),
        Err(tungstenite::Error::Http(response)) => {
            let message = format!("the server answered {}", response.status());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Does the handshake of the accepting side, and refuses a page of a foreign origin. The headers of
/// the request.
// The response is what the handshake's callback has to return, however large.
#[allow(clippy::result_large_err)]
pub(crate) async fn accept(
    stream: Box<dyn Io>,
    origins: &Origins,
    frame_bytes: usize,
) -> io::Result<(Socket, Vec<(String, String)>)> {
    let mut headers = Vec::new();
    let look = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        headers.extend(request.headers().iter().map(|(name, value)| (name.to_string(), text(value))));
        let find = |name| request.headers().get(name).map(text);
        if origins.allow(find("origin").as_deref(), find("host").as_deref()) {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(Some("this origin is not allowed".to_owned()));
        *refusal.status_mut() = http::StatusCode::FORBIDDEN;
        Err(refusal)
    };
    let (stream, meter) = Metered::new(stream);
    let shaken =
        tokio_tungstenite::accept_hdr_async_with_config(stream, look, Some(config(frame_bytes))).await;
    let socket = shaken.map_err(io::Error::other)?;
    Ok((web_socket(socket).with_meter(meter), headers))
}

//! WebSockets. tungstenite does the handshakes; [`frames`](super::frames) reads and writes the rest.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response, create_response, write_response};
use tokio_tungstenite::tungstenite::http::{self, header::SEC_WEBSOCKET_PROTOCOL};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Utf8Bytes};

use super::address::Io;
use super::frames::{Frames, INVALID, PROTOCOL, Role, TOO_LONG as TOO_LONG_CODE};
use super::messages::{FrameMessage, Messages, Received, close_reason, messages};
use super::{Closing, ReceiveError};
use crate::upgrade::{Door, NO_UPGRADE, Refusal, WRONG_METHOD, WRONG_VERSION, check_path};

/// Frames over a WebSocket: see [`web_socket`].
pub type WebSocket<S> = Messages<WebSocketStream<S>, tungstenite::Message>;

/// A socket of a node.
pub(crate) type Socket = Frames<Box<dyn Io>>;

/// Carries frames over a WebSocket whose handshake is done, a text message a frame. It is for a socket of your own, or
/// a wrapper of one. Listeners and [`connect`](crate::connect) do not need it.
///
/// tungstenite reads the messages, with its limits and in its memory: it reserves the length that a frame announces,
/// and keeps the buffer of the largest one. Neither counts for [`Limits::node_bytes`](crate::Limits::node_bytes). So
/// set the limits in its configuration, and use the listeners of a [`Node`](crate::Node) for untrusted peers.
pub fn web_socket<S>(socket: WebSocketStream<S>) -> WebSocket<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    messages(socket)
}

impl FrameMessage for tungstenite::Message {
    type Text = Utf8Bytes;

    fn from_frame(frame: &str) -> Self {
        tungstenite::Message::text(frame)
    }

    fn closing(closing: Closing<'_>) -> Option<Self> {
        Self::failing(closing.code(), closing.reason().unwrap_or_default())
    }

    fn failing(code: u16, reason: &str) -> Option<Self> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: close_reason(reason).into() };
        Some(tungstenite::Message::Close(Some(frame)))
    }

    fn ping() -> Option<Self> {
        Some(tungstenite::Message::Ping(Default::default()))
    }

    fn receive(self) -> Received<Utf8Bytes> {
        match self {
            tungstenite::Message::Text(text) => Received::Frame(text),
            tungstenite::Message::Binary(_) => {
                Received::Failed(ReceiveError::Invalid("a binary message: send text instead".to_owned()))
            }
            tungstenite::Message::Close(frame) => Received::Close(
                frame
                    .filter(|frame| frame.code != CloseCode::Normal)
                    .map(|frame| format!("{} {}", u16::from(frame.code), frame.reason)),
            ),
            _ => Received::Other,
        }
    }

    fn classify(error: Box<dyn std::error::Error + Send + Sync>) -> (ReceiveError, Option<u16>) {
        let (of, code): (fn(String) -> ReceiveError, _) = match error.downcast_ref() {
            Some(tungstenite::Error::Capacity(_)) => (ReceiveError::TooLong, TOO_LONG_CODE),
            Some(tungstenite::Error::Utf8(_)) => (ReceiveError::Invalid, INVALID),
            Some(tungstenite::Error::Protocol(_)) => (ReceiveError::Invalid, PROTOCOL),
            _ => return (io::Error::other(error).into(), None),
        };
        (of(error.to_string()), Some(code))
    }
}

/// A stream of which no more is read than the head of an HTTP response.
struct Head<S> {
    stream: S,
    /// The length of the seen part of a head's end.
    seen: usize,
    /// The bytes that have come behind it.
    rest: Vec<u8>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Head<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        const END: &[u8] = b"\r\n\r\n";
        if self.seen == END.len() {
            return Poll::Ready(Ok(()));
        }
        let mut room = [0; 4 << 10];
        let most = to.remaining().min(room.len());
        let mut read = ReadBuf::new(&mut room[..most]);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
        let read = read.filled();
        for (at, byte) in read.iter().enumerate() {
            self.seen = match *byte {
                byte if byte == END[self.seen] => self.seen + 1,
                b'\r' => 1,
                _ => 0,
            };
            if self.seen == END.len() {
                to.put_slice(&read[..=at]);
                self.rest = read[at + 1..].to_vec();
                return Poll::Ready(Ok(()));
            }
        }
        to.put_slice(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Head<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
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
    // Nothing of the session is read by it.
    let config = WebSocketConfig::default().read_buffer_size(1 << 10);
    let head = Head { stream, seen: 0, rest: Vec::new() };
    match tokio_tungstenite::client_async_with_config(request, head, Some(config)).await {
        Ok((socket, _)) => {
            let Head { stream, rest, .. } = socket.into_inner();
            Ok(Frames::new(stream, Role::Client, frame_bytes, rest))
        }
        Err(tungstenite::Error::Http(response)) => {
            let message = format!("the server answered {}", response.status());
            Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

/// Bytes that the head of a request may have.
const HEAD: usize = 16 << 10;

/// Bytes that are read from a peer that has been refused, so that it gets the answer before the end.
const UNREAD: usize = 64 << 10;

/// The head of a request that has opened a WebSocket.
pub(crate) struct Opened {
    /// The path and query.
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) subprotocol: Option<String>,
    /// The bytes that have come behind it.
    pub(crate) rest: Vec<u8>,
}

/// Does the handshake of the accepting side. Returns the stream and the head of the request. A request that opens no
/// WebSocket at `path`, or that `door` refuses, is answered in HTTP, and is a
/// [`PermissionDenied`](io::ErrorKind::PermissionDenied).
pub(crate) async fn accept(
    mut stream: Box<dyn Io>,
    door: &Door<'_>,
    path: &str,
) -> io::Result<(Box<dyn Io>, Opened)> {
    let mut head = Vec::with_capacity(1 << 10);
    let length = match read_head(&mut stream, &mut head).await? {
        Some(length) => length,
        None if head.len() > HEAD => return refuse(stream, &head, TOO_LONG).await,
        None => return refuse(stream, &head, NO_HTTP).await,
    };
    let (request, response) = match answer(&head[..length], door, path) {
        Ok(answer) => answer,
        Err(refusal) => return refuse(stream, &head, refusal).await,
    };
    let mut written = Vec::new();
    write_response(&mut written, &response).map_err(io::Error::other)?;
    stream.write_all(&written).await?;
    stream.flush().await?;
    let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
    let uri = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let (headers, subprotocol) = (headers.collect(), chosen(&response));
    Ok((stream, Opened { uri, headers, subprotocol, rest: head.split_off(length) }))
}

const TOO_LONG: Refusal = Refusal { status: 431, words: "The request is too long.\n", headers: &[] };

pub(crate) const NO_HTTP: Refusal =
    Refusal { status: 400, words: "This is no request for a WebSocket.\n", headers: &[] };

/// Reads until the head of a request is there, and returns its length; `None` if there is no such head.
async fn read_head(stream: &mut (impl AsyncRead + Unpin), head: &mut Vec<u8>) -> io::Result<Option<usize>> {
    loop {
        let searched = head.len().saturating_sub(3);
        if stream.read_buf(head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Such as the greeting of TLS.
        if head.first().is_none_or(|first| !first.is_ascii_uppercase()) {
            return Ok(None);
        }
        let end = memchr::memmem::find(&head[searched..], b"\r\n\r\n").map(|at| searched + at + 4);
        match end {
            Some(end) if end <= HEAD => return Ok(Some(end)),
            None if head.len() <= HEAD => {}
            _ => return Ok(None),
        }
    }
}

/// Returns the request that a head is, and the response that opens a WebSocket.
pub(crate) fn answer(head: &[u8], door: &Door<'_>, path: &str) -> Result<(Request, Response), Refusal> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| NO_HTTP)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(NO_HTTP);
    };
    if !version.starts_with("HTTP/") {
        return Err(NO_HTTP);
    }
    let target: http::Uri = target.parse().map_err(|_| NO_HTTP)?;
    check_path(path, target.path())?;
    if method != "GET" {
        return Err(WRONG_METHOD);
    }
    let (_, request) = match Request::try_parse(head) {
        Ok(Some(request)) => request,
        Err(tungstenite::Error::Protocol(ProtocolError::WrongHttpVersion)) => return Err(NO_UPGRADE),
        Ok(None) | Err(_) => return Err(NO_HTTP),
    };
    let find = |name| request.headers().get(name).map(text);
    door.check_page(find("host").as_deref(), find("origin").as_deref())?;
    let response = opening(&request, door.subprotocols)?;
    Ok((request, response))
}

/// Returns the response that opens a WebSocket, if the request asks for one. It names the first of `subprotocols` that the
/// request offers.
pub(crate) fn opening(request: &Request, subprotocols: &[String]) -> Result<Response, Refusal> {
    let mut response = create_response(request).map_err(|error| match error {
        tungstenite::Error::Protocol(
            ProtocolError::MissingConnectionUpgradeHeader | ProtocolError::MissingUpgradeWebSocketHeader,
        ) => NO_UPGRADE,
        tungstenite::Error::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => WRONG_VERSION,
        _ => NO_HTTP,
    })?;
    let lists = request.headers().get_all(SEC_WEBSOCKET_PROTOCOL);
    let offers =
        |name: &str| lists.iter().any(|list| text(list).split(',').any(|other| other.trim() == name));
    let chosen = subprotocols.iter().find(|name| offers(name));
    if let Some(name) = chosen.and_then(|name| http::HeaderValue::from_str(name).ok()) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok(response)
}

/// Returns the subprotocol that a response names.
pub(crate) fn chosen(response: &Response) -> Option<String> {
    response.headers().get(SEC_WEBSOCKET_PROTOCOL).map(text)
}

fn text(value: &http::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Answers a request that opens no WebSocket, and ends the stream.
async fn refuse<T>(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    head: &[u8],
    refusal: Refusal,
) -> io::Result<T> {
    let Refusal { status, words, headers } = refusal;
    let reason = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let mut answer = format!("HTTP/1.1 {status} {}\r\n", reason.unwrap_or_default());
    for (name, value) in headers {
        answer += &format!("{name}: {value}\r\n");
    }
    answer +=
        &format!("Connection: close\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", words.len());
    if !head.starts_with(b"HEAD ") {
        answer += words;
    }
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // If a socket is closed with unread input, the system takes back the last writes.
    let mut unread = (&mut stream).take(UNREAD as u64);
    tokio::io::copy(&mut unread, &mut tokio::io::sink()).await?;
    Err(io::Error::new(io::ErrorKind::PermissionDenied, words.trim_end()))
}

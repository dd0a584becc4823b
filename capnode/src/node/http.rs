//! HTTP requests to a node: those that open a WebSocket, batches, and the answers to the others.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_channel::oneshot;
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};

use super::{HANDSHAKE, Node};
use crate::caller::PeerInfo;
use crate::connection::Connection;
use crate::error::{Error, ErrorKind, Fault};
use crate::link::{Link, LinkConfig};
use crate::remote::Remote;
use crate::runtime::start;
use crate::session::Side;
use crate::transport::address::Io;
use crate::transport::batch::{Batch, Sent};
use crate::transport::frames::{Frames, Role};
use crate::transport::streams::Handshake;
use crate::transport::ws;
use crate::upgrade::{Door, NEITHER, NO_ANSWER, NO_UPGRADE, Refusal, TOO_MUCH, check_path};

/// The facts about the sender of a request that are not in the request.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) address: Option<SocketAddr>,
    pub(crate) remote: Remote,
    /// `true` if the request came by TLS, if that is known.
    pub(crate) tls: Option<bool>,
    /// Certificates, DER.
    pub(crate) certificates: Vec<Vec<u8>>,
}

/// Answers a request. Nothing of it runs before the page that sent it is known to be allowed.
///
/// # Cancel safety
///
/// Dropping the future says that the peer has gone, which cancels the calls of its batch.
pub(crate) async fn answer<B>(node: Node, request: Request<B>, sender: Sender) -> Response<Sent>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: fmt::Display,
{
    let origins = &node.settings.origins;
    let origin = request.headers().get(header::ORIGIN).cloned();
    let door =
        Door { origins, subprotocols: &node.settings.subprotocols, tls: sender.tls, peer: sender.address };
    let host = text_of(request.headers(), header::HOST);
    // In HTTP/2 the host stands in the URI.
    let host = host.or_else(|| request.uri().authority().map(ToString::to_string));
    let page = origin.as_ref().map(text);
    if let Err(refusal) = door.check_page(host.as_deref(), page.as_deref()) {
        return refuse(refusal);
    }
    let listed = origin.filter(|_| page.is_some_and(|page| origins.lists(&page)));
    let mut answer = match *request.method() {
        Method::GET => upgrade(node, request, sender),
        Method::POST => batch(node, request, sender).await,
        Method::OPTIONS if listed.is_some() => preflight(request.headers()),
        _ => refuse(NEITHER),
    };
    if let Some(origin) = listed {
        answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.headers_mut().append(header::VARY, HeaderValue::from_name(header::ORIGIN));
    }
    answer
}

/// Bytes that the head of a request may have.
const HEAD: usize = 16 << 10;

/// Answers the requests at `path` that come over a stream, one after the other. While there is none, the stream counts
/// as one in a `handshake`.
pub(super) async fn serve(
    node: &Node,
    stream: Box<dyn Io>,
    sender: &Sender,
    path: &str,
    handshake: &Handshake,
) {
    let service = service_fn(|request: Request<Incoming>| async {
        let _busy = handshake.pause();
        Ok::<_, Infallible>(match check_path(path, request.uri().path()) {
            Ok(()) => answer(node.clone(), request, sender.clone()).await,
            Err(refusal) => refuse(refusal),
        })
    });
    let mut server = http1::Builder::new();
    // A stream on which no request comes is closed as well.
    server.timer(TokioTimer::new()).header_read_timeout(HANDSHAKE).max_buf_size(HEAD);
    let mut serving = pin!(server.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let mut closing = node.shared.closing();
    tokio::select! {
        // The peer has been told of an error as far as possible.
        _ended = serving.as_mut() => return,
        // The sender is the node's, which is here.
        _ = closing.wait_for(|closing| *closing) => {}
    }
    serving.as_mut().graceful_shutdown();
    let _failed = serving.await;
}

/// Returns the answer that a refusal is.
fn refuse(refusal: Refusal) -> Response<Sent> {
    crate::events::refused(&refusal.words);
    let mut answer = Response::new(Sent::words(refusal.words));
    *answer.status_mut() = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    for (name, value) in refusal.headers {
        answer.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    answer
}

/// Lets a page of another origin send a batch with headers of its own.
fn preflight(asked: &HeaderMap) -> Response<Sent> {
    let mut answer = Response::new(Sent::words(""));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    if let Some(headers) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
    }
    answer
}

/// Opens a WebSocket.
fn upgrade<B>(node: Node, mut request: Request<B>, sender: Sender) -> Response<Sent> {
    let Some(upgraded) = request.extensions_mut().remove::<OnUpgrade>() else { return refuse(NO_UPGRADE) };
    let request = request.map(drop);
    let answer = match ws::opening(&request, &node.settings.subprotocols) {
        Ok(answer) => answer,
        Err(refusal) => return refuse(refusal),
    };
    let (remote, peer) = (sender.remote, sender.info(&request));
    let peer = PeerInfo { subprotocol: ws::chosen(&answer), ..peer };
    start(async move {
        // A connection that is lost meanwhile needs no report.
        let Ok(stream) = upgraded.await else { return };
        let config = node.config_for(remote, peer);
        let socket = Frames::new(TokioIo::new(stream), Role::Server, config.limits.frame_bytes, Vec::new());
        // The peer has been told of a refusal.
        let _refused = node.accept(socket, config).await;
    });
    answer.map(|()| Sent::words(""))
}

/// Runs the session of a batch, and returns its answer.
async fn batch<B>(node: Node, request: Request<B>, sender: Sender) -> Response<Sent>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: fmt::Display,
{
    // It takes a language in which a call can be made on the result of another.
    let dialect = node.settings.config.dialect.unwrap_or_default();
    if !dialect.capabilities().pipelines {
        return refuse(NEITHER);
    }
    let (remote, peer) = (sender.remote, sender.info(&request));
    let config = LinkConfig { batch: true, dialect: Some(dialect), ..node.config_for(remote, peer) };
    let limit = config.limits.batch_bytes;
    if request.body().size_hint().lower() > limit as u64 {
        return refuse(TOO_MUCH);
    }
    let (body, input) = oneshot::channel();
    // The receiver is here.
    let _received = body.send(request.into_body());
    let (transport, answer) = Batch::new(input, limit);
    let connection = Connection::new(Side::Accepting, config);
    let link = connection.link().clone();
    let mut sender = SenderGuard(Some(link.clone()));
    // A refusal ends the session, which tells the peer.
    let _refused = node.start(Side::Accepting, transport, connection).await;
    let answer = answer.await;
    // A call without an answer may go on.
    sender.0 = None;
    match answer {
        // An abort that tells the reason comes in the body.
        Ok(answer) if !answer.is_end_stream() || link.is_sealed() => Response::new(answer),
        Ok(_) | Err(oneshot::Canceled) => refuse(NO_ANSWER),
    }
}

/// Ends a session if it is dropped, since the sender of the batch has gone.
struct SenderGuard(Option<Arc<Link>>);

impl Drop for SenderGuard {
    fn drop(&mut self) {
        if let Some(link) = self.0.take() {
            let error = Error::new(ErrorKind::Disconnected, "the sender of the HTTP batch has gone");
            link.close(error.with_fault(Fault::Peer));
        }
    }
}

impl Sender {
    fn info<B>(self, request: &Request<B>) -> PeerInfo {
        let headers = request.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
        PeerInfo {
            address: self.address,
            uri: request.uri().path_and_query().map(ToString::to_string),
            headers: headers.collect(),
            subprotocol: None,
            certificates: self.certificates,
            encrypted: self.tls == Some(true),
        }
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).map(text)
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

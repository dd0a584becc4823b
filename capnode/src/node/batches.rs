//! The connecting side of HTTP batches: the calls of one index, gathered into requests.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_channel::{mpsc, oneshot};
use futures_util::StreamExt as _;
use futures_util::future::{Either, join, select};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{self, HeaderMap};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::Node;
use super::dial::Dial;
use crate::cap::Cap;
use crate::cap::broken::{BrokenSlot, OnBroken};
use crate::cap::edge::Edge;
use crate::cap::hook::ConnectionHook;
use crate::cap::import::{Called, Import, ImportHook};
use crate::cap::meter::Counted;
use crate::cap::pending::{AnswerSlot, PendingAnswer};
use crate::cap::request::{Member, Request as CallRequest};
use crate::connection::Connection;
use crate::dialect::Capabilities;
use crate::error::{Error, ErrorKind, Fate, Fault};
use crate::escape::EscapeControl;
use crate::limits::Unfolding;
use crate::link::{Link, LinkConfig};
use crate::message::{Id, Key, Path, ReturnMode};
use crate::remote::Remote;
use crate::runtime::{Instant, start, timeout};
use crate::session::Side;
use crate::sync::{Mutex, lock};
use crate::transport::batch::{Batch, Sent};
use crate::transport::{Closing, Frame, Outgoing, ReceiveError, Transport};

/// The time in which calls are gathered while no caller waits, or somebody holds a result without using it.
const GATHERING: Duration = Duration::from_millis(100);

/// The number of such times in succession, if calls are made in each.
const ROUNDS: usize = 10;

/// The time for which a stream is kept for the next batch. Servers close theirs after a little more.
const IDLE: Duration = Duration::from_secs(4);

/// Bytes of a refusal's body that are put into the error.
const WORDS: usize = 300;

/// The index of a peer that is called by batches. Each is a session of its own.
pub(super) struct Batches {
    node: Node,
    /// The settings of each batch.
    config: LinkConfig,
    dial: Dial,
    headers: HeaderMap,
    /// The connection as the program holds it. It has no other side, and ends when the program closes it or holds nothing.
    connection: Connection,
    /// The batch that calls go into.
    current: Mutex<Option<Arc<Link>>>,
    /// Receives each batch when it begins.
    begun: mpsc::UnboundedSender<Begun>,
    /// Streams that are open, each with the time at which it was last used.
    idle: Mutex<Vec<(Instant, SendRequest<Sent>)>>,
}

/// A batch that has begun.
struct Begun {
    batches: Arc<Batches>,
    connection: Connection,
}

impl Batches {
    /// Opens a stream to the server, and returns the connection of its index.
    pub(super) async fn connect(
        node: &Node,
        config: impl FnOnce(Remote) -> LinkConfig,
        dial: Dial,
        headers: &[(String, String)],
    ) -> Result<Connection, Error> {
        let headers = to_headers(&dial, headers)?;
        let (stream, remote) = dial.open().await?;
        let config = LinkConfig { batch: true, ..config(remote) };
        if !config.dialect.unwrap_or_default().capabilities().pipelines {
            let message =
                "HTTP batches are sent in Cap'n Web: leave out `dialect`, or connect by ws:// or tcp://";
            return Err(Error::new(ErrorKind::Unsupported, message).with_fault(Fault::Here));
        }
        // Of a connection without another side nothing is known to be alive.
        let mut own = LinkConfig { pool: None, batch: false, ..config.clone() };
        own.limits.probe = None;
        let connection = Connection::new(Side::Connecting, own);
        let (begun, mut batches) = mpsc::unbounded();
        let (unsent, all_sent) = mpsc::unbounded();
        let (end, mut ended) = oneshot::channel();
        let nowhere = Nowhere { open: Some(end), all_sent };
        crate::runtime::spawn(connection.driver(Side::Connecting, nowhere))?;
        start(async move {
            loop {
                tokio::select! {
                    // A batch that has begun is sent, even if the connection has ended since.
                    biased;
                    Some(begun) = batches.next() => {
                        start(run(begun, unsent.clone()));
                    }
                    _ended = &mut ended => break,
                }
            }
        });
        let sender = handshake(stream).await.map_err(|error| dial.failed(&error))?;
        let idle = Mutex::new(vec![(Instant::now(), sender)]);
        let batches = Self {
            node: node.clone(),
            config,
            dial,
            headers,
            connection: connection.clone(),
            current: Mutex::default(),
            begun,
            idle,
        };
        let index = Import::new(Arc::new(batches), 0, false);
        Ok(connection.with_index(Cap::from_import(index)))
    }

    /// Enters the batch that the next call goes into.
    fn enter(self: &Arc<Self>) -> Result<Arc<Link>, Error> {
        let mut current = lock(&self.current);
        if let Some(link) = current.as_ref().filter(|link| link.enter_batch()) {
            return Ok(link.clone());
        }
        let connection = Connection::new(Side::Connecting, self.config.clone());
        let link = connection.link().clone();
        link.set_index_of(Arc::as_ptr(self).addr());
        // Nothing else has closed it.
        let _open = link.enter_batch();
        let begun = Begun { batches: self.clone(), connection };
        let ended = |_| self.connection.link().closed_error().with_fate(Fate::NotSent);
        self.begun.unbounded_send(begun).map_err(ended)?;
        let former = current.replace(link.clone());
        drop(current);
        drop(former);
        Ok(link)
    }

    /// Sends the body of a batch, and hands over that of the answer.
    async fn exchange(
        &self,
        link: &Link,
        body: oneshot::Receiver<Sent>,
        mut answer: oneshot::Sender<Incoming>,
    ) {
        // Without one the session has been cut off.
        let Ok(body) = body.await else { return };
        let posting = pin!(self.post(body));
        let posted = match select(posting, answer.cancellation()).await {
            Either::Left((posted, _)) => posted,
            // A call that nobody waits for is wanted all the same. Its server may never answer.
            Either::Right(((), posting)) if link.is_wanted() => match self.config.limits.batch_time {
                Some(most) => match timeout(most, posting).await {
                    Ok(posted) => posted,
                    Err(_) => return,
                },
                None => posting.await,
            },
            Either::Right(_) => return,
        };
        match posted {
            // If nobody wants it, there is no receiver.
            Ok(body) => drop(answer.send(body)),
            Err(error) => link.close(error),
        }
    }

    async fn post(&self, body: Sent) -> Result<Incoming, Error> {
        let mut request =
            Request::post(self.dial.path()).body(body).map_err(|error| self.dial.failed(&error))?;
        request.headers_mut().clone_from(&self.headers);
        let lost = |error: hyper::Error| {
            Error::new(ErrorKind::Disconnected, "the request of the HTTP batch was lost")
                .with_fate(Fate::MayHaveRun)
                .with_fault(Fault::Network)
                .with_source(io::Error::other(error))
        };
        // A stream may have been closed since it was last used, and then has not taken the request.
        while let Some(mut sender) = self.take_idle() {
            match sender.try_send_request(request).await {
                Ok(response) => return self.accept(response, sender).await,
                Err(mut error) => match error.take_message() {
                    Some(again) => request = again,
                    None => return Err(lost(error.into_error())),
                },
            }
        }
        let (stream, _) = self.dial.open().await.map_err(|error| error.with_fate(Fate::NotSent))?;
        let mut sender = handshake(stream).await.map_err(|error| self.dial.failed(&error))?;
        let response = sender.send_request(request).await.map_err(lost)?;
        self.accept(response, sender).await
    }

    /// Returns a stream that is open, as far as is known.
    fn take_idle(&self) -> Option<SendRequest<Sent>> {
        let mut idle = lock(&self.idle);
        idle.retain(|(since, sender)| since.elapsed() < IDLE && !sender.is_closed());
        let free = idle.iter().rposition(|(_, sender)| sender.is_ready())?;
        Some(idle.swap_remove(free).1)
    }

    /// Returns the body of a response, if it is an answer, and keeps the stream.
    async fn accept(
        &self,
        response: Response<Incoming>,
        sender: SendRequest<Sent>,
    ) -> Result<Incoming, Error> {
        if !response.status().is_success() {
            return Err(refused(response).await);
        }
        lock(&self.idle).push((Instant::now(), sender));
        Ok(response.into_body())
    }
}

/// Returns the headers of each request.
fn to_headers(dial: &Dial, headers: &[(String, String)]) -> Result<HeaderMap, Error> {
    let mut request = Request::builder()
        .header(header::HOST, dial.host())
        .header(header::CONTENT_TYPE, "text/plain;charset=UTF-8");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut request = request.body(()).map_err(|error| dial.failed(&error))?;
    Ok(std::mem::take(request.headers_mut()))
}

async fn handshake(stream: Box<dyn crate::transport::address::Io>) -> hyper::Result<SendRequest<Sent>> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    start(async move {
        // Whoever uses the stream is told.
        let _ended = connection.await;
    });
    Ok(sender)
}

/// Returns the error of a batch that a server has refused.
async fn refused(response: Response<Incoming>) -> Error {
    let status = response.status();
    let mut body = response.into_body();
    let mut words = Vec::new();
    while let Some(Ok(part)) = poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await {
        words.extend_from_slice(part.data_ref().map_or(&[][..], |data| data));
        if words.len() > WORDS {
            break;
        }
    }
    words.truncate(WORDS);
    let words = String::from_utf8_lossy(&words);
    let message = format!("the server answered {status}: {}", EscapeControl(words.trim()));
    // By these a server says that it has not looked at the body.
    let not_sent = matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::TOO_MANY_REQUESTS
    );
    let fate = if not_sent { Fate::NotSent } else { Fate::MayHaveRun };
    Error::new(ErrorKind::Refused, message).with_fate(fate).with_fault(Fault::Peer)
}

/// The transport of a connection without another side.
struct Nowhere {
    /// Dropped when the connection ends.
    open: Option<oneshot::Sender<()>>,
    /// Ends when nothing is unsent.
    all_sent: mpsc::UnboundedReceiver<()>,
}

impl Transport for Nowhere {
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<'_>, ReceiveError>>> {
        // Nothing comes but the end.
        self.all_sent.poll_next_unpin(cx).map(|_| None)
    }

    fn poll_send(&mut self, _: &mut Context<'_>, frames: &mut Outgoing) -> Poll<io::Result<()>> {
        frames.advance(frames.len());
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: Closing<'_>) -> Poll<io::Result<()>> {
        self.open = None;
        Poll::Ready(Ok(()))
    }
}

/// Runs a batch: gathers its calls, sends them, and takes in their answers. The end of the connection waits for what is
/// unsent.
async fn run(begun: Begun, _unsent: mpsc::UnboundedSender<()>) {
    let Begun { batches, connection } = begun;
    let link = connection.link().clone();
    for _ in 0..ROUNDS {
        let before = link.tables();
        let gathered = timeout(GATHERING, poll_fn(|cx| link.poll_gathered(cx))).await;
        if gathered.is_ok() || link.tables() == before {
            break;
        }
    }
    link.close_batch();
    if link.is_idle() && !link.is_wanted() {
        return link
            .close(Error::new(ErrorKind::Disconnected, "nobody wants the batch").with_fault(Fault::Here));
    }
    let (answer, input) = oneshot::channel();
    let (transport, body) = Batch::new(input, batches.config.limits.batch_bytes);
    let starting = async {
        // A refusal ends the session, and with it all calls. The batch holds itself as long as it is needed.
        drop(batches.node.start(Side::Connecting, transport, connection).await);
    };
    let running = pin!(join(starting, batches.exchange(&link, body, answer)));
    let (end, ended) = oneshot::channel();
    let watch = OnBroken::watching(|error| {
        // The batch may be over by now.
        let _over = end.send(error);
    });
    batches.on_closed(watch.slot());
    if let Either::Right((Ok(error), running)) = select(running, ended).await {
        link.close(error);
        running.await;
    }
}

impl ConnectionHook for Batches {
    fn release(&self, _: Id) {}

    fn give_up(&self, _: &AnswerSlot) -> bool {
        // Answers are those of a batch.
        false
    }

    fn note_awaited(&self) {}

    fn on_closed(&self, slot: &BrokenSlot) {
        self.connection.link().on_closed(slot);
    }

    fn closed_error(&self) -> Error {
        self.connection.link().closed_error()
    }

    fn unfolding(&self) -> Unfolding {
        self.connection.link().unfolding()
    }
}

impl ImportHook for Batches {
    fn capabilities(&self) -> Option<&'static Capabilities> {
        self.connection.link().capabilities()
    }

    fn knows_extended(&self) -> Option<bool> {
        Some(false)
    }

    fn round_trip(self: Arc<Self>) -> Result<PendingAnswer, Error> {
        let link = self.enter()?;
        let called = link.clone().round_trip();
        link.leave_batch();
        called
    }

    fn frame_bytes(&self) -> usize {
        self.config.limits.frame_bytes
    }

    fn now(&self) -> Duration {
        ImportHook::now(&**self.connection.link())
    }

    fn stream_window(&self) -> usize {
        self.config.limits.stream_window
    }

    fn poll_room(&self, _: &mut Context<'_>) -> Poll<bool> {
        // A batch is written as a whole.
        Poll::Ready(false)
    }

    fn call(
        self: Arc<Self>,
        _: &Arc<Import>,
        request: &mut CallRequest,
        return_mode: ReturnMode,
        waker: Option<&Waker>,
        counted: Option<&mut Option<Counted>>,
    ) -> Result<Called, Error> {
        if let Some(ended) = self.connection.link().closed() {
            return Err(ended.with_fate(Fate::NotSent));
        }
        let link = self.enter()?;
        let index = Import::new(link.clone(), 0, false);
        let called = link.clone().call(&index, request, return_mode, waker, counted);
        link.leave_batch();
        called
    }

    fn has_edge(&self) -> bool {
        self.connection.link().has_edge()
    }

    fn edge(&self) -> Option<Arc<dyn Edge>> {
        self.connection.link().edge()
    }

    fn read_property(self: Arc<Self>, from: &Arc<Import>, name: &Key) -> Cap {
        // Cap'n Web has no such language.
        from.pipeline(&mut CallRequest::read(Member::Path(Path::One(name.clone()))))
    }
}
